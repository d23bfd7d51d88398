"""What a scrape of a large run costs its master: time, and how late a heartbeat beside it is.

Run it: python bench/scraping.py
"""

from __future__ import annotations

import random
import statistics
import time

import gevent
from prometheus_client import CollectorRegistry, generate_latest

from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import judge_all
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.tally import Tally
from tfs_locust.report.exporter import Exporter
from tfs_locust.report.live import Live
from tfs_locust.swarm.metrics_server import GivingWay
from tfs_locust.swarm.turn import give_way

KEYS = 50
WORKERS = 1_000
REQUESTS = 100
"""Of each key, by each worker."""
SCRAPES = 30
_BEAT_S = 0.001


def main() -> None:
    """Build the state of all workers as a master has it, scrape it, and tell."""
    aggregate, accept_s = _state()
    objectives = parse_objectives(["p99<100ms", "error_rate<0.1%", "throughput>=10000/s"])

    def look() -> Live:
        view = aggregate.view(time.monotonic_ns(), timeline=False)
        give_way()
        return Live("run", view, {"ResNet": 1000}, 1000, 0.0, objectives=judge_all(view, objectives))

    registry = CollectorRegistry()
    registry.register(GivingWay(Exporter(look)))
    lines = generate_latest(registry).count(b"\n")
    took_s, used_s, late_s = [], [], []
    for _ in range(SCRAPES):
        gevent.sleep(0.05)
        begin_s, used_before_s = time.perf_counter(), time.process_time()
        generate_latest(registry)
        took_s.append(time.perf_counter() - begin_s)
        used_s.append(time.process_time() - used_before_s)

    def beat() -> None:
        while True:
            due_s = time.perf_counter() + _BEAT_S
            gevent.sleep(_BEAT_S)
            late_s.append(time.perf_counter() - due_s)

    heart = gevent.spawn(beat)
    for _ in range(SCRAPES):
        gevent.sleep(0.05)
        generate_latest(registry)
    heart.kill()
    print(f"{WORKERS:,} workers, {KEYS} keys, {WORKERS * KEYS * REQUESTS:,} requests; {lines:,} lines")
    print(f"scrape            {statistics.median(took_s) * 1e3:8.1f} ms, the longest {max(took_s) * 1e3:.1f} ms")
    print(f"its CPU time      {statistics.median(used_s) * 1e3:8.1f} ms")
    print(f"heartbeat         {max(late_s) * 1e3:8.1f} ms late at the most")
    print(f"a worker's report {accept_s * 1e3:8.1f} ms to take in")


def _state() -> tuple[Aggregate, float]:
    """All reports taken in, and how long the last hundred took each. Workers repeat themselves: fewer are made."""
    dice = random.Random(1)
    keys = [Key(f"Scenario{n % 5}", "grpc", f"model{n % 10}", str(n), Outcome.OK) for n in range(KEYS)]
    reports = []
    for number in range(20):
        tally = Tally(f"worker-{number}", 1, origin_ns=0)
        for key in keys:
            for _ in range(REQUESTS):
                sent_ns = int(dice.expovariate(1 / 50_000))
                tally.started += 1
                tally.record(Sample(key, 0, sent_ns, sent_ns + int(dice.lognormvariate(15.5, 0.5)), 4, 1_000, 200))
        reports.append(tally.snapshot(1_000_000_000).to_wire())
    aggregate, took_s = Aggregate(), []
    for number in range(WORKERS):
        begin_s = time.perf_counter()
        aggregate.accept(Snapshot.from_wire({**reports[number % len(reports)], "worker": f"worker-{number}"}))
        took_s.append(time.perf_counter() - begin_s)
    return aggregate, statistics.median(took_s[-100:])


if __name__ == "__main__":
    main()
