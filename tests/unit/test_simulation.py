"""The simulated server: no row is lost, no batch is too large, and what can be computed by hand comes out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.rows import rows
from tfs_locust.load.simulation import BatchCost, ClosedLoop, OpenLoop, Server, Simulated, simulate
from tfs_locust.tfserving.batching import BatchingParameters

_MS = BatchCost(0.001)


def _simulate(*given: Any, **more: Any) -> Simulated:
    done = simulate(*given, **more)
    assert done is not None
    return done


@given(
    st.integers(1, 16),
    st.integers(1, 4),
    st.integers(1, 30),
    st.sampled_from([0, 500, 20_000]),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(1, 16), min_size=1, max_size=5),
    st.integers(0, 2**32),
)
def test_rows_are_conserved(
    largest: int,
    threads: int,
    users: int,
    timeout_us: int,
    splits: bool,
    opened: bool,
    sizes: list[int],
    seed: int,
) -> None:
    """Every row that is taken is executed once; no execution is larger than the largest or has a size not allowed."""
    allowed = (*range(2, 16, 3), 16)
    parameters = BatchingParameters(
        max_batch_size=16,
        max_execution_batch_size=largest,
        enable_large_batch_splitting=splits,
        batch_timeout_micros=timeout_us,
        max_enqueued_batches=10**6,
        allowed_batch_sizes=allowed,
    )
    sent: list[int] = []

    def send() -> Iterator[int]:
        for number in rows(trace=sizes).sequence():
            sent.append(number)
            yield number

    arrivals = OpenLoop(3000.0, 1000) if opened else ClosedLoop(users)
    server = Server(parameters, threads, send(), arrivals, _MS, requests=60, seed=seed)
    executions = list(server.run())
    assert len(sent) == 60
    assert sum(one.rows for one in executions) == sum(sent)
    assert all(1 <= one.rows <= parameters.largest_batch for one in executions)
    assert all(one.executed_rows in allowed and one.executed_rows >= one.rows for one in executions)
    assert all(one.queueing_s >= 0 for one in executions)
    starts = [one.at_s for one in executions]  # each takes a millisecond of a thread
    assert all(after - before > 0.001 - 1e-9 for before, after in zip(starts, starts[threads:], strict=False))


def test_enough_users_fill_every_batch() -> None:
    """(T + 1) x B / rows requests in flight keep all threads at full batches: B rows every cost / T seconds."""
    parameters = BatchingParameters(max_batch_size=16, batch_timeout_micros=10**6)
    done = _simulate(parameters, 2, repeat(4), ClosedLoop(12, 0.0001), BatchCost(0.01, 0.001))
    assert done.mean_rows_per_batch == 16
    assert done.calls_per_batch == 4
    assert done.padding_ratio == 0
    assert done.rows_per_s == pytest.approx(2 * 16 / 0.026, rel=0.02)


def test_one_thread_without_timeout_takes_turns() -> None:
    """While k of n users are executed the others wait, then they change places: n / 2 on average."""
    done = _simulate(BatchingParameters(), 1, repeat(1), ClosedLoop(16, 0.0001), BatchCost(0.02))
    assert done.mean_rows_per_batch == pytest.approx(8, rel=0.03)


def test_batches_that_never_fill_wait_for_the_timeout() -> None:
    """Eight users of one row, batches of 64: all eight wait 50 ms together."""
    parameters = BatchingParameters(max_batch_size=64, batch_timeout_micros=50_000)
    done = _simulate(parameters, 2, repeat(1), ClosedLoop(8, 0.0001), BatchCost(0.005))
    assert done.mean_rows_per_batch == 8
    assert done.mean_queueing_s == pytest.approx(0.05, rel=0.02)


def test_idle_threads_take_each_request_by_itself() -> None:
    """As many threads as users, no timeout: batching has no effect."""
    done = _simulate(BatchingParameters(), 4, repeat(3), ClosedLoop(4), BatchCost(0.02))
    assert (done.calls_per_batch, done.mean_rows_per_batch, done.mean_queueing_s) == (1, 3, 0)


def test_requests_that_do_not_fit_are_padded() -> None:
    """17 of 32 rows: never two in a batch."""
    parameters = BatchingParameters(max_batch_size=32, allowed_batch_sizes=(8, 16, 32), batch_timeout_micros=1000)
    done = _simulate(parameters, 2, repeat(17), ClosedLoop(8), BatchCost(0.02))
    assert done.mean_rows_per_batch == 17
    assert done.padding_ratio == pytest.approx(15 / 32)


def test_full_queue_refuses() -> None:
    """One batch of one row waits, one is executed: of ten users eight are refused again and again."""
    parameters = BatchingParameters(max_batch_size=1, max_enqueued_batches=1)
    done = _simulate(parameters, 1, repeat(1), ClosedLoop(10, 0.001), BatchCost(0.01))
    assert done.refused > done.calls
    plenty = _simulate(BatchingParameters(max_batch_size=1), 1, repeat(1), ClosedLoop(10, 0.001), BatchCost(0.01))
    assert plenty.refused == 0


def test_open_arrivals_keep_their_rate() -> None:
    """What comes at 500/s is executed at 500/s, whatever a batch costs."""
    done = _simulate(BatchingParameters(max_batch_size=64), 1, repeat(2), OpenLoop(500.0, 1000), BatchCost(0.02))
    assert done.rows_per_s == pytest.approx(1000, rel=0.05)
    assert done.mean_rows_per_batch == pytest.approx(20, rel=0.1)


def test_without_batching_each_request_is_executed() -> None:
    """No parameters: a thread for each call."""
    done = _simulate(None, 31, repeat(5), ClosedLoop(31), BatchCost(0.02))
    assert (done.mean_rows_per_batch, done.calls_per_batch, done.padding_ratio) == (5, 1, 0)


def test_the_seed_decides() -> None:
    """The same seed, the same numbers."""
    parameters = BatchingParameters(max_batch_size=8)

    def run(seed: int) -> object:
        return _simulate(parameters, 2, rows("1:1,4:1").sequence(), ClosedLoop(9), BatchCost(0.005), seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("wait", [False, True])
def test_no_more_are_let_in_than_the_interface_has_threads_for(wait: bool) -> None:
    """At a rate far above what it can: batches hold what is let in at a time, and the rest is refused, or waits."""
    parameters = BatchingParameters(max_batch_size=32, batch_timeout_micros=10_000)
    done = _simulate(parameters, 2, repeat(1), OpenLoop(100_000.0, 7, wait), BatchCost(0.02))
    assert done.mean_rows_per_batch == pytest.approx(7, rel=0.01)
    assert done.rows_per_s == pytest.approx(7 / 0.03, rel=0.05)  # which wait for the timeout, as they fill no batch
    assert done.in_flight == pytest.approx(7, rel=0.01)
    assert done.refused == 0
    answered = 7 / 0.03 / 100_000
    assert done.kept_out_share == pytest.approx(1 if wait else 1 - answered, abs=0.005)


@pytest.mark.parametrize("wait", [False, True])
def test_at_a_low_rate_nobody_is_kept_out(wait: bool) -> None:
    """The cap is none then, and as many are in flight as Little's law says."""
    done = _simulate(BatchingParameters(), 4, repeat(1), OpenLoop(100.0, 63, wait), BatchCost(0.02))
    assert done.kept_out == 0
    assert done.in_flight == pytest.approx(100 * (0.02 + done.mean_queueing_s), rel=0.1)


@given(st.floats(50, 5000), st.integers(1, 20), st.booleans())
def test_threads_that_keep_requests_out(rate: float, calls: int, wait: bool) -> None:
    """Erlang's loss formula for calls that take a constant time each: what is refused, or that all wait in turn."""
    done = _simulate(None, calls, repeat(1), OpenLoop(rate, calls, wait), BatchCost(0.02), requests=600)
    load = rate * 0.02
    blocked = 1.0
    for servers in range(1, calls + 1):
        blocked = load * blocked / (servers + load * blocked)
    assert done.mean_rows_per_batch == done.calls_per_batch == 1
    if wait:
        assert done.kept_out_share >= blocked - 0.15
    else:
        assert done.kept_out_share == pytest.approx(blocked, abs=0.12)


def test_without_batching_nothing_is_merged_at_a_rate() -> None:
    """Not even where more come than there are threads."""
    done = _simulate(None, 3, repeat(1), OpenLoop(100_000.0, 3), BatchCost(0.01))
    assert (done.mean_rows_per_batch, done.calls_per_batch) == (1, 1)
    assert done.rows_per_s == pytest.approx(300, rel=0.05)


def test_nothing_is_executed() -> None:
    """Requests that no empty queue has room for: there is nothing to sum up."""
    parameters = BatchingParameters(
        max_batch_size=32, max_execution_batch_size=8, enable_large_batch_splitting=True, max_enqueued_batches=1
    )
    assert simulate(parameters, 2, repeat(16), ClosedLoop(7), BatchCost(0.01)) is None


def test_a_queue_that_is_always_full() -> None:
    """However many are refused meanwhile, what is in it waits its turn: ten batches before two threads."""
    parameters = BatchingParameters(max_batch_size=32)
    done = _simulate(parameters, 2, repeat(1), ClosedLoop(600, 0.001), BatchCost(0.01))
    assert done.mean_rows_per_batch == 32
    assert done.mean_queueing_s == pytest.approx(0.05, rel=0.05)
    assert done.rows_per_s == pytest.approx(2 * 32 / 0.01, rel=0.05)
    rate = _simulate(parameters, 2, repeat(1), OpenLoop(64_000.0, 10_000), BatchCost(0.01))
    assert rate.refused_share == pytest.approx(0.9, abs=0.02)
