"""Switches in situations that are easily taken for others: figures and sentences that must not mislead."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.unit.measured import MS, SECOND, sample, told
from tests.unit.planted import Served, record, usual, view_of
from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.lifecycle import look
from tfs_locust.judge.moments import AVAILABLE, SWITCH, Mark, Poll
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.switch import Switch
from tfs_locust.judge.switches import attempts
from tfs_locust.judge.verdict import judge_all
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View

ASKED = Mark(10 * SECOND, SWITCH, "", "resnet", "2")
Behaviour = Callable[[int, random.Random], Served]


def switching(at_s: float, slow: int = 0, noise: float = 0.0) -> Behaviour:
    """Version 2 from a time on: so many slow answers first, and later a few slow ones in thousands."""
    left = [slow]

    def behave(at_ns: int, dice: random.Random) -> Served:
        if at_ns < at_s * SECOND:
            return Served("1", usual(dice))
        left[0] -= 1
        return Served("2", 150.0 if left[0] >= 0 else 300.0 if dice.random() < noise else usual(dice))

    return behave


def polls(states: Callable[[float], dict[str, str]], seconds: int = 30) -> list[Poll]:
    """Four in a second."""
    return [Poll(n * SECOND // 4, "resnet", states(n / 4)) for n in range(4 * seconds)]


def only(view: View, **more: object) -> Switch:
    """The one that is found."""
    (one,) = look(view, **more).switches  # type: ignore[arg-type]
    return one


@pytest.mark.parametrize("step_s", [0.5, 1.0, 1.5])
def test_ten_switches_in_quick_succession(step_s: float) -> None:
    """None of the versions answers for as long as a silence lasts, and each comes from the one before."""

    def behave(at_ns: int, dice: random.Random) -> Served:
        return Served(str(1 + min(10, max(0, int((at_ns / SECOND - 5) / step_s)))), usual(dice))

    found = look(view_of(record(behave, per_second=200))).switches
    assert [(one.from_version, one.to_version) for one in found] == list(pairwise(map(str, range(1, 12))))


@pytest.mark.parametrize(("models", "per_second", "zipf"), [(50, 100, False), (50, 200, True)])
def test_versions_that_answer_rarely_are_not_switched(models: int, per_second: int, zipf: bool) -> None:
    """Traffic over 50 models of twelve versions: each pauses for seconds, none ends."""
    dice, tally, at_ns = random.Random(4), Tally("w", 1, origin_ns=0), 0.0
    names = [(f"m{model}", str(version)) for model in range(models) for version in range(1, 13)]
    weights = [1 / (rank + 1) if zipf else 1.0 for rank in range(len(names))]
    while (at_ns := at_ns + dice.expovariate(per_second) * SECOND) < 60 * SECOND:
        ((model, version),) = dice.choices(names, weights)
        tally.record(sample(5 * MS, due_ns=int(at_ns), model=model, version=version))
    assert look(view_of([tally])).switches == ()


def test_a_rollback_after_a_second_is_seen_by_polls() -> None:
    """Version 2 serves for a second only; 1 comes back, and answered all the time but then."""

    def states(at_s: float) -> dict[str, str]:
        if at_s < 10:
            return {"1": AVAILABLE} | ({"2": "LOADING"} if at_s >= 8 else {})
        if at_s < 10.5:
            return {"1": "END", "2": AVAILABLE}
        return {"1": "LOADING" if at_s < 11 else AVAILABLE, "2": AVAILABLE if at_s < 11 else "END"}

    view = view_of(record(lambda at, dice: Served("2" if 10 <= at / SECOND < 11 else "1", usual(dice))))
    there, back = look(view, polls=polls(states)).switches
    assert (there.to_version, there.success, back.to_version, back.success) == ("2", True, "1", True)
    assert (back.trigger_s, back.available_s) == (10.5, 0.5)
    assert back.settled_s == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_switch_that_polls_saw_too_late_took_no_less(protocol: str) -> None:
    """The version was there at once in one poll, and not in the one before: the time is at most the one between."""
    view = view_of(record(switching(11.4), protocol=protocol))
    seen = [Poll(n * SECOND, "resnet", {"1": AVAILABLE} | ({"2": AVAILABLE} if n >= 12 else {})) for n in range(30)]
    one = only(view, polls=seen)
    assert (one.found_by, one.trigger_s, one.available_s, one.load_s) == ("status", 11, 1, 1)
    assert one.settled_s == pytest.approx(0.4 if protocol == "grpc" else 1.0, abs=0.1)


def test_polls_that_two_servers_answer_in_turn() -> None:
    """One switches at 15 s, the other at 45: that is one switch, and nothing that failed."""

    def behave(at_ns: int, dice: random.Random) -> Served:
        at_s = at_ns / SECOND
        return Served("2" if at_s >= 45 or (at_s >= 15 and dice.random() < 0.5) else "1", usual(dice))

    dice, seen = random.Random(5), []
    for at_s in range(60):
        is_new = at_s >= dice.choice([15, 45])
        seen.append(Poll(at_s * SECOND, "resnet", {"1": "END", "2": AVAILABLE} if is_new else {"1": AVAILABLE}))
    found = look(view_of(record(behave, seconds=60), 61 * SECOND), polls=seen).switches
    assert [one for one in found if not one.success] == []
    assert len(found) <= 2
    assert (found[0].to_version, found[0].mixed_s) == ("2", pytest.approx(30, abs=0.2))


def test_a_switch_just_before_the_end_is_no_canary() -> None:
    """It is too near to be found, and yet the two did not serve side by side."""
    assert look(view_of(record(switching(28.5)))).canaries == ()


def test_a_load_that_nobody_limited_may_last() -> None:
    """It took 70 s: that is its time, and no failure, unless 60 s were given."""
    view = view_of(record(switching(80), seconds=100, per_second=20), at_ns=101 * SECOND)
    assert only(view, marks=[ASKED]).settled_s == pytest.approx(70, abs=0.5)
    limited = only(view, marks=[Mark(10 * SECOND, SWITCH, "", "resnet", "2", 60.0)])
    assert limited.success is False
    assert limited.why.endswith("60 s were given")


@pytest.mark.parametrize("was_there", [True, False])
def test_nobody_knows_of_rest_without_polls(was_there: bool) -> None:
    """Answers tell no version: a mark alone, or a version that was there before, leave it open, for no time-out was
    seen."""
    view = view_of(record(switching(99), seconds=80, per_second=20, protocol="rest"), at_ns=81 * SECOND)
    asked = polls(lambda _: {"1": AVAILABLE, "2": AVAILABLE}, 80) if was_there else []
    one = only(view, marks=[ASKED], polls=asked)
    assert (one.success, "REST" in one.why) == (None, True)
    (judged,) = judge_all(
        view, parse_objectives(["switch_success>=99%"]), lifecycle=look(view, marks=[ASKED], polls=asked)
    )
    assert judged.state is Decision.UNDECIDED


@pytest.mark.parametrize("at_s", [10.0, 10.5, 10.95])
def test_a_cold_start_is_seen_wherever_in_a_second_it_is(at_s: float) -> None:
    """Twenty slow answers reach into the next second, and of thousands later a few are slower than those."""
    first = only(view_of(record(switching(at_s, slow=20, noise=0.0003), per_second=500))).first_answers
    assert first is not None
    assert (first.slow, first.cold) == (20, True)


@pytest.mark.parametrize("per_second", [5, 10, 20])
def test_a_warm_start_at_a_low_rate_is_not_cold(per_second: int) -> None:
    """Of a hundred first answers some are slower than the fifty to compare with: by chance."""
    for seed in range(12):
        view = view_of(record(switching(10), per_second=per_second, seconds=60, seed=seed), at_ns=61 * SECOND)
        first = only(view, marks=[Mark(9 * SECOND, SWITCH, "", "resnet", "2")]).first_answers
        assert first is not None
        assert not first.cold


def test_errors_of_a_switch_that_failed_are_all_counted() -> None:
    """A third fails while the version loads, until that ends in an error."""

    def behave(at_ns: int, dice: random.Random) -> Served:
        fails = 10 <= at_ns / SECOND < 20 and dice.random() < 0.3
        return Served("1", usual(dice), Outcome.UNAVAILABLE if fails else Outcome.OK)

    seen = polls(lambda s: {"1": AVAILABLE} | ({"2": "LOADING" if s < 20 else "END"} if s >= 10 else {}))
    view = view_of(record(behave))
    for asked, marks in ((seen, []), ([], [Mark(10 * SECOND, SWITCH, "", "resnet", "2", 10.0)])):
        one = only(view, polls=asked, marks=marks)
        assert (one.success, one.errors) == (False, view.select(lambda key: key.key.outcome is not Outcome.OK).count)


def long_run() -> View:
    """Of 200 s with a switch at 93 s that 4 s of failures belong to; seconds stay for 60 s."""
    tally = Tally("w", 1, origin_ns=0, fine_s=60)
    aggregate = Aggregate()
    for number in range(20_000):
        at_s = number / 100
        outcome = Outcome.UNAVAILABLE if 91 <= at_s < 95 and number % 2 else Outcome.OK
        tally.record(sample(5 * MS, due_ns=int(at_s * SECOND), version="2" if at_s > 93 else "1", outcome=outcome))
        if number % 300 == 0:
            aggregate.accept(told(tally, int(at_s * SECOND)))
    tally.end_load(200 * SECOND)
    aggregate.accept(told(tally, 201 * SECOND, final=True))
    return aggregate.view()


def test_a_switch_long_ago_keeps_its_errors_and_times() -> None:
    """Its seconds were put together: before, during and after are whole steps, and not nothing."""
    view = long_run()
    assert view.timeline[90].width == 10
    one = only(view, marks=[Mark(91 * SECOND, SWITCH, "", "resnet", "2")])
    assert one.errors == 200
    for stretch in (one.before, one.during, one.after):
        assert stretch.p99_s == pytest.approx(0.005, rel=0.02)
        assert stretch.requests == 100 * stretch.seconds > 0


def test_many_versions_in_polls_are_read_in_time() -> None:
    """Three hundred switches, each of whose versions the server goes on naming."""
    found = []
    for version in range(2, 302):
        there = {str(old): "END" for old in range(1, version - 1)} | {str(version - 1): AVAILABLE}
        for at, state in enumerate(("LOADING", AVAILABLE)):
            found.append(Poll((2 * version + at) * SECOND, "resnet", {**there, str(version): state}))
    assert [one.version for one in attempts({}, polls=found)] == [str(version) for version in range(3, 302)]
