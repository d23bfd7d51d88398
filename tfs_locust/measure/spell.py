"""When nothing ended well: spells of failures, to the nanosecond, so that a short outage is not blurred to a second.

A *spell* is of one user class and model at one worker, or of all its requests: a failure, and all that follow it until
something ends well again. With many models none has many failures in a short outage, and all together have. Requests
that were never sent tell nothing of the server, and neither begin nor end one. Workers' clocks agree to the delay of
the message that starts them (see :mod:`tfs_locust.measure.stint`), so the edges of an outage that several workers saw
do, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from heapq import heappush, heappushpop

SHORTEST_NS = 100_000_000
"""A shorter spell is not told from a burst of refusals."""
MOST_SPELLS = 50
"""A worker keeps those with the most failures: at random failures there are thousands, and none of those is an outage.
They are not those that lasted longest: where requests are rare each failure is a long spell."""


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
    shorter: int = 0
    """How many spells of the same requests at that worker had less than half as many failures, or less than five: those
    may be chance."""
    repeated: int = 0
    """How many of these had more than one."""
    of_all: bool = False
    """Whether it is of all requests of the worker."""

    @property
    def goes_on_share(self) -> float:
        """How often a failure is followed by another by chance, as far as the shorter spells tell: few of them tell
        little. So failures that come in a part of the run only are held against that part."""
        return self.repeated / (self.shorter + 5)

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
        return [int(value) for value in astuple(self)]

    @classmethod
    def from_wire(cls, wire: Iterable[int]) -> Spell:
        """What :meth:`to_wire` gave."""
        before_ns, sent_ns, first_ns, last_ns, after_ns, failures, shorter, repeated, of_all = wire
        return cls(before_ns, sent_ns, first_ns, last_ns, after_ns, failures, shorter, repeated, bool(of_all))


@dataclass(slots=True)
class Flow:
    """The requests of one user class to one model, or all, as to whether they end well."""

    is_failing: bool = False
    before_ns: int = -1
    sent_ns: int = -1
    first_ns: int = -1
    last_ns: int = -1
    failures: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    """How many spells that are over had so many failures."""

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
        self.lengths[self.failures] += 1
        return self._spell(max(at_ns, self.last_ns))

    def open(self) -> Iterator[Spell]:
        """The spell that goes on, if one does."""
        if self.is_failing:
            yield self._spell(-1)

    def _spell(self, after_ns: int) -> Spell:
        return Spell(self.before_ns, self.sent_ns, self.first_ns, self.last_ns, after_ns, self.failures)


class Longest:
    """The spells with the most failures of those that are over, one that is no outage only where there is room."""

    def __init__(self) -> None:
        self._heap: list[tuple[bool, int, int, int, Spell, Flow]] = []
        self._serial = 0

    def add(self, spell: Spell, flow: Flow) -> None:
        """Keep it, if it is one of the longest."""
        self._serial += 1
        entry = (spell.length_ns >= SHORTEST_NS, spell.failures, spell.length_ns, self._serial, spell, flow)
        if len(self._heap) < MOST_SPELLS:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)

    def __iter__(self) -> Iterator[Spell]:
        return (beside(spell, flow) for *_, spell, flow in self._heap)


def beside(spell: Spell, flow: Flow) -> Spell:
    """A spell of a flow with what is known by now of the shorter ones."""
    limit = max(spell.failures / 2, 5)
    shorter = {length: count for length, count in flow.lengths.items() if length < limit}
    if spell.after_ns >= 0 and spell.failures in shorter:
        shorter[spell.failures] -= 1  # it is one of them itself
    total = sum(shorter.values())
    return replace(spell, shorter=total, repeated=total - shorter.get(1, 0))
