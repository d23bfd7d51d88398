"""Two versions of one model compared while both serve: is the new one slower, does it fail more, and how sure is that?

* **Service times** are compared by the ratio of geometric means. The logarithms of service times are near to normal,
  and the difference of their means has Welch's standard error; with hundreds of requests Student's distribution is the
  normal one. :data:`TOLERANCE` is what a canary may be slower before it is called so: requests of one second wait in
  the same queues and are not independent of each other, which bounds for independent ones do not know.
* **Quantiles** are compared by their ratio, with bounds from the order statistics of each version (the ranks are
  binomial, whatever the distribution), each side at half the doubt.
* **Error rates** are compared by their exact bounds (:mod:`tfs_locust.judge.binomial`): higher is what has its lower
  bound above the other's upper one, each at half the doubt.

A failure tells no version but the one that was asked for. So error rates need requests that ask for versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from statistics import NormalDist

from tfs_locust.judge.binomial import at_most, lower_bound, upper_bound
from tfs_locust.measure.cell import Cell
from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.stint import Served
from tfs_locust.measure.view import View

CONFIDENCE = 0.95
TOLERANCE = 0.05
FEWEST = 100
"""Requests of each version below which nothing is said of their times."""
_ERROR_TOLERANCE = 0.001
"""A share of failures that is higher by less is no worse canary."""


class Finding(str, Enum):
    """What the comparison says."""

    WORSE = "worse"
    NOT_WORSE = "not worse"  # surely within the tolerance
    OPEN = "open"  # too few requests to say

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Pair:
    """Two versions of a model that are to be compared."""

    model: str
    baseline: str
    canary: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """The canary's number by the baseline's, with two-sided confidence bounds; None where there is none."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Share:
    """Requests of one version, the share of them that failed, and its two-sided bounds."""

    requests: int
    failed: int
    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Canary:
    """How a version compares with another."""

    model: str
    baseline: str
    canary: str
    confidence: float
    mean_ratio: Ratio
    """Of the geometric means of service times."""
    p50_ratio: Ratio
    p99_ratio: Ratio
    baseline_errors: Share
    canary_errors: Share
    slower: Finding
    fails_more: Finding

    @property
    def is_worse(self) -> bool:
        """Whether it is surely slower by more than the tolerance, or surely fails more."""
        return Finding.WORSE in {self.slower, self.fails_more}


def compare_versions(
    view: View, model: str, baseline: str, canary: str, *, confidence: float = CONFIDENCE, tolerance: float = TOLERANCE
) -> Canary:
    """Requests of two versions of a model after the warm-up, of all user classes."""
    own, other = service_times(view, model, canary), service_times(view, model, baseline)
    own_errors, other_errors = (errors_of(view, model, version, confidence) for version in (canary, baseline))
    mean = mean_ratio(own, other, confidence)
    return Canary(
        model=model,
        baseline=baseline,
        canary=canary,
        confidence=confidence,
        mean_ratio=mean,
        p50_ratio=quantile_ratio(own, other, 0.5, confidence),
        p99_ratio=quantile_ratio(own, other, 0.99, confidence),
        baseline_errors=other_errors,
        canary_errors=own_errors,
        slower=_slower(mean, tolerance),
        fails_more=fails_more(own_errors, other_errors),
    )


def compared_at(view: View, canary: Canary | Pair, statistic: Fraction | str, confidence: float) -> Ratio:
    """The canary's quantile, or its ``mean``, by the baseline's."""
    own, other = (service_times(view, canary.model, version) for version in (canary.canary, canary.baseline))
    if isinstance(statistic, Fraction):
        return quantile_ratio(own, other, float(statistic), confidence)
    return mean_ratio(own, other, confidence)


def versions_of(view: View) -> dict[str, list[str]]:
    """The versions of each model that answered after the warm-up, in rising order."""
    found: dict[str, set[str]] = {}
    for key in view.judged():
        if key.key.version.isdigit() and key.key.outcome is Outcome.OK:
            found.setdefault(key.key.model, set()).add(key.key.version)
    return {model: sorted(versions, key=int) for model, versions in sorted(found.items())}


def side_by_side(view: View, model: str, one: str, other: str) -> bool:
    """Whether for half of the time that the shorter of two versions answered the other did, too: after a switch that is
    too near to the run's end to be found they did not. Of versions that have no stints nobody knows, and they may."""
    several = [view.stints.get(Served(model, version), ()) for version in (one, other)]
    both_ns = sum(
        max(min(a.last_ns, b.last_ns) - max(a.first_ns, b.first_ns), 0) for a in several[0] for b in several[1]
    )
    shorter_ns = min(sum(stint.last_ns - stint.first_ns for stint in stints) for stints in several)
    return not all(several) or 2 * both_ns >= shorter_ns


def service_times(view: View, model: str, version: str) -> Histogram:
    """Of the requests that ended well."""
    return _cell(view, model, version, well=True).service


def _cell(view: View, model: str, version: str, *, well: bool) -> Cell:
    judged, wanted = view.judged(), (model, version, well)
    return view.select(
        lambda key: key in judged and (key.key.model, key.key.version, key.key.outcome is Outcome.OK) == wanted
    )


def mean_ratio(own: Histogram, other: Histogram, confidence: float = CONFIDENCE) -> Ratio:
    """Geometric mean of ``own`` by that of ``other``."""
    if min(own.count, other.count) < FEWEST:
        return Ratio(None, None, None)
    (mean, variance), (other_mean, other_variance) = _logarithms(own), _logarithms(other)
    error = math.sqrt(variance / own.count + other_variance / other.count)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return Ratio(*(math.exp(mean - other_mean + by) for by in (0.0, -reach, reach)))


def _logarithms(histogram: Histogram) -> tuple[float, float]:
    """Mean and sample variance of the logarithms of all durations, each taken as the middle of its bucket."""
    n = seen = 0
    total = squares = 0.0
    for duration_ns, up_to in histogram.rising():
        count, n = up_to - seen, up_to
        seen = up_to
        x = math.log(max(duration_ns, 1))
        total += count * x
        squares += count * x * x
    return total / n, max(squares - total * total / n, 0.0) / (n - 1)


def quantile_ratio(own: Histogram, other: Histogram, q: float, confidence: float = CONFIDENCE) -> Ratio:
    """A quantile of ``own`` by that of ``other``; a bound is None where there are too few requests for it."""
    value, other_value = own.quantile(q), other.quantile(q)
    if not value or not other_value or min(own.count, other.count) < FEWEST:
        return Ratio(None, None, None)
    each = 1 - (1 - confidence) / 4  # two versions, two sides
    (low, high), (other_low, other_high) = _around(own, q, each), _around(other, q, each)
    return Ratio(
        value / other_value,
        low / other_high if low and other_high else None,
        high / other_low if high and other_low else None,
    )


def _around(histogram: Histogram, q: float, confidence: float) -> tuple[int | None, int | None]:
    """Durations that the true quantile is surely not below, and not above, each with this confidence."""
    n, doubt = histogram.count, 1 - confidence
    # the quantile is at or above the r-th shortest unless fewer than r of n are below it
    low = _last(n, lambda rank: at_most(rank - 1, n, q) <= doubt)
    high = n + 1 - _last(n, lambda rank: at_most(rank - 1, n, 1 - q) <= doubt)
    return histogram.at_rank(low) if low else None, histogram.at_rank(high) if high <= n else None


def _last(n: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to n for which it holds, as it then does for all from 1 on; 0 if for none."""
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def errors_of(view: View, model: str, version: str, confidence: float) -> Share:
    """What failed of the requests of a version, after the warm-up."""
    failed = _cell(view, model, version, well=False).count
    requests = failed + _cell(view, model, version, well=True).count
    each = 1 - (1 - confidence) / 2
    if not requests:
        return Share(0, 0, 0.0, 0.0, 1.0)
    upper = upper_bound(failed, requests, each)
    return Share(requests, failed, failed / requests, lower_bound(failed, requests, each), upper)


def _slower(ratio: Ratio, tolerance: float) -> Finding:
    if ratio.lower is None or ratio.upper is None:
        return Finding.OPEN
    if ratio.lower > 1 + tolerance:
        return Finding.WORSE
    return Finding.NOT_WORSE if ratio.upper <= 1 + tolerance else Finding.OPEN


def fails_more(own: Share, other: Share) -> Finding:
    """Whether the first has a higher error rate than the second."""
    if not own.requests or not other.requests:
        return Finding.OPEN
    if own.lower > other.upper + _ERROR_TOLERANCE:
        return Finding.WORSE
    return Finding.NOT_WORSE if own.upper <= other.lower + _ERROR_TOLERANCE else Finding.OPEN
