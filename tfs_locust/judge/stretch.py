"""A stretch of the timeline as figures, and the response times that a run is to keep inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from tfs_locust.judge.slo import Objective
from tfs_locust.measure.coarse import step_of
from tfs_locust.measure.timeline import Second

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests that ended in a stretch. Times are response times in seconds, within 1.6 %; None without any."""

    seconds: int
    requests: int
    failures: int
    p50_s: float | None
    p99_s: float | None
    p99_9_s: float | None
    max_s: float | None


def stretch(timeline: Mapping[int, Second], begin_s: int, end_s: int) -> Second:
    """All seconds that lie in ``begin_s <= second < end_s`` as one; its width is how many there are. Seconds that were
    put together are in it if all of them lie in it."""
    total = Second(width=0)
    inside = range(begin_s, end_s)
    for number in inside if len(inside) < len(timeline) else timeline:
        second = timeline.get(number)
        if second is not None and begin_s <= number and number + second.width <= end_s:
            total.merge(second)
            total.width += second.width
    return total


def widened(timeline: Mapping[int, Second], begin_s: int, end_s: int) -> tuple[int, int]:
    """The stretch with all of the steps that it begins and ends in, where old seconds were put together."""
    last = step_of(timeline, end_s - 1)
    return step_of(timeline, begin_s), max(end_s, last + timeline[last].width if last in timeline else end_s)


def figures(timeline: Mapping[int, Second], begin_s: int, end_s: int) -> Figures:
    """What there is to say of the stretch."""
    total = stretch(timeline, begin_s, end_s)
    p50, p99, p99_9 = (total.quantile(q) for q in (0.5, 0.99, 0.999))
    longest = total.maximum_ns if total.buckets else None
    return Figures(
        total.width, total.count, total.failures, *(t if t is None else t / _NS for t in (p50, p99, p99_9, longest))
    )


@dataclass(frozen=True, slots=True)
class Bound:
    """A response time that a quantile of all requests is to stay within."""

    quantile: float
    at_most_ns: float
    text: str
    """Where it comes from."""

    def holds(self, second: Second) -> bool:
        """Whether what ended well in this second keeps to it, and something did."""
        measured = second.quantile(self.quantile)
        return measured is not None and measured <= self.at_most_ns


def time_bounds(objectives: Iterable[Objective]) -> tuple[Bound, ...]:
    """Those of the objectives that bound a quantile of the response time of all requests."""
    return tuple(
        Bound(float(one.statistic), float(one.bound), one.expression)
        for one in objectives
        if one.metric == "response" and isinstance(one.statistic, Fraction) and not one.scope
    )
