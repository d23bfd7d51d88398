"""How requests arrive: when answers do (closed loop), or by a schedule that knows nothing of answers (open loop).

    arrival = "closed"
            | "constant" [ ":" rate ]        the same time between any two
            | "poisson" [ ":" rate ]         independent of each other: exponential times between them
            | "trace:" FILE                  when the file says, see load/trace.py

The rate is per second; it may be left to come from elsewhere. A schedule is made of an arrival by
:mod:`tfs_locust.load.schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfs_locust.load.trace import Extent, TraceError, extent

Kind = Literal["closed", "constant", "poisson", "trace"]

HIGHEST_RATE = 1e9
"""Per second: times are whole nanoseconds."""

_EXPECTED = "expected closed, constant, poisson, constant:RATE or poisson:RATE with requests per second, or trace:FILE"


class ArrivalError(ValueError):
    """An arrival, or a schedule of it, that cannot be; the text says what was given and what can be."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How requests arrive. Made by :func:`closed`, :func:`constant`, :func:`poisson`, :func:`trace`."""

    kind: Kind
    rate: float | None = None
    """Per second, to the millionth. None: it comes from elsewhere, or there is none."""
    file: str | None = None
    """Of a trace."""
    extent: Extent | None = None
    """How much is in it."""

    def __str__(self) -> str:
        """As an option takes it."""
        if self.kind == "trace":
            return f"trace:{self.file}"
        return self.kind if self.rate is None else f"{self.kind}:{f'{self.rate:.6f}'.rstrip('0').rstrip('.')}"

    @property
    def is_open(self) -> bool:
        """Whether requests are due by a schedule."""
        return self.kind != "closed"


def closed() -> Arrival:
    """Each user sends when its answer has come."""
    return Arrival("closed")


def constant(rate: float | None = None) -> Arrival:
    """``rate`` requests per second, evenly. Raises ArrivalError."""
    return Arrival("constant", _positive(rate))


def poisson(rate: float | None = None) -> Arrival:
    """``rate`` requests per second on average, by chance. Raises ArrivalError."""
    return Arrival("poisson", _positive(rate))


def trace(file: str | Path) -> Arrival:
    """When ``file`` says; it is read and checked. Raises ArrivalError, with lines."""
    try:
        return Arrival("trace", file=str(file), extent=extent(Path(file)))
    except TraceError as error:
        raise ArrivalError(str(error)) from None


def parse_arrival(text: str) -> Arrival:
    """An arrival from the text of an option. Raises ArrivalError."""
    kind, colon, value = text.strip().partition(":")
    rated: dict[str, Callable[[float | None], Arrival]] = {"constant": constant, "poisson": poisson}
    if kind == "trace" and value:
        return trace(value)
    if kind == "closed" and not colon:
        return closed()
    if kind not in rated or (colon and not value.strip()):
        raise ArrivalError(f"{text!r}: {_EXPECTED}")
    if not colon:
        return rated[kind](None)
    try:
        rate = float(value)
    except ValueError:
        raise ArrivalError(f"{text!r}: {value!r} is no rate; {_EXPECTED}") from None
    return rated[kind](rate)


def taken_rate(rate: float) -> float:
    """``rate`` as schedules take it, to the millionth; zero is one. Raises ArrivalError."""
    # whoever calls may have taken the number from anywhere
    if not isinstance(rate, int | float) or not math.isfinite(rate) or not 0 <= rate <= HIGHEST_RATE:
        raise ArrivalError(f"rate {rate!r}: expected requests per second, from 0 to {HIGHEST_RATE:.0f}")
    return round(rate, 6)


def _positive(rate: float | None) -> float | None:
    taken = None if rate is None else taken_rate(rate)
    if taken == 0:
        raise ArrivalError(f"rate {rate!r}: expected requests per second, a millionth at least")
    return taken
