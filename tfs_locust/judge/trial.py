"""A level under measurement: warmed up, watched window by window until it is steady, judged, and cooled down after.

Reads no clock and sends nothing. Whoever sends the load tells the time and shows views of the run, about once a second;
the trial says what load it wants. Windows go by what the views *tell*, for these are behind where workers report every
few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from tfs_locust.judge.level import (
    Criteria,
    Judgement,
    Level,
    LevelResult,
    Purpose,
    Unit,
    figures,
    judge_level,
    load_text,
    not_reached,
)
from tfs_locust.judge.steady import agree
from tfs_locust.judge.verdict import hopeless
from tfs_locust.measure.view import View
from tfs_locust.measure.window import between, told_ns

_WINDOWS = 3
"""So many in a row have to agree."""
_HOPELESS_WINDOWS = 2
"""A level is given up when so many in a row are surely broken, each by itself: one may be a hiccup."""
_MARGIN = 1.25
"""An open level is measured so much longer than would just decide it: the share will not stay quite the same."""
_REPORTS_WITHIN_S = 15.0
"""Longer than this no view is waited for: workers report every few seconds."""
_AS_FAST = 2.0
"""A server has cooled down when its median response time is within this factor of the one in the beginning."""
_PROBE_S = 1.0


class Phase(str, Enum):
    """What is going on at a level."""

    REACHING = "reaching"  # the load is not there yet
    WARM_UP = "warm-up"  # it is; nothing counts yet
    MEASURING = "measuring"
    COOLING = "cooling"  # judged; the server works off what it was left with
    OVER = "over"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each part of a level takes, in seconds."""

    reach_s: float = 60.0
    """Within this the load has to be there; else the generator is the limit."""
    warmup_s: float = 2.0
    window_s: float = 2.0
    """The windows of a confirmation are twice as long."""
    tolerance: float = 0.10
    """Windows whose throughput and p99 are within it of each other agree."""
    steady_s: float = 20.0
    """If three windows have not agreed by then, all of them are judged together."""
    longer_s: float = 60.0
    """At most so much longer, once, if the level is still open."""
    cooldown_s: float = 30.0
    """At most so long, after a level that did not pass."""


class Trial:
    """One level. ``load`` is what is to be sent at this time; ``result`` is there when ``phase`` is OVER."""

    def __init__(self, level: Level, criteria: Criteria, pace: Pace | None = None) -> None:
        self.level = level
        self.load = level.load
        self.phase = Phase.REACHING
        self.result: LevelResult | None = None
        self._criteria = criteria
        self._pace = pace or Pace()
        self._window_s = self._pace.window_s * (2 if level.purpose is Purpose.CONFIRMATION else 1)
        self._begin_s: float | None = None
        self._until_s = 0.0
        """When the phase is to end, as the time of the run; of the measuring, how much of it the views are to tell."""
        self._stale: View | None = None
        """A view that may be behind; the first in which every worker tells more than in this one begins a window."""
        self._marks: list[View] = []
        """The views at the edges of the windows."""
        self._windows: list[View] = []
        """What was measured between each two of them."""
        self._last_window_s = 0.0
        """When the last window closed, as the time of the run."""
        self._steady_from: int | None = None
        """The first of the windows that agreed."""
        self._is_longer = False

    def observe(self, now_s: float, view: View, *, reached: bool = True) -> LevelResult | None:
        """How things stand: the time of the run, a view of it, and whether the load asked for is there.

        Times are seconds since the run's start, on the clock that its workers count from.
        """
        if self._begin_s is None:
            self._begin_s = now_s
        if self.phase is Phase.REACHING:
            self._reach(now_s, view, reached=reached)
        if self.phase is Phase.WARM_UP:
            self._warm_up(now_s, view)
        elif self.phase is Phase.MEASURING:
            self._measure(now_s, view)
        elif self.phase is Phase.COOLING:
            self._cool(now_s, view)
        return self.result if self.phase is Phase.OVER else None

    def _reach(self, now_s: float, view: View, *, reached: bool) -> None:
        within_s = self._pace.reach_s
        if reached:
            self.phase, self._until_s = Phase.WARM_UP, now_s + self._pace.warmup_s
        elif now_s >= min((self._begin_s or 0.0) + within_s, self.level.ends_by_s):
            wanted = load_text(self.load, self.level.unit)
            self._conclude(now_s, between(view, view), not_reached(f"{wanted} were not there after {within_s:g} s"))

    def _warm_up(self, now_s: float, view: View) -> None:
        if now_s < self._until_s:
            return
        if self._is_fresh(view):
            self.phase, self._until_s = Phase.MEASURING, self._pace.steady_s
            self._marks, self._windows, self._last_window_s = [view], [], now_s
        elif now_s >= min(self._until_s + _REPORTS_WITHIN_S, self.level.ends_by_s):
            self._conclude(now_s, between(self._stale or view, view))

    def _measure(self, now_s: float, view: View) -> None:
        # a tick that comes a moment early must not make the window one tick longer
        if _told_s(self._marks[-1], view) >= 0.95 * self._window_s:
            self._windows.append(between(self._marks[-1], view))
            self._marks.append(view)
            self._last_window_s = now_s
            self._look(now_s)
        elif now_s >= self.level.ends_by_s or now_s >= self._last_window_s + self._window_s + _REPORTS_WITHIN_S:
            self._conclude(now_s, between(self._marks[self._steady_from or 0], view))

    def _look(self, now_s: float) -> None:
        """A window is complete: is that enough?"""
        latest = self._windows[-_HOPELESS_WINDOWS:]
        if len(latest) == _HOPELESS_WINDOWS and all(
            hopeless(one, self._criteria.objectives, self._criteria.confidence) for one in latest
        ):
            self._conclude(now_s, between(self._marks[-1 - _HOPELESS_WINDOWS], self._marks[-1]))
            return
        if self._steady_from is None and not self._is_longer:
            latest = self._windows[-_WINDOWS:]
            if len(latest) == _WINDOWS and agree(latest, self._pace.tolerance):
                self._steady_from = len(self._marks) - 1 - _WINDOWS
        told_s = _told_s(self._marks[0], self._marks[-1])
        over = told_s >= self._until_s or now_s >= self.level.ends_by_s
        if not over and (self._steady_from is None or self._is_longer):
            return
        stretch = between(self._marks[self._steady_from or 0], self._marks[-1])
        judgement = judge_level(self.level, stretch, self._criteria)
        further_s = self._further_s(judgement, now_s)
        if further_s:
            self._is_longer, self._until_s = True, told_s + further_s
        else:
            self._conclude(now_s, stretch, judgement)

    def _further_s(self, judgement: Judgement, now_s: float) -> float:
        """How much longer an open level is to be measured; 0 if that would not decide it."""
        if not judgement.is_open or self._is_longer:
            return 0.0
        if judgement.promising and self.level.purpose is Purpose.GROWTH:
            return 0.0  # a higher load decides sooner, and if that passes so would this one
        further_s = judgement.further_s * _MARGIN or self._pace.longer_s
        within_s = min(self._pace.longer_s, self.level.ends_by_s - now_s)
        return max(further_s, self._window_s) if further_s <= within_s else 0.0

    def _conclude(self, now_s: float, stretch: View, judgement: Judgement | None = None) -> None:
        judgement = judgement or judge_level(self.level, stretch, self._criteria)
        self.result = LevelResult(
            self.level,
            judgement,
            figures(stretch),
            begin_s=self._begin_s or 0.0,
            end_s=now_s,
            windows=len(self._windows),
            stable=self._steady_from is not None,
        )
        self.phase, self._marks, self._windows, self._stale = Phase.OVER, [], [], None
        if not (self.result.passed or judgement.promising) and self._pace.cooldown_s and now_s < self.level.ends_by_s:
            self.phase, self.load = Phase.COOLING, self.level.rest_load

    def _cool(self, now_s: float, view: View) -> None:
        assert self.result is not None
        since_s = self.result.end_s
        if not self._marks:
            if self._is_fresh(view):
                self._marks = [view]
        elif _told_s(self._marks[0], view) >= _PROBE_S * 0.95:
            if self._is_calm(between(self._marks[0], view), view.in_flight):
                self.result = replace(self.result, cooled_after_s=now_s - since_s)
                self.phase = Phase.OVER
            self._marks = [view]
        if now_s >= min(since_s + self._pace.cooldown_s, self.level.ends_by_s):
            self.phase = Phase.OVER

    def _is_fresh(self, view: View) -> bool:
        """Whether every worker has told more since this was first asked."""
        if self._stale is None:
            self._stale = view
        return told_ns(self._stale, view) > 0

    def _is_calm(self, probe: View, in_flight: int) -> bool:
        """Whether next to nothing is in flight, and what is sent is answered as fast as in the beginning."""
        level, reference_s = self.level, self.level.reference_s
        usual = level.rest_load * (1.0 if level.unit is Unit.USERS else 2.0 * (reference_s or 0.0))
        if in_flight > 1 + usual:
            return False
        if reference_s is None:
            return True
        median_s = figures(probe).p50_s
        return median_s is not None and median_s <= _AS_FAST * reference_s


def _told_s(before: View, after: View) -> float:
    return told_ns(before, after) / 1e9
