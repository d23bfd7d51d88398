"""Who leads the traffic: a ramp by the run's clock, a canary given up for good reasons, and word of it to all."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

from tests.unit.measured import MS, sample
from tests.unit.planted import view_of
from tests.unit.user_classes import user_class
from tfs_locust.judge.canary import Pair
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View
from tfs_locust.swarm.blueprint import Blueprint, blueprint
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.settings import SettingsError, read_settings
from tfs_locust.swarm.steering import Courses, Steering

PAIR = Pair("m", "1", "2")
WITHIN_S = 20


def failing_canary() -> View:
    """Half of what version 2 was asked for has failed."""
    tally = Tally("w", 1, origin_ns=0)
    for number in range(400):
        is_canary, tally.started = number % 4 == 3, tally.started + 1
        outcome = Outcome.UNAVAILABLE if is_canary and number % 8 == 7 else Outcome.OK
        one = sample(5 * MS, due_ns=number * MS, model="m", version="2" if is_canary else "1", outcome=outcome)
        tally.record(one)
    return view_of([tally])


class Led:
    """One class with two versions, led; what was told, and why the run was ended."""

    def __init__(self, view: View | None, find: Callable[[Blueprint], Any] | None, options: dict[str, Any]) -> None:
        self.settings = read_settings(Namespace(**options))[0]
        plan = blueprint(user_class(model="m", traffic="1:3,2:1"), self.settings, None)
        self.judgement = Judgement("run", self.settings, ())
        self.told: list[Courses] = []
        self.ended: list[str] = []
        self.began_s: float | None = None
        self.steering = Steering(
            [plan],
            self.settings,
            self.judgement,
            find=find or (lambda plan: (plan, [PAIR])),
            began_s=lambda: self.began_s,
            look=lambda: view,
            tell=self.told.append,
            end=self.ended.append,
            every_s=0.02,
        )

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Return as soon as it holds."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, (self.told, self.ended)
            gevent.sleep(0.01)


@contextmanager
def led(view: View | None = None, find: Callable[[Blueprint], Any] | None = None, **options: Any) -> Iterator[Led]:
    """It ends with the block."""
    one = Led(view, find, options)
    try:
        yield one
    finally:
        one.steering.stop()
        gevent.sleep(0)


def test_stages_come_by_the_runs_clock() -> None:
    """The first holds as long as nobody knows when the warm-up was over; each later one is marked."""
    with led(tfs_canary_ramp="1%:1h,10%:1h,100%") as one:
        one.wait_for(lambda: one.told)
        assert one.told[-1] == {"Mine": (0, False)}
        one.began_s = time.perf_counter() - 3601
        one.wait_for(lambda: one.told[-1] == {"Mine": (1, False)})
        one.began_s -= 3600
        one.wait_for(lambda: one.told[-1] == {"Mine": (2, False)})
        marks = [(mark.kind, mark.text, mark.model, mark.version) for mark in one.judgement.marks]
    assert marks == [("share", f"the canary has {share} %", "m", "2") for share in (10, 100)]


def test_word_is_given_again() -> None:
    """Though nothing has changed: who joins later hears it, too."""
    with led() as one:
        one.wait_for(lambda: len(one.told) >= 3)
        assert all(courses == {"Mine": (0, False)} for courses in one.told)


@pytest.mark.parametrize("options", [{"tfs_canary_rollback": "on"}, {"tfs_canary_ramp": "10%:1h,100%"}])
def test_a_canary_that_fails_is_given_up(options: dict[str, str]) -> None:
    """Once, with a mark that says why; a ramp is over then. The run goes on."""
    with led(failing_canary(), **options) as one:
        one.wait_for(lambda: one.told and one.told[-1]["Mine"] == (0, True))
        one.began_s = time.perf_counter() - 7200
        one.wait_for(lambda: len(one.told) >= 3)
        (mark,) = one.judgement.marks
        assert one.told[-1] == {"Mine": (0, True)}
    assert (mark.kind, mark.model, mark.version) == ("rollback", "m", "1")
    assert mark.text == "version 2 of m is given up for 1: 50 % of its requests fail, 0 % of the baseline's"
    assert one.ended == []


@pytest.mark.parametrize("options", [{}, {"tfs_canary_ramp": "10%:1h,100%", "tfs_canary_rollback": "off"}])
def test_a_canary_is_not_given_up_unasked(options: dict[str, str]) -> None:
    """Without a ramp only where somebody says so, and never where somebody says off."""
    with led(failing_canary(), **options) as one:
        one.wait_for(lambda: len(one.told) >= 3)
        assert one.told[-1] == {"Mine": (0, False)}
        assert one.judgement.marks == []


def test_the_run_is_ended_where_that_is_asked_for() -> None:
    """Once."""
    with led(failing_canary(), tfs_canary_rollback="on", tfs_abort_on_fail=True) as one:
        one.wait_for(lambda: len(one.told) >= 3)
    assert one.ended == ["the canary is given up"]


def test_versions_that_are_compared() -> None:
    """Are those that the server tells; where it does not, none, and the run goes on."""
    with led() as one:
        one.wait_for(lambda: one.told)
        assert (one.judgement.pairs, one.judgement.steered) == ([PAIR], {"m"})

    def unknown(_: Blueprint) -> Any:
        raise SettingsError(["no answer"])

    with led(failing_canary(), unknown, tfs_canary_rollback="on") as one:
        one.wait_for(lambda: len(one.told) >= 2)
        assert (one.judgement.pairs, one.told[-1]) == ([], {"Mine": (0, False)})
