"""The tally: every sample is in exactly one cell and one second, and gets through the wire."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, sample, samples
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.cell import DRAIN, RUN, WARMUP, CellKey
from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.tally import Tally, unsent
from tfs_locust.measure.window import between


def over_the_wire(snapshot: Snapshot) -> Snapshot:
    """What the master gets."""
    return Snapshot.from_wire(json.loads(json.dumps(snapshot.to_wire())))


@given(st.lists(samples()))
def test_counts_in_are_counts_out(given_samples: list[Sample]) -> None:
    """Through tally and wire no sample is lost or made, in no key, phase, histogram or second."""
    tally = Tally("w", 1, origin_ns=0, warmup_ns=3 * SECOND)
    tally.end_load(8 * SECOND)
    for one in given_samples:
        tally.started += one.key.outcome is not Outcome.UNSENT
        tally.record(one)
    got = over_the_wire(tally.snapshot(20 * SECOND, final=True))

    expected: dict[CellKey, list[Sample]] = {}
    for one in given_samples:
        phase = WARMUP if one.due_ns < 3 * SECOND else DRAIN if one.end_ns > 8 * SECOND else RUN
        expected.setdefault(CellKey(one.key, phase), []).append(one)
    assert {key: cell.count for key, cell in got.cells.items()} == {key: len(s) for key, s in expected.items()}
    for key, cell in got.cells.items():
        assert cell.response.count == cell.service.count == cell.count
        assert cell.response.total_ns == sum(s.response_time_ns for s in expected[key])
        assert cell.service.total_ns == sum(s.service_time_ns for s in expected[key])
        assert cell.rows == sum(s.rows for s in expected[key])
        assert (cell.request_bytes, cell.response_bytes) == (100 * cell.count, 50 * cell.count)

    assert sum(second.count for second in got.seconds.values()) == len(given_samples)
    ok = [s for s in given_samples if s.key.outcome is Outcome.OK]
    assert sum(second.count - second.failures for second in got.seconds.values()) == len(ok)
    assert sum(second.rows for second in got.seconds.values()) == sum(s.rows for s in ok)
    assert got.started == got.finished


@given(st.lists(samples()), st.lists(samples()))
def test_a_live_snapshot_tells_what_changed(first: list[Sample], then: list[Sample]) -> None:
    """It holds exactly the cells and seconds of the samples since, with absolute values."""
    tally = Tally("w", 1, origin_ns=0)
    for one in first:
        tally.record(one)
    tally.snapshot(0, changes_only=True)
    for one in then:
        tally.record(one)
    live = over_the_wire(tally.snapshot(0, changes_only=True))
    assert set(live.cells) == {CellKey(one.key, RUN) for one in then}
    assert set(live.seconds) == {one.end_ns // SECOND for one in then}
    everything = tally.snapshot(0, final=True)
    assert live.cells == {key: everything.cells[key] for key in live.cells}
    assert not tally.snapshot(0, changes_only=True).cells


def test_response_time_runs_from_due() -> None:
    """A request sent 40 ms late and answered 10 ms after that took 50 ms, the server 10, and the lag is 40."""
    tally = Tally("w", 1, origin_ns=0)
    tally.record(sample(50 * MS, lag_ns=40 * MS))
    (cell,) = tally.cells.values()
    assert (cell.response.maximum_ns, cell.service.maximum_ns) == (50 * MS, 10 * MS)
    assert tally.health.send_lag.maximum_ns == 40 * MS


def test_lag_leaves_out_what_was_not_sent_or_not_judged() -> None:
    """Neither the warm-up nor unsent requests say how late requests are sent."""
    tally = Tally("w", 1, origin_ns=0, warmup_ns=SECOND)
    tally.record(sample(MS, due_ns=0, lag_ns=MS // 2))
    tally.record(unsent(Key("A", "grpc", "m", "", Outcome.OK), 2 * SECOND, 5 * SECOND, rows=3))
    assert tally.health.send_lag.count == 0
    assert tally.cells[CellKey(Key("A", "grpc", "m", "", Outcome.UNSENT), RUN)].response.maximum_ns == 3 * SECOND


@pytest.mark.parametrize(
    ("due_s", "end_s", "phase"), [(0, 1, WARMUP), (1, 30, WARMUP), (2, 3, RUN), (2, 10, RUN), (9, 11, DRAIN)]
)
def test_phases(due_s: int, end_s: int, phase: str) -> None:
    """When it was due decides the warm-up, when it ended the drain; the run's own clock begins at its origin."""
    origin_ns = 77 * SECOND
    tally = Tally("w", 1, origin_ns=origin_ns, warmup_ns=2 * SECOND)
    tally.end_load(origin_ns + 10 * SECOND)
    tally.end_load(origin_ns + 12 * SECOND)
    assert tally.phase_of(origin_ns + due_s * SECOND, origin_ns + end_s * SECOND) == phase


def test_a_phase_may_be_given() -> None:
    """Whoever drives the run may name a phase of its own."""
    tally = Tally("w", 1, origin_ns=0)
    tally.record(sample(MS), "before-switch")
    assert [key.phase for key in tally.cells] == ["before-switch"]


def test_load_time_and_flight() -> None:
    """A snapshot says how long load was on after the warm-up, and how many requests are still out."""
    tally = Tally("w", 1, origin_ns=10 * SECOND, warmup_ns=2 * SECOND)
    tally.started = 3
    tally.record(sample(MS, due_ns=13 * SECOND))
    assert tally.snapshot(11 * SECOND).load_ns == 0
    assert tally.snapshot(15 * SECOND).load_ns == 3 * SECOND
    tally.end_load(20 * SECOND)
    last = tally.snapshot(25 * SECOND, final=True)
    assert (last.load_ns, last.now_ns, last.sequence) == (8 * SECOND, 15 * SECOND, 3)
    assert (tally.in_flight, last.started, last.finished) == (2, 3, 1)


def test_users_are_told_when_they_change() -> None:
    """A second without a request is told when its users are."""
    tally = Tally("w", 1, origin_ns=0)
    tally.record_users(SECOND // 2, 10)
    assert tally.snapshot(SECOND, changes_only=True).seconds[0].users == 10
    assert not tally.snapshot(SECOND, changes_only=True).seconds
    tally.record_users(SECOND // 2, 12)
    assert tally.snapshot(SECOND, changes_only=True).seconds[0].users == 12


def test_a_stall_is_seen_from_the_schedule() -> None:
    """A server that stalls 2 s once in 10 s of 100/s: p99 is 1.9 s, though the server saw one slow request."""
    tally = Tally("w", 1, origin_ns=0)
    stall_ends_ns = 7 * SECOND
    for due_ns in range(0, 10 * SECOND, 10 * MS):
        stalled = 5 * SECOND <= due_ns < stall_ends_ns
        sent_ns = stall_ends_ns if stalled and due_ns > 5 * SECOND else due_ns
        end_ns = (stall_ends_ns if stalled else due_ns) + MS
        key = sample(MS).key
        tally.record(Sample(key, due_ns, sent_ns, end_ns, 1, 0, 0))
    (cell,) = tally.cells.values()
    response_ns, service_ns = cell.response.quantile(0.99), cell.service.quantile(0.99)
    # of 1,000 the 990th: the eleventh of the stalled ones, due 100 ms after the stall began
    assert response_ns == pytest.approx(1.901 * SECOND, rel=1e-3)
    assert service_ns == MS


def test_what_was_checked_and_who_answered() -> None:
    """Both get through the wire as they stand."""
    tally = Tally("w", 1, origin_ns=0)
    tally.checked, tally.peers = 3, {"127.0.0.1:1": 2}
    got = over_the_wire(tally.snapshot(0))
    assert (got.checked, got.peers) == (3, {"127.0.0.1:1": 2})


def test_a_look_stays_as_it_is() -> None:
    """What is recorded after a look changes nothing in the view made of it, health included: two looks have a stretch
    of the run between them."""
    tally, views = Tally("w", 1, origin_ns=0), []
    for _ in range(2):
        tally.record(sample(3 * MS, lag_ns=MS))
        aggregate = Aggregate()
        aggregate.accept(tally.look(SECOND))
        views.append(aggregate.view(timeline=False))
    (worker,) = between(*views).workers
    assert worker.health.send_lag.count == 1
    assert [cell.count for view in views for cell in view.cells.values()] == [1, 2]
