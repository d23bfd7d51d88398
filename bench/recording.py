"""What measuring costs: time for each request, and bytes for each report. Run it: python bench/recording.py"""

from __future__ import annotations

import random
import time

import msgpack  # type: ignore[import-untyped]

from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.tally import Tally

REQUESTS = 100_000
PER_SECOND = 10_000


def main() -> None:
    """Record ten seconds of 10,000 requests/s, five times; the best time counts."""
    random.seed(1)
    key = Key("ResNet", "grpc", "resnet", "1", Outcome.OK)
    samples = []
    for number in range(REQUESTS):
        due_ns = number * 1_000_000_000 // PER_SECOND
        sent_ns = due_ns + random.randrange(200_000)
        samples.append(Sample(key, due_ns, sent_ns, sent_ns + int(random.lognormvariate(15.5, 0.5)), 4, 1_000, 200))

    histogram_ns, tally_ns = [], []
    for _ in range(5):
        histogram, tally = Histogram(), Tally("worker", 1, origin_ns=0)
        begin_ns = time.perf_counter_ns()
        for sample in samples:
            histogram.record(sample.end_ns - sample.due_ns)
        histogram_ns.append(time.perf_counter_ns() - begin_ns)
        begin_ns = time.perf_counter_ns()
        for sample in samples:
            tally.record(sample)
        tally_ns.append(time.perf_counter_ns() - begin_ns)

    print(f"histogram.record  {min(histogram_ns) / REQUESTS:8.0f} ns")
    print(f"tally.record      {min(tally_ns) / REQUESTS:8.0f} ns")
    tally.snapshot(0, changes_only=True)
    for sample in samples[: 3 * PER_SECOND]:
        tally.record(sample)
    live = msgpack.packb(tally.snapshot(0, changes_only=True).to_wire())
    final = msgpack.packb(tally.snapshot(0, final=True).to_wire())
    print(f"live report       {len(live):8,} bytes for 3 s of {PER_SECOND:,} requests/s")
    print(f"final report      {len(final):8,} bytes for 10 s")


if __name__ == "__main__":
    main()
