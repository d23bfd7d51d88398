"""What a server's batching makes of a stream of requests, by its own rules and in simulated time.

A discrete-event simulation: requests come, the scheduler's queue forms batches of them
(:mod:`tfs_locust.tfserving.batch_queue`), batch threads execute these, answers make users send again. Nothing here
knows how requests get to the server, or how many it lets in.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tfs_locust.tfserving.batch_queue import BatchQueue, TaskRefusedError
from tfs_locust.tfserving.batching import BatchingParameters

REQUESTS = 3_000
"""Simulated by default: some hundred batches, and a few hundredths of a second of ours."""

_ROUNDS = 20
"""Requests of each user at least: the first ones come in another order than all later ones."""


@dataclass(frozen=True, slots=True)
class BatchCost:
    """The time one execution takes: ``fixed_s + per_row_s * rows``, rows of padding included."""

    fixed_s: float
    per_row_s: float = 0.0

    def seconds(self, rows: int) -> float:
        """The time of an execution of ``rows`` rows."""
        return self.fixed_s + self.per_row_s * rows


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Users who each send, wait for the answer, and send again."""

    users: int
    turnaround_s: float = 0.001
    """From an answer's end in the server to the user's next request in its queue: on average, exponential."""


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests that come whether or not the ones before were answered: a Poisson process."""

    rate_per_s: float


@dataclass(frozen=True, slots=True)
class Execution:
    """One batch that was executed."""

    at_s: float
    rows: int
    """Without padding."""
    executed_rows: int
    """With padding."""
    calls: int
    """Requests, or pieces of them where large ones are split."""
    queueing_s: float
    """What its calls waited, all together."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of it, between the first tenth of the requests and the last."""

    batches: int
    rows: int
    executed_rows: int
    calls: int
    queueing_s: float
    seconds: float
    refused: int
    """By a full queue; of all requests."""

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


def simulate(
    parameters: BatchingParameters | None,
    threads: int,
    rows: Iterator[int],
    arrivals: ClosedLoop | OpenLoop,
    cost: BatchCost,
    *,
    requests: int = REQUESTS,
    seed: int = 0,
) -> Simulated:
    """Send ``requests`` requests at least, of as many rows as ``rows`` gives and sum up what was executed.

    ``threads`` execute at a time. ``parameters`` None: without batching every request is executed as it is, and
    ``threads`` are those of the calls.
    """
    if isinstance(arrivals, ClosedLoop):
        requests = max(requests, _ROUNDS * arrivals.users)
    server = Server(parameters or UNBATCHED, threads, rows, arrivals, cost, requests=requests, seed=seed)
    executions = list(server.run())
    # what is left in the end is executed without company that would have come
    kept = [one for one in executions if server.steady_from_s <= one.at_s <= server.last_arrival_s] or executions
    return Simulated(
        batches=len(kept),
        rows=sum(one.rows for one in kept),
        executed_rows=sum(one.executed_rows for one in kept),
        calls=sum(one.calls for one in kept),
        queueing_s=sum(one.queueing_s for one in kept),
        seconds=max(kept[-1].at_s - server.steady_from_s, 0.0) if kept else 0.0,
        refused=server.refused,
    )


UNBATCHED = BatchingParameters(max_batch_size=1 << 62)
"""Whoever comes is executed at once: every call has a thread of its own."""


@dataclass(slots=True)
class _Call:
    """A request, or a piece of one; pieces share ``left``."""

    rows: int
    came_s: float
    left: list[int] = field(default_factory=lambda: [1])
    """How many pieces have not been executed."""


def _cut(call: _Call, ranges: Sequence[range]) -> list[_Call]:
    left = [len(ranges)]
    return [_Call(len(rows), call.came_s, left) for rows in ranges]


class Server:
    """One queue, its batch threads, and those who send; ``run`` it once."""

    def __init__(
        self,
        parameters: BatchingParameters,
        threads: int,
        rows: Iterator[int],
        arrivals: ClosedLoop | OpenLoop,
        cost: BatchCost,
        *,
        requests: int,
        seed: int,
    ) -> None:
        self.refused = 0
        self.steady_from_s = 0.0
        """When the first tenth of the requests had come."""
        self.last_arrival_s = 0.0
        self._parameters = parameters
        self._queue: BatchQueue[_Call] = BatchQueue(parameters, _cut)
        self._idle = threads
        self._rows = rows
        self._arrivals = arrivals
        self._cost = cost
        self._requests = requests
        self._sent = 0
        self._rng = random.Random(seed)
        self._events: list[tuple[float, int, list[_Call] | None]] = []
        """Time, order, and what happens: these calls are answered; empty: one comes; None: a timeout ends."""
        self._order = 0
        self._wake_s = -1.0

    def run(self) -> Iterator[Execution]:
        """Every execution, in order, until all requests are answered."""
        for _ in range(self._arrivals.users if isinstance(self._arrivals, ClosedLoop) else 1):
            self._expect(0.0)
        while self._events:
            now, _, calls = heapq.heappop(self._events)
            if calls:
                self._answer(calls, now)
            elif calls is not None and self._sent < self._requests:
                self._send(now)
            yield from self._execute(now)

    def _expect(self, now: float) -> None:
        """The next request of one user, or of all, will come."""
        arrivals = self._arrivals
        mean_s = arrivals.turnaround_s if isinstance(arrivals, ClosedLoop) else 1 / arrivals.rate_per_s
        self._push(now + self._rng.expovariate(1) * mean_s, [])

    def _push(self, at_s: float, calls: list[_Call] | None) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, calls))

    def _send(self, now: float) -> None:
        self._sent += 1
        self.last_arrival_s = now
        if self._sent <= self._requests // 10:
            self.steady_from_s = now
        try:
            self._queue.submit(_Call(next(self._rows), now), now)
        except TaskRefusedError as refused:
            self.refused += not refused.too_large
            self._expect(now)
        else:
            if isinstance(self._arrivals, OpenLoop):
                self._expect(now)

    def _answer(self, calls: list[_Call], now: float) -> None:
        self._idle += 1
        for call in calls:
            call.left[0] -= 1
            if not call.left[0] and isinstance(self._arrivals, ClosedLoop):
                self._expect(now)

    def _execute(self, now: float) -> Iterator[Execution]:
        while self._idle and (batch := self._queue.take(now)) is not None:
            self._idle -= 1
            size = self._parameters.executed_size(batch.rows)
            self._push(now + self._cost.seconds(size), batch.tasks)
            waited_s = sum(now - call.came_s for call in batch.tasks)
            yield Execution(now, batch.rows, size, len(batch.tasks), waited_s)
        ready_s = self._queue.ready_at()
        if self._idle and ready_s is not None and ready_s != self._wake_s:
            self._wake_s = ready_s
            self._push(ready_s, None)
