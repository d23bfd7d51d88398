"""One queue of tasks that become batches: when a batch closes, when it may run, when the queue is full.

The rules of TensorFlow's ``shared_batch_scheduler.h``, without threads and without looking at a clock: the caller
passes the time in, and holds a lock if it has threads. Sizes are rows, times are seconds on the caller's clock. The
embedded server runs on these rules, and plans are simulated by them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

from tfs_locust.tfserving.batching import BatchingParameters


class Task(Protocol):
    """What is queued: all the queue needs to know of it is how many rows it has."""

    @property
    def rows(self) -> int:
        """Not negative; may be 0."""


AnyTask = TypeVar("AnyTask", bound=Task)

Cut = Callable[[AnyTask, Sequence[range]], Sequence[AnyTask]]
"""Cuts a task into one piece for each range of its rows, in order."""


class TaskRefusedError(Exception):
    """A task the queue does not take, in the server's words."""

    def __init__(self, text: str, *, too_large: bool) -> None:
        super().__init__(text)
        self.too_large = too_large
        """True: it has more rows than any task may have (INVALID_ARGUMENT). False: the queue is full (UNAVAILABLE)."""


@dataclass(slots=True)
class Batch(Generic[AnyTask]):
    """Tasks that run together, in the order in which they came."""

    started_at: float
    """When its first task came. A task without rows counts, though a batch of none but those never runs."""
    tasks: list[AnyTask] = field(default_factory=list)
    rows: int = 0

    def add(self, task: AnyTask) -> None:
        """Put ``task`` behind those that are here."""
        self.tasks.append(task)
        self.rows += task.rows


class BatchQueue(Generic[AnyTask]):
    """The batches of one (servable version, input names, output names); the last one is open, the others closed."""

    def __init__(self, parameters: BatchingParameters, cut: Cut[AnyTask]) -> None:
        """``cut`` is asked only where ``parameters`` enable the splitting of large batches."""
        self._parameters = parameters
        self._cut = cut
        self._largest = parameters.largest_batch
        self._timeout_s = parameters.batch_timeout_micros / 1e6
        self._splits = parameters.enable_large_batch_splitting
        self._most_batches = parameters.most_enqueued_batches
        self._closed: deque[Batch[AnyTask]] = deque()
        self._open: Batch[AnyTask] = Batch(0.0)
        self.draining = False
        """True: the open batch no longer waits for more tasks."""

    def submit(self, task: AnyTask, now: float) -> Sequence[AnyTask]:
        """Queue ``task``, in pieces where the parameters ask for it; returns what was queued.

        Raises TaskRefusedError.
        """
        self._check_capacity(task)
        room = self._largest - self._open.rows
        pieces = [task]
        if self._splits and task.rows > room:
            pieces = list(self._cut(task, _ranges(task.rows, room, self._largest)))
        for piece in pieces:
            if self._open.rows + piece.rows > self._largest:
                self._closed.append(self._open)
                self._open = Batch(now)
            if not self._open.tasks:
                self._open.started_at = now
            self._open.add(piece)
        return pieces

    def _check_capacity(self, task: AnyTask) -> None:
        parameters = self._parameters
        if task.rows > parameters.max_batch_size:
            raise TaskRefusedError(
                f"Task size {task.rows} is larger than maximum input batch size {parameters.max_batch_size}",
                too_large=True,
            )
        batches = len(self._closed) + 1
        full = "The batch scheduling queue to which this task was submitted is full; "
        if self._splits:
            capacity = (self._most_batches - batches) * self._largest + self._largest - self._open.rows
            if task.rows > capacity:
                raise TaskRefusedError(
                    f"{full}task size is {task.rows} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={batches}, max_enqueued_batches={self._most_batches}, "
                    f"open_batch_size={self._open.rows}, max_execution_batch_size={self._largest})",
                    too_large=False,
                )
        elif self._open.rows + task.rows > parameters.max_batch_size and batches >= self._most_batches:
            raise TaskRefusedError(
                f"{full}currently {batches} batches enqueued and max_enqueued_batches is {self._most_batches}",
                too_large=False,
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

    def take(self, now: float) -> Batch[AnyTask] | None:
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


def _ranges(rows: int, room: int, largest: int) -> list[range]:
    """``rows`` rows in ranges: the first fills the ``room`` of the open batch, the others a batch each."""
    ends = [*range(room if room > 0 else largest, rows, largest), rows]
    return [range(start, end) for start, end in pairwise([0, *ends])]
