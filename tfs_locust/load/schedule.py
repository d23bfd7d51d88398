"""When requests are due: one schedule for a whole run, and the stripes of it that workers send.

A schedule is a point process u_0 <= u_1 <= ... of unit rate (:mod:`tfs_locust.load.points`) and a clock: L(t), the
arrivals expected by t, is the integral of the rate, and arrival k is due at L^-1(u_k) (time change; D. Cox, V. Isham,
Point Processes, 1980, 4.2). So a change of the rate changes nothing that is due before it, and not the numbering.
Of n workers, number i sends every k with ``k mod n = i``: each computes the whole schedule, and nobody is asked.

All of it is arithmetic of whole numbers. L counts parts of an arrival (:data:`PARTS`) and a rate is a number of parts
per nanosecond, so that L is exact at every nanosecond, and due times are rounded once, down. Hence how many arrivals
are due before t is how many points are below L(t), exactly, and neither steps of asking nor divisions change a thing.

Times are nanoseconds from the schedule's start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from tfs_locust.load.arrival import Arrival, ArrivalError, taken_rate
from tfs_locust.load.points import MOST, PARTS, Constant, Integers, Points, Poisson, Seed, Trace

LATEST_NS = 10**18
"""Some 30 years."""

_NS = 10**9
_LEAST = 256  # points that are made at a time: many users with a slow schedule each should not hold many

Entry = TypeVar("Entry", "Division", "_Segment")


@dataclass(frozen=True, slots=True)
class Division:
    """From when on, and until the next, a worker's share: the arrivals k with ``k % of == index``."""

    from_ns: int
    index: int = 0
    of: int = 0
    """Workers; 0: this one has no share."""

    def __post_init__(self) -> None:
        if not 0 <= self.from_ns <= LATEST_NS or self.of < 0 or not 0 <= self.index < max(self.of, 1):
            raise ArrivalError(f"{self}: expected a time from 0 up, and an index below the number of workers")


ALL = Division(0, 0, 1)
"""Everything, for whoever sends or counts a schedule alone."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When every request of a run is due. The same on every machine."""

    arrival: Arrival
    seed: Seed = 0
    """Decides a Poisson process. Of what is to differ: ``(seed, scenario, worker, user)``."""
    changes: tuple[tuple[int, float], ...] = ()
    """From when on, requests per second; 0 is a pause. Before the first the arrival's rate holds, or 0."""
    end_ns: int | None = None
    """Nothing is due from here on."""

    def __post_init__(self) -> None:
        """Raises ArrivalError with all that is wrong."""
        faults = []
        if not self.arrival.is_open:
            faults.append("a closed loop has no schedule")
        if self.arrival.kind == "trace" and self.changes:
            faults.append("a trace has no rate that could change")
        parts = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        if not all(type(part) in (int, str) for part in parts):  # a list, say, would silently be another seed
            faults.append(f"seed {self.seed!r}: expected a whole number, a text, or a tuple of such")
        if self.end_ns is not None and self.end_ns < 0:
            faults.append(f"end {self.end_ns} ns: expected a time from 0 up")
        times = [at_ns for at_ns, _ in self.changes]
        if times != sorted(set(times)) or (times and not 0 <= times[0] <= times[-1] <= LATEST_NS):
            faults.append(f"the rate changes at {times} ns: expected ascending times from 0 up")
        for at_ns, rate in self.changes:
            try:
                taken_rate(rate)
            except ArrivalError as error:
                faults.append(f"from {at_ns} ns, {error}")
        if faults:
            raise ArrivalError("; ".join(faults))

    def stripe(self, *divisions: Division) -> Stripe:
        """What one worker sends, from the start on. Without divisions it has no share, until it is given one."""
        return Stripe(self, divisions)

    def count(self, until_ns: int) -> int:
        """Arrivals due before ``until_ns``. Reads the schedule from its start: some 50 million in a second."""
        return self.stripe(ALL).skip(until_ns)


class Due(NamedTuple):
    """Arrivals, in order."""

    k: Integers
    """Numbers in the whole schedule."""
    due_ns: Integers
    """Ascending; equal times keep the order of their numbers."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """Some time of one rate."""

    from_ns: int
    reached: int
    """L at its start."""
    rate: int
    """Parts per nanosecond."""

    def reaches(self, at_ns: int) -> int:
        """L at a time in it."""
        return self.reached + self.rate * (at_ns - self.from_ns)


_Run: TypeAlias = tuple[_Segment, int, int, int, Integers]
"""Of one segment and one division: the segment, the first k, the next k less this, the points' base, the points."""


class Stripe:
    """Reads a worker's share of a schedule, once, forwards. Divisions and rates may be added for times to come."""

    def __init__(self, schedule: Schedule, divisions: Sequence[Division] = ()) -> None:
        """Prefer :meth:`Schedule.stripe`."""
        arrival = schedule.arrival
        self._points: Points
        if arrival.kind == "trace":
            self._points = Trace(Path(arrival.file or ""))
        else:
            self._points = Constant() if arrival.kind == "constant" else Poisson(schedule.seed)
        self._kind = arrival.kind
        self._end_ns = LATEST_NS if schedule.end_ns is None else min(schedule.end_ns, LATEST_NS)
        self._taken_ns = 0
        # those that hold now and those to come; points of a trace are nanoseconds, so that its clock runs at 1
        self._segments = [_Segment(0, 0, 1 if arrival.kind == "trace" else _parts(arrival.rate or 0.0))]
        self._divisions = [Division(0)]
        self._base, self._offsets = 0, np.empty(0, np.int64)  # the points that were read last
        self._first = self._at = 0  # k of the first of them, and how many of them were passed
        for at_ns, rate in schedule.changes:
            self.change_rate(at_ns, rate)
        for division in divisions:
            self.divide(division)

    @property
    def taken_ns(self) -> int:
        """All that is due before was taken or skipped."""
        return self._taken_ns

    def divide(self, division: Division) -> None:
        """Its share is another from ``division.from_ns`` on; what is due before stays as it is.

        In the order of their times; a second one for the same time replaces the first. Raises ArrivalError where the
        time lies before one that was given before, or before :attr:`taken_ns`: it is too late then, and nothing has
        changed.
        """
        self._add(self._divisions, division)

    def change_rate(self, at_ns: int, rate: float) -> None:
        """``rate`` per second from ``at_ns`` on; 0 is a pause. Order and errors as of :meth:`divide`."""
        if self._kind == "trace":
            raise ArrivalError("a trace has no rate that could change")
        if not 0 <= at_ns <= LATEST_NS:
            raise ArrivalError(f"{at_ns} ns: expected a time from 0 up")
        self._add(self._segments, _Segment(at_ns, self._segments[-1].reaches(at_ns), _parts(rate)))

    def take(self, until_ns: int) -> Due:
        """What of its share is due before ``until_ns`` and was not taken yet. All of it is in memory then.

        Raises TraceError where the file of a trace has changed since it was checked.
        """
        numbers, times = [], []
        for segment, first, step, base, offsets in self._runs(until_ns):
            numbers.append(np.arange(first, first + step * len(offsets), step, dtype=np.int64))
            # from + (base + offset - reached) // rate, where only the offsets are within 64 bits for sure
            ahead_ns, rest = divmod(base - segment.reached, segment.rate)
            times.append((offsets + rest) // segment.rate + (segment.from_ns + ahead_ns))
        if not numbers:
            return Due(np.empty(0, np.int64), np.empty(0, np.int64))
        return Due(np.concatenate(numbers), np.concatenate(times))

    def skip(self, until_ns: int) -> int:
        """Pass over what :meth:`take` would give, and say how many that are: some 50 million in a second.

        A worker that joins late skips to its first division; in steps, where others must have their turn.
        """
        return sum(len(offsets) for *_, offsets in self._runs(until_ns))

    def _add(self, entries: list[Entry], entry: Entry) -> None:
        earliest = max(entries[-1].from_ns, self._taken_ns)
        if entry.from_ns < earliest:
            raise ArrivalError(f"{entry.from_ns} ns is too late to change what is due: it stands until {earliest} ns")
        if entries[-1].from_ns == entry.from_ns:
            entries.pop()
        entries.append(entry)

    def _runs(self, until_ns: int) -> Iterator[_Run]:
        until_ns = min(until_ns, self._end_ns)
        while self._taken_ns < until_ns:
            segment, segment_ends_ns = _current(self._segments, self._taken_ns)
            division, division_ends_ns = _current(self._divisions, self._taken_ns)
            stop_ns = min(until_ns, segment_ends_ns, division_ends_ns)
            yield from self._below(segment.reaches(stop_ns), segment, division)
            self._taken_ns = stop_ns

    def _below(self, edge: int, segment: _Segment, division: Division) -> Iterator[_Run]:
        """The share of all points that are below ``edge`` and have not been passed."""
        while self._fill(segment, division):
            size = len(self._offsets)
            within = edge - self._base  # may be beyond 64 bits
            stop = size if within > self._offsets[-1] else int(np.searchsorted(self._offsets, within))
            if division.of:
                first = self._at + (division.index - self._first - self._at) % division.of
                if first < stop:
                    share = self._offsets[first : stop : division.of]
                    yield segment, self._first + first, division.of, self._base, share
            self._at = stop
            if stop < size:
                return

    def _fill(self, segment: _Segment, division: Division) -> bool:
        """Read points where all were passed. False: there are no more."""
        if self._at == len(self._offsets):
            # about a second of them, or as many as can be where they are only passed over
            size = max(_LEAST, segment.rate * _NS // PARTS) if division.of else MOST
            block = self._points.next(min(size, MOST))
            if block is None:
                return False
            self._first += self._at
            self._at = 0
            self._base, self._offsets = block
        return True


def _current(entries: list[Entry], at_ns: int) -> tuple[Entry, int]:
    """What holds at ``at_ns``, and until when; what was before is dropped."""
    while len(entries) > 1 and entries[1].from_ns <= at_ns:
        del entries[0]
    return entries[0], entries[1].from_ns if len(entries) > 1 else LATEST_NS


def _parts(rate: float) -> int:
    return round(taken_rate(rate) * PARTS / _NS)
