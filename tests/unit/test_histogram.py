"""The histogram: exact where it says so, within 0.1 % everywhere else, and blind to the order of things."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, durations
from tfs_locust.measure.histogram import HIGHEST_NS, LOWEST_NS, Beyond, Histogram, merged, step_ns


def of(*values: int) -> Histogram:
    """A histogram of these durations."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(durations, min_size=1), st.fractions(0, 1))
def test_quantile_is_within_a_thousandth(values: list[int], q: Fraction) -> None:
    """A quantile is less than 0.1 % off the exact order statistic, for any distribution."""
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    measured = of(*values).quantile(q)
    assert measured is not None
    assert abs(measured - exact) * 1000 < exact


@given(st.lists(durations), st.lists(st.floats(0, 1), max_size=5))
def test_several_quantiles_at_a_time(values: list[int], qs: list[float]) -> None:
    """They are those that are asked for one by one."""
    counted = of(*values)
    assert counted.quantiles(qs) == [counted.quantile(q) for q in qs]


@given(st.integers(0, 10), st.integers(100, 999), st.data())
def test_count_beyond_a_round_bound_is_exact(power: int, digits: int, data: st.DataObject) -> None:
    """Three significant digits are always an edge: below, on and above it are told apart to the nanosecond."""
    bound = digits * 10**power
    if not LOWEST_NS <= bound <= HIGHEST_NS:
        bound = 100 * MS
    values = data.draw(st.lists(st.one_of(durations, st.sampled_from([bound - 1, bound, bound + 1]))))
    histogram = of(*values)
    above = sum(value > bound for value in values)
    not_below = sum(value >= bound for value in values)
    assert histogram.beyond(bound, inclusive=False) == Beyond(above, above)
    assert histogram.beyond(bound, inclusive=True) == Beyond(not_below, not_below)


@given(st.lists(durations), durations)
def test_count_beyond_any_bound_is_enclosed(values: list[int], bound: int) -> None:
    """Where a bound falls inside a bucket, what is told encloses the truth."""
    surely, possibly = of(*values).beyond(bound, inclusive=False)
    assert surely <= sum(value > bound for value in values) <= possibly


@given(st.lists(durations), st.lists(durations), st.lists(durations))
def test_merging_is_recording(a: list[int], b: list[int], c: list[int]) -> None:
    """Merge is commutative and associative, and equal to recording one by one."""
    one_by_one = of(*a, *b, *c)
    assert merged([of(*a), of(*b), of(*c)]) == one_by_one
    assert merged([of(*c), of(*a), of(*b)]) == one_by_one
    assert merged([of(*a), merged([of(*b), of(*c)])]) == one_by_one


@given(st.lists(st.integers(-5, 2 * HIGHEST_NS)))
def test_the_wire_keeps_everything(values: list[int]) -> None:
    """What comes off the wire is what went on it, and its exact parts are exact."""
    histogram = Histogram.from_wire(json.loads(json.dumps(of(*values).to_wire())))
    assert histogram == of(*values)
    assert histogram.count == len(values)
    clipped = [max(value, 0) for value in values]
    assert histogram.total_ns == sum(clipped)
    assert histogram.maximum_ns == max(clipped, default=0)
    assert histogram.minimum_ns == min(min(clipped, default=0), HIGHEST_NS)
    assert histogram.saturated == sum(value > HIGHEST_NS for value in values)


def test_99_6_ms_is_not_104_9_ms() -> None:
    """What Locust's statistics call 100 ms is told apart."""
    for value, beyond in ((99_600_000, 0), (104_900_000, 1)):
        assert of(value).beyond(100 * MS, inclusive=True) == Beyond(beyond, beyond)


def test_longer_than_an_hour_is_counted() -> None:
    """Two hours are in the last bucket, counted as saturated, with the maximum exact."""
    histogram = of(2 * HIGHEST_NS, 1_000)
    assert (histogram.saturated, histogram.maximum_ns, histogram.quantile(1)) == (1, 2 * HIGHEST_NS, HIGHEST_NS)
    assert histogram.beyond(HIGHEST_NS, inclusive=False) == Beyond(1, 1)
    assert histogram.beyond(HIGHEST_NS + SECOND, inclusive=False) == Beyond(0, 1)


def test_shorter_than_a_microsecond_is_one_bucket() -> None:
    """1 to 999 ns share a bucket; minimum and maximum are exact all the same."""
    histogram = of(1, 500, 999)
    assert histogram.buckets == {1: 3}
    assert (histogram.minimum_ns, histogram.maximum_ns, histogram.total_ns) == (1, 999, 1_500)


def test_nothing_recorded() -> None:
    """An empty histogram has no quantile, and merging it changes nothing."""
    empty = Histogram()
    assert (empty.count, empty.quantile(0.99), empty.minimum_ns, empty.maximum_ns) == (0, None, 0, 0)
    assert (empty.mean_ns, empty.at_rank(1), empty.beyond(1, inclusive=True)) == (0.0, None, Beyond(0, 0))
    assert merged([empty, of(MS)]) == of(MS)


def test_a_float_quantile_means_its_decimal() -> None:
    """0.07 of 100 is the 7th, though 0.07 * 100 is 7.000000000000001 in floats."""
    assert of(*range(MS, 101 * MS, MS)).quantile(0.07) == 7 * MS


@pytest.mark.parametrize(
    ("value", "step"), [(1_000, 2), (4_999, 2), (5_000, 10), (9_999, 10), (10_000, 20), (100 * MS, 200_000)]
)
def test_steps(value: int, step: int) -> None:
    """The step is a five-hundredth of the decade up to its middle, and a hundredth from there on."""
    assert step_ns(value) == step


def test_rising() -> None:
    """Counts pile up in rising order."""
    assert list(of(3 * MS, MS, MS).rising()) == [(MS, 2), (3 * MS, 3)]
