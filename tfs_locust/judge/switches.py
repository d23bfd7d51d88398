"""Switches from one version of a model to another, found from answers, from the server's own word, and from marks.

What is known of each attempt is put together:

* a **mark** says when a version was asked for, and which;
* **polls** of GetModelStatus say when the version was first there, and when it was AVAILABLE, or ended in an error.
  They know it to the time between two polls;
* **answers** (:mod:`tfs_locust.measure.stint`) say when the new version answered first and the old one last. REST
  answers carry no version: there polls alone tell.

A switch that nobody here triggered has no mark, and is found just the same: by answers, where a version ends and one
that began later goes on; by polls, where a version comes that was not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tfs_locust.judge.moments import AVAILABLE, END, SWITCH, Mark, Poll
from tfs_locust.measure.stint import SILENCE_NS, Served, Stint, joined

SLACK_NS = 1_000_000_000
"""How far an answer may lie before the mark that caused it, for clocks and polls that do not agree to the moment."""
_STEADY = 10
"""A version is silent only if it is so for this many times its mean distance between answers, the silence included: a
canary with an answer in two seconds is not rolled back and forth, and of a version that answered ten times or less
nobody can tell."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What polls say of one version coming, in ns since the run's start."""

    version: str
    absent_ns: int
    """When it was last seen not to be there."""
    seen_ns: int
    """When it was first seen in any state."""
    available_ns: int | None
    error: str
    """What it ended with before it was available; else empty."""
    ended_ns: int | None = None
    """When it was seen to have ended so."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What there is of one switch, in ns since the run's start; None where that was not seen."""

    model: str
    version: str
    mark: Mark | None
    seen: Seen | None
    stint: Stint | None
    """The answers of the new version."""
    old: Served | None
    old_stint: Stint | None
    """Those of the version that answered before."""
    asked: bool = False
    """The server was asked which versions of the model it has."""
    was_there: bool = False
    """It said that this one was AVAILABLE when the mark was made."""

    @property
    def trigger_ns(self) -> int:
        """The mark; without one when the version was first seen, or last seen not to be there where it was never seen
        loading: the time is at most that; without that its first answer."""
        if self.mark is not None:
            return self.mark.at_ns
        if self.seen is None:
            return 0 if self.stint is None else self.stint.first_ns
        seen = self.seen
        first_ns = seen.absent_ns if seen.seen_ns == seen.available_ns else seen.seen_ns
        came_now = self.stint is not None and self.stint.first_ns >= seen.absent_ns - SLACK_NS
        return min(first_ns, self.stint.first_ns) if self.stint is not None and came_now else first_ns

    @property
    def found_by(self) -> str:
        """``mark``, ``status`` or ``answers``: the first of these that there is."""
        return "mark" if self.mark is not None else "status" if self.seen is not None else "answers"


def attempts(
    stints: Mapping[Served, Sequence[Stint]], marks: Iterable[Mark] = (), polls: Iterable[Poll] = ()
) -> tuple[Attempt, ...]:
    """All switches of a run, those that failed too, rising by trigger."""
    marks, polls = [one for one in marks if one.kind == SWITCH], list(polls)
    named = {served: _steady(several) for served, several in stints.items() if served.version.isdigit()}
    models = {served.model for served in named} | {one.model for one in marks} | {one.model for one in polls}
    found: list[Attempt] = []
    for model in sorted(models):
        own = _with_others_between({served: several for served, several in named.items() if served.model == model})
        own_polls = sorted((one for one in polls if one.model == model), key=lambda one: one.at_ns)
        for one in _of_model(model, own, [one for one in marks if one.model == model], _comings(own_polls)):
            found.append(replace(one, asked=bool(own_polls), was_there=_was_there(own_polls, one)))
    return tuple(sorted(found, key=lambda one: (one.trigger_ns, one.model, one.version)))


def _of_model(
    model: str, stints: Mapping[Served, Sequence[Stint]], marks: Sequence[Mark], seen: Sequence[Seen]
) -> list[Attempt]:
    found = []
    left_seen, left = list(seen), [(served, one) for served, several in stints.items() for one in several]
    ordered = sorted(marks, key=lambda one: one.at_ns)
    for at, mark in enumerate(ordered):
        from_ns = mark.at_ns - SLACK_NS
        until_ns = next((one.at_ns for one in ordered[at + 1 :] if one.version == mark.version), None)
        coming = _take_seen(left_seen, mark.version, from_ns, until_ns)
        stint = _take_stint(left, mark.version, from_ns, until_ns) or _already(left, mark.version, mark.at_ns)
        found.append(Attempt(model, mark.version, mark, coming, stint, None, None))
    for coming in list(left_seen):
        from_ns = coming.absent_ns - SLACK_NS
        stint = _take_stint(left, coming.version, from_ns, None) or _already(left, coming.version, coming.seen_ns)
        if stint is not None or not _answered_through(stints, coming):
            found.append(Attempt(model, coming.version, None, coming, stint, None, None))
    found = [_with_old(one, stints) for one in found]
    for served, stint in left:
        one = _with_old(Attempt(model, served.version, None, None, stint, None, None), stints)
        if one.old_stint is not None and _is_over(one.old_stint, stint, _last_ns(stints)):
            found.append(one)
    return found


def _take_seen(left: list[Seen], version: str, from_ns: int, until_ns: int | None) -> Seen | None:
    for one in left:
        if one.version == version and one.seen_ns >= from_ns and (until_ns is None or one.absent_ns < until_ns):
            left.remove(one)
            return one
    return None


def _take_stint(left: list[tuple[Served, Stint]], version: str, from_ns: int, until_ns: int | None) -> Stint | None:
    """The first stint of the version that begins there."""
    candidates = [
        (stint.first_ns, at)
        for at, (served, stint) in enumerate(left)
        if served.version == version and stint.first_ns >= from_ns and (until_ns is None or stint.first_ns < until_ns)
    ]
    return left.pop(min(candidates)[1])[1] if candidates else None


def _already(left: list[tuple[Served, Stint]], version: str, at_ns: int) -> Stint | None:
    """The stint of a version that answered when it was asked for, or came: a label was moved to it, or it was gone for
    less than a silence. If it did so from the run's start it is no other switch's."""
    start_ns = min((stint.first_ns for _, stint in left), default=0)
    for at, (served, stint) in enumerate(left):
        if served.version == version and stint.first_ns < at_ns <= stint.last_ns:
            return left.pop(at)[1] if stint.first_ns - start_ns < SLACK_NS else stint
    return None


def _answered_through(stints: Mapping[Served, Sequence[Stint]], coming: Seen) -> bool:
    """Whether the version answered before it came, and after: polls were answered by several servers in turn."""
    own = (stint for served, several in stints.items() if served.version == coming.version for stint in several)
    return any(stint.first_ns < coming.absent_ns and stint.last_ns > coming.seen_ns for stint in own)


def _with_old(attempt: Attempt, stints: Mapping[Served, Sequence[Stint]]) -> Attempt:
    """With the version that answered last of those that answered before: of several that which is over, if one is."""
    begin_ns = attempt.trigger_ns if attempt.stint is None else max(attempt.trigger_ns, attempt.stint.first_ns)
    before = [
        (stint, served)
        for served, several in stints.items()
        for stint in several
        if served.version != attempt.version and stint.first_ns < begin_ns
    ]
    last_ns = _last_ns(stints)
    over = [one for one in before if attempt.stint is not None and _is_over(one[0], attempt.stint, last_ns)]
    chosen = max(over or before, key=lambda one: one[0].last_ns, default=None)
    if chosen is None:
        return attempt
    return replace(attempt, old=chosen[1], old_stint=chosen[0])


def _last_ns(stints: Mapping[Served, Sequence[Stint]]) -> int:
    return max((stint.last_ns for several in stints.values() for stint in several), default=0)


def _is_over(old: Stint, new: Stint, last_ns: int) -> bool:
    """Whether the old version is silent, until the last answer of any, and was so for long enough while the new one
    answered."""
    silent_ns = new.last_ns - old.last_ns
    return last_ns - old.last_ns > SILENCE_NS and old.answers * silent_ns > _STEADY * (new.last_ns - old.first_ns)


def _steady(stints: Sequence[Stint]) -> tuple[Stint, ...]:
    """With stints put together whose silences between are no longer than the version's own distances."""
    answers = sum(one.answers for one in stints)
    span_ns = max(one.last_ns for one in stints) - min(one.first_ns for one in stints)
    return joined(stints, max(SILENCE_NS, _STEADY * span_ns // max(answers - 1, 1)))


def _with_others_between(stints: Mapping[Served, Sequence[Stint]]) -> dict[Served, tuple[Stint, ...]]:
    """One model's versions, with stints put together between which no other version answered: the model was silent in
    an outage, or nobody asked."""
    found: dict[Served, tuple[Stint, ...]] = {}
    for served, several in stints.items():
        others = [stint for other, those in stints.items() if other != served for stint in those]
        rows: list[list[Stint]] = []
        for stint in several:
            last_ns = rows[-1][-1].last_ns if rows else 0
            if rows and not any(one.first_ns < stint.first_ns and one.last_ns > last_ns for one in others):
                rows[-1].append(stint)
            else:
                rows.append([stint])
        # whatever the silences in it, one row is one stint
        found[served] = tuple(joined(row, row[-1].last_ns)[0] for row in rows)
    return found


def _was_there(polls: Sequence[Poll], attempt: Attempt) -> bool:
    """Of polls that rise."""
    before = [one for one in polls if attempt.mark is not None and one.at_ns <= attempt.mark.at_ns][-1:]
    return any(one.states.get(attempt.version) == AVAILABLE for one in before)


def _comings(rising: Sequence[Poll]) -> tuple[Seen, ...]:
    """Each time a version came that was not there, or was at its end: not those there from the first poll on."""
    found: list[Seen] = []
    last: dict[str, int] = {}
    for before, now in pairwise(rising):
        for version, state in now.states.items():
            if before.states.get(version, END) == END and (state != END or version not in before.states):
                last[version] = len(found)
                found.append(Seen(version, before.at_ns, now.at_ns, None, ""))
            at = last.get(version)
            if at is None or found[at].available_ns is not None or found[at].error:
                continue
            if state == AVAILABLE:
                found[at] = replace(found[at], available_ns=now.at_ns)
            elif state == END:
                error = now.errors.get(version) or "it ended before it was available"
                found[at] = replace(found[at], error=error, ended_ns=now.at_ns)
    return tuple(found)
