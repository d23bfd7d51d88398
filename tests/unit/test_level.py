"""What one level says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.unit.measured import MS, SECOND, sample
from tfs_locust.judge.level import (
    DOUBT,
    GENERATOR,
    NO_DATA,
    THROUGHPUT,
    Criteria,
    Judgement,
    Level,
    Purpose,
    Unit,
    figures,
    judge_level,
    load_text,
)
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import State
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome, Sample
from tfs_locust.measure.tally import Tally, unsent
from tfs_locust.measure.view import View


def stretch(*recorded: tuple[int, Sample], in_flight: int = 0, cpu_share: float | None = None) -> View:
    """Ten seconds of a run that goes on."""
    tally, aggregate = Tally("w1", 1, origin_ns=0), Aggregate()
    for times, one in recorded:
        for _ in range(times):
            tally.started += one.key.outcome is not Outcome.UNSENT
            tally.record(one)
    tally.started += in_flight
    tally.health.cpu_share = cpu_share
    aggregate.accept(tally.snapshot(10 * SECOND))
    return aggregate.view()


def judged(view: View, *expressions: str, load: float = 400.0, unit: Unit = Unit.RATE) -> Judgement:
    """By p99<100ms, unless others are given."""
    level = Level(load, unit, Purpose.GROWTH, rest_load=1)
    return judge_level(level, view, Criteria(parse_objectives(expressions or ["p99<100ms"])))


def test_a_level_that_goes_on_passes() -> None:
    """Requests in flight and a worker without its last report are no doubt of a stretch."""
    assert judged(stretch((4000, sample(MS)), in_flight=30)) == Judgement(State.PASS)


def test_a_broken_objective_is_named_with_its_value() -> None:
    """First of those given."""
    found = judged(stretch((4000, sample(131 * MS))), "error_rate<1%", "p99<100ms")
    assert (found.state, found.limited_by, found.why) == (State.FAIL, "p99<100ms", "p99<100ms (131 ms)")
    assert not found.is_open


@pytest.mark.parametrize(("achieved", "state"), [(3900, State.PASS), (3810, State.PASS), (3600, State.FAIL)])
def test_an_open_loop_has_to_get_what_it_asks_for(achieved: int, state: State) -> None:
    """Less than 95 % of the rate, though each answer came in time: the rest waits."""
    found = judged(stretch((achieved, sample(MS)), in_flight=4000 - achieved))
    assert found.state is state
    if state is State.FAIL:
        assert found.limited_by == THROUGHPUT
        assert found.why == "achieved 360/s of 400/s offered, in flight 400 more than before"
        assert found.reasons == (f"overloaded: {found.why}",)


def test_few_arrivals_by_chance_are_no_overload() -> None:
    """41 of 50 in ten seconds are 18 % short, and chance; a closed loop offers no rate at all."""
    assert judged(stretch((410, sample(MS))), load=50).state is State.PASS
    assert judged(stretch((1000, sample(MS))), load=400, unit=Unit.USERS).state is State.PASS


def test_the_generator_comes_first() -> None:
    """Whatever else is broken: a saturated worker measured nothing."""
    found = judged(stretch((1000, sample(200 * MS)), cpu_share=0.99))
    assert (found.state, found.limited_by) == (State.INVALID, GENERATOR)
    assert found.why == "worker w1 used 99% of a core, the limit is 95%"
    assert not found.is_open


def test_late_sending_is_the_generators() -> None:
    """By its send lag."""
    assert judged(stretch((4000, sample(50 * MS, lag_ns=30 * MS)))).limited_by == GENERATOR


def test_a_silent_worker_is_the_generators() -> None:
    """It is late with its reports."""
    view = stretch((4000, sample(MS)))
    aggregate = Aggregate()
    tally = Tally("w1", 1, origin_ns=0)
    aggregate.accept(tally.snapshot(0), 0)
    late = replace(view, workers=aggregate.view(60 * SECOND).workers)
    assert judged(late).why == "worker w1 is late with its reports"


def test_a_lost_worker_is_a_doubt() -> None:
    """It is neither the server's fault nor measured."""
    aggregate, tally = Aggregate(), Tally("w1", 1, origin_ns=0)
    for _ in range(4000):
        tally.started += 1
        tally.record(sample(MS))
    aggregate.accept(tally.snapshot(10 * SECOND))
    aggregate.lose("w1")
    found = judged(aggregate.view())
    assert (found.state, found.limited_by) == (State.INVALID, DOUBT)
    assert found.why.startswith("worker-lost: w1")


def test_open_levels_tell_how_much_longer() -> None:
    """100 requests in ten seconds are a third of what shows p99; what is beyond so far decides whether it promises."""
    found = judged(stretch((100, sample(MS))), load=10)
    assert (found.state, found.is_open, found.promising) == (State.INVALID, True, True)
    assert found.further_s == pytest.approx(19.9)
    found = judged(stretch((98, sample(MS)), (2, sample(200 * MS))), load=10)
    assert (found.is_open, found.promising) == (True, False)
    found = judged(stretch((99, sample(MS)), (1, sample(200 * MS))), load=10)
    assert found.further_s == math.inf  # exactly at what is allowed


def test_no_data() -> None:
    """Nothing ended: an open loop is surely overloaded, of a closed one nothing is known."""
    assert judged(stretch(in_flight=4000)).limited_by == THROUGHPUT
    found = judged(stretch(in_flight=40), unit=Unit.USERS)
    assert (found.limited_by, found.is_open, found.further_s) == (NO_DATA, True, 0.0)


def test_figures() -> None:
    """What is told of a level; times are of the answers, the rest is counted."""
    late = unsent(sample(MS).key, 0, SECOND, 1)
    seen = figures(stretch((990, sample(4 * MS, rows=3)), (6, sample(MS, outcome=Outcome.UNAVAILABLE)), (4, late)))
    assert (seen.seconds, seen.requests, seen.unsent) == (10, 1000, 4)
    assert seen.error_rate == pytest.approx(0.01)
    assert (seen.achieved_per_s, seen.rows_per_s, seen.p50_s, seen.p99_9_s) == (99, 297, 0.004, 0.004)
    assert figures(stretch()).p50_s is None


def test_loads_in_words() -> None:
    """With their unit."""
    told = [load_text(12400, Unit.RATE), load_text(2.5, Unit.RATE), load_text(1, Unit.USERS), load_text(96, Unit.USERS)]
    assert told == ["12,400/s", "2.5/s", "1 user", "96 users"]
