"""A server with planted behaviour, in virtual time: what its clients would have recorded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.unit.measured import MS, SECOND, sample, told
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View


@dataclass(frozen=True)
class Served:
    """What becomes of a request that is sent at a time."""

    version: str = "1"
    response_ms: float = 5.0
    outcome: Outcome = Outcome.OK


def record(
    behaviour: Callable[[int, random.Random], Served],
    *,
    seconds: int = 30,
    per_second: int = 100,
    workers: int = 2,
    warmup_s: int = 0,
    protocol: str = "grpc",
    seed: int = 1,
) -> list[Tally]:
    """What workers recorded that sent requests in turn, at random times. ``behaviour`` is given the time in ns."""
    dice = random.Random(seed)
    tallies = [Tally(f"w{number}", 1, origin_ns=0, warmup_ns=warmup_s * SECOND) for number in range(workers)]
    events = []
    at_ns = 0.0
    while (at_ns := at_ns + dice.expovariate(per_second) * SECOND) < seconds * SECOND:
        served = behaviour(int(at_ns), dice)
        response_ns = max(int(served.response_ms * MS), 1000)
        version = served.version if served.outcome is Outcome.OK and protocol == "grpc" else ""
        one = sample(response_ns, due_ns=int(at_ns), version=version, outcome=served.outcome, protocol=protocol)
        events.append((one.end_ns, one))
    for number, (_, one) in enumerate(sorted(events, key=lambda event: event[0])):
        tally = tallies[number % workers]
        tally.started += 1
        tally.record(one)
    for tally in tallies:
        tally.end_load(seconds * SECOND)
    return tallies


def view_of(tallies: Sequence[Tally], at_ns: int = 60 * SECOND) -> View:
    """All of them together, over the wire."""
    aggregate = Aggregate()
    for tally in tallies:
        aggregate.accept(told(tally, at_ns, final=True))
    return aggregate.view()


def usual(dice: random.Random, median_ms: float = 5.0) -> float:
    """A response time in ms, as servers have them."""
    return median_ms * dice.lognormvariate(0, 0.3)
