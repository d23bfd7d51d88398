"""Objectives are read as they are meant, or refused at the column of the fault."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tfs_locust.judge.slo import DEFAULT, ObjectiveError, parse_objectives
from tfs_locust.measure.sample import Key, Outcome


@pytest.mark.parametrize(
    ("expression", "metric", "statistic", "operator", "bound"),
    [
        ("p99<100ms", "response", Fraction(99, 100), "<", 100_000_000),
        ("p99.9<=0.25s", "response", Fraction(999, 1000), "<=", 250_000_000),
        ("mean<20ms", "response", "mean", "<", 20_000_000),
        ("max<2s", "response", "max", "<", 2_000_000_000),
        ("service_p99<80ms", "service", Fraction(99, 100), "<", 80_000_000),
        ("service_mean < 500 us", "service", "mean", "<", 500_000),
        ("error_rate<0.1%", "error_rate", "", "<", Fraction(1, 1000)),
        ("error_rate <= 0", "error_rate", "", "<=", 0),
        ("error_rate<.001", "error_rate", "", "<", Fraction(1, 1000)),
        ("throughput>=10000/s", "throughput", "", ">=", 10_000),
        ("rows>=100000/s", "rows", "", ">=", 100_000),
        ("  p50<1.5ms ", "response", Fraction(1, 2), "<", 1_500_000),
        ("availability>=99.9%", "availability", "", ">=", Fraction(999, 1000)),
        ("availability_by_second > 0.99", "availability_by_second", "", ">", Fraction(99, 100)),
        ("switch_success>=99.5%", "switch_success", "", ">=", Fraction(995, 1000)),
        ("switch_time<10s", "switch_time", "", "<", 10_000_000_000),
        ("recovery_time<30s", "recovery_time", "", "<", 30_000_000_000),
        ("model_load_time<=30s", "model_load_time", "", "<=", 30_000_000_000),
        ("canary: p99_ratio<1.1", "ratio", Fraction(99, 100), "<", Fraction(11, 10)),
        ("canary:mean_ratio<=1.05", "ratio", "mean", "<=", Fraction(105, 100)),
    ],
)
def test_what_is_written(expression: str, metric: str, statistic: object, operator: str, bound: object) -> None:
    """Metric, statistic, operator and bound, exactly."""
    (objective,) = parse_objectives([expression])
    assert objective.expression == expression.strip()
    assert (objective.metric, objective.statistic, objective.operator, objective.bound) == (
        metric,
        statistic,
        operator,
        bound,
    )
    assert objective.scope == ()


@pytest.mark.parametrize(
    ("expression", "scope"),
    [
        ("grpc: p99<100ms", (("protocol", "grpc"),)),
        ("rest:p99<100ms", (("protocol", "rest"),)),
        ("model=resnet: p99<100ms", (("model", "resnet"),)),
        ("version=2: p99<100ms", (("version", "2"),)),
        ("scenario=ResNet: p99<100ms", (("scenario", "ResNet"),)),
        ("grpc: availability>=99.9%", (("protocol", "grpc"),)),
        ("model=resnet: switch_time<10s", (("model", "resnet"),)),
        ("canary, model=resnet: p99_ratio<1.1", (("model", "resnet"),)),
        ("model=resnet,canary: p99_ratio<1.1", (("model", "resnet"),)),
        (
            "grpc, model=res-net.v2 , version=2: p99<100ms",
            (("protocol", "grpc"), ("model", "res-net.v2"), ("version", "2")),
        ),
    ],
)
def test_scopes(expression: str, scope: tuple[tuple[str, str], ...]) -> None:
    """A scope limits fields of the key."""
    (objective,) = parse_objectives([expression])
    assert objective.scope == scope
    assert not objective.covers(Key("other", "", "", "", Outcome.OK))


def test_default_is_the_missions() -> None:
    """``default`` stands for the three objectives."""
    assert [o.expression for o in parse_objectives(["default", "max<2s"])] == [*DEFAULT, "max<2s"]


@pytest.mark.parametrize(
    ("expression", "column", "message"),
    [
        ("", 1, "a metric is missing before nothing"),
        ("p99", 4, "< or <= belongs here, not nothing"),
        ("p99>100ms", 4, "< or <= belongs here, not '>'"),
        ("p99=100ms", 4, "< or <= belongs here, not '='"),
        ("throughput<5/s", 11, ">= or > belongs here, not '<'"),
        ("p99<", 5, "a number belongs here, not nothing"),
        ("p99<fast", 5, "a number belongs here, not 'fast'"),
        ("p99<100", 8, "a unit belongs here, us, ms or s, not nothing"),
        ("p99<100 min", 9, "a unit belongs here, us, ms or s, not 'min'"),
        ("p99<0ms", 5, "no time is below 0"),
        ("p100<1s", 1, "'p100': a quantile lies between p0 and p100; the largest is called max"),
        ("p0<1s", 1, "'p0': a quantile lies between p0 and p100; the largest is called max"),
        ("p99_ratio<1.1", 1, "a ratio is that of a canary: 'canary: p99_ratio<1.1'"),
        ("canary: p99<1s", 1, "canary: has a ratio after it, such as 'canary: p99_ratio<1.1'"),
        ("canary: p99_ratio<1.1ms", 22, "a ratio is a number above 0 without a unit, such as 1.1"),
        ("canary: max_ratio<2", 9, "'max_ratio' is no metric"),
        ("availability<99%", 13, ">= or > belongs here, not '<'"),
        ("availability>=101%", 15, "a share is at most 100% (1), not 101%"),
        ("availability>100%", 14, "no share is above 100%; availability>=100% means all"),
        ("switch_time>10s", 12, "< or <= belongs here, not '>'"),
        ("switch_time<10", 15, "a unit belongs here, us, ms or s, not nothing"),
        ("grpc: switch_time<10s", 1, "switch_time can be limited to model and version, not to protocol"),
        ("model=m: recovery_time<10s", 1, "recovery_time has no scope"),
        ("latency<1s", 1, "'latency' is no metric; metrics are p99 (any quantile)"),
        ("service_error_rate<1%", 1, "'service_error_rate' is no metric"),
        ("throughput>=5", 14, "/s belongs here, not nothing"),
        ("rows>=5ms", 8, "/s belongs here, not 'ms'"),
        ("error_rate<1ms", 13, "a share has no unit or %, not 'ms'"),
        ("error_rate<101%", 12, "a share is at most 100% (1), not 101%"),
        ("error_rate < 0%", 14, "no share is below 0; error_rate<=0 means none"),
        ("p99<100ms or so", 11, "'or so' follows a complete objective"),
        ("http: p99<1s", 1, "'http' is no scope; a scope is grpc, rest, canary, or FIELD=VALUE"),
        ("grpc, mdl=x: p99<1s", 7, "'mdl' is no field; fields are scenario, protocol, model, version"),
        ("model=: p99<1s", 7, "the value of 'model' is missing"),
        ("protocol=udp: p99<1s", 1, "'udp' is no protocol; protocols are grpc and rest"),
        ("grpc,rest: p99<1s", 6, "'protocol' is limited twice"),
        (": p99<1s", 1, "'' is no scope"),
    ],
)
def test_faults(expression: str, column: int, message: str) -> None:
    """A fault is told with its column, what was given, and what there is."""
    with pytest.raises(ObjectiveError) as caught:
        parse_objectives([expression])
    (fault,) = caught.value.faults
    assert (fault.expression, fault.column) == (expression, column)
    assert fault.message.startswith(message)


def test_all_faults_are_told_together() -> None:
    """Good ones between them do not matter."""
    with pytest.raises(ObjectiveError) as caught:
        parse_objectives(["p99<100", "p99<1s", "nothing"])
    assert str(caught.value).splitlines()[:3] == [
        "p99<100",
        "       ^ column 8: a unit belongs here, us, ms or s, not nothing",
        "nothing",
    ]
