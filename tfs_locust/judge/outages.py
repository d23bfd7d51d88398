"""Outages: stretches in which nothing ended well, with their edges, and when the server was itself again after them.

A row of failures is an outage if it lasts :data:`~tfs_locust.measure.spell.SHORTEST_NS` at least and is no chance: with
the error rate that the run has beside it, and as often as the same requests fail twice in a row elsewhere, a row of as
many would come up in fewer than one of a hundred such runs. So neither the failures of a version that fails 2 % of its
requests nor an overload that sheds a third of them for a while are outages; these show in the availability. What
several workers or user classes saw at the same time is one outage.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tfs_locust.judge.stretch import Bound, stretch
from tfs_locust.measure.coarse import step_of
from tfs_locust.measure.spell import SHORTEST_NS, Spell
from tfs_locust.measure.timeline import Second

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
    ends: list[int] = []
    for spell in sorted(
        _told_once(_no_chance(spells, requests, failures, end_ns), end_ns), key=lambda one: one.start_ns
    ):
        if groups and spell.start_ns <= ends[-1]:
            groups[-1].append(spell)
            ends[-1] = max(ends[-1], _end(spell, end_ns))
        else:
            groups.append([spell])
            ends.append(_end(spell, end_ns))
    rising = sorted(timeline)
    found: list[tuple[list[Spell], Outage]] = []
    for group in (one for one, last_ns in zip(groups, ends, strict=True) if last_ns >= begin_ns):
        outage = _outage(group, timeline, rising, end_ns, bounds)
        while found and (found[-1][1].recovered_s is None or outage.start_s < found[-1][1].recovered_s):
            group = found.pop()[0] + group
            outage = _outage(group, timeline, rising, end_ns, bounds)
        found.append((group, outage))
    return tuple(outage for _, outage in found)


def _no_chance(spells: Sequence[Spell], requests: int, failures: int, end_ns: int) -> list[Spell]:
    """The spells that are outages, or parts of one. The longest row of failures is held against the error rate beside
    it, then the next against that beside both."""
    long = [one for one in spells if one.length_ns >= SHORTEST_NS and one.start_ns < end_ns]
    found: list[Spell] = []
    beside, well = {False: failures, True: failures}, max(requests - failures, 0)
    for spell in sorted(long, key=lambda one: -one.failures):
        others = max(beside[spell.of_all] - spell.failures, 0)
        rate = max((others + 1) / (well + others + 2), spell.goes_on_share)
        if spell.failures >= max(2, math.log(_CHANCE / max(requests, 1)) / math.log(rate)):
            found.append(spell)
            beside[spell.of_all] = others
    return found


def _told_once(spells: Sequence[Spell], end_ns: int) -> list[Spell]:
    """Without those of single models that failed only while all did: where requests are rare they end late."""
    of_all = sorted((one.start_ns, _end(one, end_ns)) for one in spells if one.of_all)
    begins = [begin for begin, _ in of_all]
    reach = list(accumulate((end for _, end in of_all), max))

    def all_failed(at_ns: int) -> bool:
        before = bisect_right(begins, at_ns)
        return before > 0 and reach[before - 1] >= at_ns

    return [one for one in spells if one.of_all or not (all_failed(one.first_ns) and all_failed(one.last_ns))]


def _end(spell: Spell, end_ns: int) -> int:
    return spell.after_ns if spell.after_ns >= 0 else max(end_ns, spell.last_ns)


def _outage(
    group: Sequence[Spell], timeline: Mapping[int, Second], rising: Sequence[int], end_ns: int, bounds: Sequence[Bound]
) -> Outage:
    detected_ns = min(one.first_ns for one in group)
    # something still ended well at some worker until then: so the outage had not begun
    last_good_ns = max((one.before_ns for one in group if one.before_ns <= detected_ns), default=-1)
    start_ns = min(min(max(one.sent_ns, last_good_ns) for one in group), detected_ns)
    successes = [one.after_ns for one in group if one.after_ns >= 0]
    first_success_ns = min(successes, default=None)
    # of all requests and of some the failures of an outage are told twice
    failures = max(sum(one.failures for one in group if one.of_all is of_all) for of_all in (False, True))
    by = bounds or _as_before(timeline, start_ns)
    recovered_s = None
    if first_success_ns is not None:
        recovered_s = _recovered_s(timeline, rising, max(successes) / _NS, end_ns / _NS, by, failures)
    return Outage(
        start_s=start_ns / _NS,
        detected_s=detected_ns / _NS,
        first_success_s=None if first_success_ns is None else first_success_ns / _NS,
        recovered_s=recovered_s,
        recovered_by=" and ".join(one.text for one in by) or "nothing failing",
        failures=failures,
        watched_s=max(end_ns - start_ns, 0) / _NS,
    )


def _as_before(timeline: Mapping[int, Second], start_ns: int) -> tuple[Bound, ...]:
    """Twice the median before; nothing where nothing was measured before."""
    begin_s = step_of(timeline, start_ns // _NS)
    median_ns = stretch(timeline, step_of(timeline, begin_s - _BEFORE_S), begin_s).quantile(0.5)
    if median_ns is None:
        return ()
    return (Bound(0.5, 2 * median_ns, f"p50 within twice the {median_ns / 1e6:.3g} ms before"),)


def _recovered_s(
    timeline: Mapping[int, Second],
    rising: Sequence[int],
    success_s: float,
    end_s: float,
    bounds: Sequence[Bound],
    failures: int,
) -> float | None:
    """The beginning of the first of three good seconds, or of a good step of as many; seconds in which nothing ended
    are neither good nor bad. In a step that holds the first success the outage's own failures are not counted."""
    good: list[int] = []
    good_s = 0
    first = step_of(timeline, math.floor(success_s))
    for number in rising[bisect_left(rising, first) :]:
        second = timeline[number]
        if number >= end_s:
            break
        if not second.count:
            continue
        failed = second.failures - (failures if number + second.width > success_s > number and second.width > 1 else 0)
        if all(bound.holds(second) for bound in bounds) and 2 * failed <= second.count:
            good.append(number)
            good_s += second.width
        else:
            good, good_s = [], 0
        if good_s >= _LASTING_S:
            break
    return max(float(good[0]), success_s) if good else None
