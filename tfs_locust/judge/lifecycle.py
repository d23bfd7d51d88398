"""What became of a run's model versions and of the server under it: switches, outages, availability, canaries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tfs_locust.judge.availability import Availability, availability_of
from tfs_locust.judge.canary import CONFIDENCE, Canary, Pair, compare_versions, side_by_side, versions_of
from tfs_locust.judge.first_touch import FirstTouch, first_touch
from tfs_locust.judge.moments import Mark, Poll
from tfs_locust.judge.outages import Outage, find_outages
from tfs_locust.judge.slo import Objective
from tfs_locust.judge.stretch import time_bounds
from tfs_locust.judge.switch import Switch, figure
from tfs_locust.judge.switches import attempts
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """All that was found in a run."""

    switches: tuple[Switch, ...]
    outages: tuple[Outage, ...]
    availability: Availability
    canaries: tuple[Canary, ...] = ()
    marks: tuple[Mark, ...] = ()
    first_touch: FirstTouch | None = None


def look(
    view: View,
    *,
    marks: Sequence[Mark] = (),
    polls: Iterable[Poll] = (),
    objectives: Iterable[Objective] = (),
    pairs: Sequence[Pair] | None = None,
    steered: Collection[str] = (),
    confidence: float = CONFIDENCE,
) -> Lifecycle:
    """What is found in a view with its timeline.

    ``pairs`` are the versions to compare. Without them each model of which exactly two versions served side by side is
    compared, the higher number as the canary; versions that a switch lies between did not, and are not. ``steered``
    are models of which the client chose the versions: that one falls silent then tells of no switch.
    """
    end_ns = view.run_from_ns + view.load_ns
    sent = {key: cell.count for key, cell in view.cells.items() if key.key.outcome is not Outcome.UNSENT}
    failures = sum(count for key, count in sent.items() if key.key.outcome is not Outcome.OK)
    found = tuple(
        figure(one, view.timeline, end_ns)
        for one in attempts(view.stints, marks, polls)
        if one.model not in steered or one.found_by != "answers"
    )
    return Lifecycle(
        switches=found,
        outages=find_outages(
            view.spells,
            view.timeline,
            requests=sum(sent.values()),
            failures=failures,
            begin_ns=view.run_from_ns,
            end_ns=end_ns,
            bounds=time_bounds(objectives),
        ),
        availability=availability_of(view),
        canaries=tuple(
            compare_versions(view, one.model, one.baseline, one.canary, confidence=confidence)
            for one in (_pairs(view, found) if pairs is None else pairs)
        ),
        marks=tuple(sorted(marks, key=lambda one: one.at_ns)),
        first_touch=first_touch(view.stints),
    )


def _pairs(view: View, switches: Sequence[Switch]) -> list[Pair]:
    over = [one for one in switches if one.last_old_answer_s is not None]
    switched = {(one.model, version) for one in over for version in (one.from_version, one.to_version)}
    return [
        Pair(model, *versions)
        for model, versions in versions_of(view).items()
        if len(versions) == 2
        and not any((model, version) in switched for version in versions)
        and side_by_side(view, model, *versions)
    ]
