"""A canary that is worse is found, with stated confidence, and one that is the same is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.measured import MS, sample
from tests.unit.planted import view_of
from tfs_locust.judge.canary import FEWEST, Canary, Finding, compare_versions, quantile_ratio, versions_of
from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally

SEEDS = range(10)


def compared(
    seed: int, *, slower: float = 1.0, requests: int = 4000, share: float = 0.25, failing: float = 0.0
) -> Canary:
    """A few thousand requests, a quarter of them to the canary. Service times are lognormal around 8 ms with a tail as
    servers have it (p99 four times the median), and a second in ten in which both take twice as long."""
    dice, tally = random.Random(seed), Tally("w", 1, origin_ns=0)
    for number in range(requests):
        is_canary = dice.random() < share
        busy = 2.0 if number // 400 % 10 == 3 else 1.0
        service_ms = 8.0 * dice.lognormvariate(0, 0.6) * busy * (slower if is_canary else 1.0)
        outcome = Outcome.UNAVAILABLE if is_canary and dice.random() < failing else Outcome.OK
        tally.record(
            sample(int(service_ms * MS), due_ns=number * MS, version="2" if is_canary else "1", outcome=outcome)
        )
    return compare_versions(view_of([tally]), "resnet", "1", "2")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_canary_that_is_a_fifth_slower_is_found(seed: int) -> None:
    """At 95 % confidence, and the bounds hold the true ratio or come within a tenth of it."""
    found = compared(seed, slower=1.2)
    assert (found.slower, found.is_worse, found.confidence) == (Finding.WORSE, True, 0.95)
    assert found.mean_ratio.value == pytest.approx(1.2, rel=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_identical_canary_is_not_called_worse(seed: int) -> None:
    """Neither slower, nor failing more."""
    found = compared(seed)
    assert found.slower in {Finding.NOT_WORSE, Finding.OPEN}
    assert not found.is_worse
    lower, upper = found.mean_ratio.lower, found.mean_ratio.upper
    assert lower is not None
    assert upper is not None
    assert lower < 1.03
    assert upper > 0.97


@pytest.mark.parametrize("seed", SEEDS)
def test_a_canary_that_fails_two_percent_is_found(seed: int) -> None:
    """Where its version is asked for, so that failures tell it."""
    found = compared(seed, failing=0.02, requests=8000)
    assert found.fails_more is Finding.WORSE
    assert found.canary_errors.value == pytest.approx(0.02, abs=0.01)
    assert found.baseline_errors.failed == 0


def test_few_requests_say_nothing() -> None:
    """It is open, whatever they look like."""
    found = compared(1, slower=3, requests=FEWEST)
    assert (found.slower, found.mean_ratio.value, found.p99_ratio.value, found.is_worse) == (
        Finding.OPEN, None, None, False,
    )  # fmt: skip


@pytest.mark.parametrize("q", [0.5, 0.99])
@pytest.mark.parametrize("slower", [1.0, 1.3])
def test_bounds_of_a_quantiles_ratio_hold_it(q: float, slower: float) -> None:
    """In 40 comparisons the bounds at 95 % leave the true ratio out of two or three at most."""
    dice, outside = random.Random(5), 0
    for _ in range(40):
        own, other = Histogram(), Histogram()
        for _ in range(1000):
            own.record(int(8 * MS * slower * dice.lognormvariate(0, 0.6)))
            other.record(int(8 * MS * dice.lognormvariate(0, 0.6)))
        ratio = quantile_ratio(own, other, q)
        assert ratio.lower is not None
        assert ratio.upper is not None
        assert ratio.value is not None
        assert ratio.lower <= ratio.value <= ratio.upper
        outside += not ratio.lower <= slower <= ratio.upper
    assert outside <= 3


@given(st.integers(100, 3000), st.sampled_from([0.5, 0.9, 0.99]))
@settings(max_examples=30, deadline=None)
def test_bounds_of_equal_samples_enclose_one(count: int, q: float) -> None:
    """The same durations on both sides: the ratio is 1, between its bounds as far as there are any."""
    histogram = Histogram()
    for number in range(count):
        histogram.record((number + 1) * MS)
    ratio = quantile_ratio(histogram, histogram, q)
    assert ratio.value == 1
    assert ratio.lower is None or ratio.lower <= 1
    assert ratio.upper is None or ratio.upper >= 1


def test_versions_are_numbers() -> None:
    """Answers that tell no version name none, and 10 comes after 9."""
    tally = Tally("w", 1, origin_ns=0)
    for version in ("10", "9", ""):
        tally.record(sample(MS, version=version))
    assert versions_of(view_of([tally])) == {"resnet": ["9", "10"]}
