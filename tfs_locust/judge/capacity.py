"""The search for capacity: the largest load that keeps to the objectives.

The load grows by a factor until a level does not pass; then the gap between the best level that passed and the lowest
that did not is halved until it is as narrow as asked for; then the best level is measured once more, for it is the one
that luck may have favoured. Every step follows from the results so far alone, so a result that contradicts an earlier
one needs no repair: a load has passed if *all* its measurements did.

The gap is halved as a ratio (the geometric mean), as the resolution is one: each step halves its logarithm, so from a
factor of 2 to 5 % it takes four steps at any load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tfs_locust.judge.answer import (
    CONFIRMATIONS,
    INTERRUPTED,
    LEVELS,
    TIME,
    Answer,
    answer,
    bracket,
    is_confirmed,
    is_first_doubt,
)
from tfs_locust.judge.decide import CONFIDENCE
from tfs_locust.judge.level import Criteria, Level, LevelResult, Purpose, Unit
from tfs_locust.judge.slo import Objective, parse_objectives
from tfs_locust.judge.trial import Pace, Trial
from tfs_locust.judge.verdict import Limits
from tfs_locust.measure.view import View

DEFAULT_OBJECTIVES = ("p99<100ms", "error_rate<0.1%")
"""What is searched with where no objective is given."""

_ROUNDING = 1e-9
_START = {Unit.USERS: 1.0, Unit.RATE: 10.0}
_HIGHEST = {Unit.USERS: 100_000.0, Unit.RATE: 1_000_000.0}


class CapacityError(ValueError):
    """A search that cannot be made; ``problems`` holds a sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Where to search, how finely, and for how long. :class:`CapacityError` with all that is wrong with it."""

    unit: Unit = Unit.USERS
    start: float | None = None
    """The first load; None: 1 user, or 10 requests/s."""
    growth: float = 2.0
    resolution: float = 0.05
    """How far apart, as a share, the best level that passes and the lowest that does not may be in the end."""
    max_load: float | None = None
    """None: 100,000 users, or a million requests/s."""
    total_s: float = 600.0
    """After this the search ends with what it has."""
    max_levels: int = 40
    confirmations: int = 3
    """How many best levels may fail when they are measured again."""
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        problems = [
            f"{name} {value!r}: {must}"
            for name, value, good, must in (
                ("start", self.start, self.start is None or 0 < self.start < math.inf, "a load above 0"),
                ("growth", self.growth, 1 < self.growth <= 100, "a factor above 1, up to 100"),
                ("resolution", self.resolution, 0.001 <= self.resolution <= 1, "a share of 0.1 % to 100 %"),
                ("max_load", self.max_load, self.max_load is None or 0 < self.max_load < math.inf, "a load above 0"),
                ("total_s", self.total_s, 0 < self.total_s < math.inf, "seconds above 0"),
                ("max_levels", self.max_levels, self.max_levels >= 1, "at least 1"),
                ("confirmations", self.confirmations, self.confirmations >= 1, "at least 1"),
            )
            if not good
        ]
        if not problems and self.first > self.highest:
            problems.append(f"start {self.first:g} is above max_load {self.highest:g}: there is nothing to search")
        if self.unit is Unit.USERS:
            problems += [
                f"{name} {value!r}: there are no parts of users"
                for name, value in (("start", self.start), ("max_load", self.max_load))
                if value is not None and value != math.floor(value)
            ]
        if problems:
            raise CapacityError(problems)

    @property
    def first(self) -> float:
        """The first load."""
        return self.start if self.start is not None else min(_START[self.unit], self.highest)

    @property
    def highest(self) -> float:
        """The largest load that is tried."""
        return self.max_load if self.max_load is not None else _HIGHEST[self.unit]

    @property
    def lowest(self) -> float:
        """The smallest load that is tried, where already the first is too much."""
        return min(1.0, self.first)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The objectives of a search."""

    objectives: tuple[Objective, ...]
    left_out: tuple[Objective, ...]
    """Those that a level cannot be judged by: a least throughput is no limit of the load, and a series comes late."""
    by_default: bool
    """None that limits the load was given, so :data:`DEFAULT_OBJECTIVES` are taken."""


def choose_objectives(given: Sequence[Objective]) -> Chosen:
    """Those of the given objectives that limit a load: times and ``error_rate``; else the default ones."""
    limiting = tuple(one for one in given if one.is_time or one.metric == "error_rate")
    left_out = tuple(one for one in given if one not in limiting)
    return Chosen(limiting or parse_objectives(DEFAULT_OBJECTIVES), left_out, by_default=not limiting)


class Search:
    """Asks for a level, is told what became of it, and so on until it has the answer. Reads no clock."""

    def __init__(self, settings: SearchSettings, chosen: Chosen) -> None:
        self.settings = settings
        self.chosen = chosen
        self.results: list[LevelResult] = []
        self._begin_s: float | None = None

    def next_level(self, now_s: float) -> Level | Answer:
        """The level to measure now, or the answer. ``now_s`` is the time of the run."""
        if self._begin_s is None:
            self._begin_s = now_s
        step = self._step(now_s)
        if isinstance(step, str):
            return answer(self.results, self.settings.unit, self.settings.resolution, self.chosen.objectives, step)
        load, purpose = step
        reserved_s = 0.0 if purpose is Purpose.CONFIRMATION else self._level_s
        return Level(
            load=load,
            unit=self.settings.unit,
            purpose=purpose,
            rest_load=min([self.settings.first, *(one.level.load for one in self.results)]),
            reference_s=self._reference_s(),
            ends_by_s=self._begin_s + self.settings.total_s - reserved_s,
        )

    def so_far(self) -> Answer:
        """The answer of a search that is not over."""
        settings = self.settings
        return answer(self.results, settings.unit, settings.resolution, self.chosen.objectives, INTERRUPTED)

    def conclude_level(self, result: LevelResult) -> None:
        """What became of the level that was asked for last."""
        self.results.append(result)

    def _step(self, now_s: float) -> tuple[float, Purpose] | str:
        """The next load, or that the search is over: what it lacked, or empty if nothing."""
        if self.results and is_first_doubt(self.results):
            last = self.results[-1].level
            return self._lacks(now_s, levels=1) or (last.load, last.purpose)
        best, failed = bracket(self.results)
        lacking = "" if self._is_narrow(best, failed) else self._lacks(now_s)
        if not lacking and not self._is_narrow(best, failed):
            return self._between(best, failed)
        if best is None or is_confirmed(best, self.results):
            return lacking
        lacking_last = self._lacks(now_s, levels=1)
        return lacking_last or (best.level.load, Purpose.CONFIRMATION)

    def _is_narrow(self, best: LevelResult | None, failed: LevelResult | None) -> bool:
        """Whether the answer is enclosed as closely as was asked for."""
        if best is None:
            return failed is not None and failed.level.load <= self.settings.lowest
        if failed is None:
            return best.level.load >= self.settings.highest
        if self.settings.unit is Unit.USERS and failed.level.load - best.level.load <= 1:
            return True
        return failed.level.load <= best.level.load * (1 + self.settings.resolution) * (1 + _ROUNDING)

    def _between(self, best: LevelResult | None, failed: LevelResult | None) -> tuple[float, Purpose]:
        """The load that tells most: beyond the best, below what failed, or in the middle of both."""
        settings = self.settings
        if best is not None and failed is not None:
            low, high = best.level.load, failed.level.load
            return self._rounded(math.sqrt(low * high), low, high), Purpose.BISECTION
        if best is not None:
            grown = max(self._rounded(best.level.load * settings.growth), best.level.load + self._smallest)
            return min(grown, settings.highest), Purpose.GROWTH
        if failed is not None:
            shrunk = min(self._rounded(failed.level.load / settings.growth), failed.level.load - self._smallest)
            return max(shrunk, settings.lowest), Purpose.GROWTH
        return settings.first, Purpose.GROWTH

    @property
    def _smallest(self) -> float:
        """The smallest difference between two loads."""
        return 1.0 if self.settings.unit is Unit.USERS else 0.0

    def _rounded(self, load: float, low: float = 0.0, high: float = math.inf) -> float:
        """A load that can be told in a few digits, between the two."""
        rounded = float(math.floor(load + 0.5)) if self.settings.unit is Unit.USERS else float(f"{load:.3g}")
        return rounded if low < rounded < high else load

    def _lacks(self, now_s: float, *, levels: int = 2) -> str:
        """What there is not enough of for so many more levels; empty if there is. One is kept for the confirmation."""
        if (self._begin_s or 0.0) + self.settings.total_s - now_s < levels * self._level_s:
            return TIME
        if len(self.results) + levels > self.settings.max_levels:
            return LEVELS
        failed = sum(one.level.purpose is Purpose.CONFIRMATION and not one.passed for one in self.results)
        return CONFIRMATIONS if failed >= self.settings.confirmations else ""

    @property
    def _level_s(self) -> float:
        """How long a level takes that does not become steady."""
        pace = self.settings.pace
        return min(pace.warmup_s + pace.steady_s, self.settings.total_s / 4)

    def _reference_s(self) -> float | None:
        """How fast the server was in the beginning, if it was well then."""
        if not self.results or not (self.results[0].passed or self.results[0].judgement.promising):
            return None
        return self.results[0].figures.p50_s


class CapacityRun:
    """A search together with the level it is at: told how things stand, it says what load to send."""

    def __init__(
        self,
        settings: SearchSettings,
        objectives: Sequence[Objective] = (),
        *,
        confidence: float = CONFIDENCE,
        limits: Limits | None = None,
    ) -> None:
        self.search = Search(settings, choose_objectives(objectives))
        self.trial: Trial | None = None
        """The level under measurement."""
        self.answer: Answer | None = None
        self._criteria = Criteria(
            self.search.chosen.objectives, confidence, limits or Limits(), shortfall=settings.resolution
        )

    def interrupt(self) -> None:
        """It ends before its time: what was found so far is the answer."""
        if self.answer is None:
            self.answer = self.search.so_far()

    def observe(self, now_s: float, view: View, *, reached: bool = True) -> float | None:
        """The load to send now, in the search's unit; None when there is the answer.

        To be called about once a second with the time of the run, a view of it, and whether the load asked for last is
        there.
        """
        while self.answer is None:
            if self.trial is None:
                step = self.search.next_level(now_s)
                if isinstance(step, Answer):
                    self.answer = step
                    break
                self.trial = Trial(step, self._criteria, self.search.settings.pace)
                self.trial.observe(now_s, view, reached=False)  # its load is asked for with this very answer
                return self.trial.load
            result = self.trial.observe(now_s, view, reached=reached)
            if result is None:
                return self.trial.load
            self.search.conclude_level(result)
            self.trial = None
        return None
