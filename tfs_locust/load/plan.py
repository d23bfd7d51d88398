"""What a server's settings make of a load before any is sent: what fits, what is refused, what fills its batches.

Numbers only; :mod:`tfs_locust.load.advice` says them in sentences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tfs_locust.load.rows import Rows, parse_rows
from tfs_locust.load.simulation import MOST_PIECES, BatchCost, ClosedLoop, OpenLoop, Simulated, simulate
from tfs_locust.load.tiling import LARGEST_TRIED, fitting_rows, largest_taken, tiling, worst_rows
from tfs_locust.tfserving.batching import BatchingParameters

Protocol = Literal["grpc", "rest"]

THREADS_PER_CPU = 4
"""Of ``grpc_max_threads`` and ``rest_api_num_threads``, where they are not set (model_servers/server.h)."""

ASSUMED_COST = BatchCost(0.010)
"""Where nobody knows better: what an execution costs does not depend on its rows, which is what batching is for."""

MOST_TRIALS = 24
"""Sizes that are simulated to choose one of them; where more fit, these are spread over them by powers."""

GOOD_ENOUGH = 0.95
"""Of the best throughput: smaller requests are preferred as long as they reach it, being more like real ones."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is known of a server."""

    parameters: BatchingParameters | None
    """None: without ``--enable_batching``."""
    cpus: int
    """That the server may be scheduled on; a container's CPU limit does not count, its CPU mask does."""
    grpc_max_threads: int | None = None
    rest_api_num_threads: int | None = None

    def threads(self, protocol: Protocol) -> int:
        """The threads of an interface."""
        given = self.grpc_max_threads if protocol == "grpc" else self.rest_api_num_threads
        return given if given is not None else THREADS_PER_CPU * self.cpus

    def calls_at_once(self, protocol: Protocol) -> int:
        """The calls an interface executes at a time: a thread less than it has, which accepts calls."""
        return max(self.threads(protocol) - 1, 1)

    @property
    def batch_threads(self) -> int | None:
        """Executions at a time; None without batching."""
        if self.parameters is None:
            return None
        return self.cpus if self.parameters.num_batch_threads is None else self.parameters.num_batch_threads


@dataclass(frozen=True, slots=True)
class Demand:
    """The load: at most one of the two; neither: as many users as the server executes calls at once."""

    users: int | None = None
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be expected. None: batching is off, so there is no such number."""

    setup: Setup
    protocol: Protocol
    demand: Demand
    rows: Rows
    """With nothing left to choose."""
    mean_rows: float
    """Of the requests that are not too large."""
    cost: BatchCost
    calls_at_once: int
    in_flight: int
    """Requests that are in the server at a time: users, as far as they are let in; at a rate, on average."""
    largest_batch: int | None
    """Rows."""
    in_flight_to_fill: int | None
    """Fills all T batch threads and one waiting batch of B rows: (T + 1) x B / rows; without splitting, and where all
    requests have one size, T + 1 times as many as fit whole."""
    queue_rows: int | None
    queue_requests: int | None
    """How much waits at most, in full batches."""
    fitting_rows: tuple[int, ...]
    """Sizes of requests that fill batches without padding or leftovers."""
    too_large: tuple[int, ...]
    """Sizes of the mix that are refused: more rows than ``max_batch_size``."""
    expected: Simulated | None
    """None where no request is executed, and where requests are split into more pieces than can be simulated."""

    @property
    def fill_ratio(self) -> float | None:
        """Expected rows of a batch against the largest."""
        if self.largest_batch is None or self.expected is None:
            return None
        return self.expected.mean_rows_per_batch / self.largest_batch


def make_plan(
    setup: Setup,
    protocol: Protocol,
    rows: Rows,
    demand: Demand,
    *,
    cost: BatchCost = ASSUMED_COST,
    most_rows: int | None = None,
) -> Plan:
    """The plan for a load; rows that are left to choose are chosen, of ``most_rows`` at most.

    Raises ValueError where a server with these parameters does not start; the text is the server's.
    """
    if setup.parameters is not None and (problems := setup.parameters.problems()):
        raise ValueError("; ".join(problems))
    rows = choose(setup, protocol, rows, demand, cost=cost, most_rows=most_rows)
    calls = setup.calls_at_once(protocol)
    expected = expect(setup, protocol, rows, demand, cost=cost)
    parameters, threads = setup.parameters, setup.batch_threads
    in_flight = _in_flight(demand, calls, expected)
    if parameters is None or threads is None:
        mean = float(rows.mean)
        return Plan(
            setup, protocol, demand, rows, mean, cost, calls, in_flight, None, None, None, None, (), (), expected
        )
    largest, batches = parameters.largest_batch, parameters.most_enqueued_batches
    too_large = tuple(number for number, _ in rows.mix if number > parameters.max_batch_size)
    shares = {number: share for number, share in rows.mix if number not in too_large} or dict(rows.mix)
    mean_rows = sum(number * share for number, share in shares.items()) / sum(shares.values())
    whole = Fraction(largest) / mean_rows  # requests in a batch, where they can be cut
    by_batch = whole if parameters.enable_large_batch_splitting else Fraction(max(math.floor(whole), 1))
    return Plan(
        setup,
        protocol,
        demand,
        rows,
        float(mean_rows),
        cost,
        calls_at_once=calls,
        in_flight=in_flight,
        largest_batch=largest,
        in_flight_to_fill=math.ceil((threads + 1) * (by_batch if len(shares) == 1 else whole)),
        queue_rows=batches * largest,
        queue_requests=math.floor(batches * by_batch),
        fitting_rows=fitting_rows(parameters),
        too_large=too_large,
        expected=expected,
    )


def expect(setup: Setup, protocol: Protocol, rows: Rows, demand: Demand, *, cost: BatchCost) -> Simulated | None:
    """The simulated batching of a load; None where nothing is executed, or too much is to be simulated."""
    parameters = setup.parameters
    if parameters is not None:
        taken = [number for number, _ in rows.mix if number <= parameters.max_batch_size]
        if not taken or taken[-1] > MOST_PIECES * parameters.largest_batch:
            return None
    calls = setup.calls_at_once(protocol)
    arrivals: ClosedLoop | OpenLoop
    if demand.rate_per_s is not None:
        arrivals = OpenLoop(demand.rate_per_s, calls, wait=protocol == "rest")
    else:
        # who is refused comes again and takes the next place that gets free: to the queue these are so many users
        users = calls if demand.users is None else min(demand.users, calls)
        if parameters is not None and setup.batch_threads is not None:
            users = min(users, _most_users(parameters, setup.batch_threads, rows))
        arrivals = ClosedLoop(users)
    return simulate(parameters, setup.batch_threads or calls, rows.sequence(), arrivals, cost)


def _most_users(parameters: BatchingParameters, threads: int, rows: Rows) -> int:
    """Whom threads and queue have room for, and some more: those beyond are refused, and change nothing for others."""
    room = (parameters.most_enqueued_batches + threads) * parameters.largest_batch
    return room // rows.mix[0][0] * 5 // 4 + 50


def _in_flight(demand: Demand, calls: int, expected: Simulated | None) -> int:
    if demand.rate_per_s is None or expected is None:
        return calls if demand.users is None else min(demand.users, calls)
    return min(max(math.ceil(expected.in_flight), 1), calls)


def choose(
    setup: Setup,
    protocol: Protocol,
    rows: Rows,
    demand: Demand,
    *,
    cost: BatchCost = ASSUMED_COST,
    most_rows: int | None = None,
) -> Rows:
    """``rows``, or what they leave to choose.

    ``worst`` is the size that pads and splits worst. ``auto`` is the smallest size that fits the batches, is not padded
    even where batches close early, and reaches nearly the best throughput of those that do not overflow the queue;
    where each of these is padded, of all.
    """
    parameters = setup.parameters
    if not rows.choice:
        return rows
    if parameters is None:
        return parse_rows("1")  # no batch to fill
    if rows.choice == "worst":
        return parse_rows(str(worst_rows(parameters)))
    limit = min(most_rows or LARGEST_TRIED, largest_taken(parameters), LARGEST_TRIED)
    fitting = [size for size in fitting_rows(parameters) if size <= limit]
    if not fitting:
        return parse_rows(str(_least_waste(parameters, limit)))
    trials = {size: expect(setup, protocol, parse_rows(str(size)), demand, cost=cost) for size in _spread(fitting)}
    every = {size: trial for size, trial in trials.items() if trial}
    for tried in ({size: trial for size, trial in every.items() if not trial.refused}, every):
        best = max((trial.rows_per_s for trial in tried.values()), default=0.0)
        for size, trial in tried.items():
            if not trial.padding_ratio and trial.rows_per_s >= GOOD_ENOUGH * best:
                return parse_rows(str(size))
    return parse_rows(str(fitting[-1]))


def _least_waste(parameters: BatchingParameters, limit: int) -> int:
    tiled = [tiling(parameters, size) for size in range(1, limit + 1)]
    return min(tiled, key=lambda one: (one.padding_ratio, one.unused_ratio, one.needless_pieces, -one.rows)).rows


def _spread(sizes: list[int]) -> list[int]:
    """:data:`MOST_TRIALS` of ascending ``sizes`` at most, the first and the last among them."""
    if len(sizes) <= MOST_TRIALS:
        return sizes
    places = (len(sizes) ** (index / (MOST_TRIALS - 1)) for index in range(MOST_TRIALS))
    return [sizes[place] for place in sorted({round(place) - 1 for place in places})]
