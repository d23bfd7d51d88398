"""How each class's requests arrive: its own word first, then the options'; and what does not go together."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from tfs_locust.load.arrival import Arrival, closed, constant, poisson, trace
from tfs_locust.swarm.arrivals import arrival_of, by_rate, problems_of, shared_arrival
from tfs_locust.swarm.settings import Settings, read_settings


def _settings(**options: str) -> Settings:
    settings, problems = read_settings(Namespace(**{f"tfs_{name}": value for name, value in options.items()}))
    assert problems == []
    return settings


RATE_SHAPE = {"shape": "ramp", "shape_param": "unit=rate"}


def _class(arrival: Any = None, *tasks: Any) -> Any:
    """What is read of a user class. A real one would bring Locust into this process."""
    return type("Hit", (), {"arrival": arrival, "tasks": list(tasks)})


@pytest.mark.parametrize(
    ("own", "options", "expected"),
    [
        (None, {}, closed()),
        (None, {"rate": "5"}, constant()),
        (None, {"arrival": "poisson:3.5"}, poisson(3.5)),
        (None, {"arrival": "poisson", "rate": "5"}, poisson()),
        (None, {"arrival": "closed", "rate": "5"}, closed()),
        (None, RATE_SHAPE, constant()),
        (None, {"shape": "ramp"}, closed()),
        ("closed", {"rate": "5"}, closed()),
        ("constant", {"arrival": "poisson", "rate": "5"}, constant()),
        (poisson(50), {"rate": "5"}, poisson(50)),
        ("poisson:0.5", {"arrival": "constant:9"}, poisson(0.5)),
    ],
)
def test_the_class_goes_first(own: Any, options: dict[str, str], expected: Arrival) -> None:
    """As an Arrival or as text; then ``--tfs-arrival``; a rate alone is a constant one."""
    problems: list[str] = []
    assert arrival_of(_class(own), _settings(**options), problems) == expected
    assert problems == []


EXPECTED = "expected closed, constant, poisson, constant:RATE or poisson:RATE with requests per second, or trace:FILE"


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ("often", f"'often': {EXPECTED}"),
        (50, f"'50': {EXPECTED}"),
        ("poisson:0", "rate 0.0: expected requests per second, a millionth at least"),
        ("trace:nowhere", "trace 'nowhere': cannot be read: No such file or directory"),
    ],
)
def test_what_a_class_cannot_say(own: Any, problem: str) -> None:
    """Told with the class and the attribute."""
    problems: list[str] = []
    arrival_of(_class(own), _settings(), problems)
    assert problems == [f"Hit: `arrival`: {problem}"]


def test_task_sets() -> None:
    """They need a user of their own, who waits; a closed loop has one."""
    task_set = type("Deep", (), {})
    for own, expected in (("closed", 0), ("poisson:5", 1)):
        problems: list[str] = []
        arrival_of(_class(own, str.strip, task_set), _settings(), problems)
        assert problems == expected * [
            "Hit: a TaskSet cannot be sent by a schedule: make its tasks the class's own, or use closed"
        ]


def test_who_shares() -> None:
    """The arrival without a rate of its own, a trace among them."""
    assert shared_arrival([]) is None
    assert shared_arrival([closed(), poisson(5)]) is None
    assert shared_arrival([closed(), poisson(5), poisson(), constant(3)]) == poisson()
    assert by_rate(_settings(**RATE_SHAPE))
    assert not by_rate(_settings(shape="ramp"))
    assert not by_rate(_settings())


NOBODY = (
    "--tfs-rate 5: no user class takes it, as all are closed or have a rate of their own; leave it out, or say "
    "--tfs-arrival constant or poisson"
)
NO_SHAPED = (
    "--tfs-shape with unit=rate: no user class takes the rate: give one an arrival without a rate of its own, "
    "as poisson"
)
NO_RATE = (
    "arrival poisson has no rate: say poisson:50 for 50 requests per second of each user, or give the whole run's with "
    "--tfs-rate"
)
TWO = "user classes without a rate of their own share one schedule: give them the same arrival"
SHAPED = "--tfs-rate 5: the shape says the rate: leave one of them out"
TRACED = "--tfs-rate 5: a trace has times of its own: leave one of them out"


@pytest.mark.parametrize(
    ("arrivals", "options", "expected"),
    [
        ("", {"rate": "5"}, []),
        ("closed", {}, []),
        ("closed", {"rate": "5"}, [NOBODY]),
        ("poisson:3", {}, []),
        ("poisson:3 closed", {"rate": "5"}, [NOBODY]),
        ("poisson", {}, [NO_RATE]),
        ("poisson", {"rate": "5"}, []),
        ("poisson constant:3 closed poisson", {"rate": "5"}, []),
        ("poisson constant", {"rate": "5"}, [TWO]),
        ("poisson constant", {}, [TWO, NO_RATE]),
        ("poisson constant", RATE_SHAPE, [TWO]),
        ("poisson", RATE_SHAPE, []),
        ("poisson", {**RATE_SHAPE, "rate": "5"}, [SHAPED]),
        ("closed poisson:3", RATE_SHAPE, [NO_SHAPED]),
        ("poisson", {"shape": "ramp"}, [NO_RATE]),
        ("poisson", {"shape": "ramp", "rate": "5"}, []),
        ("trace", {}, []),
        ("trace trace", {}, []),
        ("trace closed poisson:3", {}, []),
        ("trace", {"rate": "5"}, [TRACED]),
        ("trace", RATE_SHAPE, [NO_SHAPED]),
        ("trace other", {}, [TWO]),
        ("trace poisson", {"rate": "5"}, [TWO, TRACED]),
    ],
)
def test_what_goes_together(tmp_path: Path, arrivals: str, options: dict[str, str], expected: list[str]) -> None:
    """All that is wrong, once each."""
    made: dict[str, Arrival] = {"closed": closed(), "poisson": poisson(), "constant": constant()}
    made |= {"poisson:3": poisson(3), "constant:3": constant(3)}
    for name in ("trace", "other"):
        (tmp_path / name).write_text("1\n")
        made[name] = trace(tmp_path / name)
    assert problems_of([made[name] for name in arrivals.split()], _settings(**options), None) == expected


@pytest.mark.parametrize("text", ["5", "5/s", "0.5", ".5", "5.", " 2000 ", "1000000000"])
def test_rates(text: str) -> None:
    """Requests per second."""
    assert _settings(rate=text).rate == float(text.strip().removesuffix("/s"))


@pytest.mark.parametrize("text", ["-5", "0", "0.0", "1e3", "nan", "inf", "5/m", "1000000001", "many"])
def test_what_is_no_rate(text: str) -> None:
    """Told with what it should be, and taken as not given."""
    settings, problems = read_settings(Namespace(tfs_rate=text, tfs_max_in_flight="0"))
    assert (settings.rate, settings.max_in_flight) == (None, None)
    assert problems == [
        f"--tfs-rate '{text}': expected requests per second, as 2000 or 0.5",
        "--tfs-max-in-flight '0': expected a whole number of at least 1",
    ]


def test_shape_parameters() -> None:
    """Of a shape, each once."""
    for options, problem in (
        ({"tfs_shape_param": "to=5"}, "--tfs-shape-param: there is no --tfs-shape that it could belong to"),
        ({"tfs_shape": "ramp", "tfs_shape_param": "to=5 | to = 6"}, "--tfs-shape-param 'to = 6': 'to' is given twice"),
    ):
        assert read_settings(Namespace(**options))[1] == [problem]
