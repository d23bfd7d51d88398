"""A server in simulated time: requests come, its queue forms batches of them, its threads execute these.

A discrete-event simulation by the scheduler's own rules (:mod:`tfs_locust.tfserving.batch_queue`): answers make users
send again, and of requests that come at a rate as many are let in at a time as the interface has threads for.
:mod:`tfs_locust.load.simulation` sums up what comes of it.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tfs_locust.tfserving.batch_queue import Batch, BatchQueue, TaskRefusedError
from tfs_locust.tfserving.batching import BatchingParameters

TRIES = 5
"""Times as many requests may come as are wanted, where most of them are refused."""
MOST_PIECES = 20_000
"""That are simulated at most, of requests which are split."""


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
    calls_at_once: int
    """As many are let in at a time."""
    wait: bool = False
    """What is not let in waits (REST's threads), rather than be refused (gRPC's)."""


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


class _Unbatched:
    """The queue of a server that does not batch: each call is executed by itself."""

    def __init__(self) -> None:
        self._calls: deque[_Call] = deque()

    def submit(self, call: _Call, _: float) -> Sequence[_Call]:
        self._calls.append(call)
        return [call]

    def ready_at(self) -> float | None:
        return self._calls[0].came_s if self._calls else None

    def take(self, _: float) -> Batch[_Call] | None:
        if not self._calls:
            return None
        batch: Batch[_Call] = Batch(self._calls[0].came_s)
        batch.add(self._calls.popleft())
        return batch


class Server:
    """One queue, its batch threads, and those who send; ``run`` it once."""

    def __init__(
        self,
        parameters: BatchingParameters | None,
        threads: int,
        rows: Iterator[int],
        arrivals: ClosedLoop | OpenLoop,
        cost: BatchCost,
        *,
        requests: int,
        seed: int,
    ) -> None:
        self.came = self.kept_out = self.refused = 0.0
        """Requests, those that found all threads of the interface taken, and those that found the queue full. Of what
        is refused without end not each one is drawn: they are counted as is to be expected."""
        self.in_flight = 0.0
        """Requests in the server at a time on average, until the last one came."""
        self.steady_from_s = 0.0
        """When a tenth of the requests had come, and about one of each user."""
        self.last_arrival_s = 0.0
        self._executed_size = (lambda number: number) if parameters is None else parameters.executed_size
        self._queue: BatchQueue[_Call] | _Unbatched = _Unbatched()
        if parameters is not None:
            self._queue = BatchQueue(parameters, _cut)
        self._idle = threads
        self._rows = rows
        self._arrivals = arrivals
        self._cost = cost
        self._requests = requests
        self._first = max(requests // 10, arrivals.users if isinstance(arrivals, ClosedLoop) else 0)
        self._tried = self._taken = self._pieces = self._inside = 0
        self._request_s = self._changed_s = 0.0
        self._least_rows = 1 << 62
        self._refused_s: list[float] = []
        """When users were refused who have not come again: before there is room again it would be for nothing. At a
        rate: since when all are refused."""
        self._kept_out_s: float | None = None
        """When a request came that was not let in; what comes after it is told when there is room again."""
        self._rng = random.Random(seed)
        self._events: list[tuple[float, int, list[_Call] | None]] = []
        """Time, order, and what happens: these calls are answered; empty: one comes; None: a timeout ends."""
        self._order = 0
        self._wake_s = -1.0
        self._full = False

    def run(self) -> Iterator[Execution]:
        """Every execution, in order, until all requests are answered."""
        for _ in range(self._arrivals.users if isinstance(self._arrivals, ClosedLoop) else 1):
            self._expect(0.0)
        while self._events:
            now, _, calls = heapq.heappop(self._events)
            if calls:
                self._answer(calls, now)
            elif calls is not None and self._goes_on():
                self._come(now)
            yield from self._execute(now)

    def _goes_on(self) -> bool:
        """Whether more requests come."""
        wanted = self._requests
        return self._taken < wanted and self._tried < TRIES * wanted and self._pieces < MOST_PIECES

    def _expect(self, now: float) -> None:
        """The next request of one user, or of all, will come."""
        arrivals = self._arrivals
        mean_s = arrivals.turnaround_s if isinstance(arrivals, ClosedLoop) else 1 / arrivals.rate_per_s
        self._push(now + self._rng.expovariate(1) * mean_s, [])

    def _push(self, at_s: float, calls: list[_Call] | None) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, calls))

    def _come(self, now: float) -> None:
        arrivals = self._arrivals
        if isinstance(arrivals, ClosedLoop):
            taken = self._send(now)
            if not taken and not self._is_in_vain(now):
                self._expect(now)
        elif self._inside < arrivals.calls_at_once:
            if self._send(now) or not self._is_in_vain(now):
                self._expect(now)
        else:
            self._kept_out_s = now

    def _send(self, now: float) -> bool:
        """Whether the queue takes the request."""
        self.came += 1
        self._tried += 1
        self._change(now, 0)
        self.last_arrival_s = now
        if self._tried <= self._first:
            self.steady_from_s = now
        self.in_flight = self._request_s / now if now else 0.0
        call = _Call(next(self._rows), now)
        self._full = False
        try:
            pieces = self._queue.submit(call, now)
        except TaskRefusedError as refused:
            if not refused.too_large:
                self.refused += 1
                self._full = call.rows <= self._least_rows
            return False
        self._least_rows = min(self._least_rows, call.rows)
        self._change(now, 1)
        self._taken += 1
        self._pieces += len(pieces)
        return True

    def _is_in_vain(self, now: float) -> bool:
        """Whether nothing can be sent until a batch leaves the queue: it is too full for the smallest request."""
        if self._full:
            self._refused_s.append(now)
        return self._full

    def _come_again(self, now: float) -> None:
        """A batch has left the queue, and there is room. (Neither users nor a Poisson process have a memory.)"""
        arrivals = self._arrivals
        by_second = 1 / arrivals.turnaround_s if isinstance(arrivals, ClosedLoop) else arrivals.rate_per_s
        for refused_s in self._refused_s:
            more = (now - refused_s) * by_second
            self.came += more
            self.refused += more
            self._expect(now)
        self._refused_s.clear()

    def _change(self, now: float, by: int) -> None:
        """So many more are in the server."""
        self._request_s += self._inside * (now - self._changed_s)
        self._changed_s = now
        self._inside += by

    def _answer(self, calls: list[_Call], now: float) -> None:
        self._idle += 1
        for call in calls:
            call.left[0] -= 1
            if not call.left[0]:
                self._change(now, -1)
                if isinstance(self._arrivals, ClosedLoop):
                    self._expect(now)
        if isinstance(self._arrivals, OpenLoop) and self._kept_out_s is not None:
            self._let_in(self._arrivals, self._kept_out_s, now)

    def _let_in(self, arrivals: OpenLoop, came_s: float, now: float) -> None:
        """There may be room again, for the request that came at ``came_s`` and those behind it."""
        if self._inside >= arrivals.calls_at_once or not self._goes_on():
            return
        self._kept_out_s = None
        if not arrivals.wait:
            refused = 1 + arrivals.rate_per_s * (now - came_s)
            self.came += refused
            self.kept_out += refused
            self._expect(now)  # a Poisson process does not remember when the last one came
            return
        while came_s <= now and self._goes_on():
            if self._inside >= arrivals.calls_at_once:
                self._kept_out_s = came_s
                return
            self.kept_out += 1
            if not self._send(now) and self._is_in_vain(now):
                return
            came_s += self._rng.expovariate(1) / arrivals.rate_per_s
        self._push(came_s, [])

    def _execute(self, now: float) -> Iterator[Execution]:
        while self._idle and (batch := self._queue.take(now)) is not None:
            self._idle -= 1
            size = self._executed_size(batch.rows)
            self._push(now + self._cost.seconds(size), batch.tasks)
            waited_s = sum(now - call.came_s for call in batch.tasks)
            yield Execution(now, batch.rows, size, len(batch.tasks), waited_s)
            self._come_again(now)
        ready_s = self._queue.ready_at()
        if self._idle and ready_s is not None and ready_s != self._wake_s:
            self._wake_s = ready_s
            self._push(ready_s, None)
