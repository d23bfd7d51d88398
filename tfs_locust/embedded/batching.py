"""Batching as ``--enable_batching`` does it: many calls of a servable's run become few.

``BatchScheduler`` owns the batch threads, which serve all queues in turn; ``BatchedRun`` stands before one servable's
run, keeps a queue for each set of input and output names, merges the inputs of a batch and parts its outputs.
Source: tensorflow_serving/batching/batching_session.cc and batching_util.cc; TensorFlow's shared_batch_scheduler.h.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait

import numpy as np

from tfs_locust.embedded.batch_task import Task, cut
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.servable import Run
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import Array, data_type_string
from tfs_locust.tfserving.batch_queue import Batch, BatchQueue, TaskRefusedError
from tfs_locust.tfserving.batching import BatchingParameters

_LARGEST_PADDED_RANK = 6

Process = Callable[[Batch[Task]], None]


class BatchScheduler:
    """The batch threads of one server. A queue belongs to the process function it was added with."""

    def __init__(self, num_threads: int, name: str = "batch_threads") -> None:
        self._work = threading.Condition()
        self._queues: list[tuple[BatchQueue[Task], Process]] = []
        self._running: dict[int, int] = {}  # id of a queue: how many of its batches run
        self._next = 0
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}_{i}", daemon=True) for i in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, queue: BatchQueue[Task], process: Process) -> None:
        """Serve ``queue`` from now on; ``process`` must not raise."""
        with self._work:
            self._queues.append((queue, process))

    def submit(self, queue: BatchQueue[Task], task: Task) -> Sequence[Task]:
        """Queue ``task``; returns the pieces it was queued in.

        Raises ServingError: INVALID_ARGUMENT for a task larger than ``max_batch_size``, UNAVAILABLE for a full queue.
        """
        with self._work:
            try:
                pieces = queue.submit(task, time.monotonic())
            except TaskRefusedError as refused:
                code = Code.INVALID_ARGUMENT if refused.too_large else Code.UNAVAILABLE
                raise ServingError(code, str(refused)) from None
            self._work.notify()
        return pieces

    def remove(self, queue: BatchQueue[Task]) -> None:
        """Run what ``queue`` still holds, wait until it is done, and forget the queue."""
        with self._work:
            queue.draining = True
            self._work.notify_all()
            self._work.wait_for(lambda: self._stopped or (queue.empty and not self._running.get(id(queue))))
            self._queues = [entry for entry in self._queues if entry[0] is not queue]

    def stop(self) -> None:
        """End the threads; tasks that wait get no answer any more."""
        with self._work:
            self._stopped = True
            self._work.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (work := self._wait_for_batch()) is not None:
            queue, process, batch = work
            process(batch)
            with self._work:
                self._running[id(queue)] -= 1
                if not self._running[id(queue)]:
                    del self._running[id(queue)]
                    if queue.draining:
                        self._work.notify_all()

    def _wait_for_batch(self) -> tuple[BatchQueue[Task], Process, Batch[Task]] | None:
        with self._work:
            while not self._stopped:
                now = time.monotonic()
                for _ in self._queues:
                    self._next = (self._next + 1) % len(self._queues)
                    queue, process = self._queues[self._next]
                    if (batch := queue.take(now)) is not None:
                        self._running[id(queue)] = self._running.get(id(queue), 0) + 1
                        self._work.notify()  # someone else must mind what this thread was waiting for
                        return queue, process, batch
                times = [at for queue, _ in self._queues if (at := queue.ready_at()) is not None]
                self._work.wait(max(min(times) - now, 0) if times else None)
        return None


class BatchedRun:
    """A servable's run that shares its executions between concurrent calls. Call it like the run it stands before."""

    def __init__(self, run: Run, scheduler: BatchScheduler, parameters: BatchingParameters, metrics: Metrics) -> None:
        """Raises ServingError for parameters the server refuses to load a model with."""
        if (problem := parameters.problem()) is not None:
            raise ServingError(Code.INVALID_ARGUMENT, problem)
        self._run = run
        self._scheduler = scheduler
        self._parameters = parameters
        self._metrics = metrics
        self._queues: dict[tuple[frozenset[str], frozenset[str]], BatchQueue[Task]] = {}
        self._lock = threading.Lock()

    def __call__(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_s: float | None) -> list[Array]:
        """Wait for the batch that holds these rows; returns the rows' outputs in the order of ``fetches``."""
        rows = _batch_size(feeds)
        for array in feeds.values():
            self._metrics.observe_input_batch_size(array.shape[0])
        now = time.monotonic()
        task = Task(feeds, rows, now, None if timeout_s is None else now + timeout_s)
        pieces = self._scheduler.submit(self._queue(frozenset(feeds), frozenset(fetches)), task)
        if len(pieces) == 1:
            outputs = pieces[0].outputs.result()
            return [outputs[name] for name in fetches]
        wait([piece.outputs for piece in pieces])
        parts = [piece.outputs.result() for piece in pieces]
        return [_concatenate([part[name] for part in parts]) for name in fetches]

    def close(self) -> None:
        """Run what still waits, then give the queues back."""
        with self._lock:
            queues, self._queues = list(self._queues.values()), {}
        for queue in queues:
            self._scheduler.remove(queue)

    def _queue(self, inputs: frozenset[str], outputs: frozenset[str]) -> BatchQueue[Task]:
        key = inputs, outputs
        queue = self._queues.get(key)
        if queue is None:
            with self._lock:
                if (queue := self._queues.get(key)) is None:
                    queue = self._queues[key] = BatchQueue(self._parameters, cut)
                    names = sorted(outputs)
                    self._scheduler.add(queue, lambda batch: self._process(batch, names))
        return queue

    def _process(self, batch: Batch[Task], fetches: Sequence[str]) -> None:
        """Run ``batch``; its one status is the status of each of its tasks."""
        try:
            timeout_s = self._time_left(batch)
            merged = self._merge(batch)
            try:
                outputs = self._run(merged, fetches, timeout_s)
            finally:
                self._metrics.count_wrapped_run()
            parts = _parted(dict(zip(fetches, outputs, strict=True)), batch, self._executed_size(batch))
        except BaseException as error:  # whatever it is, the waiting calls must hear of it
            for task in batch.tasks:
                task.outputs.set_exception(error)
        else:
            for task, part in zip(batch.tasks, parts, strict=True):
                task.outputs.set_result(part)

    def _time_left(self, batch: Batch[Task]) -> float | None:
        """The time until the latest deadline of the batch, which the whole batch runs with."""
        now = time.monotonic()
        for task in batch.tasks:
            self._metrics.observe_queuing_latency((now - task.enqueued_at) * 1e6)
        latest = max((float("inf") if task.deadline is None else task.deadline) for task in batch.tasks)
        if latest <= now:
            raise ServingError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
        return None if latest == float("inf") else latest - now

    def _executed_size(self, batch: Batch[Task]) -> int:
        return self._parameters.executed_size(batch.rows)

    def _merge(self, batch: Batch[Task]) -> dict[str, Array]:
        size = self._executed_size(batch)
        padding = size - batch.rows
        self._metrics.observe_padding_size(padding, size)
        self._metrics.observe_processed_batch_size(size)
        columns = {name: [task.feeds[name] for task in batch.tasks] for name in sorted(batch.tasks[0].feeds)}
        for name, arrays in columns.items():
            if self._parameters.pad_variable_length_inputs:
                columns[name] = _padded_to_longest(arrays)
            elif any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                    "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                    "dimensions starting with the first dim.",
                )
        merged = {}
        for name, arrays in columns.items():
            if padding:
                # the last task's first row; a task without rows has none, and the real server dies of it
                row = next(array[:1] for array in reversed(arrays) if len(array))
                arrays.extend([row] * padding)
            merged[name] = _concatenate(arrays)
        return merged


def _batch_size(feeds: Mapping[str, Array]) -> int:
    """The rows of one call: the 0th dimension all its inputs share."""
    if not feeds:
        raise ServingError(Code.INVALID_ARGUMENT, "Batching Run() must have at least one input tensor")
    size: int | None = None
    for array in feeds.values():
        if array.ndim == 0:
            raise ServingError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have at least one dimension")
        if size is None:
            size = array.shape[0]
        elif size != array.shape[0]:
            raise ServingError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have equal 0th-dimension size")
    assert size is not None
    return size


def _concatenate(arrays: Sequence[Array]) -> Array:
    """Join along the 0th dimension. Raises ServingError INTERNAL for different types."""
    first = arrays[0]
    if len(arrays) == 1:
        return first
    for array in arrays:
        if array.dtype != first.dtype:
            raise ServingError(
                Code.INTERNAL,
                "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data "
                f"types. Got {data_type_string(first)} and {data_type_string(array)}.",
            )
    return np.concatenate(arrays)


def _padded_to_longest(arrays: Sequence[Array]) -> list[Array]:
    """Make all dimensions but the 0th as long as the longest, each array filled up with its own first element."""
    if any(array.ndim > _LARGEST_PADDED_RANK for array in arrays):
        raise ServingError(Code.INVALID_ARGUMENT, "Only tensors with rank from 1 to 6 can be padded.")
    if any(array.ndim != arrays[0].ndim for array in arrays):
        raise ServingError(Code.INTERNAL, "Tensor concat operation failed: tensors of different ranks")
    longest = tuple(max(lengths) for lengths in zip(*(array.shape[1:] for array in arrays), strict=True))
    padded = []
    for array in arrays:
        shape = (array.shape[0], *longest)
        if shape == array.shape:
            padded.append(array)
            continue
        if array.size == 0 and 0 not in shape:
            raise ServingError(Code.INVALID_ARGUMENT, "Got empty tensor in batch of non-empty tensors.")
        filled = np.full(shape, array.flat[0] if array.size else b"", array.dtype)
        filled[tuple(slice(length) for length in array.shape)] = array
        padded.append(filled)
    return padded


def _parted(outputs: Mapping[str, Array], batch: Batch[Task], size: int) -> list[dict[str, Array]]:
    """Each task's rows of the outputs; the padding at the end is dropped."""
    for array in outputs.values():
        if array.ndim == 0:
            raise ServingError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if array.shape[0] != size:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    parts, start = [], 0
    for task in batch.tasks:
        end = start + task.rows
        parts.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return parts
