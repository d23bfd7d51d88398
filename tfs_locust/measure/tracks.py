"""What a worker keeps beside its counts, to the nanosecond: which version answered when, and when nothing ended well.

Bounded for any length of run: versions beyond the first :data:`MOST_CLOSELY` have fewer first answers kept and no place
of their own in the timeline, those beyond :data:`MOST_VERSIONS` are counted as :data:`OTHERS` altogether, and when no
:data:`MOST_RETURNS` are left a version that answers again continues its last stint. A request looks up where it belongs
when its kind changes, and not again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tfs_locust.measure.cell import Cell
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.measure.spell import Flow, Longest, Spell, beside
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
        self.all = Flow()
        """All requests."""
        self._longest_of_all = Longest()
        self._in_all: set[int] = set()
        """The flows that have failures in the spell of all: of a single one its own spell tells."""

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
        if not flow.is_failing:
            self.failing += 1
            flow.begin(self._last_good_ns(place.model), sent_ns, at_ns)
        else:
            flow.go_on(at_ns)
        if not self.all.is_failing:
            self._in_all = {id(flow)}
            self.all.begin(-1, sent_ns, at_ns)
            return
        self.all.go_on(at_ns)
        if id(flow) not in self._in_all:
            self._in_all.add(id(flow))
            if len(self._in_all) == 2:  # nothing has ended well meanwhile, and most spells never come so far
                self.all.before_ns = self._last_good_ns()

    def _last_good_ns(self, model: str | None = None) -> int:
        ends = (one.stint.last_ns for served, one in self._tracks.items() if model is None or served.model == model)
        return max(ends, default=-1)

    def recover(self, flow: Flow, at_ns: int) -> None:
        """A request has ended well, while some flow was failing."""
        if flow.is_failing:
            self.failing -= 1
            self._longest.add(flow.end(at_ns), flow)
        if self.all.is_failing:
            spell = replace(self.all.end(at_ns), of_all=True)
            if len(self._in_all) > 1:
                self._longest_of_all.add(spell, self.all)

    def stints(self) -> dict[StintKey, Stint]:
        """All of them: the tally's own."""
        return {
            StintKey(*served, number): stint
            for served, track in self._tracks.items()
            for number, stint in enumerate(track.stints)
        }

    def spells(self) -> tuple[Spell, ...]:
        """The longest, and those that go on."""
        going_on = [beside(spell, flow) for flow in self._flows.values() for spell in flow.open()]
        if len(self._in_all) > 1:
            going_on += [beside(replace(spell, of_all=True), self.all) for spell in self.all.open()]
        return tuple(sorted([*self._longest, *self._longest_of_all, *going_on]))
