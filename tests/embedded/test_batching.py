"""Calls that share executions: merging, padding, parting, deadlines, errors; with threads, without TensorFlow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tfs_locust.embedded.batching import BatchedRun, BatchScheduler
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving.batching import BatchingParameters

Array = Any
_HOUR_US = 3_600_000_000


class _Model:
    """y = x + 1 for each element; remembers what it was run with, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Array]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.timeouts: list[float | None] = []
        self.error: Exception | None = None

    def __call__(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_s: float | None) -> list[Array]:
        self.batches.append(dict(feeds))
        self.timeouts.append(timeout_s)
        self.entered.release()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return [feeds["x"] if feeds["x"].dtype == object else feeds["x"] + 1 for _ in fetches]


@pytest.fixture
def scheduler() -> Iterator[BatchScheduler]:
    """Two batch threads that end with the test."""
    scheduler = BatchScheduler(2)
    yield scheduler
    scheduler.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads to call from."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def batched(scheduler: BatchScheduler) -> Callable[..., BatchedRun]:
    """A batched run with the given parameters."""

    def build(model: _Model, metrics: Metrics | None = None, **parameters: Any) -> BatchedRun:
        return BatchedRun(model, scheduler, BatchingParameters(**parameters), metrics or Metrics())

    return build


def _x(*rows: Sequence[float]) -> dict[str, Array]:
    return {"x": np.array(rows, np.float32)}


def _waiting(run: BatchedRun) -> int:
    """How many tasks are in the queues."""
    return sum(len(queue._open.tasks) + len(queue._closed) for queue in run._queues.values())


def _together(
    pool: ThreadPoolExecutor, run: BatchedRun, calls: Sequence[dict[str, Array]]
) -> list[Future[list[Array]]]:
    """Make the calls in this order: each but the last waits in the queue before the next is made."""
    futures: list[Future[list[Array]]] = []
    for feeds in calls:
        futures.append(pool.submit(run, feeds, ["y"], None))
        _wait_until(lambda: _waiting(run) >= len(futures) or futures[-1].done() or len(futures) == len(calls))
    return futures


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_calls_share_one_execution(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """Two calls that fill a batch run as one, and each gets its own rows."""
    model = _Model()
    run = batched(model, max_batch_size=3, batch_timeout_micros=_HOUR_US)
    first, second = _together(pool, run, [_x([1], [2]), _x([3])])
    assert first.result(10)[0].tolist() == [[2], [3]]
    assert second.result(10)[0].tolist() == [[4]]
    assert [batch["x"].tolist() for batch in model.batches] == [[[1], [2], [3]]]


def test_padding_repeats_the_last_tasks_first_row(batched: Callable[..., BatchedRun]) -> None:
    """A batch of 3 runs as 4; nobody sees the added row."""
    model = _Model()
    run = batched(model, max_batch_size=4, allowed_batch_sizes=(2, 4))
    assert run(_x([1], [2], [3]), ["y"], None)[0].tolist() == [[2], [3], [4]]
    assert model.batches[0]["x"].tolist() == [[1], [2], [3], [1]]


def test_outputs_come_in_the_order_asked_for(batched: Callable[..., BatchedRun]) -> None:
    """The batch fetches names in alphabetical order, a call gets its own order."""

    def run(feeds: Mapping[str, Array], fetches: Sequence[str], _: float | None) -> list[Array]:
        assert list(fetches) == ["a", "b"]
        return [feeds["x"] * 1, feeds["x"] * 2]

    a, b = (batched(run)(_x([3]), order, None) for order in (["a", "b"], ["b", "a"]))
    assert [array.tolist() for array in a] == [[[3]], [[6]]]
    assert [array.tolist() for array in b] == [[[6]], [[3]]]


def test_other_outputs_are_another_queue(batched: Callable[..., BatchedRun]) -> None:
    """Calls for different outputs never share a batch."""
    model = _Model()
    run = batched(model, max_batch_size=2)
    for fetches in (["y"], ["z"], ["y", "z"]):
        run(_x([1]), fetches, None)
    assert len(run._queues) == 3


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "Batching Run() must have at least one input tensor"),
        ({"x": np.array(1.0)}, "Batching Run() input tensors must have at least one dimension"),
        (
            {"x": np.zeros(2), "z": np.zeros(3)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
    ],
)
def test_calls_that_cannot_be_batched(feeds: dict[str, Array], text: str, batched: Callable[..., BatchedRun]) -> None:
    """Inputs need a 0th dimension, the same for all."""
    with pytest.raises(ServingError) as error:
        batched(_Model())(feeds, ["y"], None)
    assert (error.value.code, error.value.message) == (Code.INVALID_ARGUMENT, text)


def test_different_shapes_fail_the_whole_batch(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """Without padding of inputs one odd shape is everybody's error."""
    run = batched(_Model(), max_batch_size=2, batch_timeout_micros=_HOUR_US)
    for future in _together(pool, run, [_x([1]), _x([1, 2])]):
        error = future.exception(10)
        assert isinstance(error, ServingError)
        assert error.code is Code.FAILED_PRECONDITION
        assert error.message.startswith(
            "Tensors with name 'x' from different tasks have different shapes and padding is turned off. Set "
        )


def test_different_types_fail_the_whole_batch(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """One odd type is everybody's error, too."""
    run = batched(_Model(), max_batch_size=2, batch_timeout_micros=_HOUR_US)
    for future in _together(pool, run, [_x([1]), {"x": np.array([[1.0]])}]):
        error = future.exception(10)
        assert isinstance(error, ServingError)
        assert error.code is Code.INTERNAL
        assert error.message == (
            "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data "
            "types. Got float and double."
        )


def test_variable_length_inputs_are_padded(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """Shorter inputs are filled up with their own first element, each call keeps its rows."""
    model = _Model()
    run = batched(model, max_batch_size=2, batch_timeout_micros=_HOUR_US, pad_variable_length_inputs=True)
    short, long = _together(pool, run, [_x([7]), _x([1, 2, 3])])
    assert short.result(10)[0].tolist() == [[8, 8, 8]]
    assert long.result(10)[0].tolist() == [[2, 3, 4]]


def test_empty_input_cannot_be_padded(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """Nothing is there to fill up with."""
    run = batched(_Model(), max_batch_size=2, batch_timeout_micros=_HOUR_US, pad_variable_length_inputs=True)
    for future in _together(pool, run, [{"x": np.empty((1, 0), np.float32)}, _x([1])]):
        error = future.exception(10)
        assert isinstance(error, ServingError)
        assert (error.code, error.message) == (
            Code.INVALID_ARGUMENT,
            "Got empty tensor in batch of non-empty tensors.",
        )


def test_splitting_joins_the_pieces_again(batched: Callable[..., BatchedRun]) -> None:
    """A call larger than an execution runs in pieces and sees none of it."""
    model = _Model()
    run = batched(model, max_batch_size=10, max_execution_batch_size=4, enable_large_batch_splitting=True)
    assert run(_x(*([i] for i in range(10))), ["y"], None)[0].tolist() == [[i + 1] for i in range(10)]
    assert sorted(len(batch["x"]) for batch in model.batches) == [2, 4, 4]


def test_a_failing_piece_fails_the_call(batched: Callable[..., BatchedRun]) -> None:
    """All pieces must succeed."""
    model = _Model()
    model.error = ServingError(Code.INVALID_ARGUMENT, "no")
    run = batched(model, max_batch_size=10, max_execution_batch_size=4, enable_large_batch_splitting=True)
    with pytest.raises(ServingError, match="no"):
        run(_x(*([i] for i in range(10))), ["y"], None)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (np.float32(1), "Batched output tensor has 0 dimensions"),
        (
            np.zeros((3, 1)),
            (
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors"
            ),
        ),
    ],
)
def test_outputs_that_cannot_be_parted(output: Array, text: str, batched: Callable[..., BatchedRun]) -> None:
    """An output needs a row for each row of the batch."""
    with pytest.raises(ServingError) as error:
        batched(lambda *_: [np.asarray(output)])(_x([1], [2]), ["y"], None)
    assert (error.value.code, error.value.message) == (Code.FAILED_PRECONDITION, text)


def test_deadline_in_the_queue(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """A batch whose calls are all too late is not run."""
    model = _Model()
    model.gate.clear()
    run = batched(model, max_batch_size=1)
    busy = [pool.submit(run, _x([1]), ["y"], None) for _ in range(2)]
    for _ in busy:
        assert model.entered.acquire(timeout=10)
    late = pool.submit(run, _x([2]), ["y"], 1e-6)
    _wait_until(lambda: _waiting(run) == 1)
    model.gate.set()
    error = late.exception(10)
    assert isinstance(error, ServingError)
    assert (error.code, error.message) == (
        Code.RESOURCE_EXHAUSTED,
        "Run() timeout exceeded while waiting in batching queue",
    )
    assert len(model.batches) == 2


def test_batch_runs_with_its_latest_deadline(batched: Callable[..., BatchedRun]) -> None:
    """A call without a deadline frees the whole batch of one; else the latest counts."""
    model = _Model()
    run = batched(model)
    run(_x([1]), ["y"], None)
    run(_x([1]), ["y"], 100.0)
    assert model.timeouts[0] is None
    assert model.timeouts[1] is not None
    assert 90 < model.timeouts[1] <= 100


def test_any_error_reaches_the_callers_and_the_threads_live_on(batched: Callable[..., BatchedRun]) -> None:
    """Even our own bugs must not leave a call waiting."""
    model = _Model()
    model.error = KeyError("bug")
    run = batched(model)
    for _ in range(3):
        with pytest.raises(KeyError):
            run(_x([1]), ["y"], None)
    model.error = None
    assert run(_x([1]), ["y"], None)[0].tolist() == [[2]]


def test_task_without_rows_gets_its_empty_answer(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """It waits until another joins, and is padded with a row of that."""
    model = _Model()
    run = batched(model, max_batch_size=4, allowed_batch_sizes=(2, 4))
    empty = pool.submit(run, {"x": np.empty((0, 1), np.float32)}, ["y"], None)
    _wait_until(lambda: _waiting(run) == 1)
    other = pool.submit(run, _x([5]), ["y"], None)
    assert other.result(10)[0].tolist() == [[6]]
    assert empty.result(10)[0].shape == (0, 1)


def test_close_runs_what_waits(pool: ThreadPoolExecutor, batched: Callable[..., BatchedRun]) -> None:
    """A batch that waits for company runs when the servable goes."""
    run = batched(_Model(), max_batch_size=9, batch_timeout_micros=_HOUR_US)
    waiting = pool.submit(run, _x([1]), ["y"], None)
    _wait_until(lambda: _waiting(run) == 1)
    run.close()
    assert waiting.result(10)[0].tolist() == [[2]]


def test_wrong_parameters_are_refused(scheduler: BatchScheduler) -> None:
    """Parameters the server cannot load a model with fail the load."""
    with pytest.raises(ServingError) as error:
        BatchedRun(_Model(), scheduler, BatchingParameters(allowed_batch_sizes=(1, 2)), Metrics())
    assert error.value.code is Code.INVALID_ARGUMENT
    assert error.value.message.startswith("Last entry in allowed_batch_sizes must match max_batch_size")


def test_metrics_count_what_happened(batched: Callable[..., BatchedRun]) -> None:
    """One execution of 3 rows, padded to 4; the size is counted for each of two input tensors."""
    metrics = Metrics()
    run = batched(_Model(), metrics, max_batch_size=4, allowed_batch_sizes=(1, 2, 4))
    run({"x": np.zeros((3, 1)), "z": np.zeros((3, 2))}, ["y"], None)
    lines = metrics.page().splitlines()
    batching = ":tensorflow:serving:batching_session:"
    assert f"{batching}wrapped_run_count{{}} 1" in lines
    assert f"{batching}input_batch_size_sum{{}} 6" in lines
    assert f"{batching}processed_batch_size_sum{{}} 4" in lines
    assert f'{batching}padding_size_sum{{execution_batch_size="4"}} 1' in lines
    assert f'{batching}queuing_latency_count{{thread_pool_name=""}} 1' in lines


def test_stopping_ends_the_threads() -> None:
    """No thread outlives the scheduler."""

    def alive() -> int:
        return sum(thread.name.startswith("short_lived") for thread in threading.enumerate())

    scheduler = BatchScheduler(3, "short_lived")
    assert alive() == 3
    scheduler.stop()
    assert alive() == 0
