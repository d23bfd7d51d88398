"""When nothing ended well: spells of failures, to the nanosecond, so that a short outage is not blurred to a second.

A *spell* is of one user class and model at one worker: a failure, and all that follow it until something ends well
again. Requests that were never sent tell nothing of the server, and neither begin nor end one. Workers' clocks agree to
the delay of the message that starts them (see :mod:`tfs_locust.measure.stint`), so the edges of an outage that several
workers saw do, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from heapq import heappush, heappushpop

MOST_SPELLS = 50
"""A worker keeps the longest of them: at random failures there are thousands, and none of those is an outage."""


@dataclass(frozen=True, slots=True, order=True)
class Spell:
    """Failures in a row. Times are of the run's clock; -1 where there was no such moment."""

    before_ns: int
    """The end of the last request to that model before that ended well."""
    sent_ns: int
    """When the first that failed was sent."""
    first_ns: int
    """When the first failure was known."""
    last_ns: int
    """When the last one was."""
    after_ns: int
    """The end of the first request after that ended well; -1 as long as there is none."""
    failures: int

    @property
    def start_ns(self) -> int:
        """When what made them fail began, as near as requests can tell: after the last that ended well, and not before
        the first to fail was on its way."""
        return min(max(self.before_ns, self.sent_ns), self.first_ns)

    @property
    def length_ns(self) -> int:
        """From the start until something ended well, or to the last failure if nothing did."""
        return max(self.after_ns, self.last_ns) - self.start_ns

    def to_wire(self) -> list[int]:
        """Integers, ready for msgpack or JSON."""
        return list(astuple(self))

    @classmethod
    def from_wire(cls, wire: Iterable[int]) -> Spell:
        """What :meth:`to_wire` gave."""
        return cls(*wire)


@dataclass(slots=True)
class Flow:
    """The requests of one user class to one model, as to whether they end well."""

    is_failing: bool = False
    before_ns: int = -1
    sent_ns: int = -1
    first_ns: int = -1
    last_ns: int = -1
    failures: int = 0

    def begin(self, before_ns: int, sent_ns: int, at_ns: int) -> None:
        """A request that was sent has failed, and the one before had not."""
        self.is_failing, self.failures = True, 1
        self.before_ns, self.sent_ns, self.first_ns, self.last_ns = before_ns, sent_ns, at_ns, at_ns

    def go_on(self, at_ns: int) -> None:
        """Another has failed."""
        self.failures += 1
        self.last_ns = max(self.last_ns, at_ns)

    def end(self, at_ns: int) -> Spell:
        """A request has ended well: the spell that is over."""
        self.is_failing = False
        return self._spell(max(at_ns, self.last_ns))

    def open(self) -> Iterator[Spell]:
        """The spell that goes on, if one does."""
        if self.is_failing:
            yield self._spell(-1)

    def _spell(self, after_ns: int) -> Spell:
        return Spell(self.before_ns, self.sent_ns, self.first_ns, self.last_ns, after_ns, self.failures)


class Longest:
    """The longest spells of those that are over."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Spell]] = []

    def add(self, spell: Spell) -> None:
        """Keep it, if it is one of the longest."""
        entry = (spell.length_ns, spell)
        if len(self._heap) < MOST_SPELLS:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)

    def __iter__(self) -> Iterator[Spell]:
        return (spell for _, spell in self._heap)
