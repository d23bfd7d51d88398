"""How requests of one size fill batches: by arithmetic, and the same by the queue itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.tiling import fitting_rows, tiling, worst_rows
from tfs_locust.tfserving.batch_queue import BatchQueue
from tfs_locust.tfserving.batching import BatchingParameters

_POWERS = BatchingParameters(max_batch_size=32, allowed_batch_sizes=(1, 2, 4, 8, 16, 32))


def test_sizes_that_fit() -> None:
    """Divisors of the largest batch; with splitting its multiples as well."""
    assert fitting_rows(_POWERS) == (1, 2, 4, 8, 16, 32)
    assert fitting_rows(BatchingParameters(max_batch_size=12)) == (1, 2, 3, 4, 6, 12)
    split = BatchingParameters(max_batch_size=32, max_execution_batch_size=8, enable_large_batch_splitting=True)
    assert fitting_rows(split) == (1, 2, 4, 8, 16, 24, 32)


def test_nothing_fits_where_the_largest_batch_is_padded() -> None:
    """Executions of 8 rows run as 32 here, whoever fills them."""
    parameters = BatchingParameters(
        max_batch_size=32, allowed_batch_sizes=(4, 32), max_execution_batch_size=8, enable_large_batch_splitting=True
    )
    assert fitting_rows(parameters) == ()
    assert tiling(parameters, 8).padding_ratio == 0.75


def test_a_size_that_does_not_fit() -> None:
    """17 of 32 rows: one request a batch, 15 rows of padding; 20 without allowed sizes: 12 rows unused."""
    assert tiling(_POWERS, 17).rows_per_batch == 17
    assert tiling(_POWERS, 17).padding_ratio == 15 / 32
    plain = tiling(BatchingParameters(max_batch_size=32), 20)
    assert (plain.padding_ratio, plain.unused_ratio, plain.fits) == (0, 12 / 32, False)


def test_the_worst_size() -> None:
    """Just above half a batch; with splitting what is cut most often without need."""
    assert worst_rows(_POWERS) == 17
    assert worst_rows(BatchingParameters()) == 501
    split = BatchingParameters(max_batch_size=32, max_execution_batch_size=8, enable_large_batch_splitting=True)
    assert worst_rows(split) == 7
    assert tiling(split, 7).needless_pieces == Fraction(3, 4)


@pytest.mark.parametrize("rows", [0, 33])
def test_sizes_that_are_refused(rows: int) -> None:
    """No rows, or more than any request may have."""
    with pytest.raises(ValueError, match=f"a request has 1 to 32 rows, not {rows}"):
        tiling(_POWERS, rows)


@dataclass(frozen=True)
class _Task:
    rows: int


def _cut(_: _Task, ranges: Sequence[range]) -> list[_Task]:
    return [_Task(len(rows)) for rows in ranges]


@given(st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_the_queue_agrees(largest: int, rows: int, splits: bool) -> None:
    """As many requests as make the pattern repeat, through the queue's own rules: the same batches and pieces."""
    parameters = BatchingParameters(
        max_batch_size=40 if splits else largest,
        max_execution_batch_size=largest,
        enable_large_batch_splitting=splits,
        max_enqueued_batches=10**6,
        batch_timeout_micros=10**9,
    )
    if rows > parameters.max_batch_size:
        return
    expected = tiling(parameters, rows)
    queue: BatchQueue[_Task] = BatchQueue(parameters, _cut)
    pieces = sum(len(queue.submit(_Task(rows), 0.0)) for _ in range(largest))
    batches = []
    while (batch := queue.take(0.0)) is not None:
        batches.append(batch.rows)
    assert set(batches) <= {expected.rows_per_batch}
    assert Fraction(pieces, largest) == expected.pieces
