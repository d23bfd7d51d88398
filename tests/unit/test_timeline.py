"""The timeline: what happened in each second, small and mergeable."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import durations
from tfs_locust.measure.timeline import Second


def of(values: list[int], failures: int = 0, users: int = 0) -> Second:
    """A second in which requests of these response times ended well."""
    second = Second(users=users)
    for value in values:
        second.record_ok(value, rows=2)
    for _ in range(failures):
        second.record_failure()
    return second


@given(st.lists(durations, min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantile_is_good_enough_to_draw(values: list[int], q: float) -> None:
    """A second's quantile is within 1.6 % of the exact order statistic."""
    exact = sorted(values)[max(1, -int(-q * len(values) // 1)) - 1]
    measured = of(values).quantile(q)
    assert measured is not None
    assert abs(measured - exact) <= 0.016 * exact


@given(st.lists(durations), st.lists(durations), st.lists(durations), st.integers(0, 3), st.integers(0, 3))
def test_replacing_is_recording(a: list[int], b: list[int], more: list[int], failures: int, users: int) -> None:
    """The same second of two workers is one second in which both happened, also when one tells of it again."""
    both, before, after = Second(), of(b, 0, 1), of(b + more, failures, users)
    both.replace(Second(), of(a, failures, users))
    both.replace(Second(), before)
    both.replace(before, after)
    assert both == of(a + b + more, failures + failures, users + users)
    assert before == of(b, 0, 1)


@given(st.lists(durations), st.integers(0, 9))
def test_a_packed_second_keeps_everything(values: list[int], failures: int) -> None:
    """What is unpacked is what was packed."""
    second = of(values, failures, users=7)
    assert Second.unpack(second.pack()) == second


def test_a_packed_second_is_small() -> None:
    """Of 10,000 requests a second, lognormal: below 3 kB, as the docs reckon for a master's memory."""
    dice = random.Random(1)
    assert len(of([int(dice.lognormvariate(15.5, 0.5)) for _ in range(10_000)]).pack()) < 3_000


def test_failures_have_no_part_in_the_times() -> None:
    """A failure is counted, and no quantile is made of it."""
    second = of([], failures=3)
    assert (second.count, second.failures, second.rows, second.quantile(0.5)) == (3, 3, 0, None)


@given(st.lists(durations), st.integers(0, 9))
def test_the_wire_keeps_everything(values: list[int], failures: int) -> None:
    """What comes off the wire is what went on it."""
    second = of(values, failures, users=7)
    assert Second.from_wire(json.loads(json.dumps(second.to_wire()))) == second
