"""A server, its clients and their workers in virtual time, for tests of the search for capacity.

One queue, served first come first served in batches; requests come by rate (Poisson) or from users who send the next
when they have the answer. Measured by real tallies, reported to a real aggregate.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile

from tests.unit.measured import SECOND
from tfs_locust.judge.capacity import CapacityRun
from tfs_locust.judge.level import Unit
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View

Cost = Callable[[float, Callable[[], int]], float]
"""The time, and how many requests wait, if that is asked -> how long a batch takes, in seconds."""


def fixed(seconds: float) -> Cost:
    """Every batch takes as long, however large it is: M/D/1 with a largest batch of 1."""
    return lambda _now_s, _waiting: seconds


@dataclass
class VirtualServer:
    """The server with its load; ``tick`` lets a second pass."""

    cost: Cost
    largest_batch: int = 1
    unit: Unit = Unit.RATE
    seed: int = 1
    outcome: Callable[[float], Outcome] = lambda _now_s: Outcome.OK
    sends_at_most: float = math.inf
    """Requests/s that the generator can send."""
    workers: int = 1
    report_every_s: int = 1
    load: float = 0.0
    now_s: float = 0.0
    sent: int = 0
    _waiting: deque[tuple[float, float, int]] = field(default_factory=deque)
    """Due, sent, and whose it is."""
    _answers: deque[tuple[float, float, float, int, Outcome]] = field(default_factory=deque)
    _free_s: float = 0.0
    _generator_free_s: float = 0.0
    _next_due_s: float = 0.0
    _users: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.aggregate = Aggregate()
        self.tallies = [Tally(f"w{number}", 1, origin_ns=0) for number in range(self.workers)]

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass under the load that is set."""
        until_s = self.now_s + seconds
        if self.unit is Unit.RATE:
            self._arrive(until_s)
        else:
            while self._users < self.load:
                self._users += 1
                self._send(self.now_s)
        self._serve(until_s)
        self._count(until_s)
        self.now_s = until_s
        for number, tally in enumerate(self.tallies):
            if (round(until_s) + number) % self.report_every_s == 0:
                snapshot = tally.snapshot(round(until_s * SECOND), changes_only=True)
                self.aggregate.accept(Snapshot.from_wire(snapshot.to_wire()), round(until_s * SECOND))

    def view(self) -> View:
        """What the master knows."""
        return self.aggregate.view(round(self.now_s * SECOND))

    def _arrive(self, until_s: float) -> None:
        due_s = max(self._next_due_s, self.now_s)
        while self.load and due_s < until_s:
            self._send(due_s)
            due_s += self.dice.expovariate(self.load)
        # an exponential gap has no memory: a change of the rate may draw it anew
        self._next_due_s = until_s

    def _send(self, due_s: float) -> None:
        sent_s = max(due_s, self._generator_free_s)
        self._generator_free_s = sent_s + 1 / self.sends_at_most
        self._waiting.append((due_s, sent_s, self.sent % self.workers))
        self.sent += 1

    def _serve(self, until_s: float) -> None:
        waiting = self._waiting
        while waiting and (start_s := max(self._free_s, waiting[0][1])) < until_s:
            batch = []
            while waiting and waiting[0][1] <= start_s and len(batch) < self.largest_batch:
                batch.append(waiting.popleft())
            self._free_s = start_s + self.cost(start_s, partial(self._count_waiting, start_s))
            for due_s, sent_s, worker in batch:
                self._answers.append((self._free_s, due_s, sent_s, worker, self.outcome(start_s)))
                self.tallies[worker].started += 1
                if self.unit is Unit.USERS:
                    if self._users > self.load:
                        self._users -= 1
                    else:
                        self._send(self._free_s)

    def _count_waiting(self, now_s: float) -> int:
        return sum(1 for _ in takewhile(lambda one: one[1] <= now_s, self._waiting))

    def _count(self, until_s: float) -> None:
        while self._answers and self._answers[0][0] <= until_s:
            end_s, due_s, sent_s, worker, outcome = self._answers.popleft()
            due_ns, sent_ns, end_ns = (round(at_s * SECOND) for at_s in (due_s, sent_s, end_s))
            key = Key("Virtual", "grpc", "m", "1", outcome)
            self.tallies[worker].record(Sample(key, due_ns, sent_ns, end_ns, 4, 100, 50))


def search(server: VirtualServer, run: CapacityRun, *, most_s: float = 2000.0) -> None:
    """Let a search go on until it has its answer."""
    while (load := run.observe(server.now_s, server.view())) is not None:
        server.load = load
        server.tick()
        assert server.now_s < most_s, "the search does not end"
