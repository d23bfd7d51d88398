"""Old seconds are put together: the timeline is bounded, and no count is lost, whatever reports come when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, sample, told
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.coarse import on_steps, put_together, step_of, steps_of
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.timeline import Second
from tfs_locust.measure.timelines import Timelines
from tfs_locust.measure.window import between

FINE_S = 5
"""Instead of an hour: steps of 10 s from 5 s on, of a minute from 10 s, of ten from 60."""


def second(count: int, users: int = 0) -> Second:
    """One in which so many of version 1 ended well."""
    one = Second(users=users)
    for _ in range(count):
        one.record_ok(MS, rows=1)
        one.answers["m:1"] = one.answers.get("m:1", 0) + 1
    return one


timelines = st.dictionaries(st.integers(0, 700), st.integers(0, 3), max_size=60).map(
    lambda counts: {number: second(count, users=count) for number, count in counts.items()}
)


def merged_of(several: list[dict[int, Second]]) -> dict[int, Second]:
    """The timelines of so many workers as one."""
    timelines = Timelines()
    for worker, timeline in enumerate(several):
        for number, one in timeline.items():
            timelines.take(worker, 1, number, one)
    return timelines.sum()


def counted(timeline: dict[int, Second]) -> tuple[int, int, int]:
    """All that is in it."""
    return (
        sum(one.count for one in timeline.values()),
        sum(sum(one.buckets.values()) for one in timeline.values()),
        sum(sum(one.answers.values()) for one in timeline.values()),
    )


@given(timelines, st.lists(st.integers(0, 900), min_size=1, max_size=5))
def test_counts_are_conserved_and_steps_nest(timeline: dict[int, Second], at: list[int]) -> None:
    """However often it is done: every second is in exactly one step, steps begin at multiples of their width, and the
    counts are those there were."""
    there, before, then_s = sorted(timeline), counted(timeline), 0
    for now_s in sorted(at):
        put_together(timeline, then_s, now_s, FINE_S)
        then_s = now_s
    assert counted(timeline) == before
    assert all(number % one.width == 0 for number, one in timeline.items())
    for number in there:
        holding = [begin for begin, one in timeline.items() if begin <= number < begin + one.width]
        assert holding == [step_of(timeline, number)]


@given(timelines, st.integers(0, 900), st.integers(0, 900))
def test_it_does_not_matter_how_often_it_is_done(timeline: dict[int, Second], some: int, last: int) -> None:
    """Put together on the way or only at the end, the same steps come of it."""
    now_s, then_s = max(some, last), min(some, last)
    at_once = dict(timeline)
    put_together(timeline, 0, then_s, FINE_S)
    put_together(timeline, then_s, now_s, FINE_S)
    put_together(at_once, 0, now_s, FINE_S)
    assert timeline == at_once


def test_users_of_a_step_are_the_most_at_any_time() -> None:
    """They are the same users from second to second, and others at each worker."""
    one, other = {0: second(1, users=3), 7: second(1, users=5)}, {3: second(1, users=2)}
    put_together(one, 0, 20, FINE_S)
    assert {number: (step.users, step.width) for number, step in one.items()} == {0: (5, 10)}
    assert merged_of([one, other])[0].users == 7


@given(st.lists(st.tuples(timelines, st.integers(0, 900)), min_size=1, max_size=3), st.randoms())
def test_workers_merge_in_any_order(given_workers: list[tuple[dict[int, Second], int]], dice: object) -> None:
    """Timelines that were put together at different times, merged in any order, are the same, and nothing is lost."""
    several = []
    for timeline, now_s in given_workers:
        put_together(timeline, 0, now_s, FINE_S)
        several.append(timeline)
    merged = merged_of(several)
    assert counted(merged) == tuple(map(sum, zip(*map(counted, several), strict=True)))
    dice.shuffle(several)  # type: ignore[attr-defined]
    assert merged_of(several) == merged
    assert list(merged) == sorted(merged)
    assert merged_of([on_steps(one, steps_of([merged])) for one in several]) == merged


def reports_of_a_long_run(every_s: int = 7, length_s: int = 400) -> tuple[list[Snapshot], Snapshot, int]:
    """Live reports, the last one, and how many requests there were: three a second, one of them a failure."""
    tally, live = Tally("w", 1, origin_ns=0, fine_s=FINE_S), []
    for at_s in range(length_s):
        for outcome in (Outcome.OK, Outcome.OK, Outcome.UNAVAILABLE):
            tally.record(sample(MS, due_ns=at_s * SECOND, outcome=outcome))
        tally.record_users(at_s * SECOND, 4)
        if at_s % every_s == 0:
            live.append(told(tally, at_s * SECOND))
    return live, told(tally, length_s * SECOND, final=True), 3 * length_s


@given(st.data())
def test_reports_of_a_long_run_may_come_in_any_order(data: st.DataObject) -> None:
    """The master's timeline is the worker's last word, whatever else it heard and when; and so is each count so far."""
    live, final, requests = reports_of_a_long_run(every_s=40)
    some = data.draw(st.lists(st.sampled_from(live), max_size=12))
    aggregate = Aggregate()
    for snapshot in data.draw(st.permutations([*some, final])):
        aggregate.accept(snapshot)
    assert aggregate.view().timeline == final.seconds
    assert sum(one.count for one in final.seconds.values()) == requests
    assert sum(one.failures for one in final.seconds.values()) == requests // 3


def test_a_long_run_is_bounded_in_worker_reports_and_master() -> None:
    """Of 400 s there are nine steps after the fine part, a live report holds a few, and the master holds no more."""
    live, final, _ = reports_of_a_long_run()
    aggregate = Aggregate()
    for snapshot in live:
        aggregate.accept(snapshot)
    assert len(final.seconds) < 30
    assert max(len(snapshot.seconds) for snapshot in live[10:]) < 20
    assert len(aggregate.view().timeline) < 35
    assert {one.users for one in aggregate.view().timeline.values()} == {4}


def test_a_window_over_steps_that_were_put_together_is_exact() -> None:
    """What was counted between two views is known even if seconds of the first are one step in the second."""
    live, final, requests = reports_of_a_long_run()
    aggregate = Aggregate()
    for snapshot in live[:4]:
        aggregate.accept(snapshot)
    before = aggregate.view()
    aggregate.accept(final)
    window = between(before, aggregate.view())
    told_before = sum(one.count for one in before.timeline.values())
    assert sum(one.count for one in window.timeline.values()) == requests - told_before
