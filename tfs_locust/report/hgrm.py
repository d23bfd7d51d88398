"""HdrHistogram's percentile text format (``.hgrm``), which its plotters read. Values are milliseconds."""

from __future__ import annotations

import math

from tfs_locust.measure.histogram import Histogram

_TICKS_PER_HALF = 5
"""HdrHistogram's default: so many lines until half of what remains is passed."""
_MS = 1_000_000


def percentile_text(histogram: Histogram) -> str:
    """Lines of value, percentile (as a share), count up to it, and ``1/(1 - percentile)``; then a summary."""
    lines = ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]
    total = histogram.count
    rising = histogram.rising()
    value_ns, seen = next(rising, (0, 0))
    for share in _shares(total):
        while seen < share * total:
            value_ns, seen = next(rising)
        lines.append(f"{value_ns / _MS:12.3f} {share:2.12f} {seen:10d} {1 / (1 - share):14.2f}")
    if total:
        lines.append(f"{histogram.maximum_ns / _MS:12.3f} {1:2.12f} {total:10d}")
    mean_ms, deviation_ms = histogram.mean_ns / _MS, _deviation_ns(histogram) / _MS
    lines += [
        f"#[Mean    = {mean_ms:12.3f}, StdDeviation   = {deviation_ms:12.3f}]",
        f"#[Max     = {histogram.maximum_ns / _MS:12.3f}, Total count    = {total:12d}]",
        f"#[Buckets = {len(histogram.buckets):12d}, SubBuckets     = {2500:12d}]",
    ]
    return "\n".join(lines) + "\n"


def _shares(total: int) -> list[float]:
    """From 0 towards 1 in steps that halve with the remainder, until less than one value remains."""
    shares, share = [], 0.0
    while (1 - share) * total >= 1:
        shares.append(share)
        halvings = math.floor(math.log2(1 / (1 - share))) + 1
        share += 1 / (_TICKS_PER_HALF * 2**halvings)
    return shares


def _deviation_ns(histogram: Histogram) -> float:
    """The standard deviation, from the buckets' names."""
    if not histogram.buckets:
        return 0.0
    mean_ns = histogram.mean_ns
    squares = sum(count * (bucket - mean_ns) ** 2 for bucket, count in histogram.buckets.items())
    return math.sqrt(squares / histogram.count)
