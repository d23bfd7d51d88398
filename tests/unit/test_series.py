"""Objectives on series of another source: every value counts, and no value is no pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, sample
from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.series import Series, judge_series
from tfs_locust.judge.slo import ObjectiveError, is_metric, parse_objectives
from tfs_locust.judge.verdict import State, judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View


def _judge(text: str, *values: float, reason: str = "") -> tuple[str, float | None, str]:
    (objective,) = parse_objectives([text], ["cpu"])
    judged = judge_series(objective, {"cpu": Series(values, reason)})
    return judged.state.value, judged.measured, judged.note


@pytest.mark.parametrize(
    ("text", "state", "worst"),
    [
        ("cpu<0.8", "PASS", 0.75),
        ("cpu < 75%", "FAIL", 0.75),
        ("cpu<=0.75", "PASS", 0.75),
        ("cpu>0.2", "PASS", 0.25),
        ("cpu>=0.26", "FAIL", 0.25),
    ],
)
def test_the_worst_value_is_judged(text: str, state: str, worst: float) -> None:
    """The highest against an upper bound, the lowest against a lower one; percent is a share."""
    assert _judge(text, 0.5, 0.75, 0.25) == (state, worst, "")


@given(st.lists(st.floats(0, 10), min_size=1), st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 10))
def test_every_value_must_keep_to_the_bound(values: list[float], operator: str, bound: int) -> None:
    """PASS if and only if each one does."""
    kept = [eval(f"{value!r} {operator} {bound}") for value in values]
    assert _judge(f"cpu{operator}{bound}", *values)[0] == ("PASS" if all(kept) else "FAIL")


def test_no_value() -> None:
    """It is open, and says why."""
    assert _judge("cpu<0.8", reason="query 'cpu': refused") == ("UNDECIDED", None, "query 'cpu': refused")
    (objective,) = parse_objectives(["cpu<0.8"], ["cpu"])
    assert judge_series(objective, {}).state is Decision.UNDECIDED


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("grpc: cpu<1", "column 1: 'cpu' is a series of the server, which has no scope"),
        ("cpu<1ms", "column 6: the value of a series has no unit or %, not 'ms'"),
        ("cpu=1", "column 4: < or <= or > or >= belongs here, not '='"),
        ("memory<1", "column 1: 'memory' is no metric; metrics are p99 (any quantile)"),
    ],
)
def test_what_is_no_objective(text: str, fault: str) -> None:
    """Told with its place."""
    with pytest.raises(ObjectiveError) as raised:
        parse_objectives([text], ["cpu"])
    (told,) = raised.value.faults
    assert fault in str(told)


def test_names_that_are_taken() -> None:
    """A series cannot have the name of a metric."""
    assert [name for name in ("p99", "service_max", "rows", "cpu", "p100", "memory") if is_metric(name)] == [
        "p99",
        "service_max",
        "rows",
    ]


def _view() -> View:
    tally, aggregate = Tally("worker", 1, origin_ns=0), Aggregate()
    tally.started = 1
    tally.record(sample(5 * MS))
    tally.end_load(1000 * MS)
    aggregate.accept(tally.snapshot(1000 * MS, final=True))
    return aggregate.view()


@pytest.mark.parametrize(
    ("values", "state", "reason"),
    [
        ((0.5,), State.PASS, ()),
        ((0.5, 0.9), State.FAIL, ("objective-failed: cpu<0.8, measured 0.9",)),
        ((), State.INVALID, ("undecided: cpu<0.8 (nobody scrapes it)",)),
    ],
)
def test_the_verdict(values: tuple[float, ...], state: State, reason: tuple[str, ...]) -> None:
    """Like any other objective; without data the run is INVALID, with the reason."""
    series = {"cpu": Series(values, "nobody scrapes it")}
    verdict = judge(_view(), parse_objectives(["cpu<0.8"], series), series=series)
    assert (verdict.state, verdict.reasons) == (state, reason)
