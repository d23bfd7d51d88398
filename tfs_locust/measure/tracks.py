"""What a worker keeps beside its counts, to the nanosecond: which version answered when, and when nothing ended well.

Bounded for any length of run: versions beyond the first :data:`MOST_CLOSELY` have fewer first answers kept and no place
of their own in the timeline, those beyond :data:`MOST_VERSIONS` are counted as :data:`OTHERS` altogether, and when no
:data:`MOST_RETURNS` are left a version that answers again continues its last stint. A request looks up where it belongs
when its kind changes, and not again.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfs_locust.measure.cell import Cell
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.measure.spell import Flow, Longest, Spell
from tfs_locust.measure.stint import FIRST_ANSWERS, SILENCE_NS, Served, Stint, StintKey

MOST_VERSIONS = 2048
"""Each costs a worker a kilobyte, and a live report 150 bytes if it answered since the last."""
MOST_CLOSELY = 256
"""Each costs ten times as much, and an entry in every second of the timeline besides."""
FEWER_ANSWERS = 10
MOST_RETURNS = 256
"""Stints of versions that had answered before, of all versions together."""
MOST_FLOWS = 256
OTHERS = "others"
OTHERS_NAME = str(Served(OTHERS, ""))
"""In the timeline."""


class Track:
    """The answers of one version of one model at this worker: its stints, the last of them at hand."""

    __slots__ = ("_first_answers", "_tracks", "name", "settled", "stint", "stints")

    def __init__(self, name: str, tracks: Tracks, first_answers: int = FIRST_ANSWERS) -> None:
        self.name = name
        """What answers are counted under in the timeline."""
        self.stints: list[Stint] = []
        self.stint = Stint(-1, -1)
        """The one at hand."""
        self.settled = False
        """Its first answers are all there."""
        self._tracks = tracks
        self._first_answers = first_answers

    def record(self, at_ns: int, response_ns: int) -> None:
        """Count an answer of any kind, also the first, and one after a silence."""
        returns = at_ns - self.stint.last_ns > SILENCE_NS and self._tracks.returns_left > 0
        if returns or not self.stints:
            self._tracks.returns_left -= bool(self.stints)
            self.stint = Stint(at_ns, at_ns)
            self.stints.append(self.stint)
        self.stint.record(at_ns, response_ns, self._first_answers)
        self.settled = len(self.stint.firsts) >= self._first_answers


@dataclass(frozen=True, slots=True)
class Place:
    """Where samples of one key and phase belong."""

    cell: Cell
    model: str
    flow: Flow
    track: Track | None
    """None of failures, which tell no version."""


class Tracks:
    """All tracks and flows of one worker."""

    def __init__(self) -> None:
        self.returns_left = MOST_RETURNS
        self.failing = 0
        """Flows in which nothing ends well at present."""
        self._tracks: dict[Served, Track] = {}
        self._flows: dict[tuple[str, str], Flow] = {}
        self._longest = Longest()

    def place(self, key: Key, cell: Cell) -> Place:
        """Where samples of a key belong that are counted in ``cell``."""
        return Place(cell, key.model, self._flow(key), self._track(key) if key.outcome is Outcome.OK else None)

    def _track(self, key: Key) -> Track:
        served = Served(key.model, key.version)
        track = self._tracks.get(served)
        if track is None:
            if len(self._tracks) >= MOST_VERSIONS:
                served = Served(OTHERS, "")
            closely = len(self._tracks) < MOST_CLOSELY
            made = Track(str(served), self) if closely else Track(OTHERS_NAME, self, FEWER_ANSWERS)
            track = self._tracks.setdefault(served, made)
        return track

    def _flow(self, key: Key) -> Flow:
        name = (key.scenario, key.model)
        if name not in self._flows and len(self._flows) >= MOST_FLOWS:
            name = (OTHERS, "")
        return self._flows.setdefault(name, Flow())

    def fail(self, place: Place, sent_ns: int, at_ns: int) -> None:
        """A request that was sent has failed."""
        flow = place.flow
        if flow.is_failing:
            flow.go_on(at_ns)
            return
        self.failing += 1
        before = (track.stint.last_ns for served, track in self._tracks.items() if served.model == place.model)
        flow.begin(max(before, default=-1), sent_ns, at_ns)

    def recover(self, flow: Flow, at_ns: int) -> None:
        """A request of a flow that was failing has ended well."""
        self.failing -= 1
        self._longest.add(flow.end(at_ns))

    def stints(self) -> dict[StintKey, Stint]:
        """All of them: the tally's own."""
        return {
            StintKey(*served, number): stint
            for served, track in self._tracks.items()
            for number, stint in enumerate(track.stints)
        }

    def spells(self) -> tuple[Spell, ...]:
        """The longest, and those that go on."""
        return tuple(sorted([*self._longest, *(spell for flow in self._flows.values() for spell in flow.open())]))
