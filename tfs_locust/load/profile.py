"""Load over time: how many users, or requests per second, at which moment, and when it is over.

A profile is a row of stages, each with a time of its own. That of a step is its dwell, which counts from when its level
is reached; so a profile is followed by a small state machine, :class:`Course`, that is told so. All others end on time.
Kinds and their parameters, from text: :mod:`tfs_locust.load.profile_kinds`. Knows nobody who makes the load.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

Unit = Literal["users", "rate"]


@dataclass(frozen=True, slots=True)
class Line:
    """A level, or an even way from one to another."""

    duration_s: float
    begin: float
    end: float
    dwell: bool = False
    """Whether its time counts from when its level is reached."""

    def level(self, since_s: float) -> float:
        """The level when ``since_s`` of its time have passed."""
        if self.begin == self.end:
            return self.begin
        level = self.begin + (self.end - self.begin) * (since_s / self.duration_s)
        return min(max(level, min(self.begin, self.end)), max(self.begin, self.end))

    @property
    def slope(self) -> float:
        """Levels per second, up or down; 0 where it does not change, or at once."""
        return abs(self.end - self.begin) / self.duration_s if self.duration_s else 0.0


@dataclass(frozen=True, slots=True)
class Wave:
    """``mean + amplitude sin(2 pi t / period)``."""

    duration_s: float
    mean: float
    amplitude: float
    period_s: float
    dwell: bool = False
    slope: float = 0.0

    def level(self, since_s: float) -> float:
        """The level when ``since_s`` of its time have passed."""
        return self.mean + self.amplitude * math.sin(2 * math.pi * since_s / self.period_s)


Stage: TypeAlias = Line | Wave


class Target(NamedTuple):
    """What there should be now."""

    level: float
    """A whole number of users, or requests per second."""
    spawn_rate: float | None
    """How fast users should come or go, per second; None: at once."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Load over time. Made by :func:`tfs_locust.load.profile_kinds.parse_profile`."""

    stages: tuple[Stage, ...]
    unit: Unit = "users"
    spawn_rate: float | None = None
    """Users per second. None: along slopes as the slope says, and else at once."""
    is_soak: bool = False
    """One level for so long that what is kept of it must not grow."""

    @property
    def duration_s(self) -> float:
        """The sum of all times. Where users take time to come, dwells begin later, and it takes longer."""
        return self._ends_s()[-1]

    def level(self, at_s: float) -> float | None:
        """The level ``at_s`` after the start, if every level is reached at once; None: it is over."""
        start_s = 0.0
        for stage, end_s in zip(self.stages, self._ends_s(), strict=True):
            if at_s < end_s:
                return self.rounded(stage.level(at_s - start_s))
            start_s = end_s
        return None

    def rounded(self, level: float) -> float:
        """As the unit has it: users are whole, and a half is one more."""
        return math.floor(level + 0.5) if self.unit == "users" else level

    def start(self) -> Course:
        """Follow it from its start."""
        return Course(self)

    def _ends_s(self) -> list[float]:
        return list(accumulate(stage.duration_s for stage in self.stages))


class Course:
    """One run along a profile: where it has got to."""

    def __init__(self, profile: Profile) -> None:
        """Prefer :meth:`Profile.start`."""
        self._profile = profile
        self._to_come: Iterator[Stage] = iter(profile.stages)
        self._stage = next(self._to_come, None)
        self._start_s = 0.0
        self._awaited = self._awaits()  # the stage's time does not count yet
        self._told = False

    def tick(self, now_s: float, reached: bool) -> Target | None:
        """What there should be ``now_s`` after the start, which never goes back; None: it is over.

        ``reached``: whether there are as many users as the last target said. A rate is always reached: it holds from
        the moment it is set.
        """
        if self._awaited and self._told and reached:
            self._awaited, self._start_s = False, now_s
        entered = self._advance(now_s) or not self._told
        self._told = True
        if self._stage is None:
            return None
        since_s = 0.0 if self._awaited else now_s - self._start_s
        return Target(self._profile.rounded(self._stage.level(since_s)), self._spawn_rate(self._stage, entered))

    def _advance(self, now_s: float) -> bool:
        """Leave the stages whose time is over. True: there were some."""
        left = False
        while self._stage is not None and not self._awaited and now_s >= self._start_s + self._stage.duration_s:
            self._start_s += self._stage.duration_s
            self._stage = next(self._to_come, None)
            self._awaited = self._awaits()
            left = True
        return left

    def _awaits(self) -> bool:
        return self._stage is not None and self._stage.dwell and self._profile.unit == "users"

    def _spawn_rate(self, stage: Stage, entered: bool) -> float | None:
        if self._profile.unit == "rate":
            return None
        if self._profile.spawn_rate is not None:
            return self._profile.spawn_rate
        # where a slope begins there may be a jump, behind which a slope's worth of users would never catch up
        return None if entered else stage.slope or None
