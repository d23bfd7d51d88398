"""The run second by second, in the run's own clock: second 0 begins when the run does.

A request belongs to the second in which it *ended*. Workers number their seconds from their own start of the run, so
the clocks of their machines need not agree. One line for all requests, small enough to keep: of keys it knows only how
many good answers each version gave. How old seconds are put together stands in :mod:`tfs_locust.measure.coarse`.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

ALLOWED_FAILURES = 0.5
"""A second counts as available if at least one request ended in it, and no more than this share of them failed."""
_BITS = 6
"""A second keeps the leading 6 bits of a response time: 32 buckets an octave, off by 1.6 % at most. Enough to draw."""


@dataclass(slots=True)
class Second:
    """One second of one worker, or of all."""

    count: int = 0
    """Requests that ended, failures too."""
    failures: int = 0
    rows: int = 0
    """Rows of the requests that ended well."""
    users: int = 0
    maximum_ns: int = 0
    """The longest response time of the requests that ended well."""
    buckets: dict[int, int] = field(default_factory=dict)
    """Response times of the requests that ended well: shortest duration of the bucket in ns -> count."""
    answers: dict[str, int] = field(default_factory=dict)
    """Requests that ended well by ``model:version``, see :class:`~tfs_locust.measure.stint.Served`."""
    width: int = 1
    """How many seconds these are: of a long run the old ones are put together."""
    told: int = 0
    """How many seconds of workers were put together in it; 0 of a second."""
    available: int = 0
    """Of these, those in which the server was available to that worker."""

    @property
    def is_available(self) -> bool:
        """Whether the server was, in a second; of a step, whether it was as a whole."""
        return bool(self.count) and self.failures <= ALLOWED_FAILURES * self.count

    @property
    def available_share(self) -> float:
        """The part of it in which the server was available: of a step the mean of the workers that told of theirs."""
        return self.available / self.told if self.told else float(self.is_available)

    def record_ok(self, response_ns: int, rows: int) -> None:
        """Count a request that ended well."""
        self.count += 1
        self.rows += rows
        if response_ns > self.maximum_ns:
            self.maximum_ns = response_ns
        shift = response_ns.bit_length() - _BITS
        bucket = response_ns >> shift << shift if shift > 0 else response_ns
        try:
            self.buckets[bucket] += 1
        except KeyError:
            self.buckets[bucket] = 1

    def record_failure(self) -> None:
        """Count a request that failed."""
        self.count += 1
        self.failures += 1

    def replace(self, before: Second, after: Second) -> None:
        """Count ``after`` instead of ``before``, an earlier state of the same that was counted in here."""
        self.count += after.count - before.count
        self.failures += after.failures - before.failures
        self.rows += after.rows - before.rows
        self.users += after.users - before.users
        self.maximum_ns = max(self.maximum_ns, after.maximum_ns)
        self.told += after.told - before.told
        self.available += after.available - before.available
        for bucket, count in after.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count - before.buckets.get(bucket, 0)
        for version, count in after.answers.items():
            self.answers[version] = self.answers.get(version, 0) + count - before.answers.get(version, 0)

    def merge(self, other: Second) -> None:
        """Count in what ``other`` counted; its users are other users."""
        self.replace(Second(), other)

    def copy(self) -> Second:
        """Another one with the same counts."""
        return replace(self, buckets=dict(self.buckets), answers=dict(self.answers))

    def since(self, before: Second) -> Second:
        """What was counted after ``before``, an earlier state of this second. Its longest time is exact where it moved,
        else the longest in its bucket; its users are those of now."""
        buckets = {bucket: count - before.buckets.get(bucket, 0) for bucket, count in self.buckets.items()}
        buckets = {bucket: count for bucket, count in buckets.items() if count}
        risen = ((name, count - before.answers.get(name, 0)) for name, count in self.answers.items())
        answers = {name: count for name, count in risen if count}
        maximum_ns = self.maximum_ns
        if maximum_ns == before.maximum_ns:
            maximum_ns = min(maximum_ns, max((bucket + _width(bucket) - 1 for bucket in buckets), default=0))
        return Second(
            self.count - before.count,
            self.failures - before.failures,
            self.rows - before.rows,
            self.users,
            maximum_ns,
            buckets,
            answers,
            self.width,
            self.told - before.told,
            self.available - before.available,
        )

    def quantile(self, q: float) -> int | None:
        """The response time in ns that ``q`` of the good requests did not exceed, within 1.6 %; None without any."""
        rank = max(1, math.ceil(q * sum(self.buckets.values())))
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank <= 0:
                return min(bucket + _width(bucket) // 2, self.maximum_ns)
        return None

    def to_wire(self) -> list[Any]:
        """Integers, ready for msgpack or JSON."""
        flat = [number for bucket in sorted(self.buckets) for number in (bucket, self.buckets[bucket])]
        steps = (self.width, self.told, self.available)
        return [self.count, self.failures, self.rows, self.users, self.maximum_ns, flat, self.answers, *steps]

    @classmethod
    def from_wire(cls, wire: Iterable[Any]) -> Second:
        """What :meth:`to_wire` gave."""
        count, failures, rows, users, maximum_ns, flat, answers, *steps = wire
        buckets = dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(count, failures, rows, users, maximum_ns, buckets, dict(answers), *steps)

    def pack(self) -> bytes:
        """The same in a third of the memory, for :meth:`unpack`: a master keeps each second of each worker."""
        numbers = (self.count, self.failures, self.rows, self.users, self.maximum_ns)
        steps = (self.width, self.told, self.available)
        packed = array("q", (len(self.buckets), *numbers, *steps, *self.buckets, *self.buckets.values())).tobytes()
        return packed + json.dumps(self.answers).encode() if self.answers else packed

    @classmethod
    def unpack(cls, packed: bytes) -> Second:
        """What :meth:`pack` was given."""
        different, count, failures, rows, users, maximum_ns, *steps = array("q", packed[: 8 * 9])
        end = 8 * (9 + 2 * different)
        flat = array("q", packed[8 * 9 : end])
        buckets = dict(zip(flat[:different], flat[different:], strict=True))
        answers = json.loads(packed[end:] or "{}")
        return cls(count, failures, rows, users, maximum_ns, buckets, answers, *steps)


def _width(bucket: int) -> int:
    """How many nanoseconds a bucket is wide."""
    return 1 << max(bucket.bit_length() - _BITS, 0)
