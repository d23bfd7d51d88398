"""Durations, counted in buckets: mergeable, three significant digits from 1 us to 1 h.

Knows nothing of requests, and reads no clock. The idea is HdrHistogram's (log-linear buckets); the edges are not: they
are *round decimal numbers*, so that the bounds people write (100 ms, 0.25 s, 99.5 ms) are edges of buckets and the
count beyond such a bound is exact, also when it is asked for after the run.

A decade ``[10**k, 10**(k + 1))`` of nanoseconds is cut in steps of ``2 * 10**(k - 3)`` below ``5 * 10**k`` and of
``10**(k - 2)`` from there on, 2,500 steps; every number of three significant digits is a multiple of its step. An edge
has a bucket of its own, 1 ns wide, and the inside of a step is another: so ``<`` and ``<=`` are both exact. A bucket's
name is the shortest duration in it, in nanoseconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any, NamedTuple

LOWEST_NS = 1_000
"""Below this (1 us) durations are not told apart."""
HIGHEST_NS = 3_600_000_000_000
"""Above this (1 h) durations are not told apart; they are counted in ``saturated``."""


def _steps_by_bit_length() -> tuple[tuple[int, int, int], ...]:
    """For durations of n bits: ``(turn, step below the turn, step from the turn on)``.

    The step changes at 1, 5, 10, 50... These are at least a factor of 2 apart, so among the numbers of one bit length
    there is at most one turn, and two integers decide the step without a search.
    """
    turns = [(LOWEST_NS * 10**decade * first, 2 * 10**decade * first) for decade in range(10) for first in (1, 5)]
    table = []
    for bits in range(HIGHEST_NS.bit_length() + 1):
        smallest, beyond = (1 << bits) >> 1, 1 << bits
        # below 1 us all is one step
        below = max((s for s in ((0, LOWEST_NS), *turns) if s[0] <= smallest), key=lambda s: s[0])
        inside = [s for s in turns if smallest < s[0] < beyond]
        turn, above = inside[0] if inside else (beyond, below[1])
        table.append((turn, below[1], above))
    return tuple(table)


_STEPS = _steps_by_bit_length()
_SHARED: dict[int, int] = {}
"""One object for each bucket's key, whichever worker told of it first. Of hundreds of histograms the keys stay in the
processor's cache then, and a look at all of them takes a third less."""


def step_ns(duration_ns: int) -> int:
    """The distance of the edges around a duration of 0 to 1 h."""
    turn, below, above = _STEPS[duration_ns.bit_length()]
    return above if duration_ns >= turn else below


class Beyond(NamedTuple):
    """How many durations lie beyond a bound: at least ``surely`` and at most ``possibly``; equal on a round bound."""

    surely: int
    possibly: int


class Histogram:
    """Counted durations; ``minimum``, ``maximum``, ``total`` and ``count`` are exact.

    ``minimum`` and ``maximum`` are 0 while nothing is counted. A negative duration counts as 0: nothing ends before
    it begins.
    """

    __slots__ = ("_maximum", "_minimum", "buckets", "saturated", "total_ns")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        """How many durations are in each bucket; its key is the smallest duration in it, in ns."""
        self.total_ns = 0
        self.saturated = 0
        """How many were longer than an hour; they are in the last bucket."""
        self._minimum = HIGHEST_NS  # above it once something longer, and nothing shorter, came: see minimum_ns
        self._maximum = -1

    def record(self, duration_ns: int, times: int = 1) -> None:
        """Count a duration, once or several times."""
        if not times:
            return
        if duration_ns < self._minimum:
            if duration_ns < 0:
                duration_ns = 0
            self._minimum = duration_ns
        if duration_ns > self._maximum:
            self._maximum = duration_ns
        self.total_ns += duration_ns * times
        if duration_ns > HIGHEST_NS:
            self.saturated += times
            duration_ns = HIGHEST_NS
        turn, below, above = _STEPS[duration_ns.bit_length()]
        rest = duration_ns % (above if duration_ns >= turn else below)
        # on the edge, or inside the step that follows it
        bucket = duration_ns - rest + 1 if rest else duration_ns
        try:
            self.buckets[bucket] += times
        except KeyError:
            self.buckets[bucket] = times

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self.buckets.values())

    @property
    def minimum_ns(self) -> int:
        """The shortest duration; an hour when all were longer than that."""
        return self._minimum if self.buckets else 0

    @property
    def maximum_ns(self) -> int:
        """The longest duration, exact beyond an hour too."""
        return max(self._maximum, 0)

    @property
    def mean_ns(self) -> float:
        """The arithmetic mean, exact; 0 while nothing is counted."""
        return self.total_ns / self.count if self.buckets else 0.0

    def merge(self, other: Histogram) -> None:
        """Count in all that ``other`` counted: the same as if each duration had been recorded here."""
        if not other.buckets:
            return
        if self.buckets:
            for bucket, count in other.buckets.items():
                self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        else:
            self.buckets = dict(other.buckets)
        self.total_ns += other.total_ns
        self.saturated += other.saturated
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)

    def replace(self, before: Histogram, after: Histogram) -> None:
        """Count ``after`` instead of ``before``, an earlier state of the same that was counted in here."""
        earlier, own = before.buckets, self.buckets
        for bucket, count in after.buckets.items():
            more = count - earlier.get(bucket, 0)
            if more:
                try:
                    own[bucket] += more
                except KeyError:
                    own[_SHARED.setdefault(bucket, bucket)] = more
        self.total_ns += after.total_ns - before.total_ns
        self.saturated += after.saturated - before.saturated
        self._minimum = min(self._minimum, after._minimum)
        self._maximum = max(self._maximum, after._maximum)

    def copy(self) -> Histogram:
        """Another one with the same durations."""
        copied = Histogram()
        copied.merge(self)
        return copied

    def since(self, before: Histogram) -> Histogram:
        """What was recorded after ``before``, an earlier state of this one; ``ValueError`` if it is none.

        Exact bucket by bucket. The extremes are exact where they moved; else only their bucket is known, and the
        minimum is the shortest duration in it, the maximum the longest. So ``before`` and this merged give back all.
        """
        window = Histogram()
        earlier = before.buckets
        if not earlier:
            window.buckets = dict(self.buckets)
        else:
            risen = ((bucket, count - earlier.get(bucket, 0)) for bucket, count in self.buckets.items())
            window.buckets = {bucket: count for bucket, count in risen if count}
            if min(window.buckets.values(), default=0) < 0 or not earlier.keys() <= self.buckets.keys():
                raise ValueError("more was counted before than after")
        window.total_ns = self.total_ns - before.total_ns
        window.saturated = self.saturated - before.saturated
        if window.buckets:
            moved_down, moved_up = self._minimum < before._minimum, self._maximum > before._maximum
            # of what was longer than an hour the last bucket does not tell how long
            last = self._maximum if window.saturated else _last_of(max(window.buckets))
            window._minimum = self._minimum if moved_down else max(min(window.buckets), self._minimum)
            window._maximum = self._maximum if moved_up else min(last, self._maximum)
        return window

    def quantile(self, q: float | Fraction) -> int | None:
        """The shortest duration that at least ``ceil(q * count)`` of all durations do not exceed, for 0 <= q <= 1.

        It is off by less than 0.1 % between 1 us and 1 h. None while nothing is counted. A float means the decimal
        that it prints as: 0.99 of 100 is 99, not 99.00000000000001.
        """
        exact = q if isinstance(q, Fraction) else Fraction(repr(q))
        return self.at_rank(max(1, math.ceil(exact * self.count)))

    def quantiles(self, qs: Sequence[float]) -> list[int | None]:
        """Several of them (:meth:`quantile`), by looking at the durations once."""
        if not self.buckets:
            return [None] * len(qs)
        buckets = sorted(self.buckets)
        seen = list(accumulate(map(self.buckets.__getitem__, buckets)))
        ranks = [max(1, math.ceil(Fraction(repr(q)) * seen[-1])) for q in qs]
        return [self._representative(buckets[bisect_left(seen, rank)]) for rank in ranks]

    def at_rank(self, rank: int) -> int | None:
        """The ``rank``-th shortest duration (1 is the shortest), off by less than 0.1 %; None where there is none."""
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return self._representative(bucket)
        return None

    def rising(self) -> Iterator[tuple[int, int]]:
        """Bucket by bucket a duration that stands for it, and how many are in it or in a shorter one."""
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            yield self._representative(bucket), seen

    def _representative(self, bucket: int) -> int:
        """The middle of a bucket, but never outside of what was recorded."""
        return min(max((bucket + _last_of(bucket)) // 2, self._minimum), max(self._maximum, self._minimum))

    def beyond(self, bound_ns: int, *, inclusive: bool) -> Beyond:
        """How many durations are longer than the bound or, if ``inclusive``, as long as it or longer.

        Exact when the bound has at most three significant digits. Otherwise it may fall inside a bucket, and the
        durations in that one bucket are only ``possibly`` beyond.
        """
        first = bound_ns if inclusive else bound_ns + 1  # the shortest duration beyond
        if first > HIGHEST_NS:
            return Beyond(self.saturated if first == HIGHEST_NS + 1 else 0, self.saturated)
        surely = possibly = 0
        for bucket, count in self.buckets.items():
            if bucket >= first:
                surely += count
            elif _last_of(bucket) >= first:
                possibly += count
        return Beyond(surely, surely + possibly)

    def to_wire(self) -> list[Any]:
        """``[minimum, maximum, total, saturated, [bucket, count, bucket, count...]]``: integers, for msgpack or JSON.

        Gaps between the buckets would be fewer bytes, but cost the event loop of a busy worker more time than this.
        """
        flat: list[int] = []
        for bucket in sorted(self.buckets):
            flat += (bucket, self.buckets[bucket])
        return [self._minimum, self._maximum, self.total_ns, self.saturated, flat]

    @classmethod
    def from_wire(cls, wire: Iterable[Any]) -> Histogram:
        """What :meth:`to_wire` gave."""
        histogram = cls()
        histogram._minimum, histogram._maximum, histogram.total_ns, histogram.saturated, flat = wire
        histogram.buckets = dict(zip(flat[::2], flat[1::2], strict=True))
        return histogram

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.to_wire() == other.to_wire()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, minimum_ns={self.minimum_ns}, maximum_ns={self.maximum_ns})"


def _last_of(bucket: int) -> int:
    """The longest duration in a bucket, given the shortest."""
    step = step_ns(bucket)
    inside = bucket % step  # 0 on an edge, else 1
    return bucket - inside + step - 1 if inside else bucket


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them in a new one."""
    result = Histogram()
    for histogram in histograms:
        result.merge(histogram)
    return result
