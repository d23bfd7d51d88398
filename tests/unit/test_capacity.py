"""The search by itself: levels are answered at once, by rule."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfs_locust.judge.answer import CONFIRMATIONS, LEVELS, MAX_LEVEL, NOTHING_PASSED, TIME, Answer
from tfs_locust.judge.capacity import CapacityError, Search, SearchSettings, choose_objectives
from tfs_locust.judge.level import DOUBT, GENERATOR, Figures, Judgement, Level, LevelResult, Purpose, Unit
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import State

PASS = Judgement(State.PASS)
SLOW = Judgement(State.FAIL, "p99<100ms", "p99<100ms (131 ms)", ("objective-failed: p99<100ms, measured 131 ms",))
OPEN = Judgement(State.INVALID, "p99<100ms", "p99<100ms (7 ms)", ("undecided: p99<100ms",), 40.0, promising=True)
LAGGING = Judgement(State.INVALID, GENERATOR, "worker w1 used 99% of a core", ("generator-limited: ...",))
LOST = Judgement(State.INVALID, DOUBT, "worker-lost: w1", ("worker-lost: w1",))

Rule = Callable[[Level, list[LevelResult]], Judgement]


def ask(settings: SearchSettings, rule: Rule, *, level_s: float = 10.0) -> Answer:
    """The answer if each level is judged by the rule, and takes so long."""
    search = Search(settings, choose_objectives(()))
    now_s = 0.0
    while not isinstance(step := search.next_level(now_s), Answer):
        figures = Figures(achieved_per_s=step.load, p50_s=0.004)
        result = LevelResult(step, rule(step, search.results), figures, now_s, now_s + level_s)
        search.conclude_level(result)
        now_s += level_s
        assert len(search.results) <= settings.max_levels
    return step


def up_to(capacity: float, above: Judgement = SLOW) -> Rule:
    """Everything up to the capacity passes."""
    return lambda level, _: PASS if level.load <= capacity else above


def loads(answer: Answer) -> list[float]:
    """What was tried, in order."""
    return [one.level.load for one in answer.levels]


@given(st.floats(1, 900_000), st.floats(1, 20), st.floats(1.2, 5), st.sampled_from([0.01, 0.05, 0.2]))
@example(10.0, 10.0, 2.0, 0.05)
def test_a_rate_is_found_within_the_resolution(capacity: float, start: float, growth: float, resolution: float) -> None:
    """The best level is below the capacity and the bound above it, both within the resolution, and it is confirmed;
    it takes the levels that growth needs, and then those that halve the logarithm of its factor."""
    settings = SearchSettings(
        unit=Unit.RATE, start=start, growth=growth, resolution=resolution, total_s=1e6, max_levels=200
    )
    answer = ask(settings, up_to(capacity))
    assert answer.state is State.PASS
    assert answer.value is not None
    assert answer.bound is not None
    assert answer.value <= capacity < answer.bound.level.load <= answer.value * (1 + resolution) * 1.000001
    steps = abs(math.log(capacity / start, growth)) + 2
    # a load in round digits is a little off the middle, so one step more may be needed
    halvings = max(0.0, math.log2(math.log(growth) / math.log1p(resolution))) + 2
    assert len(answer.levels) <= math.ceil(steps) + math.ceil(halvings) + 1


@given(st.integers(1, 3000), st.integers(1, 50), st.sampled_from([1.3, 2, 4]), st.sampled_from([0.01, 0.05]))
def test_users_are_whole(capacity: int, start: int, growth: float, resolution: float) -> None:
    """Loads are integers; one user is as fine as it gets."""
    settings = SearchSettings(
        start=start, growth=growth, resolution=resolution, max_load=5000, total_s=1e6, max_levels=100
    )
    answer = ask(settings, up_to(capacity))
    assert all(load == int(load) for load in loads(answer))
    assert answer.value is not None
    assert answer.bound is not None
    assert answer.value <= capacity < answer.bound.level.load
    assert answer.bound.level.load <= max(answer.value + 1, answer.value * (1 + resolution) * 1.000001)


def test_a_search_step_by_step() -> None:
    """Growth from the start, halving, confirmation; the loads have few digits."""
    answer = ask(SearchSettings(unit=Unit.RATE), up_to(1000))
    assert loads(answer) == [10, 20, 40, 80, 160, 320, 640, 1280, 905, 1080, 989, 1030, 989]
    assert [one.level.purpose for one in answer.levels] == [
        *[Purpose.GROWTH] * 8,
        *[Purpose.BISECTION] * 4,
        Purpose.CONFIRMATION,
    ]
    assert answer.sentence == (
        "carries 989/s inside p99<100ms and error_rate<0.1%; 1,030/s fails p99<100ms (131 ms); resolution 4.1 %"
    )
    assert (answer.limited_by, answer.confirmed) == ("p99<100ms", True)
    assert answer.levels[0].level.reference_s is None
    assert {one.level.reference_s for one in answer.levels[1:]} == {0.004}
    assert {one.level.rest_load for one in answer.levels} == {10.0}


def test_the_largest_load_allowed() -> None:
    """It is confirmed, and the answer says that more was not tried."""
    answer = ask(SearchSettings(max_load=100), up_to(math.inf))
    assert loads(answer) == [1, 2, 4, 8, 16, 32, 64, 100, 100]
    assert (answer.value, answer.limited_by, answer.bound) == (100, MAX_LEVEL, None)
    assert answer.sentence == "carries 100 users (100/s) inside p99<100ms and error_rate<0.1%; more was not allowed"


def test_nothing_passes() -> None:
    """From the start it goes down as far as it can; no number, and a FAIL."""
    answer = ask(SearchSettings(unit=Unit.RATE), up_to(0))
    assert loads(answer) == [10, 5, 2.5, 1.25, 1]
    assert (answer.state, answer.value, answer.limited_by) == (State.FAIL, None, NOTHING_PASSED)
    assert answer.sentence == (
        "no load was found that keeps to p99<100ms and error_rate<0.1%; 1/s fails p99<100ms (131 ms)"
    )
    assert loads(ask(SearchSettings(), up_to(0))) == [1]


def test_below_the_start() -> None:
    """A start that is too high is no end: what is below it is searched, and it rests at the least load seen."""
    answer = ask(SearchSettings(start=400), up_to(130))
    assert loads(answer)[:4] == [400, 200, 100, 141]
    assert answer.value == 130 or (answer.value or 0) > 124
    assert answer.levels[-1].level.rest_load == 100


@pytest.mark.parametrize("limit", [1, 3, 50, 777])
def test_a_limited_generator_is_never_a_number(limit: float) -> None:
    """What passed is told as the least there is; the value is null and the run not to be believed."""
    answer = ask(SearchSettings(), up_to(limit, above=LAGGING))
    assert (answer.state, answer.value, answer.limited_by) == (State.INVALID, None, GENERATOR)
    assert answer.at_least is not None
    assert answer.at_least <= limit <= answer.at_least * 1.05 + 1
    assert answer.sentence.startswith(f"carries at least {answer.at_least:,.0f} user")
    assert "the generator was the limit: worker w1 used 99% of a core" in answer.sentence


def test_a_generator_that_is_always_the_limit() -> None:
    """Not even a least load."""
    answer = ask(SearchSettings(), up_to(0, above=LAGGING))
    assert (answer.state, answer.value, answer.at_least, answer.limited_by) == (State.INVALID, None, None, GENERATOR)


def test_the_server_may_be_the_limit_below_the_generators() -> None:
    """At 128 the generator gave up, but the server does already at 110: that is a number."""

    def rule(level: Level, _: list[LevelResult]) -> Judgement:
        return PASS if level.load <= 100 else SLOW if level.load < 120 else LAGGING

    answer = ask(SearchSettings(), rule)
    assert answer.limited_by == "p99<100ms"
    assert answer.value is not None
    assert 95 <= answer.value <= 100


def test_a_failed_confirmation_goes_on_below() -> None:
    """The load that did not pass again is the bound; what lies below is halved, and confirmed."""

    def rule(level: Level, _: list[LevelResult]) -> Judgement:
        capacity = 930 if level.purpose is Purpose.CONFIRMATION else 1000
        return PASS if level.load <= capacity else SLOW

    answer = ask(SearchSettings(unit=Unit.RATE), rule)
    purposes = [one.level.purpose for one in answer.levels]
    assert purposes.count(Purpose.CONFIRMATION) > 1
    assert answer.confirmed
    assert answer.value is not None
    assert answer.value <= 930
    assert answer.bound is not None
    assert answer.bound.level.load <= answer.value * 1.05


def test_confirmations_are_bounded() -> None:
    """If none ever passes, the search ends, and its number is not confirmed."""

    def rule(level: Level, _: list[LevelResult]) -> Judgement:
        return SLOW if level.purpose is Purpose.CONFIRMATION or level.load > 1000 else PASS

    answer = ask(SearchSettings(unit=Unit.RATE), rule)
    assert [one.level.purpose for one in answer.levels].count(Purpose.CONFIRMATION) == 3
    assert (answer.confirmed, answer.state, answer.limited_by) == (False, State.INVALID, "p99<100ms")
    assert answer.sentence.endswith("did not pass again; not confirmed")
    assert CONFIRMATIONS not in answer.limited_by


def test_the_time_is_over() -> None:
    """What was reached is confirmed in the time kept for it, and told with its resolution."""
    answer = ask(SearchSettings(unit=Unit.RATE, total_s=120), up_to(1000))
    assert answer.levels[-1].end_s <= 120
    assert (answer.limited_by, answer.confirmed, answer.value) == (TIME, True, 640)
    assert answer.sentence == (
        "carries 640/s inside p99<100ms and error_rate<0.1%; 1,280/s fails p99<100ms (131 ms); resolution 100 %; "
        "the time was over"
    )


@pytest.mark.parametrize("most", range(1, 14))
def test_levels_are_bounded(most: int) -> None:
    """Never more than allowed; the last is kept for a confirmation."""
    answer = ask(SearchSettings(unit=Unit.RATE, max_levels=most), up_to(1000))
    assert len(answer.levels) <= most
    assert answer.limited_by == (LEVELS if most < 13 else "p99<100ms")
    assert answer.confirmed == (most > 1)


def test_undecided_levels_are_climbed_over() -> None:
    """Where a load is too low to decide in time a higher one does; the best must pass all the same."""

    def rule(level: Level, _: list[LevelResult]) -> Judgement:
        return OPEN if level.load < 60 else PASS if level.load <= 1000 else SLOW

    assert ask(SearchSettings(unit=Unit.RATE), rule).value == 989
    answer = ask(SearchSettings(unit=Unit.RATE), lambda level, _: OPEN if level.load < 60 else SLOW)
    assert (answer.state, answer.value, answer.at_least, answer.confirmed) == (State.INVALID, None, None, False)


def test_a_doubt_is_measured_once_more() -> None:
    """A worker lost once costs a level; lost at the same load again, the server's limit is not known."""

    def once(level: Level, results: list[LevelResult]) -> Judgement:
        return LOST if len(results) == 3 else PASS if level.load <= 100 else SLOW

    answer = ask(SearchSettings(), once)
    assert loads(answer)[:6] == [1, 2, 4, 8, 8, 16]
    assert answer.state is State.PASS
    answer = ask(SearchSettings(), lambda level, _: PASS if level.load < 64 else LOST)
    assert (answer.state, answer.value, answer.limited_by) == (State.INVALID, None, DOUBT)
    assert loads(answer).count(64) == 2


def test_settings_are_refused_all_at_once() -> None:
    """Each fault is named with what was given."""
    with pytest.raises(CapacityError) as caught:
        SearchSettings(start=-1, growth=1, resolution=0, max_load=2.5, total_s=0, max_levels=0, confirmations=0)
    told = [problem.split(":")[0] for problem in caught.value.problems]
    assert told == [
        "start -1",
        "growth 1",
        "resolution 0",
        "total_s 0",
        "max_levels 0",
        "confirmations 0",
        "max_load 2.5",
    ]
    with pytest.raises(CapacityError, match="start 500 is above max_load 100: there is nothing to search"):
        SearchSettings(start=500, max_load=100)


def test_objectives_of_a_search() -> None:
    """Times and failures limit a load; a least throughput does not, and without any the mission's are taken."""
    chosen = choose_objectives(parse_objectives(["default"]))
    assert [one.expression for one in chosen.objectives] == ["error_rate<0.1%", "p99<100ms"]
    assert [one.expression for one in chosen.left_out] == ["throughput>=10000/s"]
    assert not chosen.by_default
    chosen = choose_objectives(parse_objectives(["rows>=5/s"]))
    assert [one.expression for one in chosen.objectives] == ["p99<100ms", "error_rate<0.1%"]
    assert chosen.by_default
