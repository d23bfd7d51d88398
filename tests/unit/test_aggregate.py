"""The aggregate: the same view whatever the network does, and a name for all that is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, sample, samples, told
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.cell import WARMUP
from tfs_locust.measure.sample import Outcome, Sample
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View, WorkerState


def states(view: View) -> dict[str, WorkerState]:
    """Each row's state by worker and incarnation."""
    return {f"{worker.name}#{worker.incarnation}": worker.state for worker in view.workers}


@st.composite
def histories(draw: st.DrawFn, worker: str) -> tuple[list[Snapshot], Snapshot, list[Sample]]:
    """Live snapshots of one worker, its final one, and all that it recorded."""
    tally, everything = Tally(worker, 1, origin_ns=0), []
    live = []
    for burst in draw(st.lists(st.lists(samples(), max_size=4), max_size=4)):
        for one in burst:
            tally.record(one)
        everything += burst
        live.append(told(tally))
    return live, told(tally, final=True), everything


@given(histories("a"), histories("b"), st.data())
def test_repeated_reordered_and_dropped_reports_change_nothing(
    a: tuple[list[Snapshot], Snapshot, list[Sample]],
    b: tuple[list[Snapshot], Snapshot, list[Sample]],
    data: st.DataObject,
) -> None:
    """With the last snapshot of each worker in, any others, in any order, any number of times, give the same view."""
    orderly = Aggregate()
    for snapshot in (*a[0], a[1], *b[0], b[1]):
        orderly.accept(snapshot)
    others = a[0] + b[0]
    some = data.draw(st.lists(st.sampled_from(others), max_size=8)) if others else []
    unruly = Aggregate()
    for snapshot in data.draw(st.permutations([*some, a[1], b[1], b[1]])):
        unruly.accept(snapshot)
    assert unruly.view() == orderly.view()

    counted = sum(cell.count for cell in orderly.view().cells.values())
    assert counted == len(a[2]) + len(b[2])
    assert sum(second.count for second in orderly.view().timeline.values()) == counted


@given(histories("a"))
def test_live_snapshots_alone_tell_all_so_far(history: tuple[list[Snapshot], Snapshot, list[Sample]]) -> None:
    """Changes put together, even in the wrong order, are what one complete snapshot says."""
    live, final, _ = history
    piecemeal, at_once = Aggregate(), Aggregate()
    for snapshot in reversed(live):
        piecemeal.accept(snapshot)
    at_once.accept(final)
    assert piecemeal.view().cells == at_once.view().cells
    assert piecemeal.view().timeline == at_once.view().timeline


def test_a_view_is_a_copy() -> None:
    """What is recorded after a view was taken is not in it."""
    tally, aggregate = Tally("a", 1, origin_ns=0), Aggregate()
    tally.record(sample(MS))
    aggregate.accept(tally.snapshot(0))  # without a wire between, as in a run without workers
    view = aggregate.view()
    tally.record(sample(MS))
    assert [cell.count for cell in view.cells.values()] == [1]


def test_a_restarted_worker_keeps_its_past() -> None:
    """What the old incarnation measured stays, as a lost row of its own; the new one begins at zero."""
    aggregate = Aggregate()
    old, new = Tally("a", 1, origin_ns=0), Tally("a", 2, origin_ns=0)
    for _ in range(3):
        old.record(sample(MS))
    new.record(sample(MS))
    aggregate.accept(told(old))
    aggregate.accept(told(new, final=True))
    view = aggregate.view()
    assert states(view) == {"a#1": WorkerState.LOST, "a#2": WorkerState.COMPLETE}
    assert sum(cell.count for cell in view.cells.values()) == 4


def test_a_lost_worker_names_what_is_missing() -> None:
    """Of a killed worker the requests in flight at its last word are known to be missing."""
    aggregate, tally = Aggregate(), Tally("a", 1, origin_ns=0)
    tally.started = 5
    tally.record(sample(MS))
    aggregate.accept(told(tally))
    aggregate.lose("a")
    (worker,) = aggregate.view().workers
    assert (worker.state, worker.started, worker.finished, worker.missing) == (WorkerState.LOST, 5, 1, 4)
    aggregate.accept(told(tally, final=True))
    assert states(aggregate.view()) == {"a#1": WorkerState.COMPLETE}


def test_a_worker_that_never_spoke_is_missing() -> None:
    """Silence is a row too."""
    aggregate = Aggregate()
    aggregate.expect("a")
    aggregate.lose("a")
    assert states(aggregate.view()) == {"a#0": WorkerState.MISSING}
    aggregate.accept(told(Tally("a", 1, origin_ns=0)))
    assert states(aggregate.view()) == {"a#1": WorkerState.RUNNING}


def test_late_is_by_the_masters_clock() -> None:
    """A worker is late when the master heard nothing new of it for long; a repeated snapshot is nothing new."""
    aggregate, tally = Aggregate(), Tally("a", 1, origin_ns=0)
    snapshot = told(tally)
    aggregate.accept(snapshot, received_ns=0)
    aggregate.accept(snapshot, received_ns=9 * SECOND)
    assert states(aggregate.view(4 * SECOND, late_after_ns=5 * SECOND)) == {"a#1": WorkerState.RUNNING}
    assert states(aggregate.view(6 * SECOND, late_after_ns=5 * SECOND)) == {"a#1": WorkerState.LATE}
    aggregate.accept(told(tally), received_ns=6 * SECOND)
    assert states(aggregate.view(6 * SECOND, late_after_ns=5 * SECOND)) == {"a#1": WorkerState.RUNNING}


def test_objectives_do_not_see_the_warm_up() -> None:
    """The judged cells are all but the warm-up's; a selection is merged."""
    aggregate, tally = Aggregate(), Tally("a", 1, origin_ns=0, warmup_ns=SECOND)
    tally.record(sample(MS))
    tally.record(sample(MS, due_ns=SECOND))
    tally.record(sample(MS, due_ns=SECOND, model="other"))
    tally.record(sample(MS, due_ns=SECOND, outcome=Outcome.UNAVAILABLE))
    aggregate.accept(told(tally, 5 * SECOND, final=True))
    view = aggregate.view()
    assert sum(cell.count for cell in view.judged().values()) == 3
    assert view.select(lambda cell: cell.phase == WARMUP).count == 1
    assert view.select(lambda cell: cell.key.model == "resnet").count == 3
    assert (view.warmup_ns, view.load_ns) == (SECOND, 4 * SECOND)


def test_schedules_of_their_own_stand_beside_the_one_for_all() -> None:
    """What users have due for themselves was scheduled, too: it hides nothing of the run's schedule that is missing."""
    aggregate = Aggregate()
    for worker, offered, apart in (("a", 50, 20), ("b", 30, 0)):
        tally = Tally(worker, 1, origin_ns=0)
        tally.offered, tally.offered_apart = offered, apart
        aggregate.accept(told(tally, final=True))
    assert (aggregate.view().scheduled, aggregate.view().offered, aggregate.view().abandoned) == (None, 80, 0)
    aggregate.scheduled = 65
    assert (aggregate.view().scheduled, aggregate.view().offered, aggregate.view().abandoned) == (85, 85, 5)


def test_waiting_for_those_whose_last_report_may_come() -> None:
    """Who was given work and said nothing, or said something but not the last; not who is lost, nor an incarnation
    before the newest."""
    aggregate = Aggregate()
    for worker in "abcd":
        aggregate.expect(worker)
        if worker != "d":
            aggregate.accept(told(Tally(worker, 1, origin_ns=0)))
    aggregate.accept(told(Tally("a", 2, origin_ns=0), final=True))
    aggregate.lose("b")
    assert aggregate.waiting_for() == ["c", "d"]
    assert states(aggregate.view())["a#1"] == WorkerState.LOST
