"""One objective against one view."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, sample
from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.decide import Judged, judge_objective
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome, Sample
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View


def measured(*samples: tuple[int, Sample], warmup_ns: int = 0) -> View:
    """A finished run of ten seconds with each of these samples so many times."""
    tally, aggregate = Tally("w", 1, origin_ns=0, warmup_ns=warmup_ns), Aggregate()
    tally.end_load(10 * SECOND)
    for times, one in samples:
        for _ in range(times):
            tally.started += one.key.outcome is not Outcome.UNSENT
            tally.record(one)
    aggregate.accept(tally.snapshot(11 * SECOND, final=True))
    return aggregate.view()


def judged(view: View, expression: str) -> Judged:
    """What the view says about this objective."""
    (objective,) = parse_objectives([expression])
    return judge_objective(view, objective)


FAILED = sample(1 * MS, outcome=Outcome.UNAVAILABLE)


def test_99_6_ms_passes_and_104_9_ms_fails() -> None:
    """What a grid of two digits calls 100 ms is decided on the right side."""
    assert judged(measured((1000, sample(99_600_000))), "p99<100ms").state is Decision.PASS
    assert judged(measured((1000, sample(104_900_000))), "p99<100ms").state is Decision.FAIL


def test_on_the_bound() -> None:
    """100 ms to the nanosecond is not below 100 ms, and is at most 100 ms."""
    view = measured((1000, sample(100 * MS)))
    assert judged(view, "p99<100ms").state is Decision.FAIL
    assert judged(view, "p99<=100ms").state is Decision.PASS


def test_too_few_requests_are_undecided_and_told_how_many_more() -> None:
    """100 good requests cannot show that 99 % are good: 299 can."""
    result = judged(measured((100, sample(MS))), "p99<100ms")
    assert result.state is Decision.UNDECIDED
    assert result.evidence is not None
    assert result.evidence.further_requests == 199
    assert "about 199 more requests" in result.note
    assert judged(measured((299, sample(MS))), "p99<100ms").state is Decision.PASS


def test_fast_failures_do_not_make_a_quantile_good() -> None:
    """A failed request is beyond every bound: half of them failing at once break p99, and leave it without a number."""
    result = judged(measured((500, sample(MS)), (500, FAILED)), "p99<100ms")
    assert (result.state, result.measured) == (Decision.FAIL, None)
    assert result.evidence is not None
    assert (result.evidence.requests, result.evidence.beyond) == (1000, 500)


def test_the_measured_quantile_counts_failures_as_slowest() -> None:
    """Of 995 good and 5 failed requests the 990th is still a good one."""
    view = measured((985, sample(MS)), (10, sample(50 * MS)), (5, FAILED))
    assert judged(view, "p99<100ms").measured == pytest.approx(0.05, rel=1e-3)
    assert judged(view, "p98<100ms").measured == pytest.approx(0.001, rel=1e-3)


def test_unsent_requests_are_errors() -> None:
    """What was due and never sent counts against the error rate and every quantile."""
    view = measured((900, sample(MS)), (100, sample(MS, outcome=Outcome.UNSENT, lag_ns=MS)))
    assert judged(view, "error_rate<5%").measured == 0.1
    assert judged(view, "error_rate<5%").state is Decision.FAIL
    assert judged(view, "p95<1s").state is Decision.FAIL


def test_service_time_leaves_out_the_wait_to_be_sent() -> None:
    """A request sent 90 ms late breaks the response time, not the service time."""
    view = measured((1000, sample(100 * MS, lag_ns=90 * MS)))
    assert judged(view, "p99<50ms").state is Decision.FAIL
    assert judged(view, "service_p99<50ms").state is Decision.PASS


@pytest.mark.parametrize(
    ("expression", "state", "value"),
    [
        ("mean<3ms", Decision.PASS, 0.0025),
        ("mean<2.5ms", Decision.FAIL, 0.0025),
        ("mean<=2.5ms", Decision.PASS, 0.0025),
        ("max<5ms", Decision.PASS, 0.004),
        ("max<4ms", Decision.FAIL, 0.004),
        ("service_max<4ms", Decision.FAIL, 0.004),
        ("throughput>=0.2/s", Decision.PASS, 0.2),
        ("throughput>0.2/s", Decision.FAIL, 0.2),
        ("rows>=0.8/s", Decision.PASS, 0.8),
    ],
)
def test_numbers_are_compared_as_they_are(expression: str, state: Decision, value: float) -> None:
    """Mean, maximum and rates are exact; failures have no part in them."""
    view = measured((1, sample(MS, rows=4)), (1, sample(4 * MS, rows=4)), (3, FAILED))
    result = judged(view, expression)
    assert (result.state, result.measured) == (state, value)


def test_throughput_does_not_count_the_drain() -> None:
    """What was answered after the load was off was not carried."""
    view = measured((100, sample(MS)), (100, sample(5 * SECOND, due_ns=9 * SECOND)))
    assert judged(view, "throughput>=10/s").measured == 10.0
    assert judged(view, "max<4s").state is Decision.FAIL


def test_nobody_sees_the_warm_up() -> None:
    """Slow and failed requests of the warm-up break nothing, and it is not in the time."""
    view = measured(
        (500, sample(SECOND)),
        (500, FAILED),
        (4000, sample(MS, due_ns=2 * SECOND)),
        warmup_ns=2 * SECOND,
    )
    assert judged(view, "p99<100ms").state is Decision.PASS
    assert judged(view, "error_rate<0.1%").state is Decision.PASS
    assert judged(view, "throughput>=500/s").state is Decision.PASS


def test_scopes_see_their_own() -> None:
    """A slow REST side does not break a gRPC objective."""
    view = measured((500, sample(MS)), (500, sample(SECOND, protocol="rest", version="2")))
    assert judged(view, "grpc: p99<100ms").state is Decision.PASS
    assert judged(view, "rest: p99<100ms").state is Decision.FAIL
    assert judged(view, "model=resnet, version=1: p99<100ms").state is Decision.PASS


@pytest.mark.parametrize(
    "expression", ["p99<100ms", "mean<1s", "max<1s", "error_rate<1%", "error_rate<=100%", "throughput>=0/s"]
)
@pytest.mark.parametrize("scope", ["", "model=other: "])
def test_no_data_is_never_a_pass(scope: str, expression: str) -> None:
    """Nothing measured, or nothing in scope, decides nothing."""
    assert judged(measured(), scope + expression).state is Decision.UNDECIDED
    if scope:
        result = judged(measured((1000, sample(MS))), scope + expression)
        assert result.state is Decision.UNDECIDED
        assert result.note == "no data in its scope: in this run model is resnet"


def test_nothing_but_failures_breaks_a_mean() -> None:
    """A mean of nothing is not below any bound."""
    for expression in ("mean<1s", "max<1s"):
        assert judged(measured((5, FAILED)), expression).state is Decision.FAIL


def test_a_bound_inside_a_bucket_is_decided_only_when_it_does_not_matter() -> None:
    """With four digits the bound may fall inside a bucket: what is in it is on neither side."""
    near = measured((1000, sample(200_150_000)))
    result = judged(near, "p99<200.11ms")
    assert result.state is Decision.UNDECIDED
    assert "three significant digits" in result.note
    assert judged(near, "p99<200.21ms").state is Decision.PASS
    assert judged(near, "p99<199.99ms").state is Decision.FAIL


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5000))
def test_more_good_requests_never_turn_a_pass_into_a_fail(slow: int, failed: int, good: int) -> None:
    """Adding fast good requests moves a quantile objective only towards PASS."""
    order = [Decision.FAIL, Decision.UNDECIDED, Decision.PASS]
    fewer = judged(measured((slow, sample(SECOND)), (failed, FAILED), (good, sample(MS))), "p99<100ms")
    more = judged(measured((slow, sample(SECOND)), (failed, FAILED), (good + 500, sample(MS))), "p99<100ms")
    assert order.index(fewer.state) <= order.index(more.state)
