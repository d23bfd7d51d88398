"""Pairs: sums that merge to the same whatever the shares, and bounds as computed directly."""

from __future__ import annotations

import json
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, durations, sample
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.paired import FEWEST, Paired, PairedKey, merge_pairs
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.tally import Tally

KEY = PairedKey("Grpc", "grpc", "Rest", "rest")
pairs_of_times = st.lists(st.tuples(durations, durations, st.booleans()), max_size=50)


def counted(times: list[tuple[int, int, bool]]) -> Paired:
    """Pairs of these service times, of which the second failed where it did."""
    paired = Paired()
    for own_ns, other_ns, failed in times:
        outcome = Outcome.UNAVAILABLE if failed else Outcome.OK
        paired.record(sample(own_ns, lag_ns=0), sample(other_ns, outcome=outcome))
    return paired


@given(pairs_of_times, pairs_of_times)
def test_merged_is_counted_together(first: list[tuple[int, int, bool]], then: list[tuple[int, int, bool]]) -> None:
    """Two workers' sums are those of one that has seen it all, also after the wire, and no pair is lost or made."""
    together = counted(first + then)
    on_the_wire = [Paired.from_wire(json.loads(json.dumps(counted(times).to_wire()))) for times in (first, then)]
    merged = merge_pairs([{KEY: one} for one in on_the_wire])[KEY]
    for name in ("pairs", "unpaired", "scenario_faster", "against_faster", "scenario_ns", "against_ns"):
        assert getattr(merged, name) == getattr(together, name)
    assert merged.sum_x == pytest.approx(together.sum_x, abs=1e-9)
    assert merged.sum_xx == pytest.approx(together.sum_xx, abs=1e-9)
    assert merged.pairs + merged.unpaired == len(first + then)
    assert merged.scenario_faster + merged.against_faster <= merged.pairs


@given(st.lists(st.tuples(durations, durations), min_size=FEWEST, max_size=80), st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_as_computed_directly(times: list[tuple[int, int]], confidence: float) -> None:
    """Ratio and bounds are those that the logarithms of all ratios give."""
    paired = counted([(own, other, False) for own, other in times])
    logs = [math.log(other / own) for own, other in times]
    z = {0.9: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}[confidence]
    mean, reach = statistics.fmean(logs), z * statistics.stdev(logs) / math.sqrt(len(logs))
    bounds = paired.bounds(confidence)
    assert paired.ratio == pytest.approx(math.exp(mean), rel=1e-9)
    assert bounds == pytest.approx((math.exp(mean - reach), math.exp(mean + reach)), rel=1e-4)
    geometric = statistics.geometric_mean([other for _, other in times]) / statistics.geometric_mean(
        [own for own, _ in times]
    )
    assert paired.ratio == pytest.approx(geometric, rel=1e-9)


def test_the_true_ratio_is_within_bounds_as_often_as_said() -> None:
    """Of 1,000 runs with a true ratio of 1.43, the bounds of 95 % hold it in 93 to 97 %."""
    dice, held = random.Random(5), 0
    for _ in range(1000):
        times = []
        for _ in range(60):
            payload = dice.lognormvariate(0, 1.0)  # what makes a payload slow is in both of a pair
            own = MS * payload * dice.lognormvariate(0, 0.2)
            times.append((int(own), int(MS * payload * 1.43 * dice.lognormvariate(0, 0.2)), False))
        lower, upper = counted(times).bounds(0.95) or (0, 0)
        assert upper / lower < 1.25  # that payloads differ by far more does not matter
        held += lower <= 1.43 <= upper
    assert 930 <= held <= 970


def test_few_pairs_have_no_bounds() -> None:
    """Nothing is told of nothing, and bounds are given from thirty pairs on."""
    none = Paired()
    assert (none.ratio, none.mean_x, none.deviation_x, none.bounds(0.95)) == (None, None, None, None)
    few = counted([(MS, 2 * MS, False)] * (FEWEST - 1))
    assert few.ratio == pytest.approx(2)
    assert few.bounds(0.95) is None
    few.merge(counted([(MS, 2 * MS, False)]))
    assert few.bounds(0.95) == pytest.approx((2, 2))


def test_a_time_of_nothing_is_a_nanosecond() -> None:
    """A clock that did not move between two stamps is no reason to fail."""
    assert counted([(0, 1000, False)]).ratio == pytest.approx(1000)


def test_pairs_of_the_warm_up_are_left_out_and_the_last_report_counts() -> None:
    """A pair that begins in the warm-up is of it, whole; a worker's newest sums replace its older ones."""
    tally, aggregate = Tally("w", 1, origin_ns=0, warmup_ns=SECOND), Aggregate()
    warm, second = sample(2 * MS, due_ns=SECOND - MS), sample(MS, due_ns=SECOND + MS, protocol="rest")
    phase = tally.phase_of_second(warm)
    tally.record(warm)
    tally.record(second, phase)
    tally.record_pair(KEY, warm, second)
    assert (tally.pairs, {key.phase for key in tally.cells}) == ({}, {"warmup"})
    for _ in range(3):
        first, second = sample(2 * MS, due_ns=2 * SECOND), sample(3 * MS, due_ns=3 * SECOND)
        assert tally.phase_of_second(first) is None
        tally.record_pair(KEY, first, second)
        wire = json.loads(json.dumps(tally.snapshot(4 * SECOND, changes_only=True).to_wire()))
        aggregate.accept(Snapshot.from_wire(wire))
    paired = aggregate.view().pairs[KEY]
    assert (paired.pairs, paired.scenario_ns, paired.against_ns) == (3, 6 * MS, 9 * MS)
