"""Two results side by side: ratios of times and rates, and whether a difference is more than chance.

A *regression* is a change for the worse that is larger than the tolerance and surely more than chance; a larger change
that may be chance is called unclear. Chance is told apart by confidence intervals:

* of a quantile: the order statistics around it, by the binomial distribution of how many requests lie below it;
* of an error rate: the bounds of Clopper and Pearson;
* of a mean or a rate: the mean of the seconds (or requests) and its standard error, normally distributed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

from tfs_locust.judge.binomial import at_least, at_most, lower_bound, upper_bound
from tfs_locust.judge.decide import CONFIDENCE
from tfs_locust.judge.verdict import ExitCode
from tfs_locust.measure.histogram import Histogram
from tfs_locust.report import units
from tfs_locust.report.report import Result, times_of

TOLERANCE = 0.05

_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))


class Change(str, Enum):
    """What became of one number between two runs."""

    SAME = "same"  # within the tolerance
    BETTER = "better"
    REGRESSION = "regression"
    UNCLEAR = "unclear"  # beyond the tolerance, yet it may be chance: longer runs would tell
    UNKNOWN = "unknown"  # one of the runs has no such number

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and where the true one lies, at the confidence asked for; an end that is None is not known."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of both runs."""

    name: str
    metric: str
    """For showing it: a metric of :mod:`tfs_locust.judge.slo`."""
    before: Estimate | None
    after: Estimate | None
    ratio: float | None
    """After by before; None where there is none, or before is 0."""
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs."""

    differences: tuple[Difference, ...]
    doubts: tuple[str, ...]
    """Why the runs should not be compared: one is INVALID or has no data."""
    tolerance: float
    confidence: float

    @property
    def exit_code(self) -> ExitCode:
        """FAIL on a regression, INVALID if a run cannot be believed, else PASS."""
        if self.doubts:
            return ExitCode.INVALID
        regressed = any(one.change is Change.REGRESSION for one in self.differences)
        return ExitCode.FAIL if regressed else ExitCode.PASS


def compare(
    before: Result, after: Result, tolerance: float = TOLERANCE, *, confidence: float = CONFIDENCE
) -> Comparison:
    """What changed from one run to the other. ``tolerance`` 0.05 lets a number be 5 % worse."""
    numbers = zip(_numbers(before, confidence), _numbers(after, confidence), strict=True)
    return Comparison(
        differences=tuple(
            _difference(name, metric, one, other, tolerance) for (name, metric, one), (_, _, other) in numbers
        ),
        doubts=tuple(_doubts(before, "the first run") + _doubts(after, "the second run")),
        tolerance=tolerance,
        confidence=confidence,
    )


def comparison_text(comparison: Comparison) -> str:
    """A table for the terminal, and a sentence."""
    rows = [["", "before", "after", "ratio", "change"]]
    for one in comparison.differences:
        values = [
            units.measured(one.metric, None if estimate is None else estimate.value)
            for estimate in (one.before, one.after)
        ]
        ratio = units.NOTHING if one.ratio is None else f"{one.ratio:.3f}"
        rows.append([one.name, *values, ratio, one.change.value])
    lines = units.aligned(rows)
    named = [one.name for one in comparison.differences if one.change is Change.REGRESSION]
    unclear = [one.name for one in comparison.differences if one.change is Change.UNCLEAR]
    at = f"{comparison.tolerance * 100:g} % tolerance, {comparison.confidence * 100:g} % confidence"
    lines += ["", *(f"not comparable: {doubt}" for doubt in comparison.doubts)]
    if unclear:
        lines.append(f"beyond the tolerance, but it may be chance (longer runs would tell): {', '.join(unclear)}")
    lines.append(f"regression: {', '.join(named) or 'none'} ({at})")
    return "\n".join(lines) + "\n"


def _difference(
    name: str, metric: str, before: Estimate | None, after: Estimate | None, tolerance: float
) -> Difference:
    if before is None or after is None:
        return Difference(name, metric, before, after, None, Change.UNKNOWN)
    ratio = after.value / before.value if before.value else None
    higher_is_better = metric in {"throughput", "rows"}
    worse, better = (before, after) if higher_is_better else (after, before)  # the one that is larger when it got worse
    if worse.value > better.value * (1 + tolerance):
        change = Change.REGRESSION if _apart(better, worse) else Change.UNCLEAR
    elif better.value > worse.value * (1 + tolerance) and _apart(worse, better):
        change = Change.BETTER
    else:
        change = Change.SAME
    return Difference(name, metric, before, after, ratio, change)


def _apart(lower: Estimate, higher: Estimate) -> bool:
    """Whether the intervals do not touch."""
    return lower.high is not None and higher.low is not None and lower.high < higher.low


def _numbers(result: Result, confidence: float) -> Iterator[tuple[str, str, Estimate | None]]:
    """The numbers that are compared: name, metric, estimate."""
    for label, histogram in zip(("response", "service"), times_of(result), strict=True):
        yield f"{label} mean", "response", _mean(histogram, confidence)
        for name, q in _QUANTILES:
            yield f"{label} {name}", "response", _quantile(histogram, q, confidence)
    totals = result["totals"]
    yield "error rate", "error_rate", _share(totals["failed"], totals["requests"], confidence)
    for name, metric in (("requests_per_s", "throughput"), ("rows_per_s", "rows")):
        yield metric, metric, _rate(result, name, confidence)


def _quantile(histogram: Histogram, q: float, confidence: float) -> Estimate | None:
    """The rank of the first value that is surely above the quantile, and of the last that is surely below."""
    n = histogram.count
    value_ns = histogram.quantile(q)
    if value_ns is None:
        return None
    doubt = (1 - confidence) / 2
    # more of the values than `rank` are below the quantile, and less than `rank` are, each surely enough
    low_rank = _first(1, n + 1, lambda rank: at_most(rank - 1, n, q) > doubt) - 1
    high_rank = _first(1, n + 1, lambda rank: at_least(rank, n, q) <= doubt)
    low_ns = histogram.at_rank(low_rank) if low_rank >= 1 else None
    high_ns = histogram.at_rank(high_rank) if high_rank <= n else None
    return Estimate(value_ns / 1e9, _seconds(low_ns), _seconds(high_ns))


def _mean(histogram: Histogram, confidence: float) -> Estimate | None:
    n = histogram.count
    if not n:
        return None
    mean_ns = histogram.mean_ns
    squares = sum(count * (bucket - mean_ns) ** 2 for bucket, count in histogram.buckets.items())
    if n == 1:
        return Estimate(mean_ns / 1e9, None, None)
    return _around(mean_ns / 1e9, math.sqrt(squares / (n - 1) / n) / 1e9, confidence)


def _share(bad: int, n: int, confidence: float) -> Estimate | None:
    if not n:
        return None
    each = 1 - (1 - confidence) / 2
    return Estimate(bad / n, lower_bound(bad, n, each), upper_bound(bad, n, each))


def _rate(result: Result, name: str, confidence: float) -> Estimate | None:
    """The rate, with the spread of the whole seconds under load."""
    value = result["throughput"][name]
    if value is None:
        return None
    timeline = result["timeline"]
    first, end = result["warmup_s"], result["warmup_s"] + result["load_s"]
    ok = [total - failed for total, failed in zip(timeline["requests"], timeline["failures"], strict=True)]
    widths = timeline.get("step_s") or [1] * len(ok)
    amounts = [
        amount / width
        for second, width, amount in zip(
            timeline["second"], widths, ok if name == "requests_per_s" else timeline["rows"], strict=True
        )
        if first <= second and second + width <= end
    ]
    if len(amounts) < 3:
        return Estimate(value, None, None)
    return _around(value, _standard_error(amounts), confidence)


def _standard_error(amounts: Sequence[float]) -> float:
    mean = sum(amounts) / len(amounts)
    variance = sum((amount - mean) ** 2 for amount in amounts) / (len(amounts) - 1)
    return math.sqrt(variance / len(amounts))


def _around(value: float, error: float, confidence: float) -> Estimate:
    reach = NormalDist().inv_cdf(1 - (1 - confidence) / 2) * error
    return Estimate(value, value - reach, value + reach)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first number from ``low`` on for which it holds, as it then does for all above; ``high`` if for none."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _seconds(duration_ns: int | None) -> float | None:
    return None if duration_ns is None else duration_ns / 1e9


def _doubts(result: Result, which: str) -> list[str]:
    if not result["totals"]["requests"]:
        return [f"{which} has no data"]
    # too short for its own objectives is no matter here
    reasons = [
        reason for reason in result["verdict"]["reasons"] if not reason.startswith(("objective-failed:", "undecided:"))
    ]
    return [f"{which}: {reason}" for reason in reasons]
