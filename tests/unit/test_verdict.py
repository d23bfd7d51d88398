"""The verdict: never PASS without evidence, and every reason named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, sample, samples, told
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import ExitCode, Limits, State, Verdict, hopeless, judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome, Sample
from tfs_locust.measure.tally import Tally


class Run:
    """A run of ten seconds with one worker."""

    def __init__(self, good: int = 5000) -> None:
        self.tally = Tally("w1", 1, origin_ns=0)
        self.aggregate = Aggregate()
        self.tally.end_load(10 * SECOND)
        self.add(good, sample(MS))

    def add(self, times: int, one: Sample) -> None:
        """So many of this sample."""
        for _ in range(times):
            self.tally.started += one.key.outcome is not Outcome.UNSENT
            self.tally.record(one)

    def verdict(
        self, *expressions: str, final: bool = True, aborted: str = "", limits: Limits | None = None
    ) -> Verdict:
        """What the run is worth."""
        self.aggregate.accept(told(self.tally, 11 * SECOND, final=final))
        return judge(self.aggregate.view(), parse_objectives(expressions), aborted=aborted, limits=limits)


def kinds(verdict: Verdict) -> list[str]:
    """The kind of each reason."""
    return [reason.split(":")[0] for reason in verdict.reasons]


def test_a_good_run_passes() -> None:
    """Every objective kept, nothing to doubt: PASS, 0, no reasons."""
    verdict = Run().verdict("p99<100ms", "error_rate<0.1%", "throughput>=500/s")
    assert (verdict.state, verdict.reasons, verdict.exit_code) == (State.PASS, (), ExitCode.PASS)


def test_exit_codes() -> None:
    """They are part of the interface."""
    assert [(code.name, code.value) for code in ExitCode] == [("PASS", 0), ("FAIL", 1), ("USAGE", 2), ("INVALID", 3)]


def test_a_broken_objective_fails() -> None:
    """FAIL, 1, and the reason tells the measured value."""
    verdict = Run().verdict("p99<0.5ms")
    assert (verdict.state, verdict.exit_code) == (State.FAIL, ExitCode.FAIL)
    assert verdict.reasons == ("objective-failed: p99<0.5ms, measured 1 ms",)


def test_an_open_objective_is_invalid() -> None:
    """A run too short for its question is INVALID, 3, and told how long it should be."""
    verdict = Run(good=100).verdict("p99<100ms")
    assert (verdict.state, verdict.exit_code, kinds(verdict)) == (State.INVALID, ExitCode.INVALID, ["undecided"])
    assert "about 199 more requests" in verdict.reasons[0]


def test_a_broken_objective_outweighs_an_open_one() -> None:
    """More requests would not mend it."""
    verdict = Run(good=100).verdict("p99<100ms", "max<0.5ms")
    assert (verdict.state, kinds(verdict)) == (State.FAIL, ["objective-failed", "undecided"])


def test_a_doubtful_run_is_invalid_whatever_it_measured() -> None:
    """INVALID wins over FAIL, and the broken objective is named all the same."""
    verdict = Run().verdict("p99<0.5ms", aborted="stopped by SIGTERM after 3 s of 10 s")
    assert (verdict.state, kinds(verdict)) == (State.INVALID, ["aborted", "objective-failed"])


def test_no_data() -> None:
    """Without a worker, without a request, or with failures alone and nothing demanded: INVALID."""
    assert judge(Aggregate().view(), ()).state is State.INVALID
    assert kinds(Run(good=0).verdict()) == ["no-data"]
    run = Run(good=0)
    run.add(100, sample(MS, outcome=Outcome.UNREACHABLE))
    assert kinds(run.verdict()) == ["no-data"]


def test_nothing_but_failures_breaks_the_objectives() -> None:
    """A server that refuses everything was measured: that is a FAIL, not a doubt."""
    run = Run(good=0)
    run.add(1000, sample(MS, outcome=Outcome.UNAVAILABLE))
    assert run.verdict("default").state is State.FAIL


def test_without_objectives_only_validity_is_judged() -> None:
    """A run that asks nothing and can be believed passes."""
    assert Run().verdict().state is State.PASS


def test_a_lost_worker() -> None:
    """It is named, with the requests known to be missing."""
    run = Run()
    run.tally.started += 7
    run.aggregate.accept(told(run.tally, SECOND))
    run.aggregate.lose("w1")
    verdict = run.verdict("p99<100ms", final=False)
    assert verdict.exit_code == ExitCode.INVALID
    (reason,) = verdict.reasons
    assert reason == (
        "worker-lost: w1 is gone without its last report; 7 requests it had sent "
        "are known to be missing, and all that it sent after report 2"
    )


def test_a_worker_that_never_reported() -> None:
    """It was given work, and nobody knows what became of it."""
    run = Run()
    run.aggregate.expect("w2")
    assert run.verdict().reasons == ("worker-missing: w2 never reported",)


@pytest.mark.parametrize("final", [True, False])
def test_an_unfinished_drain(final: bool) -> None:
    """Requests in flight at the end, or no last report, are not forgotten."""
    run = Run()
    run.tally.started += 3
    verdict = run.verdict(final=final)
    assert kinds(verdict) == ["drain-unfinished"]
    assert " 3 " in verdict.reasons[0]


def test_late_sending_is_the_generators_fault() -> None:
    """More than 1 % of the requests sent 20 ms late: not the server was measured."""
    run = Run()
    run.add(100, sample(25 * MS, lag_ns=20 * MS))
    assert kinds(run.verdict("p99<100ms")) == ["generator-limited"]
    assert run.verdict("p99<100ms", limits=Limits(send_lag_s=0.030)).state is State.PASS
    assert run.verdict("p99<100ms", limits=Limits(send_lag_s=None)).state is State.PASS


def test_a_stricter_quantile_looks_at_more_of_the_lag() -> None:
    """0.4 % sent late do not touch p99, and do touch p99.9."""
    run = Run()
    run.add(20, sample(25 * MS, lag_ns=20 * MS))
    assert run.verdict("p99<100ms").state is State.PASS
    assert kinds(run.verdict("p99.9<100ms")) == ["generator-limited"]


def test_a_paused_generator() -> None:
    """A standstill of 2 s of 10 s, seen by the heartbeat alone, is INVALID."""
    run = Run()
    for late_ns in (*[MS] * 80, 2 * SECOND):
        run.tally.health.loop_lag.record(late_ns)
    verdict = run.verdict("p99<100ms")
    assert kinds(verdict) == ["generator-limited"]
    assert "stood still for 2 s, 20 % of the run" in verdict.reasons[0]


@pytest.mark.parametrize(("field", "value"), [("cpu_share", 0.99), ("throttled_share", 0.05)])
def test_processor_limits(field: str, value: float) -> None:
    """A saturated or throttled worker is no measure."""
    run = Run()
    setattr(run.tally.health, field, value)
    assert kinds(run.verdict()) == ["generator-limited"]
    setattr(run.tally.health, field, 0.0)
    assert run.verdict().state is State.PASS


@given(st.lists(samples()), st.sampled_from(["p99<100ms", "error_rate<50%", "throughput>=0/s", "mean<1s", "max<1s"]))
def test_never_pass_without_data(given_samples: list[Sample], expression: str) -> None:
    """Whatever came, PASS needs a request that ended well."""
    run = Run(good=0)
    for one in given_samples:
        run.add(1, one)
    if run.verdict(expression).state is State.PASS:
        assert any(one.key.outcome is Outcome.OK for one in given_samples)


def test_a_hopeless_run() -> None:
    """A lasting breach is told while the run goes on; chance, means and rates are waited for."""
    run = Run(good=1000)
    objectives = parse_objectives(["p99<100ms", "error_rate<1%", "mean<1us", "throughput>=1000000/s", "max<1s"])
    run.add(16, sample(MS, outcome=Outcome.UNAVAILABLE))
    run.aggregate.accept(told(run.tally, SECOND))
    assert hopeless(run.aggregate.view(), objectives) == ()
    run.add(200, sample(MS, outcome=Outcome.UNAVAILABLE))
    run.aggregate.accept(told(run.tally, SECOND))
    broken = hopeless(run.aggregate.view(), objectives)
    assert [one.objective.expression for one in broken] == ["p99<100ms", "error_rate<1%"]
