"""What a server's batching makes of a stream of requests, by its own rules and in simulated time: the sums.

Users are those whom the interface lets in; the server itself is :mod:`tfs_locust.load.simulated_server`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tfs_locust.load.simulated_server import MOST_PIECES, BatchCost, ClosedLoop, Execution, OpenLoop, Server
from tfs_locust.tfserving.batching import BatchingParameters

__all__ = ["MOST_PIECES", "BatchCost", "ClosedLoop", "Execution", "OpenLoop", "Server", "Simulated", "simulate"]

REQUESTS = 3_000
"""Simulated by default: some hundred batches, and a few hundredths of a second of ours."""

_ROUNDS = 20
"""Requests of each user, where they are few: the first ones come in another order than all later ones."""
_MOST_REQUESTS = 30_000
MOST_USERS = 5_000
"""Who are simulated at most. So many fill what batches there are; more of them wait longer, or are refused."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of it, between the first tenth of the requests and the last."""

    batches: int
    rows: int
    executed_rows: int
    calls: int
    queueing_s: float
    seconds: float
    came: int
    """Requests from first to last."""
    refused: int
    """By a full queue."""
    kept_out: int
    """By the interface's threads: refused, or had to wait for one."""
    in_flight: float
    """Requests in the server at a time, on average."""

    @property
    def mean_rows_per_batch(self) -> float:
        """Without padding."""
        return self.rows / self.batches

    @property
    def calls_per_batch(self) -> float:
        """Requests (pieces, where they are split) that shared one execution."""
        return self.calls / self.batches

    @property
    def padding_ratio(self) -> float:
        """Rows of padding among all rows executed."""
        return 1 - self.rows / self.executed_rows

    @property
    def rows_per_s(self) -> float:
        """Rows answered by the second, without padding."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def mean_queueing_s(self) -> float:
        """The mean wait of a call in the queue."""
        return self.queueing_s / self.calls

    @property
    def refused_share(self) -> float:
        """The share of all requests that found the queue full."""
        return self.refused / self.came

    @property
    def kept_out_share(self) -> float:
        """The share of all requests that found the interface's threads taken."""
        return self.kept_out / self.came


def simulate(
    parameters: BatchingParameters | None,
    threads: int,
    rows: Iterator[int],
    arrivals: ClosedLoop | OpenLoop,
    cost: BatchCost,
    *,
    requests: int = REQUESTS,
    seed: int = 0,
) -> Simulated | None:
    """Send ``requests`` requests at least, of as many rows as ``rows`` gives and sum up what was executed.

    ``threads`` execute at a time. ``parameters`` None: without batching every request is executed as it is, and
    ``threads`` are those of the calls. None: nothing was executed, as each request was refused.
    """
    if isinstance(arrivals, ClosedLoop):
        arrivals = replace(arrivals, users=min(arrivals.users, MOST_USERS))
        requests = max(requests, min(_ROUNDS * arrivals.users, _MOST_REQUESTS))
    server = Server(parameters, threads, rows, arrivals, cost, requests=requests, seed=seed)
    executions = list(server.run())
    if not executions:
        return None
    # what is left in the end is executed without company that would have come
    kept = [one for one in executions if server.steady_from_s <= one.at_s <= server.last_arrival_s] or executions
    return Simulated(
        batches=len(kept),
        rows=sum(one.rows for one in kept),
        executed_rows=sum(one.executed_rows for one in kept),
        calls=sum(one.calls for one in kept),
        queueing_s=sum(one.queueing_s for one in kept),
        seconds=max(kept[-1].at_s - server.steady_from_s, 0.0),
        came=round(server.came),
        refused=round(server.refused),
        kept_out=round(server.kept_out),
        in_flight=server.in_flight,
    )
