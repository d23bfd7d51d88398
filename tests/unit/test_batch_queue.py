"""When a batch closes, may run, and is refused: the queue's rules, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.tfserving.batch_queue import Batch, BatchQueue, TaskRefusedError
from tfs_locust.tfserving.batching import BatchingParameters


@dataclass(frozen=True)
class _Task:
    rows: int
    name: int = 0


def _cut(task: _Task, ranges: Sequence[range]) -> list[_Task]:
    return [_Task(len(rows), task.name) for rows in ranges]


def _queue(**parameters: Any) -> BatchQueue[_Task]:
    return BatchQueue(BatchingParameters(**parameters), _cut)


def _rows(batch: Batch[_Task] | None) -> list[int] | None:
    return None if batch is None else [task.rows for task in batch.tasks]


def test_batch_waits_for_its_timeout() -> None:
    """An open batch may run when its first task has waited for batch_timeout_micros."""
    queue = _queue(max_batch_size=4, batch_timeout_micros=2_000_000)
    queue.submit(_Task(1), 10.0)
    queue.submit(_Task(1), 11.0)
    assert queue.ready_at() == 12.0
    assert queue.take(11.9) is None
    assert _rows(queue.take(12.0)) == [1, 1]
    assert queue.empty


def test_full_batch_does_not_wait() -> None:
    """A batch of max_batch_size rows may run at once."""
    queue = _queue(max_batch_size=4, batch_timeout_micros=1_000_000)
    queue.submit(_Task(1), 10.0)
    queue.submit(_Task(3), 10.0)
    assert _rows(queue.take(10.0)) == [1, 3]


def test_timeout_zero_takes_what_there_is() -> None:
    """Without a timeout one task is a batch."""
    queue = _queue()
    queue.submit(_Task(1), 5.0)
    assert _rows(queue.take(5.0)) == [1]


def test_task_that_does_not_fit_closes_the_batch() -> None:
    """No re-packing: 20 and 20 of 32 are two batches, and the first runs at once."""
    queue = _queue(max_batch_size=32, batch_timeout_micros=1_000_000)
    queue.submit(_Task(20), 1.0)
    queue.submit(_Task(20), 1.5)
    queue.submit(_Task(12), 1.6)
    assert _rows(queue.take(1.6)) == [20]
    assert _rows(queue.take(1.6)) == [20, 12]


def test_task_without_rows_waits_for_another() -> None:
    """A batch of zero rows is never ready; its time counts once another task has joined."""
    queue = _queue(batch_timeout_micros=1_000_000)
    queue.submit(_Task(0), 1.0)
    assert queue.ready_at() is None
    assert not queue.empty
    queue.submit(_Task(2), 5.0)
    assert _rows(queue.take(5.0)) == [0, 2]


def test_draining_queue_waits_no_longer() -> None:
    """What is queued when the queue is to be emptied runs now."""
    queue = _queue(batch_timeout_micros=10**12)
    queue.submit(_Task(1), 1.0)
    queue.draining = True
    assert _rows(queue.take(1.0)) == [1]


def test_too_large_a_task_is_refused() -> None:
    """A task may have max_batch_size rows and no more."""
    queue = _queue(max_batch_size=32)
    with pytest.raises(TaskRefusedError) as error:
        queue.submit(_Task(33), 0.0)
    assert error.value.too_large
    assert str(error.value) == "Task size 33 is larger than maximum input batch size 32"
    queue.submit(_Task(32), 0.0)


def test_full_queue_refuses_what_does_not_fit_the_open_batch() -> None:
    """The open batch counts as a batch, yet what still fits into it is taken."""
    queue = _queue(max_batch_size=4, max_enqueued_batches=2, batch_timeout_micros=10**9)
    queue.submit(_Task(4), 0.0)
    queue.submit(_Task(3), 0.0)
    with pytest.raises(TaskRefusedError) as error:
        queue.submit(_Task(2), 0.0)
    assert not error.value.too_large
    assert str(error.value) == (
        "The batch scheduling queue to which this task was submitted is full; currently 2 batches enqueued and "
        "max_enqueued_batches is 2"
    )
    queue.submit(_Task(1), 0.0)


def test_no_enqueued_batches_means_one() -> None:
    """max_enqueued_batches 0 is taken for 1, quietly."""
    queue = _queue(max_batch_size=1, max_enqueued_batches=0)
    queue.submit(_Task(1), 0.0)
    with pytest.raises(TaskRefusedError, match="currently 1 batches enqueued and max_enqueued_batches is 1"):
        queue.submit(_Task(1), 0.0)


def test_splitting_fills_the_open_batch_first() -> None:
    """A task that does not fit is cut: the open batch is filled, the rest makes batches of its own."""
    queue = _queue(
        max_batch_size=20, max_execution_batch_size=4, enable_large_batch_splitting=True, batch_timeout_micros=10**9
    )
    queue.submit(_Task(3, 1), 0.0)
    pieces = queue.submit(_Task(10, 2), 0.0)
    assert [piece.rows for piece in pieces] == [1, 4, 4, 1]
    assert [_rows(queue.take(0.0)) for _ in range(4)] == [[3, 1], [4], [4], None]
    assert {piece.name for piece in pieces} == {2}


def test_full_queue_with_splitting_says_what_it_has_room_for() -> None:
    """With splitting the capacity is counted in rows."""
    queue = _queue(
        max_batch_size=20, max_execution_batch_size=4, max_enqueued_batches=2, enable_large_batch_splitting=True
    )
    queue.submit(_Task(3), 0.0)
    with pytest.raises(TaskRefusedError) as error:
        queue.submit(_Task(6), 0.0)
    assert not error.value.too_large
    assert str(error.value) == (
        "The batch scheduling queue to which this task was submitted is full; task size is 6 but scheduling capacity "
        "is only 5 (num_enqueued_batches=1, max_enqueued_batches=2, open_batch_size=3, max_execution_batch_size=4)"
    )


@given(st.lists(st.integers(0, 8), max_size=30), st.booleans())
def test_nothing_is_lost_and_no_batch_is_too_large(sizes: list[int], splits: bool) -> None:
    """Every row submitted leaves in exactly one batch, in order, none larger than max_batch_size."""
    queue = _queue(max_batch_size=8, max_enqueued_batches=1000, enable_large_batch_splitting=splits)
    for number, rows in enumerate(sizes):
        queue.submit(_Task(rows, number), 0.0)
    queue.draining = True
    batches = []
    while (batch := queue.take(0.0)) is not None:
        batches.append(batch)
    assert all(0 < batch.rows <= 8 for batch in batches)
    names = [task.name for batch in batches for task in batch.tasks for _ in range(task.rows)]
    assert names == [number for number, rows in enumerate(sizes) for _ in range(rows)]
