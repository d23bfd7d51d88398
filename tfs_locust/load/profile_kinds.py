"""The kinds of profiles and their parameters, from the text of options.

    ramp    from one level to another, then hold it
    steps   one level after another, each for a time counted from when it is reached
    spike   a low level, a high one, and the low one again
    sine    up and down around a mean
    soak    one level for long
    trace   what a file says: lines of time and level, the last of which is the end

All have the parameters ``unit`` (``users``, or ``rate`` for requests per second) and ``spawn_rate`` (users per second).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from tfs_locust.load import profile_values as read
from tfs_locust.load.profile import Line, Profile, Stage, Wave


class ProfileError(ValueError):
    """A profile that cannot be. ``problems`` holds a sentence for each fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _parameter(parse: Callable[[str], Any], default: Any) -> Any:
    """A field that is read from text by ``parse``."""
    return field(default=default, metadata={"parse": parse})


@dataclass(frozen=True, slots=True)
class Ramp:
    """From one level to another in ``duration``, then ``hold`` it."""

    from_: float = _parameter(read.level, 0.0)
    to: float = _parameter(read.level, 100.0)
    duration: float = _parameter(read.seconds, 300.0)
    hold: float = _parameter(read.seconds, 60.0)

    def stages(self) -> tuple[Stage, ...]:
        """Its stages."""
        return Line(self.duration, self.from_, self.to), Line(self.hold, self.to, self.to)

    def faults(self) -> list[str]:
        """What does not go together."""
        return []


@dataclass(frozen=True, slots=True)
class Steps:
    """``levels``, or ``count`` of them from ``start`` on, each ``step`` from the one before; ``dwell`` at each."""

    levels: tuple[float, ...] = _parameter(read.levels, ())
    start: float | None = _parameter(read.level, None)
    step: float | None = _parameter(read.change, None)
    count: int | None = _parameter(read.count, None)
    dwell: float = _parameter(read.seconds, 60.0)

    def stages(self) -> tuple[Stage, ...]:
        """Its stages."""
        return tuple(Line(self.dwell, level, level, dwell=True) for level in self.levels or self._counted())

    def faults(self) -> list[str]:
        """What does not go together."""
        faults = []
        if self.levels and (self.start, self.step, self.count) != (None, None, None):
            faults.append("levels are given, and start, step or count as well: give the ones or the others")
        elif min(self.levels or self._counted()) < 0:
            faults.append(f"the last of its levels is {self._counted()[-1]:g}: expected none below zero")
        if not self.dwell:
            faults.append("dwell is 0: expected a time above zero")
        return faults

    def _counted(self) -> list[float]:
        start, step = (10.0 if given is None else given for given in (self.start, self.step))
        return [start + at * step for at in range(5 if self.count is None else self.count)]


@dataclass(frozen=True, slots=True)
class Spike:
    """``base``, from ``at`` on for ``duration`` the ``peak``, then ``base`` again for ``recovery``."""

    base: float = _parameter(read.level, 10.0)
    peak: float = _parameter(read.level, 100.0)
    at: float = _parameter(read.seconds, 60.0)
    duration: float = _parameter(read.seconds, 30.0)
    recovery: float = _parameter(read.seconds, 60.0)

    def stages(self) -> tuple[Stage, ...]:
        """Its stages."""
        low, high = self.base, self.peak
        return Line(self.at, low, low), Line(self.duration, high, high), Line(self.recovery, low, low)

    def faults(self) -> list[str]:
        """What does not go together."""
        return [] if self.duration else ["duration is 0: expected a time above zero"]


@dataclass(frozen=True, slots=True)
class Sine:
    """Around ``mean`` by ``amplitude`` up and down once in each ``period``, beginning upwards from the mean."""

    mean: float = _parameter(read.level, 50.0)
    amplitude: float = _parameter(read.level, 40.0)
    period: float = _parameter(read.seconds, 300.0)
    duration: float = _parameter(read.seconds, 900.0)

    def stages(self) -> tuple[Stage, ...]:
        """Its stages."""
        return (Wave(self.duration, self.mean, self.amplitude, self.period),)

    def faults(self) -> list[str]:
        """What does not go together."""
        faults = []
        if self.amplitude > self.mean:
            faults.append(f"amplitude {self.amplitude:g} is above mean {self.mean:g}: its levels would be below zero")
        return faults + ([] if self.period else ["period is 0: expected a time above zero"])


@dataclass(frozen=True, slots=True)
class Soak:
    """Up from nothing in ``ramp``, then ``level`` for ``duration``."""

    level: float = _parameter(read.level, 50.0)
    duration: float = _parameter(read.seconds, 3600.0)
    ramp: float = _parameter(read.seconds, 60.0)

    def stages(self) -> tuple[Stage, ...]:
        """Its stages."""
        return Line(self.ramp, 0.0, self.level), Line(self.duration, self.level, self.level)

    def faults(self) -> list[str]:
        """What does not go together."""
        return []


@dataclass(frozen=True, slots=True)
class Traced:
    """The levels of ``file``; between two of them the first, or an even way to the second."""

    file: read.Recording = field(metadata={"parse": read.recording})
    between: str = _parameter(read.one_of("step", "linear"), "step")

    def stages(self) -> tuple[Stage, ...]:
        """Its stages."""
        linear = self.between == "linear"
        return tuple(
            Line(end_s - start_s, level, following if linear else level)
            for (start_s, level), (end_s, following) in pairwise(self.file.points)
        )

    def faults(self) -> list[str]:
        """What does not go together."""
        return []


Kind: TypeAlias = Ramp | Steps | Spike | Sine | Soak | Traced

KINDS: dict[str, type[Kind]] = {
    "ramp": Ramp,
    "steps": Steps,
    "spike": Spike,
    "sine": Sine,
    "soak": Soak,
    "trace": Traced,
}


@dataclass(frozen=True, slots=True)
class _Common:
    """What every kind has besides."""

    unit: str = _parameter(read.one_of("users", "rate"), "users")
    spawn_rate: float | None = _parameter(read.spawn_rate, None)


def parameters(kind: str) -> list[str]:
    """The names of what a kind takes."""
    return [one.name.rstrip("_") for made in (KINDS[kind], _Common) for one in dataclasses.fields(made)]


def parse_profile(kind: str, params: Mapping[str, str]) -> Profile:
    """The profile of a kind, with the defaults for what ``params`` leave out. Raises ProfileError with all problems."""
    if kind not in KINDS:
        raise ProfileError([f"{kind!r}: expected one of {', '.join(KINDS)}"])
    known = parameters(kind)
    problems = [f"{kind} has no {name!r}; it has {', '.join(known)}" for name in params if name not in known]
    shape = _made(kind, KINDS[kind], params, problems)
    common = _made(kind, _Common, params, problems)
    if shape is not None:
        problems += [f"{kind}: {fault}" for fault in shape.faults()]
        if not problems and not any(stage.duration_s for stage in shape.stages()):
            problems.append(f"{kind}: all its times are 0: expected one above zero")
    if common is not None and common.unit == "rate" and common.spawn_rate is not None:
        problems.append(f"{kind}: spawn_rate is given with unit=rate, which sets no users: leave one of them out")
    if problems or shape is None or common is None:
        raise ProfileError(problems)
    return Profile(shape.stages(), common.unit, common.spawn_rate, is_soak=isinstance(shape, Soak))


def _made(kind: str, made: Callable[..., Any], params: Mapping[str, str], problems: list[str]) -> Any:
    """An object of its fields' texts; None where there are problems, which are added."""
    values: dict[str, Any] = {}
    before = len(problems)
    for one in dataclasses.fields(made):  # type: ignore[arg-type]
        name = one.name.rstrip("_")
        if name in params:
            try:
                values[one.name] = one.metadata["parse"](params[name].strip())
            except ValueError as error:
                problems.append(f"{kind} {name}={params[name]!r}: {error}")
        elif one.default is dataclasses.MISSING:
            problems.append(f"{kind}: {name} is missing: give {name}={name.upper()}")
    return made(**values) if len(problems) == before else None
