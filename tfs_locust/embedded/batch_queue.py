"""One queue of tasks that become batches: when a batch closes, when it may run, when the queue is full.

The rules of TensorFlow's ``shared_batch_scheduler.h``, without threads and without looking at a clock: the caller holds
a lock and passes the time in. Sizes are rows, times are seconds on the caller's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import Array
from tfs_locust.tfserving.batching import BatchingParameters


@dataclass(slots=True)
class Task:
    """One call that waits for its rows of a batch's outputs."""

    feeds: Mapping[str, Array]
    rows: int
    enqueued_at: float
    deadline: float | None
    """None: it waits forever."""
    outputs: Future[Mapping[str, Array]] = field(default_factory=Future)


@dataclass(slots=True)
class Batch:
    """Tasks that run together, in the order in which they came."""

    started_at: float
    """When its first task came. A task without rows counts, though a batch of none but those never runs."""
    tasks: list[Task] = field(default_factory=list)
    rows: int = 0

    def add(self, task: Task) -> None:
        self.tasks.append(task)
        self.rows += task.rows


class BatchQueue:
    """The batches of one (servable version, input names, output names); the last one is open, the others closed."""

    def __init__(self, parameters: BatchingParameters) -> None:
        self._parameters = parameters
        self._largest = parameters.largest_batch
        self._timeout_s = parameters.batch_timeout_micros / 1e6
        self._splits = parameters.enable_large_batch_splitting
        # without splitting the server quietly takes 0 for 1
        self._most_batches = max(parameters.max_enqueued_batches, 0 if self._splits else 1)
        self._closed: deque[Batch] = deque()
        self._open = Batch(0.0)
        self.draining = False
        """True: the open batch no longer waits for more tasks."""

    def submit(self, task: Task, now: float) -> Sequence[Task]:
        """Queue ``task``, in pieces where the parameters ask for it; returns what was queued.

        Raises ServingError: INVALID_ARGUMENT for a task larger than ``max_batch_size``, UNAVAILABLE for a full queue.
        """
        self._check_capacity(task)
        room = self._largest - self._open.rows
        pieces = _split(task, room, self._largest) if self._splits and task.rows > room else [task]
        for piece in pieces:
            if self._open.rows + piece.rows > self._largest:
                self._closed.append(self._open)
                self._open = Batch(now)
            if not self._open.tasks:
                self._open.started_at = now
            self._open.add(piece)
        return pieces

    def _check_capacity(self, task: Task) -> None:
        parameters = self._parameters
        if task.rows > parameters.max_batch_size:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Task size {task.rows} is larger than maximum input batch size {parameters.max_batch_size}",
            )
        batches = len(self._closed) + 1
        full = "The batch scheduling queue to which this task was submitted is full; "
        if self._splits:
            capacity = (self._most_batches - batches) * self._largest + self._largest - self._open.rows
            if task.rows > capacity:
                raise ServingError(
                    Code.UNAVAILABLE,
                    f"{full}task size is {task.rows} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={batches}, max_enqueued_batches={self._most_batches}, "
                    f"open_batch_size={self._open.rows}, max_execution_batch_size={self._largest})",
                )
        elif self._open.rows + task.rows > parameters.max_batch_size and batches >= self._most_batches:
            raise ServingError(
                Code.UNAVAILABLE,
                f"{full}currently {batches} batches enqueued and max_enqueued_batches is {self._most_batches}",
            )

    def ready_at(self) -> float | None:
        """When a batch may run: a time (maybe past), or None: not before another task comes."""
        if self._closed:
            return self._closed[0].started_at
        if self._open.rows == 0:
            return None
        if self.draining or self._open.rows >= self._largest:
            return self._open.started_at
        return self._open.started_at + self._timeout_s

    def take(self, now: float) -> Batch | None:
        """Remove and return the batch that may run at ``now``, if there is one."""
        ready_at = self.ready_at()
        if ready_at is None or ready_at > now:
            return None
        if self._closed:
            return self._closed.popleft()
        batch, self._open = self._open, Batch(now)
        return batch

    @property
    def empty(self) -> bool:
        """Whether no task waits here."""
        return not self._closed and not self._open.tasks


def _split(task: Task, room: int, largest: int) -> list[Task]:
    """Cut ``task`` so that the first piece fills the ``room`` of the open batch, the others a batch each."""
    ends = [*range(room if room > 0 else largest, task.rows, largest), task.rows]
    starts = [0, *ends[:-1]]
    return [
        replace(
            task,
            feeds={name: array[start:end] for name, array in task.feeds.items()},
            rows=end - start,
            outputs=Future(),
        )
        for start, end in zip(starts, ends, strict=True)
    ]
