"""A canary's share of the traffic over time: stages such as ``1%:30s,10%:1m,50%:1m,100%``.

A share may be written as a number up to 1, too: ``0.01:30s,0.1:1m,1``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from tfs_locust.load.profile_values import seconds

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{0,6})?|\.\d{1,6})\s*(%?)")


class RampError(ValueError):
    """A ramp that cannot be understood; the text names every fault and its place."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A share of the traffic that holds for a time."""

    share: Fraction
    begins_s: float
    """Since the ramp's start."""

    def __str__(self) -> str:
        return f"{float(self.share * 100):g} %"


@dataclass(frozen=True, slots=True)
class Ramp:
    """Stages one after the other; the last holds until the run ends."""

    text: str
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        return self.text

    def stage_at(self, at_s: float) -> int:
        """The number of the stage, from 0, at a time since the ramp's start; the first before it."""
        return max((number for number, one in enumerate(self.stages) if one.begins_s <= at_s), default=0)


def parse_ramp(text: str) -> Ramp:
    """A ramp from the text of an option. Raises RampError."""
    stages, faults = [], []
    begins_s, column = 0.0, 1
    parts = text.strip().split(",")
    for number, part in enumerate(parts, 1):
        share, colon, time = (piece.strip() for piece in part.partition(":"))
        match = _SHARE.fullmatch(share)
        part_of_all = Fraction(2) if match is None else Fraction(match[1]) / (100 if match[2] else 1)
        if part_of_all > 1:
            faults.append(f"column {column}: {share!r} is no share, which is from 0% to 100%")
        stages.append(Stage(part_of_all, begins_s))
        try:
            length_s = _length_s(time, needed=bool(colon) or number < len(parts))
        except ValueError as error:
            faults.append(f"column {column + len(part) - len(part.partition(':')[2])}: {time!r}: {error}")
        else:
            begins_s += length_s
        column += len(part) + 1
    if faults:
        raise RampError(f"{text!r}: {'; '.join(faults)}")
    return Ramp(text.strip(), tuple(stages))


def _length_s(text: str, *, needed: bool) -> float:
    length_s = seconds(text) if text else 0.0
    if needed and not length_s:
        raise ValueError("expected how long it holds, as in 10%:30s; only the last may leave it out")
    return length_s
