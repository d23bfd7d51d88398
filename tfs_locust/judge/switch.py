"""One switch as figures: how long it took, what it cost, and whether it came off.

Times are in seconds from the trigger. Counts and response times are of whole seconds of the timeline: *before* are the
ten before the trigger's second, *during* those from it to the switch's end, *after* the ten that follow. Where old
seconds were put together it is whole steps, so that nothing is missed: ``seconds`` says how many they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tfs_locust.judge.stretch import Figures, figures, stretch, widened
from tfs_locust.judge.switches import SLACK_NS, Attempt
from tfs_locust.measure.stint import Stint
from tfs_locust.measure.timeline import Second

AROUND_S = 10
TIMEOUT_S = 60.0
"""How long a version is waited for that does not come, where nobody says how long."""
_COLD_FROM = 3
_CHANCE = 0.01
_SILENT = 10
"""An old version no longer answers when it has not for as many of its mean distances."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """How the new version began. Times are response times in seconds."""

    count: int
    min_s: float
    median_s: float
    max_s: float
    slow: int
    """Those that were slower than p99.9 of the ten seconds after the switch and after the last of them."""
    cold: bool | None
    """At least three were and more than chance has, or one by five times: the version was not warm when it began to
    serve. None where nothing was answered in these seconds."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch, or the attempt at one."""

    model: str
    from_version: str
    """Empty where none answered before."""
    to_version: str
    found_by: str
    """``mark``, ``status`` or ``answers``."""
    trigger_s: float
    """Since the run's start. Without a mark the first that was seen of it: that may be late by the time of a poll."""
    available_s: float | None
    """When the server said AVAILABLE; to the time between two polls."""
    load_s: float | None
    """From when it was first seen to be there, or from the trigger, whichever is later, until it was AVAILABLE."""
    first_answer_s: float | None
    last_old_answer_s: float | None
    """None where no other version answered before, or one still does."""
    mixed_s: float | None
    """How long both answered, from the trigger on."""
    stale_s: float | None
    """How long the old one still answered when the new one was AVAILABLE."""
    stale_answers: int
    """How many these were, in whole seconds after."""
    errors: int
    """Requests that failed *during*."""
    before: Figures
    during: Figures
    after: Figures
    first_answers: FirstAnswers | None
    success: bool | None
    """None: the run ended before it could be told."""
    why: str
    """Why it is no success, or what was not seen; else empty."""

    @property
    def settled_s(self) -> float | None:
        """How long the switch took: until the new version answered and the old one no longer did; where answers tell no
        version until it was AVAILABLE. None of one that did not come off. Of one that is found by answers alone nobody
        knows when it was triggered, and this is the least it can have taken."""
        if not self.success:
            return None
        known = [one for one in (self.first_answer_s, self.last_old_answer_s) if one is not None]
        return max(known) if known else self.available_s


def figure(attempt: Attempt, timeline: Mapping[int, Second], end_ns: int) -> Switch:
    """The figures of an attempt in a run whose load ended at ``end_ns``."""
    trigger, stint = attempt.trigger_ns, attempt.stint
    available = None if attempt.seen is None else attempt.seen.available_ns
    last_old = _last_old(attempt, end_ns)
    first_answer = None if stint is None else stint.first_ns
    answered_already = stint is not None and stint.first_ns < trigger - SLACK_NS
    settled = max(one for one in (trigger, available, first_answer, last_old) if one is not None)
    success, why = _success(attempt, timeline, end_ns, last_old)
    if success is not True:
        settled = max(settled, _given_up_ns(attempt, end_ns))
    first_s, settled_s = widened(timeline, trigger // _NS, settled // _NS + 1)
    before_s, _ = widened(timeline, first_s - AROUND_S, first_s)
    during = figures(timeline, first_s, settled_s)
    after = figures(timeline, *widened(timeline, settled_s, settled_s + AROUND_S))

    def since_trigger(moment_ns: int | None) -> float | None:
        return None if moment_ns is None else max(moment_ns - trigger, 0) / _NS

    def between(begin_ns: int | None, end_ns: int | None) -> float | None:
        return None if begin_ns is None or end_ns is None else max(end_ns - begin_ns, 0) / _NS

    seen_ns = None if attempt.seen is None else max(attempt.seen.seen_ns, trigger)
    if available is not None and available == seen_ns and attempt.seen is not None:
        seen_ns = max(attempt.seen.absent_ns, trigger)  # it was never seen loading: it took at most this long
    return Switch(
        model=attempt.model,
        from_version="" if attempt.old is None else attempt.old.version,
        to_version=attempt.version,
        found_by=attempt.found_by,
        trigger_s=trigger / _NS,
        available_s=since_trigger(available),
        load_s=between(seen_ns, available),
        first_answer_s=since_trigger(first_answer),
        last_old_answer_s=since_trigger(last_old),
        mixed_s=between(None if first_answer is None else max(first_answer, trigger), last_old),
        stale_s=between(available, last_old),
        stale_answers=_stale(attempt, timeline, available, last_old),
        errors=during.failures,
        before=figures(timeline, before_s, first_s),
        during=during,
        after=after,
        first_answers=None if stint is None or answered_already else _first_answers(stint, timeline, settled_s),
        success=success,
        why=why,
    )


def _given_up_ns(attempt: Attempt, end_ns: int) -> int:
    """Until when a switch lasted that did not come off."""
    if attempt.seen is not None and attempt.seen.ended_ns is not None:
        return attempt.seen.ended_ns
    return min(attempt.trigger_ns + round(_timeout_s(attempt) * _NS), end_ns - 1)


def _timeout_s(attempt: Attempt) -> float:
    mark = attempt.mark
    return TIMEOUT_S if mark is None or mark.timeout_s is None else mark.timeout_s


def _last_old(attempt: Attempt, end_ns: int) -> int | None:
    """When the old version answered last; None as long as it goes on."""
    old, new = attempt.old_stint, attempt.stint
    if old is None or new is None or old.last_ns < attempt.trigger_ns - AROUND_S * _NS:
        return None
    silent_ns = max(new.last_ns, end_ns) - old.last_ns
    distance_ns = (old.last_ns - old.first_ns) // max(old.answers - 1, 1)
    return old.last_ns if silent_ns > _SILENT * distance_ns and new.last_ns > old.last_ns else None


def _success(
    attempt: Attempt, timeline: Mapping[int, Second], end_ns: int, last_old: int | None
) -> tuple[bool | None, str]:
    seen, stint, mark = attempt.seen, attempt.stint, attempt.mark
    timeout_s = _timeout_s(attempt)
    waited_s = max(end_ns - attempt.trigger_ns, 0) / _NS
    version = f"version {attempt.version}"
    if seen is not None and seen.error and stint is None:
        return False, f"{version} was not loaded: {seen.error}"
    moment = stint.first_ns if stint is not None else None if seen is None else seen.available_ns
    is_limited = mark is not None and mark.timeout_s is not None
    if moment is not None and is_limited and (moment - attempt.trigger_ns) / _NS > timeout_s:
        return False, f"{version} came after {(moment - attempt.trigger_ns) / _NS:.3g} s, {timeout_s:g} s were given"
    if stint is not None:
        if attempt.old is not None and last_old is None and mark is not None and _goes_on(attempt):
            late = waited_s >= timeout_s
            return (False if late else None), f"version {attempt.old.version} still answered when the run ended"
        return True, ""
    if moment is not None:
        return _unanswered(attempt, timeline, moment)
    if seen is None and attempt.was_there:
        success, why = _unanswered(attempt, timeline, attempt.trigger_ns)
        if success:
            return None, f"{version} was available before, and answers tell no version (REST)"
        return (False if success is False and waited_s >= timeout_s else None), why
    if not attempt.asked and _unanswered(attempt, timeline, attempt.trigger_ns)[0]:
        return None, "nobody can tell: answers name no version (REST), and the server was not asked for its status"
    if waited_s >= timeout_s:
        return False, f"timed out: {version} was not available {timeout_s:g} s after the trigger"
    return None, f"the run ended {waited_s:.3g} s after the trigger, before {version} was available"


def _goes_on(attempt: Attempt) -> bool:
    return attempt.old_stint is not None and attempt.old_stint.last_ns > attempt.trigger_ns


def _unanswered(attempt: Attempt, timeline: Mapping[int, Second], available_ns: int) -> tuple[bool | None, str]:
    """It was AVAILABLE, and no answer names it."""
    after = stretch(timeline, available_ns // _NS + 1, max(timeline, default=0) + 1).answers
    own = {name: count for name, count in after.items() if name.rpartition(":")[0] == attempt.model}
    if any(name.rpartition(":")[2] for name in own):
        others = ", ".join(sorted(name.rpartition(":")[2] or "?" for name in own))
        return False, f"version {attempt.version} was available, and never served: {others} answered"
    if own:
        return True, "answers tell no version (REST): known from the server's status alone"
    return None, f"no request was answered after version {attempt.version} was available"


def _stale(attempt: Attempt, timeline: Mapping[int, Second], available_ns: int | None, last_old_ns: int | None) -> int:
    if available_ns is None or last_old_ns is None or attempt.old is None:
        return 0
    total = stretch(timeline, available_ns // _NS + 1, last_old_ns // _NS + 1)
    return total.answers.get(str(attempt.old), 0)


def _first_answers(stint: Stint, timeline: Mapping[int, Second], settled_s: int) -> FirstAnswers:
    until_us = stint.firsts[0][0] + AROUND_S * 1_000_000
    firsts = [(at_us, response_us) for at_us, response_us in stint.firsts if at_us < until_us]
    times = [response_us / 1e6 for _, response_us in firsts]
    rising = sorted(times)
    # not the seconds in which they end: slow ones would be compared with themselves
    begin_s = max(settled_s, firsts[-1][0] // 1_000_000 + 1)
    usual = figures(timeline, *widened(timeline, begin_s, begin_s + AROUND_S))
    usual_s, others = usual.p99_9_s, usual.requests - usual.failures
    slow = sum(usual_s is not None and one > usual_s for one in times)
    # of equal ones k of n are slower than all of m others in about (n / (n + m)) ** k of all cases
    by_chance = math.log(_CHANCE) / math.log(len(times) / (len(times) + others)) if others else 0.0
    cold = None if usual_s is None else slow >= max(_COLD_FROM, by_chance) or rising[-1] > 5 * usual_s
    return FirstAnswers(len(times), rising[0], rising[len(rising) // 2], rising[-1], slow, cold)
