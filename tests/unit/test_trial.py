"""One level from its beginning to the server's rest."""

from __future__ import annotations

import pytest

from tests.unit.virtual_server import VirtualServer, fixed
from tfs_locust.judge.level import GENERATOR, NO_DATA, Criteria, Level, LevelResult, Purpose, Unit
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.trial import Pace, Phase, Trial
from tfs_locust.judge.verdict import State

SLOW_REPORTS_S = 3


def measure(
    trial: Trial, server: VirtualServer, *, reached_at_s: float = 0.0
) -> tuple[LevelResult, dict[Phase, float]]:
    """Let it end; the result, and how many seconds each phase took."""
    spent: dict[Phase, float] = {}
    while (result := trial.observe(server.now_s, server.view(), reached=server.now_s >= reached_at_s)) is None:
        spent[trial.phase] = spent.get(trial.phase, 0) + 1
        server.load = trial.load
        server.tick()
        assert server.now_s < 500
    return result, spent


def level(load: float, purpose: Purpose = Purpose.GROWTH, unit: Unit = Unit.RATE, **more: float) -> Level:
    """A level that rests at 10."""
    return Level(load, unit, purpose, rest_load=10, reference_s=0.002, **more)


def criteria(*expressions: str) -> Criteria:
    """p99<100ms, unless others are given."""
    return Criteria(parse_objectives(expressions or ["p99<100ms"]))


def test_a_steady_level() -> None:
    """Warmed up, then three windows that agree; what came before is not counted."""
    server = VirtualServer(fixed(0.002))
    server.load = 480  # overloaded before: the queue is still there when the level begins
    server.tick(20)
    trial = Trial(level(200), criteria(), Pace(warmup_s=5))
    result, spent = measure(trial, server)
    assert (result.passed, result.stable, result.windows) == (True, True, 3)
    assert spent == {Phase.WARM_UP: 6, Phase.MEASURING: 6}  # one second more until a report is surely a new one
    assert (result.begin_s, result.end_s) == (20, 32)
    assert (result.figures.p99_s or 1) < 0.02


def test_a_confirmation_looks_longer() -> None:
    """Its windows are twice as long."""
    result, spent = measure(Trial(level(200, Purpose.CONFIRMATION), criteria()), VirtualServer(fixed(0.002)))
    assert result.passed
    assert spent[Phase.MEASURING] == 12


def test_overload_is_given_up_early_and_cooled_down() -> None:
    """After two windows that are surely broken; then the load is low until the queue is worked off."""
    server = VirtualServer(fixed(0.002))
    trial = Trial(level(1500), criteria())
    result, spent = measure(trial, server)
    assert (result.judgement.state, result.windows) == (State.FAIL, 2)
    assert trial.load == 10
    # 7 s at three times what it carries are 14 s of work
    assert result.cooled_after_s == pytest.approx(16, abs=2)
    assert spent[Phase.COOLING] == result.cooled_after_s
    assert server.view().in_flight <= 1


def test_cooling_down_has_an_end() -> None:
    """A server that stays slow is not waited for."""
    server = VirtualServer(lambda now_s, _: 0.002 if now_s < 5 else 0.02)
    result, spent = measure(Trial(level(300), criteria(), Pace(cooldown_s=12)), server)
    assert (result.passed, result.cooled_after_s, spent[Phase.COOLING]) == (False, None, 12)


def test_a_load_that_is_never_reached() -> None:
    """That is the generator's limit."""
    trial = Trial(level(5000, unit=Unit.USERS), criteria(), Pace(reach_s=20))
    result, spent = measure(trial, VirtualServer(fixed(0.002)), reached_at_s=1e9)
    assert (result.judgement.limited_by, spent[Phase.REACHING]) == (GENERATOR, 20)
    assert result.judgement.why == "5,000 users were not there after 20 s"


def test_an_open_level_is_measured_longer_once() -> None:
    """60/s need 50 s for 0.1 % of failures: measured as long as that takes, not longer; a level of growth, which a
    higher one decides, is not."""
    objectives = criteria("error_rate<0.1%")
    result, _ = measure(Trial(level(60, Purpose.BISECTION), objectives), VirtualServer(fixed(0.002)))
    assert result.passed
    assert 2995 <= result.figures.requests <= 2995 * 1.3
    result, _ = measure(Trial(level(60), objectives), VirtualServer(fixed(0.002)))
    assert (result.windows, result.judgement.promising) == (3, True)


def test_what_no_time_decides_is_not_waited_for() -> None:
    """20/s would need 150 s, and 60 s is the most."""
    result, _ = measure(Trial(level(20, Purpose.BISECTION), criteria("error_rate<0.1%")), VirtualServer(fixed(0.002)))
    assert (result.judgement.state, result.judgement.limited_by) == (State.INVALID, "error_rate<0.1%")
    assert result.end_s < 25


def test_a_server_that_never_answers() -> None:
    """In closed loop there is no data: measured longer once, then not passed, and no rest is found."""
    server = VirtualServer(fixed(1e6), unit=Unit.USERS)
    trial = Trial(level(5, Purpose.BISECTION, Unit.USERS), criteria(), Pace(longer_s=20, cooldown_s=10))
    result, spent = measure(trial, server)
    assert (result.judgement.limited_by, result.passed, result.cooled_after_s) == (NO_DATA, False, None)
    assert spent[Phase.MEASURING] == 26


def test_the_end_of_the_time() -> None:
    """A level ends with what it has, and is not cooled down after."""
    result, _ = measure(Trial(level(1500, ends_by_s=7.0), criteria()), VirtualServer(fixed(0.002)))
    assert (result.end_s, result.judgement.state, result.cooled_after_s) == (7.0, State.FAIL, None)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_reports_of_the_level_before_are_not_counted(workers: int) -> None:
    """Workers report every three seconds, each at another: the windows hold this level's rate alone."""
    server = VirtualServer(fixed(0.001), workers=workers, report_every_s=SLOW_REPORTS_S)
    server.load = 20
    server.tick(1)
    for _ in range(20):
        server.tick()
    result, _ = measure(Trial(level(400), criteria()), server)
    assert result.figures.achieved_per_s == pytest.approx(400, rel=0.06)
    assert (result.passed, result.figures.seconds) == (True, 3 * SLOW_REPORTS_S)


def test_silence_is_the_generators() -> None:
    """A worker that stops reporting ends the level, and not as the server's fault."""
    server = VirtualServer(fixed(0.001))
    trial = Trial(level(100), criteria(), Pace(cooldown_s=0))
    for _ in range(6):
        trial.observe(server.now_s, server.view())
        server.load = trial.load
        server.tick()
    server.report_every_s = 1_000_000
    result, _ = measure(trial, server)
    assert (result.judgement.limited_by, result.judgement.state) == (GENERATOR, State.INVALID)
    assert "late with its reports" in result.judgement.why
