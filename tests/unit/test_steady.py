"""When windows agree."""

from __future__ import annotations

import random

import pytest

from tests.unit.measured import MS, SECOND, sample
from tfs_locust.judge.steady import agree
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View


def window(requests: int, *, slow_ms: float = 10.0, slow: float = 0.05, failed: int = 0, seed: int = 0) -> View:
    """Two seconds in which so many ended well, a part of them slowly, and some failed."""
    dice, tally, aggregate = random.Random(seed), Tally("w", 1, origin_ns=0), Aggregate()
    for number in range(requests):
        # not all alike, so that p99 is one of many values
        time_ms = slow_ms * dice.uniform(0.98, 1.02) if number < slow * requests else dice.uniform(1, 2)
        tally.record(sample(int(time_ms * MS)))
    for _ in range(failed):
        tally.record(sample(MS, outcome=Outcome.UNAVAILABLE))
    aggregate.accept(tally.snapshot(2 * SECOND))
    return aggregate.view()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((20_000, 20_500, 21_500), True),  # within 10 % of each other
        ((20_000, 20_500, 22_500), False),  # the outer two are not
        ((40, 50, 46), True),  # so few may differ by chance
        ((40, 50, 90), False),  # but not by so much
        ((0, 0, 0), True),
        ((0, 0, 500), False),
    ],
)
def test_throughput(counts: tuple[int, ...], expected: bool) -> None:
    """10 %, or what a Poisson process does by chance."""
    assert agree([window(count, seed=count) for count in counts], 0.10) is expected


@pytest.mark.parametrize(
    ("slow_ms", "requests", "expected"),
    [
        ((10.0, 10.5, 10.8), 20_000, True),
        ((10.0, 10.5, 12.0), 20_000, False),
        ((10.0, 20.0, 40.0), 20_000, False),  # it gets worse
        ((10.0, 13.0, 16.0), 20, True),  # of 20 requests p99 is the slowest: that tells nothing
    ],
)
def test_p99(slow_ms: tuple[float, ...], requests: int, expected: bool) -> None:
    """10 %, or what order statistics leave open."""
    windows = [window(requests, slow_ms=one, seed=at) for at, one in enumerate(slow_ms)]
    assert agree(windows, 0.10) is expected


def test_failures_are_beyond_every_time() -> None:
    """2 % failed in one window: its p99 is beyond, and agrees only with others that are."""
    well, badly = window(5000), window(5000, failed=100)
    assert agree([well, well, well], 0.10)
    assert not agree([well, well, badly], 0.10)
    assert agree([badly, badly, badly], 0.10)
