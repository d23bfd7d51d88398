"""A comparison as it is told: on the console, in Markdown, in the page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.report.test_renderings import Page
from tests.unit.measured import MS, SECOND, sample
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.paired import PairedKey
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.report import units
from tfs_locust.report.comparisons import sentence
from tfs_locust.report.console import closing_table
from tfs_locust.report.html import page
from tfs_locust.report.markdown import summary
from tfs_locust.report.report import Result, build, rejudge

KEY = PairedKey("Grpc", "grpc", "Rest", "rest")


def compared(*keys: PairedKey, pairs: int = 100, failed: int = 0, times: float = 1.5) -> Result:
    """A run of pairs, of which the second took so many times as long, and a twentieth more or less."""
    tally, aggregate = Tally("w", 1, origin_ns=0), Aggregate()
    for key in keys:
        for number in range(pairs + failed):
            longer = int(4 * MS * times * (1.05 if number % 2 else 1 / 1.05))
            outcome = Outcome.OK if number < pairs else Outcome.UNAVAILABLE
            own = sample(4 * MS, due_ns=number * MS, scenario=key.scenario, protocol=key.protocol)
            other = sample(
                longer, due_ns=number * MS, outcome=outcome, scenario=key.against, protocol=key.against_protocol
            )
            for one in (own, other):
                tally.started += 1
                tally.record(one)
            tally.record_pair(key, own, other)
    tally.end_load(SECOND)
    aggregate.accept(tally.snapshot(SECOND, final=True))
    view = aggregate.view()
    return build(view, judge(view, ()), {})


def test_the_fields() -> None:
    """Every number of a comparison, in the units that its name says."""
    (row,) = compared(KEY, failed=3)["comparisons"]
    assert {name: row[name] for name in KEY._fields} == KEY._asdict()
    assert (row["pairs"], row["unpaired"]) == (100, 3)
    assert (row["scenario_faster"], row["against_faster"]) == (1.0, 0.0)
    assert row["ratio"] == pytest.approx(1.5, rel=1e-6)
    assert row["lower"] == pytest.approx(1.5 / 1.0097, rel=1e-4)
    assert row["upper"] == pytest.approx(1.5 * 1.0097, rel=1e-4)
    assert row["confidence"] == 0.95
    assert row["scenario_mean_s"] == 0.004
    assert row["mean_difference_s"] == pytest.approx(row["against_mean_s"] - 0.004)
    assert (row["log_ratio_mean"], row["log_ratio_deviation"]) == pytest.approx((0.405465, 0.049036), rel=1e-4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "REST takes 1.5 times gRPC's service time (1.486 to 1.514, 100 pairs)"),
        (
            {"failed": 2},
            "REST takes 1.5 times gRPC's service time (1.486 to 1.514, 100 pairs; 2 with a failure left out)",
        ),
        (
            {"times": 1.0},
            "REST takes 1 times gRPC's service time (0.9904 to 1.01, 100 pairs: no difference is proved)",
        ),
        ({"pairs": 1, "times": 2.1}, "REST takes 2 times gRPC's service time (1 pair, too few for bounds)"),
        ({"pairs": 0, "failed": 5}, "REST and gRPC cannot be compared: no pair ended well; 5 with a failure left out"),
    ],
)
def test_the_sentence(given: dict[str, Any], expected: str) -> None:
    """One line says what takes how much longer, how surely, and what was left out; console and Markdown have it."""
    result = compared(KEY, **given)
    assert sentence(result["comparisons"][0]) == expected
    assert expected in closing_table(result).splitlines()
    assert f"- {expected}" in summary(result).splitlines()
    assert f"{expected}." in Page(page(result)).text


def test_two_of_one_protocol_are_called_by_their_classes() -> None:
    """Several comparisons each have a line that says whose it is."""
    result = compared(KEY, PairedKey("Stable", "grpc", "Canary", "grpc"))
    lines = closing_table(result).splitlines()
    assert "Grpc: REST takes 1.5 times gRPC's service time (1.486 to 1.514, 100 pairs)" in lines
    assert "Stable: Canary takes 1.5 times Stable's service time (1.486 to 1.514, 100 pairs)" in lines


def test_the_page_has_a_section_only_where_there_is_a_comparison() -> None:
    """With the numbers of both, and a difference with its sign."""
    text = " ".join(" ".join(Page(page(compared(KEY, failed=2))).text).split())
    assert "Comparison, pair by pair" in text
    for part in ("Grpc grpc 4 ms 100 %", "Rest rest 6.007 ms 0 % +2.007 ms 1.5 1.486 to 1.514", "95 % bounds"):
        assert part in text
    assert "pair by pair" not in page(compared())


def test_an_older_report_without_comparisons_is_still_rendered() -> None:
    """The field is new; a report judged anew keeps it."""
    result = compared(KEY)
    assert rejudge(result, (), confidence=0.95)["comparisons"] == result["comparisons"]
    del result["comparisons"]
    for rendered in (closing_table(result), summary(result), page(result)):
        assert "times gRPC's" not in rendered


def test_a_difference_has_its_sign() -> None:
    """Shorter is a minus."""
    shown = [units.signed(value) for value in (0.002, -0.002, 0.0, None)]
    assert shown == ["+2 ms", "\N{MINUS SIGN}2 ms", "0 s", units.NOTHING]
