"""How requests of one size fill batches, when there are always enough of them waiting.

Plain arithmetic on the rules of the scheduler: requests are never re-packed, so a batch holds as many whole ones as
fit, or is filled to the last row where large ones are split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from tfs_locust.tfserving.batching import BatchingParameters

LARGEST_TRIED = 1 << 16
"""Rows beyond which no size is tried for being the best or the worst: requests of so many rows are none of ours."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """What a saturated queue makes of requests of ``rows`` rows each."""

    rows: int
    largest_batch: int
    rows_per_batch: int
    """Without padding."""
    executed_rows: int
    """With padding."""
    pieces: Fraction
    """In which a request is executed, on average; 1 without splitting."""

    @property
    def padding_ratio(self) -> float:
        """Rows of padding among all rows executed."""
        return 1 - self.rows_per_batch / self.executed_rows

    @property
    def unused_ratio(self) -> float:
        """Rows of a largest batch that stay unused, because no further request fits."""
        return 1 - self.rows_per_batch / self.largest_batch

    @property
    def needless_pieces(self) -> Fraction:
        """Pieces beyond those that the size of a request makes necessary."""
        return self.pieces - math.ceil(Fraction(self.rows, self.largest_batch))

    @property
    def fits(self) -> bool:
        """Whether full batches have neither padding nor leftovers, and no request is cut without need."""
        return self.rows_per_batch == self.executed_rows == self.largest_batch and not self.needless_pieces


def tiling(parameters: BatchingParameters, rows: int) -> Tiling:
    """The tiling of batches by requests of ``rows`` rows, from 1 to ``max_batch_size``. Raises ValueError."""
    largest = parameters.largest_batch
    if not 1 <= rows <= parameters.max_batch_size:
        raise ValueError(f"a request has 1 to {parameters.max_batch_size} rows, not {rows}")
    if not parameters.enable_large_batch_splitting:
        held = largest // rows * rows
        return Tiling(rows, largest, held, parameters.executed_size(held), Fraction(1))
    # cuts are at multiples of the largest batch; where requests begin between two cuts, all multiples of the common
    # divisor occur equally often
    pieces = Fraction(rows + largest - math.gcd(rows, largest), largest)
    return Tiling(rows, largest, largest, parameters.executed_size(largest), pieces)


def largest_taken(parameters: BatchingParameters) -> int:
    """Rows of the largest request that an empty queue has room for."""
    if not parameters.enable_large_batch_splitting:  # an open batch takes any request
        return parameters.max_batch_size
    return min(parameters.max_batch_size, parameters.most_enqueued_batches * parameters.largest_batch)


def fitting_rows(parameters: BatchingParameters) -> tuple[int, ...]:
    """Sizes whose :func:`tiling` fits and that the queue has room for, ascending; none where the largest batch itself
    is padded. Of batches of billions of rows, and of multiples of batches, not all are tried."""
    largest = parameters.largest_batch
    most = largest_taken(parameters)
    divisors = {
        divisor
        for small in range(1, min(math.isqrt(largest), LARGEST_TRIED) + 1)
        if largest % small == 0
        for divisor in (small, largest // small)
    }
    multiples = range(2 * largest, min(most, LARGEST_TRIED) + 1, largest)
    return tuple(rows for rows in sorted({*divisors, *multiples}) if rows <= most and tiling(parameters, rows).fits)


def worst_rows(parameters: BatchingParameters) -> int:
    """The size that is padded most; among equals what leaves most unused, then what is cut most without need."""

    def waste(rows: int) -> tuple[float, float, Fraction]:
        tiled = tiling(parameters, rows)
        return tiled.padding_ratio, tiled.unused_ratio, tiled.needless_pieces

    return max(range(1, min(parameters.max_batch_size, LARGEST_TRIED) + 1), key=waste)
