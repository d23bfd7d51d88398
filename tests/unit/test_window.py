"""A stretch of a run is the difference of two views, exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, durations, sample, samples
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.cell import Cell, CellKey
from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.sample import Outcome, Sample
from tfs_locust.measure.snapshot import Health, Snapshot
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.timeline import Second
from tfs_locust.measure.view import View, WorkerState
from tfs_locust.measure.window import between, told_ns


class Run:
    """Workers that record, and the view of what they have told."""

    def __init__(self, workers: int = 2) -> None:
        self.tallies = [Tally(f"w{number}", 1, origin_ns=0) for number in range(workers)]
        self.aggregate = Aggregate()
        self.now_ns = 0

    def record(self, given_samples: list[Sample]) -> None:
        """Share them out among the workers."""
        for number, one in enumerate(given_samples):
            tally = self.tallies[number % len(self.tallies)]
            tally.started += one.key.outcome is not Outcome.UNSENT
            tally.record(one)

    def view(self, now_ns: int = 0) -> View:
        """After all have reported."""
        self.now_ns = now_ns or self.now_ns + SECOND
        for tally in self.tallies:
            self.tell(tally)
        return self.aggregate.view()

    def tell(self, tally: Tally) -> None:
        """One worker reports."""
        self.aggregate.accept(Snapshot.from_wire(tally.snapshot(self.now_ns, changes_only=True).to_wire()))


def merged_cells(*several: dict[CellKey, Cell]) -> dict[CellKey, Cell]:
    """All of them together."""
    total: dict[CellKey, Cell] = {}
    for cells in several:
        for key, cell in cells.items():
            total.setdefault(key, Cell()).merge(cell)
    return total


@given(st.lists(samples(), max_size=30), st.lists(samples(), max_size=30))
def test_before_and_the_window_are_after(first: list[Sample], then: list[Sample]) -> None:
    """Cells with all their buckets, sums and extremes, seconds, and each worker's counts add up."""
    run = Run()
    run.record(first)
    before = run.view()
    run.record(then)
    after = run.view()
    window = between(before, after)
    assert merged_cells(before.cells, window.cells) == after.cells
    assert before.load_ns + window.load_ns == after.load_ns
    for number, second in after.timeline.items():
        total = Second(users=second.users)
        for view in (before, window):
            total.replace(Second(), replace(view.timeline.get(number, Second()), users=0))
        assert total == second
    for one, part, whole in zip(before.workers, window.workers, after.workers, strict=True):
        for name in ("started", "finished", "unsent", "checked"):
            assert getattr(one, name) + getattr(part, name) == getattr(whole, name)
        lag = Histogram()
        lag.merge(one.health.send_lag)
        lag.merge(part.health.send_lag)
        assert lag == whole.health.send_lag


@given(st.lists(durations, max_size=30), st.lists(durations, min_size=1, max_size=30))
def test_extremes_of_a_window_enclose_it(first: list[int], then: list[int]) -> None:
    """The window's minimum and maximum are in the buckets of the true ones, on the far side."""
    histogram = Histogram()
    for duration in first:
        histogram.record(duration)
    before = Histogram.from_wire(histogram.to_wire())
    alone = Histogram()
    for duration in then:
        histogram.record(duration)
        alone.record(duration)
    window = histogram.since(before)
    assert (window.buckets, window.total_ns, window.count) == (alone.buckets, alone.total_ns, alone.count)
    assert alone.minimum_ns * 0.998 <= window.minimum_ns <= alone.minimum_ns
    assert alone.maximum_ns <= window.maximum_ns <= alone.maximum_ns * 1.002
    for quantile in (0.0, 0.5, 0.99, 1.0):
        assert window.quantile(quantile) == pytest.approx(alone.quantile(quantile), rel=0.001)


def test_what_does_not_continue_is_refused() -> None:
    """Views in the wrong order, or of other runs, are no window."""
    run = Run()
    run.record([sample(MS)])
    before = run.view()
    run.record([sample(MS)])
    after = run.view()
    with pytest.raises(ValueError, match="does not continue"):
        between(after, before)
    with pytest.raises(ValueError, match="more was counted before than after"):
        between(replace(after, load_ns=0), before)


def test_shares_of_a_window() -> None:
    """60 % of a core for 10 s and 64 % for 20 s is 68 % in between; without the time they were measured over: None."""
    before, after = Health(cpu_share=0.60, watched_ns=10 * SECOND), Health(cpu_share=0.64, watched_ns=20 * SECOND)
    window = after.since(before)
    assert (window.cpu_share, window.throttled_share) == (pytest.approx(0.68), None)
    assert Health(cpu_share=0.64).since(Health(cpu_share=0.60)).cpu_share is None
    assert after.since(after).cpu_share is None
    assert after.since(Health()).cpu_share == pytest.approx(0.64)


def test_workers_that_had_gone_are_not_in_it() -> None:
    """One that is lost in the window is named in it; one that was lost before is not. A new one counts from zero."""
    run = Run()
    run.record([sample(MS)] * 4)
    before = run.view()
    run.aggregate.lose("w0")
    run.tallies[0] = Tally("w2", 1, origin_ns=0)
    during = run.view()
    after = run.view()
    seen = {one.name: one.state for one in between(before, during).workers}
    assert seen == {"w0": WorkerState.LOST, "w1": WorkerState.RUNNING, "w2": WorkerState.RUNNING}
    assert [one.name for one in between(during, after).workers] == ["w1", "w2"]


def test_told_by_every_worker() -> None:
    """A view tells as much as the worker tells that is furthest behind."""
    run = Run()
    before = run.view(1 * SECOND)
    run.now_ns = 4 * SECOND
    run.tell(run.tallies[0])
    assert told_ns(before, run.aggregate.view()) == 0
    run.now_ns = 5 * SECOND
    run.tell(run.tallies[1])
    assert told_ns(before, run.aggregate.view()) == 3 * SECOND
    assert told_ns(Aggregate().view(), Aggregate().view()) == 0


def test_requests_in_flight() -> None:
    """Those of a worker that is gone are nobody's."""
    run = Run()
    for tally in run.tallies:
        tally.started += 3
    assert run.view().in_flight == 6
    run.aggregate.lose("w0")
    assert run.aggregate.view().in_flight == 3
