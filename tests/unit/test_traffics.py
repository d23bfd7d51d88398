"""How requests are divided: what a class and the options say, and what does not go together."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from tests.unit.user_classes import user_class
from tfs_locust.load.ramp import parse_ramp
from tfs_locust.load.traffic import parse_traffic
from tfs_locust.swarm.blueprint import Blueprint, blueprint
from tfs_locust.swarm.settings import Settings, SettingsError, read_settings
from tfs_locust.swarm.traffics import baseline_only, problems_of_traffic, weights_at


def settings(**given: str) -> Settings:
    """What these options say, which is right."""
    found, problems = read_settings(Namespace(**{f"tfs_{name}": value for name, value in given.items()}))
    assert problems == []
    return found


def planned(options: Settings | None = None, **said: Any) -> Blueprint:
    """The blueprint of a class that says this."""
    return blueprint(user_class(**said), options or settings(), None)


def problems(options: Settings | None = None, **said: Any) -> list[str]:
    """Why there is none."""
    with pytest.raises(SettingsError) as raised:
        planned(options, **said)
    return raised.value.problems


def test_the_class_goes_before_the_options() -> None:
    """And a version or label of its own before the options' traffic."""
    options = settings(traffic="1,2", canary_ramp="1%:1s,100%")
    assert planned(options).traffic == parse_traffic("1,2")
    assert planned(options).ramp == parse_ramp("1%:1s,100%")
    assert planned(options, traffic="3:1,4:2").traffic == parse_traffic("3:1,4:2")
    assert planned(options, traffic=parse_traffic("5,6"), canary_ramp="50%").ramp == parse_ramp("50%")
    for own in ({"version": 3}, {"version_label": "x"}):
        assert (planned(options, **own).traffic, planned(options, **own).ramp) == (None, None)
    pinned = planned(settings(version="7"), traffic="1,2")
    assert (pinned.traffic, pinned.target.version) == (parse_traffic("1,2"), None)


def test_nothing_said_is_no_traffic() -> None:
    """A class asks one target then."""
    assert (planned().traffic, planned().ramp) == (None, None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"traffic": "1,2", "version": 1}, "`traffic` and `version` exclude each other: set one of them"),
        ({"traffic": "1,2", "version_label": "a"}, "`traffic` and `version_label` exclude each other"),
        ({"traffic": "1:x,2"}, "`traffic`: '1:x,2': column 1: 'x' is no weight"),
        ({"traffic": ["1", "2"]}, "`traffic` is ['1', '2']: expected a text, such as '1:0.9,2:0.1'"),
        ({"traffic": "1,2", "canary_ramp": 0.5}, "`canary_ramp` is 0.5: expected a text, such as '1%:30s,100%'"),
        ({"traffic": "1,m/1", "model": "m"}, "`traffic`: '1,m/1': model 'm' version 1 is there twice"),
        ({"canary_ramp": "1%"}, "`canary_ramp`: there is no `traffic` whose share it could be"),
        ({"traffic": "1,2", "canary_ramp": "2"}, "`canary_ramp`: '2': column 1: '2' is no share"),
        ({"traffic": "1,2,3", "canary_ramp": "1%"}, "a canary's ramp is for traffic over two versions or labels"),
        ({"traffic": "a/1,b/1", "canary_ramp": "1%"}, "a canary's ramp is for traffic over two versions or labels"),
        ({"traffic": "1,2", "against": object}, "`traffic` and `against` exclude each other: pairs are sent to one"),
    ],
)
def test_what_a_class_may_not_say(said: dict[str, Any], expected: str) -> None:
    """Each is told with the class."""
    (problem,) = problems(**said)
    assert problem.startswith("Mine: ")
    assert expected in problem


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"traffic": "1;2"}, "--tfs-traffic '1;2': column 3: '2': expected uniform, zipf or zipf(s=1.1)"),
        ({"canary_ramp": "5"}, "--tfs-canary-ramp '5': column 1: '5' is no share, which is from 0% to 100%"),
        ({"canary_rollback": "yes"}, "--tfs-canary-rollback 'yes': expected on or off"),
        ({"traffic": "1,2", "version": "1"}, "--tfs-traffic says which versions: leave --tfs-version and "),
        ({"traffic": "1,2", "version_label": "a"}, "--tfs-traffic says which versions: leave --tfs-version and "),
    ],
)
def test_what_the_options_may_not_say(given: dict[str, str], expected: str) -> None:
    """Each is told with what is expected."""
    _, found = read_settings(Namespace(**{f"tfs_{name}": value for name, value in given.items()}))
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_options_that_no_class_takes() -> None:
    """Are told, rather than forgotten."""
    plain, split = planned(version=1), planned(traffic="1:9,2:1")
    assert problems_of_traffic([plain], settings(traffic="1,2")) == [
        "--tfs-traffic 1,2: no user class takes it, as each has a version or label of its own"
    ]
    (ramp,) = problems_of_traffic([planned()], settings(canary_ramp="1%:1s,100%"))
    assert ramp.startswith("--tfs-canary-ramp 1%:1s,100%: no user class has two versions that it could be about")
    (rollback,) = problems_of_traffic([planned(traffic="1,2,3")], settings(canary_rollback="on"))
    assert rollback.startswith("--tfs-canary-rollback on: no user class has two versions of a model")
    assert problems_of_traffic([plain, split], settings(traffic="1,2", canary_rollback="on")) == []
    assert problems_of_traffic([planned(traffic="auto")], settings(canary_rollback="on")) == []
    assert problems_of_traffic([], settings(traffic="1,2")) == []


def test_weights_in_a_stage_and_without_canaries() -> None:
    """The canary is the lesser one, wherever it stands; a baseline takes over what its own canary had."""
    ramped = planned(traffic="2:1,1:9", canary_ramp="25%:1s,100%:1s,0%")
    assert [weights_at(ramped, stage) for stage in range(3)] == [(1, 3), (1, 0), (0, 1)]
    assert baseline_only(ramped) == (0, 10)
    assert weights_at(planned(traffic="2:1,1:9"), 0) == (1, 9)
    several = planned(traffic="a/1:6,a/2:2,b/1:4,b/2:4,c/:8")
    assert baseline_only(several) == (4, 0, 4, 0, 4)
