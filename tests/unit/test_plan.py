"""The plan: its numbers by hand, the sizes it chooses, and the sentences it says."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfs_locust.load.advice import Statement, lines, statements
from tfs_locust.load.plan import Demand, Plan, Setup, expect, make_plan
from tfs_locust.load.rows import Rows, rows
from tfs_locust.load.simulation import BatchCost
from tfs_locust.tfserving.batching import BatchingParameters

_POWERS = BatchingParameters(
    max_batch_size=32,
    batch_timeout_micros=2000,
    num_batch_threads=2,
    max_enqueued_batches=100,
    allowed_batch_sizes=(1, 2, 4, 8, 16, 32),
)


def _plan(mix: int | str | Rows = 1, users: int | None = None, protocol: Any = "grpc", **changes: Any) -> Plan:
    demand = Demand(users, changes.pop("rate", None))
    setup = Setup(
        dataclasses.replace(_POWERS, **changes.pop("parameters", {})),
        changes.pop("cpus", 8),
        changes.pop("grpc_max_threads", None),
        changes.pop("rest_api_num_threads", None),
    )
    return make_plan(setup, protocol, mix if isinstance(mix, Rows) else rows(mix), demand, **changes)


def _warnings(plan: Plan) -> dict[str, str]:
    return {one.id: one.sentence for one in statements(plan) if one.warning}


def test_numbers() -> None:
    """Threads, what fills them, and the queue, for 3.1 rows a request."""
    plan = _plan("1:0.7,8:0.3", 200, grpc_max_threads=32)
    assert (plan.calls_at_once, plan.in_flight) == (31, 31)
    assert (plan.largest_batch, plan.in_flight_to_fill) == (32, 31)  # 3 x 32 / 3.1 = 30.97
    assert (plan.queue_rows, plan.queue_requests) == (3200, 1000)
    assert plan.fitting_rows == (1, 2, 4, 8, 16, 32)
    assert plan.expected is not None
    assert plan.fill_ratio == plan.expected.mean_rows_per_batch / 32


def test_threads_are_four_for_each_cpu_where_not_set() -> None:
    """One of them accepts calls; batch threads are as many as CPUs."""
    setup = Setup(BatchingParameters(), 8)
    assert (setup.calls_at_once("grpc"), setup.calls_at_once("rest"), setup.batch_threads) == (31, 31, 8)
    assert Setup(None, 1, grpc_max_threads=1).calls_at_once("grpc") == 1
    assert Setup(None, 1).batch_threads is None


def test_too_large_requests_count_for_nothing_else() -> None:
    """They are refused: the queue never sees them."""
    plan = _plan("8:1,64:1", 6)
    assert plan.too_large == (64,)
    assert plan.mean_rows == 8
    assert plan.in_flight_to_fill == 12
    assert plan.expected is not None
    assert plan.expected.refused == 0
    assert "64 rows (50 % of all) are above max_batch_size 32" in _warnings(plan)["rows-too-large"]
    assert _plan(64).expected is None


def test_a_server_that_does_not_start_has_no_plan() -> None:
    """The server's own words."""
    with pytest.raises(ValueError, match="batch_timeout_micros must be non-negative; was -1"):
        _plan(parameters={"batch_timeout_micros": -1})


def test_a_rate_keeps_as_many_in_flight_as_littles_law_says() -> None:
    """500/s that stay 10 ms and a little in the queue: 5 to 7 at a time."""
    plan = make_plan(Setup(_POWERS, 8), "grpc", rows(1), Demand(rate_per_s=500.0), cost=BatchCost(0.01))
    assert 5 < plan.in_flight <= 8


def test_auto_prefers_the_smallest_rows_that_fill() -> None:
    """Enough users for 8 rows a request; with few users requests must be whole batches."""
    assert str(_plan(rows(auto=True), 40, grpc_max_threads=64).rows) == "4"
    assert str(_plan(rows(auto=True), 3, grpc_max_threads=64).rows) == "32"
    assert str(_plan(rows(auto=True), 3, grpc_max_threads=64, most_rows=10).rows) == "8"
    assert str(make_plan(Setup(None, 8), "grpc", rows(auto=True), Demand()).rows) == "1"


def test_auto_leaves_the_queue_room() -> None:
    """Of sizes that are not padded, none is chosen with which as many users would overflow the queue."""
    parameters = {"max_enqueued_batches": 10, "batch_timeout_micros": 10_000, "allowed_batch_sizes": (8, 32)}
    plan = _plan(rows(auto=True), 20, parameters=parameters, grpc_max_threads=64, cost=BatchCost(0.020))
    assert plan.rows == rows(8)
    assert plan.expected is not None
    assert plan.expected.refused == 0
    assert "queue-full" in _warnings(_plan(32, 20, parameters=parameters, grpc_max_threads=64, cost=BatchCost(0.020)))


def test_worst_pads_most() -> None:
    """17 of 32 rows."""
    plan = _plan(rows(auto="worst"), 12)
    assert str(plan.rows) == "17"
    assert plan.expected is not None
    assert plan.expected.padding_ratio == pytest.approx(15 / 32)


def test_auto_without_a_size_that_fits_wastes_least() -> None:
    """Every full batch of 8 is executed as 32: then as many rows as possible of it."""
    odd = {"allowed_batch_sizes": (4, 32), "max_execution_batch_size": 8, "enable_large_batch_splitting": True}
    plan = _plan(rows(auto=True), 20, parameters=odd)
    assert plan.fitting_rows == ()
    assert str(plan.rows) == "32"
    assert "Every full batch of 8 rows is executed with 32" in _warnings(plan)["largest-batch-padded"]


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([(4, 8), (1, 2, 4, 8), (3, 9, 12), (5, 10), ()]),
    st.sampled_from([0, 1000, 20_000]),
    st.integers(1, 4),
    st.integers(5, 30),
)
def test_auto_reaches_the_best_throughput_without_padding(
    allowed: tuple[int, ...], timeout_us: int, threads: int, users: int
) -> None:
    """No fixed size from 1 to max_batch_size has more than 1 / 0.9 of its rows/s, where a batch costs a batch."""
    parameters = BatchingParameters(
        max_batch_size=allowed[-1] if allowed else 12,
        allowed_batch_sizes=allowed,
        batch_timeout_micros=timeout_us,
        num_batch_threads=threads,
    )
    setup, demand, cost = Setup(parameters, 16), Demand(users), BatchCost(0.01)
    plan = make_plan(setup, "grpc", rows(auto=True), demand, cost=cost)
    assert plan.expected is not None
    assert plan.expected.padding_ratio == 0
    for size in range(1, parameters.max_batch_size + 1):
        other = expect(setup, "grpc", rows(size), demand, cost=cost)
        assert other is not None
        assert plan.expected.rows_per_s >= 0.9 * other.rows_per_s, size


def test_a_plan_without_faults_has_no_warnings() -> None:
    """Twelve users of eight rows fill two threads and one waiting batch of 32."""
    assert _warnings(_plan(8, 12)) == {}


@pytest.mark.parametrize(
    ("plan", "id_", "sentence"),
    [
        (
            _plan(8, 200, grpc_max_threads=32),
            "refused-by-threads",
            "200 users are 169 more than the 31 calls at once: their calls are refused with RESOURCE_EXHAUSTED. Set "
            "--grpc_max_threads=202, or use fewer than 31 users.",
        ),
        (
            _plan(8, 200, "rest"),
            "waiting-for-threads",
            "200 users are 169 more than the 31 calls at once: the others wait outside the batching queue. Set "
            "--rest_api_num_threads=201 to have them all in work.",
        ),
        (
            _plan(1, 20),
            "ceiling",
            "No number of users fills the batches: that takes 96 requests in flight, and 31 calls are executed at "
            "once. Set --grpc_max_threads=98, or send requests of 4 rows.",
        ),
        (
            _plan(8, 6),
            "too-few-in-flight",
            "6 requests in flight do not fill the batches, 12 would. Use 12 users, or send requests of 16 rows.",
        ),
        (
            _plan(1, 6, parameters={"batch_timeout_micros": 20_000}),
            "waits-for-timeout",
            "No batch can fill: 6 requests of 1 row make 6 of 32 rows, so every batch waits the whole 20 ms. Lower "
            "batch_timeout_micros, or max_batch_size to 2.",
        ),
        (
            _plan(1, 8, parameters={"batch_timeout_micros": 0, "num_batch_threads": 16}),
            "idle-threads",
            "Each of 8 requests finds one of 16 batch threads idle and is executed by itself. Set num_batch_threads "
            "below 4, or a batch_timeout_micros above 0.",
        ),
        (
            _plan(17, 12),
            "rows-do-not-fit",
            "Requests of 17 rows do not fit batches of 32: a full one holds 17 rows and is executed with 32 (46.9 % "
            "padding). Send 16 or 32 rows.",
        ),
        (
            _plan(7, 12, parameters={"enable_large_batch_splitting": True, "max_execution_batch_size": 8}),
            "rows-do-not-fit",
            "Requests of 7 rows are executed in 1.75 pieces each: they do not fit batches of 8 rows. Send 4 or 8 rows.",
        ),
        (
            _plan(32, 20, parameters={"max_enqueued_batches": 1, "num_batch_threads": 1}),
            "queue-full",
            "The queue will be full and refuse requests with UNAVAILABLE: it holds 32 rows behind the 32 that are "
            "executed, and 640 come. Raise max_enqueued_batches, or use fewer users.",
        ),
        (
            _plan(8, 12, parameters={"allowed_batch_sizes": (8, 4, 32)}),
            "sizes-not-ascending",
            "allowed_batch_sizes 8, 4 or 32 are not ascending, which the server does not check: the first that is "
            "large enough is taken. Sort them.",
        ),
        (
            _plan(8, 12, parameters={"allowed_batch_sizes": (-8, 0, 32)}),
            "sizes-unused",
            "allowed_batch_sizes -8 and 0 are never used: no batch is so small.",
        ),
        (
            _plan(1, protocol="rest", rest_api_num_threads=1),
            "rest-frozen",
            "With --rest_api_num_threads=1 the REST interface answers nothing: set 2 at least.",
        ),
    ],
)
def test_warnings(plan: Plan, id_: str, sentence: str) -> None:
    """What is wrong, the numbers, and what to change."""
    assert _warnings(plan)[id_] == sentence


def test_padding_is_told() -> None:
    """One allowed size besides 1, and too few rows for it."""
    plan = _plan(1, 8, parameters={"allowed_batch_sizes": (1, 32)})
    assert plan.expected is not None
    assert plan.expected.padding_ratio > 0.5
    assert "of the rows executed will be padding" in _warnings(plan)["padding"]


def test_facts() -> None:
    """What the server will do, with its numbers."""
    facts = {one.id: one.sentence for one in statements(_plan(8, 12)) if not one.warning}
    assert facts["calls-at-once"] == (
        "31 calls are executed at once, one less than --grpc_max_threads 32; gRPC refuses the next, and no metric of "
        "the server counts it."
    )
    assert facts["queue"] == (
        "The queue of a signature holds 100 batches, that is 3,200 rows or 400 requests of 8 rows; 31 calls at once "
        "bring 248 rows at most, so it is never full."
    )
    assert facts["in-flight-to-fill"] == (
        "12 requests in flight fill 2 threads and one waiting batch: (2 + 1) x 32 rows / 8 rows a request."
    )
    assert facts["expected"].startswith("To be expected with 12 requests in flight and 10 ms for a full batch: 31")
    assert "of 32), from 3.9 requests; padding 2." in facts["expected"]


def test_without_batching_there_is_little_to_say() -> None:
    """The interface's ceiling, and that every request is executed by itself."""
    plan = make_plan(Setup(None, 2), "rest", rows(3), Demand(4))
    assert [one.id for one in statements(plan)] == ["calls-at-once", "batching-off"]
    assert plan.expected is not None
    assert plan.expected.mean_rows_per_batch == 3
    assert (plan.largest_batch, plan.fill_ratio, plan.in_flight) == (None, None, 4)


@pytest.mark.parametrize(("protocol", "id_"), [("grpc", "refused-by-threads"), ("rest", "waiting-for-threads")])
def test_a_rate_above_what_the_threads_let_in(protocol: str, id_: str) -> None:
    """At most 7 calls are in the server, which is told with the share that is not; no sentence says otherwise."""
    plan = _plan(1, None, protocol, rate=100_000.0, cpus=2, parameters={"batch_timeout_micros": 10_000})
    assert plan.in_flight == plan.calls_at_once == 7
    assert plan.expected is not None
    assert plan.expected.mean_rows_per_batch == pytest.approx(7, rel=0.01)
    warnings = _warnings(plan)
    assert "queue-full" not in warnings
    assert " % of the requests at 100,000/s find all 7 calls at once taken, and " in warnings[id_]
    assert "No batch can fill: 7 requests of 1 row make 7 of 32 rows" in warnings["waits-for-timeout"]


def test_a_rate_that_fills_the_batches() -> None:
    """Almost as many come as are answered: batches are full, and nothing says that they are not."""
    parameters = {"batch_timeout_micros": 10_000}
    plan = _plan(1, rate=5000.0, grpc_max_threads=64, parameters=parameters, cost=BatchCost(0.02))
    assert (plan.fill_ratio or 0) > 0.9
    assert _warnings(plan).keys() == {"refused-by-threads"}


def test_a_rate_of_which_too_few_come_in_the_timeout() -> None:
    """Many may be in flight, but 2 ms are too short for 32 rows; a longer one fills."""
    few = _warnings(_plan(1, rate=1000.0, cpus=16))["waits-for-timeout"]
    assert few == (
        "Hardly a batch will fill: at 1,000/s 2 of 32 rows come within 2 ms. Lower batch_timeout_micros, or "
        "max_batch_size to 4."
    )
    longer = _plan(1, rate=1000.0, cpus=16, parameters={"batch_timeout_micros": 100_000})
    assert "waits-for-timeout" not in _warnings(longer)


def test_whole_requests_fill_a_batch() -> None:
    """20 of 32 rows: a batch holds one request, so that three fill two threads and one waiting batch."""
    plan = _plan(20, 4)
    assert plan.in_flight_to_fill == 3
    facts = {one.id: one.sentence for one in statements(plan)}
    assert facts["in-flight-to-fill"].endswith("(2 + 1) x 1 request of 20 rows, whole, in 32.")
    assert "too-few-in-flight" not in facts


def test_no_size_is_advised_that_refuses_the_requests() -> None:
    """One user with 20 rows: a max_batch_size below 20 would refuse them."""
    (sentence,) = (one.sentence for one in statements(_plan(20, 1)) if one.id == "waits-for-timeout")
    assert sentence.endswith("Lower batch_timeout_micros, or max_batch_size to 20.")


def test_requests_that_the_queue_never_takes() -> None:
    """One batch of eight rows may wait: requests of 16 rows are all refused, and no size above 8 fits."""
    parameters = {"enable_large_batch_splitting": True, "max_execution_batch_size": 8, "max_enqueued_batches": 1}
    plan = _plan(16, 7, parameters=parameters)
    assert plan.expected is None
    assert plan.fitting_rows == (1, 2, 4, 8)
    assert _warnings(plan)["rows-above-queue"] == (
        "Requests of 16 rows find no room even in an empty queue of 8 rows and are refused with UNAVAILABLE. Send "
        "fewer rows, or set max_enqueued_batches to 2 at least."
    )
    assert _plan(rows(auto=True), 7, parameters=parameters).rows.largest <= 8


def test_hardly_a_request_is_executed() -> None:
    """Nearly all are too large, and that is told; nothing fails."""
    assert "rows-too-large" in _warnings(_plan("1:0.000001,64:1", 7))


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_batch_size": (1 << 63) - 1, "allowed_batch_sizes": ()},
        {"max_batch_size": 10**8, "allowed_batch_sizes": (), "max_execution_batch_size": 1, "splits": True},
        {"max_batch_size": 10**9, "allowed_batch_sizes": (128, 10**9), "max_execution_batch_size": 100, "splits": True},
        {
            "max_batch_size": 10**9,
            "allowed_batch_sizes": (),
            "max_execution_batch_size": 1,
            "splits": True,
            "max_enqueued_batches": 10**9,
        },
    ],
)
@pytest.mark.parametrize("mix", [1, 10**8, rows(auto=True), rows(auto="worst")], ids=str)
def test_huge_batches_take_no_time(mix: Any, parameters: dict[str, Any]) -> None:
    """Sizes that nobody sends are not tried one by one, and requests not cut into millions of pieces."""
    changed = {**parameters, "enable_large_batch_splitting": parameters.get("splits", False)}
    changed.pop("splits", None)
    began = time.process_time()
    plan = _plan(mix, 7, parameters=changed)
    assert statements(plan)
    assert time.process_time() - began < 10


def test_very_many_users_take_no_time() -> None:
    """A hundred thousand, all let in: those beyond what the queue holds change nothing."""
    began = time.process_time()
    plan = _plan(1, 100_000, grpc_max_threads=200_000)
    assert plan.expected is not None
    assert plan.expected.mean_rows_per_batch == 32
    assert time.process_time() - began < 3


def test_lines_are_aligned() -> None:
    """Ids in a column, sentences wrapped beside them, a mark before what to change."""
    told = (Statement("a", "one two three four five"), Statement("bcd", "six", warning=True))
    assert lines(told, 80) == ["  a    one two three four five", "! bcd  six"]
    assert lines(told, 1) == ["  a    one two three four", "       five", "! bcd  six"]
