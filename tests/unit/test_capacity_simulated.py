"""The whole search against servers in virtual time, whose capacity is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.queueing import capacity
from tests.unit.virtual_server import VirtualServer, fixed, search
from tfs_locust.judge.answer import NOTHING_PASSED, Answer
from tfs_locust.judge.capacity import CapacityRun, SearchSettings
from tfs_locust.judge.level import GENERATOR, Purpose, Unit
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import State
from tfs_locust.measure.sample import Outcome

WITHIN_S = 300
LEVELS = 20


def answer_of(server: VirtualServer, *expressions: str, most_s: float = WITHIN_S, **options: float) -> Answer:
    """The answer of a search with the default settings, in its unit."""
    run = CapacityRun(SearchSettings(unit=server.unit, **options), parse_objectives(expressions))  # type: ignore[arg-type]
    search(server, run)
    assert run.answer is not None
    assert server.now_s <= most_s
    assert len(run.answer.levels) <= LEVELS
    return run.answer


@settings(max_examples=6, derandomize=True)
@given(st.floats(350, 700), st.integers(0, 1000))
def test_an_m_d_1_queue_in_open_loop(by_second: float, seed: int) -> None:
    """Found within 10 % of what theory says, confirmed, in less than five minutes and 20 levels."""
    answer = answer_of(VirtualServer(fixed(1 / by_second), seed=seed))
    assert answer.value == pytest.approx(capacity(0.1, 0.99, 1 / by_second), rel=0.10)
    assert (answer.state, answer.confirmed) == (State.PASS, True)
    assert answer.best is not None
    assert answer.best.figures.rows_per_s == pytest.approx(4 * answer.value, rel=0.10)


@settings(max_examples=7, derandomize=True)
@given(st.floats(100, 1500), st.floats(0.03, 0.3), st.integers(0, 1000))
def test_a_queue_in_closed_loop(by_second: float, bound_s: float, seed: int) -> None:
    """n users of one server wait for n services each: the capacity is the bound in service times, to the user."""
    server = VirtualServer(fixed(1 / by_second), unit=Unit.USERS, seed=seed)
    answer = answer_of(server, f"p99<{bound_s * 1e3:.3g}ms")
    assert answer.value == pytest.approx(bound_s * by_second, rel=0.06, abs=1)
    assert answer.best is not None
    assert answer.best.figures.achieved_per_s == pytest.approx(by_second, rel=0.02)


@pytest.mark.parametrize(("largest", "cost_s", "seed"), [(8, 0.02, 1), (32, 0.05, 2), (4, 0.008, 3)])
def test_a_batch_server_of_fixed_cost(largest: int, cost_s: float, seed: int) -> None:
    """It carries a full batch in each cost; beyond that the queue grows."""
    answer = answer_of(VirtualServer(fixed(cost_s), largest, seed=seed), "p99<500ms")
    assert answer.value == pytest.approx(largest / cost_s, rel=0.10)


@pytest.mark.parametrize("seed", range(2))
def test_a_noisy_server(seed: int) -> None:
    """Services that vary by a factor of 3, and spells of half the speed: near the capacity of the spells."""
    dice = random.Random(seed)

    def cost(now_s: float, _waiting: Callable[[], int]) -> float:
        return (0.0015 if now_s % 1.0 < 0.9 else 0.003) * dice.lognormvariate(-0.125, 0.5)

    answer = answer_of(VirtualServer(cost, seed=seed), "p99<150ms", "error_rate<1%")
    # 0.1 s of half the speed is worked off within 150 ms up to about this load
    assert answer.value == pytest.approx(590, rel=0.10)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("unit", list(Unit))
def test_a_cliff(seed: int, unit: Unit) -> None:
    """A server that turns three times slower once 20 wait falls, and comes up again only when it is left alone: the
    search cools down, and finds the edge."""
    slow = False

    def cost(_now_s: float, waiting: Callable[[], int]) -> float:
        nonlocal slow
        slow = waiting() > (0 if slow else 20)
        return 0.006 if slow else 0.002

    answer = answer_of(VirtualServer(cost, unit=unit, seed=seed), "p99<100ms")
    if unit is Unit.USERS:
        assert answer.value == 21  # one is served while 20 wait
    else:
        assert 340 <= (answer.value or 0) <= 490  # 20 wait by chance, sooner or later
    failed = [one for one in answer.levels if not one.passed and not one.judgement.promising]
    assert all(one.cooled_after_s is not None for one in failed)


@pytest.mark.parametrize(("at_most", "seed"), [(150, 1), (400, 2)])
def test_a_limited_generator_never_gives_a_number(at_most: float, seed: int) -> None:
    """It sends later and later, the server would carry more: at least what passed, and no value."""
    answer = answer_of(VirtualServer(fixed(0.001), seed=seed, sends_at_most=at_most), "p99<100ms")
    assert (answer.state, answer.value, answer.limited_by) == (State.INVALID, None, GENERATOR)
    assert answer.at_least is not None
    assert answer.at_least <= at_most
    assert "the generator was the limit: worker w0 sent late" in answer.sentence


@pytest.mark.parametrize("unit", list(Unit))
def test_a_server_that_fails_everything(unit: Unit) -> None:
    """Nothing passes: FAIL, no number."""
    server = VirtualServer(fixed(0.002), unit=unit, outcome=lambda _: Outcome.UNAVAILABLE)
    answer = answer_of(server, most_s=600)
    assert (answer.state, answer.value, answer.limited_by) == (State.FAIL, None, NOTHING_PASSED)


def test_an_unsteady_server_takes_the_time_there_is() -> None:
    """Three seconds well, three seconds four times slower: no three windows agree, and the level says so. All windows
    are judged together, so the capacity is that of the bad spells."""

    def cost(now_s: float, _waiting: Callable[[], int]) -> float:
        return 0.001 if now_s % 6 < 3 else 0.004

    answer = answer_of(VirtualServer(cost, seed=4, unit=Unit.USERS), "p99<100ms")
    assert answer.value is not None
    assert answer.value == pytest.approx(25, abs=1)
    assert not any(one.stable for one in answer.levels if one.level.load >= 8)
    assert all(one.windows >= 9 for one in answer.levels if one.passed and one.level.purpose is Purpose.GROWTH)


def test_a_confirmation_that_fails() -> None:
    """A server that loses an eighth of its speed after two minutes: the best level does not pass again, and what is
    found in the end is what it carries now."""

    def cost(now_s: float, _waiting: Callable[[], int]) -> float:
        return 0.002 if now_s < 116 else 0.0023

    answer = answer_of(VirtualServer(cost, unit=Unit.USERS), "p99<100ms")
    confirmations = [one for one in answer.levels if one.level.purpose is Purpose.CONFIRMATION]
    assert (confirmations[0].passed, confirmations[-1].passed) == (False, True)
    assert answer.value == pytest.approx(0.1 / 0.0023, rel=0.06)


@pytest.mark.parametrize("seed", [1, 2])
def test_reports_that_come_seldom(seed: int) -> None:
    """Two workers that report every three seconds, not at the same time: what belongs to another level is not counted
    in this one, so the answer is as good."""
    server = VirtualServer(fixed(0.002), seed=seed, workers=2, report_every_s=3)
    answer = answer_of(server, most_s=450)
    assert answer.value == pytest.approx(capacity(0.1, 0.99, 0.002), rel=0.10)


def test_slow_services_are_searched_too() -> None:
    """Ten requests/s, each a second: by users, for a rate so low nothing could be decided in time."""
    server = VirtualServer(fixed(1.0), largest_batch=10, unit=Unit.USERS)
    answer = answer_of(server, "p99<3s", most_s=600)
    assert answer.value == pytest.approx(20, abs=2)
