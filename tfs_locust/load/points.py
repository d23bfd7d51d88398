"""Where arrivals stand on the scale of arrivals expected: point processes of unit rate, in exact integers.

Point k of a constant rate stands at k. Those of a Poisson process stand at sums of exponential gaps of mean 1, made by
inversion: ``-ln(1 - U)`` (L. Devroye, Non-Uniform Random Variate Generation, 1986, II.2). Those of a trace stand where
its file says, in nanoseconds. Knows no clock and no rate: :mod:`tfs_locust.load.schedule` maps points to times.

Positions are whole numbers of :data:`PARTS`, so that sums do not depend on how they are made up. The one step with
rounding is the logarithm, which is composed here of operations that IEEE 754 rounds in one way only: libraries and
processors differ in the last bit of theirs, and workers must agree on every point.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tfs_locust.load.trace import due_times

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Seed: TypeAlias = int | str | tuple[int | str, ...]
Block: TypeAlias = tuple[int, Integers]
"""Some points, ascending: each stands at the first number plus its own."""

PARTS = 10**15
"""Of one arrival. A rate in millionths per second is as many parts per nanosecond."""
MOST = 4096
"""Points of a block: as many expected parts, and twice as many, fit into 64 bits. (That so many exponential gaps should
sum to twice their mean is 64 standard deviations away.)"""


class Points(Protocol):
    """A point process, read from its start."""

    def next(self, size: int) -> Block | None:
        """The next points, about ``size`` of them and at most :data:`MOST` where they are made; None: no more come."""


class Constant:
    """0, 1, 2, ..."""

    def __init__(self) -> None:
        self._count = 0

    def next(self, size: int) -> Block:
        """The next ``size`` points."""
        first = self._count
        self._count += size
        return first * PARTS, np.arange(size, dtype=np.int64) * PARTS


class Poisson:
    """Sums of independent exponential gaps; the first point is one gap from zero."""

    def __init__(self, seed: Seed) -> None:
        """The same ``seed`` gives the same points; others, however alike, are independent."""
        parts = seed if isinstance(seed, tuple) else (seed,)
        key = blake2b(repr(parts).encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=int.from_bytes(key, "little"))
        self._reached = 0

    def next(self, size: int) -> Block:
        """The next ``size`` points."""
        # of the 2**53 multiples of 2**-53 in (0, 1], each as likely: 1 - U, exactly
        above_zero = (np.uint64(1 << 53) - (self._bits.random_raw(size) >> np.uint64(11))) * 2.0**-53
        offsets = (minus_log(above_zero) * PARTS).astype(np.int64).cumsum()
        start = self._reached
        self._reached += int(offsets[-1])
        return start, offsets


class Trace:
    """The due times of a file, in nanoseconds."""

    def __init__(self, file: Path) -> None:
        self._blocks: Iterator[Integers] = due_times(file)

    def next(self, size: int) -> Block | None:  # noqa: ARG002 - reads as many lines as are read at a time
        """The next points. Raises TraceError where the file has changed since it was checked."""
        block = next(self._blocks, None)
        return None if block is None else (0, block)


_TERMS = tuple(1 / (2 * n + 1) for n in range(11))  # the next one is below 2**-56 of the sum
_SQRT_HALF = 0.7071067811865476
_LN_2 = 0.6931471805599453


def minus_log(values: Floats) -> Floats:
    """``-ln(v)`` for values above 0, to some units in the last place, and the same bits on every machine.

    ``v = m * 2**e`` with m about 1, and ``ln m = 2 artanh(s) = 2 (s + s**3 / 3 + s**5 / 5 + ...)`` with
    ``s = (m - 1) / (m + 1)``, which is at most 0.172 (M. Abramowitz, I. Stegun, Handbook of Mathematical Functions,
    4.1.27).
    """
    mantissas, exponents = np.frexp(values)
    low = mantissas < _SQRT_HALF
    m: Floats = mantissas * (1.0 + low)
    s = (m - 1) / (m + 1)
    square = s * s
    series = np.full_like(s, _TERMS[-1])
    for term in _TERMS[-2::-1]:
        series *= square
        series += term
    series *= s
    series *= -2
    series -= (exponents - low) * _LN_2
    return series
