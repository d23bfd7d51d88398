"""Outages: stretches in which nothing ended well, with their edges, and when the server was itself again after them.

A run of failures is an outage if it lasts :data:`SHORTEST_NS` at least and is no chance: with the error rate that the
run has beside it, a run of as many would come up in fewer than one of a hundred such runs. So neither the failures of a
version that fails 2 % of its requests nor an overload that sheds a third of them are outages; these show in the
availability. What several workers or user classes saw at the same time is one outage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfs_locust.judge.stretch import Bound, stretch
from tfs_locust.measure.spell import Spell
from tfs_locust.measure.timeline import Second

SHORTEST_NS = 100_000_000
"""A shorter one is not told from a burst of refusals."""
_CHANCE = 0.01
_BEFORE_S = 10
"""The seconds before an outage whose median is what it is measured by without objectives."""
_LASTING_S = 3
"""A server is itself again when it is so for as many seconds, or until the run's end."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage. Times are in seconds since the run's start; None where that moment did not come."""

    start_s: float
    """After the last request that ended well, and when one that failed was on its way."""
    detected_s: float
    """When the first failure was known."""
    first_success_s: float | None
    recovered_s: float | None
    """When the server was back inside what ``recovered_by`` says, for three seconds: the beginning of the first second
    of these, and not before the first success. So it is known to a second."""
    recovered_by: str
    failures: int
    watched_s: float
    """How long the run went on after the start: for one that did not recover."""

    @property
    def recovery_s(self) -> float | None:
        """From the start until it was over for good."""
        return None if self.recovered_s is None else self.recovered_s - self.start_s


def find_outages(
    spells: Sequence[Spell],
    timeline: Mapping[int, Second],
    *,
    requests: int,
    failures: int,
    end_ns: int,
    begin_ns: int = 0,
    bounds: Sequence[Bound] = (),
) -> tuple[Outage, ...]:
    """The outages of a run, rising: a server that has not recovered from one when the next begins is in the same one.

    ``requests`` and ``failures`` are those of the whole run that were sent, ``begin_ns`` the end of its warm-up and
    ``end_ns`` that of its load: what was over before, or began later, is none. Without ``bounds`` a server has
    recovered when its median is inside twice that of the ten seconds before.
    """
    groups: list[list[Spell]] = []
    for spell in sorted(_no_chance(spells, requests, failures, end_ns), key=lambda one: one.start_ns):
        if groups and spell.start_ns <= max(_end(one, end_ns) for one in groups[-1]):
            groups[-1].append(spell)
        else:
            groups.append([spell])
    found: list[tuple[list[Spell], Outage]] = []
    for group in (one for one in groups if max(_end(spell, end_ns) for spell in one) >= begin_ns):
        outage = _outage(group, timeline, end_ns, bounds)
        while found and (found[-1][1].recovered_s is None or outage.start_s < found[-1][1].recovered_s):
            group = found.pop()[0] + group
            outage = _outage(group, timeline, end_ns, bounds)
        found.append((group, outage))
    return tuple(outage for _, outage in found)


def _no_chance(spells: Sequence[Spell], requests: int, failures: int, end_ns: int) -> list[Spell]:
    """The spells that are outages, or parts of one. The longest row of failures is held against the error rate beside
    it, then the next against that beside both, until one may be chance."""
    long = [one for one in spells if one.length_ns >= SHORTEST_NS and one.start_ns < end_ns]
    found: list[Spell] = []
    beside, well = failures, max(requests - failures, 0)
    for spell in sorted(long, key=lambda one: -one.failures):
        beside = max(beside - spell.failures, 0)
        rate = (beside + 1) / (well + beside + 2)
        if spell.failures < max(2, math.log(_CHANCE / max(requests, 1)) / math.log(rate)):
            break
        found.append(spell)
    return found


def _end(spell: Spell, end_ns: int) -> int:
    return spell.after_ns if spell.after_ns >= 0 else max(end_ns, spell.last_ns)


def _outage(group: Sequence[Spell], timeline: Mapping[int, Second], end_ns: int, bounds: Sequence[Bound]) -> Outage:
    detected_ns = min(one.first_ns for one in group)
    # something still ended well at some worker until then: so the outage had not begun
    last_good_ns = max((one.before_ns for one in group if one.before_ns <= detected_ns), default=-1)
    start_ns = min(min(max(one.sent_ns, last_good_ns) for one in group), detected_ns)
    successes = [one.after_ns for one in group if one.after_ns >= 0]
    first_success_ns = min(successes, default=None)
    by = bounds or _as_before(timeline, start_ns)
    recovered_s = None
    if first_success_ns is not None:
        recovered_s = _recovered_s(timeline, max(successes) / _NS, end_ns / _NS, by)
    return Outage(
        start_s=start_ns / _NS,
        detected_s=detected_ns / _NS,
        first_success_s=None if first_success_ns is None else first_success_ns / _NS,
        recovered_s=recovered_s,
        recovered_by=" and ".join(one.text for one in by) or "nothing failing",
        failures=sum(one.failures for one in group),
        watched_s=max(end_ns - start_ns, 0) / _NS,
    )


def _as_before(timeline: Mapping[int, Second], start_ns: int) -> tuple[Bound, ...]:
    """Twice the median before; nothing where nothing was measured before."""
    begin_s = start_ns // _NS
    median_ns = stretch(timeline, begin_s - _BEFORE_S, begin_s).quantile(0.5)
    if median_ns is None:
        return ()
    return (Bound(0.5, 2 * median_ns, f"p50 within twice the {median_ns / 1e6:.3g} ms before"),)


def _recovered_s(
    timeline: Mapping[int, Second], success_s: float, end_s: float, bounds: Sequence[Bound]
) -> float | None:
    """The beginning of the first of three good seconds; seconds in which nothing ended are neither good nor bad."""
    first = math.floor(success_s)
    rising = [
        (number, second) for number, second in sorted(timeline.items()) if first <= number < end_s and second.count
    ]
    good = [
        all(bound.holds(second) for bound in bounds) and 2 * second.failures <= second.count for _, second in rising
    ]
    for at, (number, _) in enumerate(rising):
        if all(good[at : at + _LASTING_S]):
            return max(float(number), success_s)
    return None
