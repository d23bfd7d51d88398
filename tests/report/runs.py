"""A run as it might have been, for tests of the report."""

from __future__ import annotations

import random
from typing import Any

from tests.unit.measured import MS, SECOND, sample
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import Limits, Verdict, judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally, unsent
from tfs_locust.measure.view import View
from tfs_locust.report.live import Live
from tfs_locust.report.report import Result, build

MANIFEST = {
    "title": "ResNet <canary> & friends",
    "started_at": "2026-03-01T09:30:00Z",
    "versions": {"tfs_locust": "0.1.0", "locust": "2.47.0", "python": "3.11.9"},
    "options": {"host": "grpc://127.0.0.1:8500", "users": 200, "run_time": "60s"},
    "seed": 7,
    "hosts": ["node-a", "node-b"],
    "cores": 2,
}


OBJECTIVES = ("p99<100ms", "error_rate<1%", "throughput>=100/s", "p99.9<80ms")


def run(*, objectives: tuple[str, ...] = OBJECTIVES, **more: Any) -> Result:
    """What came of :func:`measured`, with more of its arguments."""
    view = measured(**more)
    return build(view, verdict_on(view, objectives), MANIFEST)


def live(*, objectives: tuple[str, ...] = OBJECTIVES, ended: bool = False, **more: Any) -> Live:
    """A look at :func:`measured`, with more of its arguments, at its last second or when it has ended."""
    view = measured(final=ended, **more)
    verdict = verdict_on(view, objectives, ended=ended)
    return Live(
        "run-1",
        view,
        users={"ResNet": 100},
        target_users=100,
        started_s=1_000.0,
        ended_s=1_021.0 if ended else None,
        objectives=verdict.objectives,
        verdict=verdict if ended else None,
        so_far=None if ended else verdict,
    )


def verdict_on(view: View, objectives: tuple[str, ...] = OBJECTIVES, *, ended: bool = True) -> Verdict:
    """With room for what was unsent."""
    return judge(view, parse_objectives(objectives), limits=Limits(unsent_share=0.01), ended=ended)


def measured(
    *,
    seconds: int = 20,
    per_second: int = 200,
    median_ms: float = 8.0,
    failing: float = 0.004,
    final: bool = True,
    lost: bool = False,
    seed: int = 1,
) -> View:
    """A run of two workers over both protocols, with a warm-up of a tenth and a slow spell in the middle."""
    dice, aggregate = random.Random(seed), Aggregate()
    for name in ("worker-1", "worker-2"):
        tally = Tally(name, 1, origin_ns=0, warmup_ns=seconds * SECOND // 10)
        for number in range(seconds * per_second // 2):
            due_ns = number * 2 * SECOND // per_second
            slow = 4.0 if 0.5 < due_ns / SECOND / seconds < 0.6 else 1.0
            response_ns = int(median_ms * MS * slow * dice.lognormvariate(0, 0.45))
            protocol = dice.choice(["grpc", "grpc", "rest"])
            one = sample(
                response_ns,
                due_ns=due_ns,
                lag_ns=min(dice.randrange(400_000), response_ns // 2),
                rows=dice.choice([1, 4, 16]),
                protocol=protocol,
                scenario="ResNet" if protocol == "grpc" else "Browser",
                outcome=dice.choice([Outcome.DEADLINE_EXCEEDED, Outcome.BATCH_QUEUE_FULL, Outcome.BATCH_QUEUE_FULL])
                if dice.random() < failing
                else Outcome.OK,
            )
            tally.started += 1
            tally.record(one)
        if failing:
            tally.record(unsent(one.key, due_ns, due_ns + SECOND, 4))
        tally.end_load(seconds * SECOND)
        for second in range(seconds):
            tally.record_users(second * SECOND, min(100, 20 * (second + 1)))
            tally.health.loop_lag.record(dice.randrange(3 * MS))
        tally.health.cpu_share, tally.health.throttled_share = 0.61, 0.0
        tally.started += 3 * lost
        aggregate.accept(tally.snapshot((seconds + 1) * SECOND, final=final and not lost))
        if lost:
            aggregate.lose(name)
    return aggregate.view()
