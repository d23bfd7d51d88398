"""The master's side: the last state of each worker, replaced and never added to, and the view they make together.

Snapshots may come twice, in any order, or not at all but the last: the view is the same. A worker that was started anew
has a new incarnation and begins at zero; what its old incarnation had measured stays, as a row of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tfs_locust.measure.cell import Cell, CellKey
from tfs_locust.measure.paired import merge_pairs
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.snapshot import Health, Snapshot
from tfs_locust.measure.stint import Stint, StintKey, merge_stints
from tfs_locust.measure.timelines import Timelines
from tfs_locust.measure.view import View, Worker, WorkerState

LATE_AFTER_NS = 10_000_000_000
"""Live reports come every 3 s (Locust's interval): three of them in a row have not."""


@dataclass(slots=True)
class _Held:
    """What is known of one incarnation: each part from the newest snapshot that told it."""

    newest: Snapshot
    received_ns: int
    cells: dict[CellKey, tuple[int, Cell]] = field(default_factory=dict)
    """With the sequence number of the snapshot it came in."""
    stints: dict[StintKey, tuple[int, Stint]] = field(default_factory=dict)
    unsent: int = 0


class Aggregate:
    """The state of all workers of a run."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], _Held] = {}
        self._expected: set[str] = set()
        self._lost: set[tuple[str, int]] = set()
        # what all workers make together, kept up with each report: with a thousand of them nobody could wait for it
        self._cells: dict[CellKey, Cell] = {}
        self._timelines = Timelines()
        self._health = Health()
        self.scheduled: int | None = None
        """Requests that the run's schedule had due, where there is one for the whole run and it has ended."""

    def expect(self, worker: str) -> None:
        """This worker was given work: the run is not complete without its word."""
        self._expected.add(worker)

    def lose(self, worker: str) -> None:
        """This worker is gone. What it has told stays, and should its final snapshot still come, it is complete."""
        self._lost.update(identity for identity in self._held if identity[0] == worker)

    def waiting_for(self) -> list[str]:
        """Workers whose final snapshot is not in and may still come."""
        newest = self._newest()
        told = (
            worker
            for worker, incarnation in newest.items()
            if not self._held[worker, incarnation].newest.final and (worker, incarnation) not in self._lost
        )
        return [*told, *sorted(self._expected - newest.keys())]

    def _newest(self) -> dict[str, int]:
        """The incarnation of each worker that has told something: the highest comes last."""
        return dict(sorted(self._held))

    def accept(self, snapshot: Snapshot, received_ns: int = 0) -> None:
        """Take a worker's word, which must not change any more. ``received_ns`` is the master's clock, for telling who
        is late."""
        identity, sequence = (snapshot.worker, snapshot.incarnation), snapshot.sequence
        held = self._held.get(identity)
        if held is None:
            held = self._held[identity] = _Held(snapshot, received_ns)
            self._replace_health(Health(), snapshot.health)
        elif sequence > held.newest.sequence:
            self._replace_health(held.newest.health, snapshot.health)
            held.newest, held.received_ns = snapshot, received_ns
        # a snapshot overtaken by a newer one may still hold the newest word on a cell that did not change since
        for key, cell in snapshot.cells.items():
            if key not in held.cells or sequence > held.cells[key][0]:
                self._replace_cell(held, key, cell)
                held.cells[key] = sequence, cell
        for number, second in snapshot.seconds.items():
            self._timelines.take(identity, sequence, number, second)
        for stint_key, stint in snapshot.stints.items():
            if stint_key not in held.stints or sequence > held.stints[stint_key][0]:
                held.stints[stint_key] = sequence, stint

    def _replace_cell(self, held: _Held, key: CellKey, cell: Cell) -> None:
        _, before = held.cells.get(key, (0, Cell()))
        self._cells.setdefault(key, Cell()).replace(before, cell)
        if key.key.outcome is Outcome.UNSENT:
            held.unsent += cell.count - before.count

    def _replace_health(self, before: Health, after: Health) -> None:
        self._health.send_lag.replace(before.send_lag, after.send_lag)
        self._health.loop_lag.replace(before.loop_lag, after.loop_lag)

    def view(self, now_ns: int | None = None, *, late_after_ns: int = LATE_AFTER_NS, timeline: bool = True) -> View:
        """How things stand. With the master's clock given, workers silent for ``late_after_ns`` are late. Without the
        ``timeline``, which grows with the run, and the stints and spells that go with it, it costs the same at any
        time."""
        held = [self._held[identity] for identity in sorted(self._held)]
        newest = self._newest()
        workers = [self._row(one, newest[one.newest.worker], now_ns, late_after_ns) for one in held]
        workers += [
            Worker(name, 0, 0, WorkerState.MISSING, 0, 0, 0, Health())
            for name in sorted(self._expected - newest.keys())
        ]
        scheduled = self.scheduled
        if scheduled is not None:  # what users have scheduled for themselves they come to
            scheduled += sum(one.newest.offered_apart for one in held)
        return View(
            cells={key: cell.copy() for key, cell in self._cells.items()},
            timeline=self._timelines.sum() if timeline else {},
            workers=tuple(workers),
            warmup_ns=max((one.newest.warmup_ns for one in held), default=0),
            load_ns=max((one.newest.load_ns for one in held), default=0),
            run_from_ns=max((one.newest.run_from_ns for one in held), default=0),
            scheduled=scheduled,
            send_lag=self._health.send_lag.copy(),
            loop_lag=self._health.loop_lag.copy(),
            pairs=merge_pairs(one.newest.pairs for one in held),
            stints=merge_stints(
                {key: stint for key, (_, stint) in one.stints.items()} for one in (held if timeline else ())
            ),
            spells=tuple(sorted(spell for one in held for spell in one.newest.spells)) if timeline else (),
        )

    def _row(self, held: _Held, newest_incarnation: int, now_ns: int | None, late_after_ns: int) -> Worker:
        snapshot = held.newest
        if snapshot.final:
            state = WorkerState.COMPLETE
        elif snapshot.incarnation < newest_incarnation or (snapshot.worker, snapshot.incarnation) in self._lost:
            state = WorkerState.LOST
        elif now_ns is not None and now_ns - held.received_ns > late_after_ns:
            state = WorkerState.LATE
        else:
            state = WorkerState.RUNNING
        return Worker(
            name=snapshot.worker,
            incarnation=snapshot.incarnation,
            sequence=snapshot.sequence,
            state=state,
            started=snapshot.started,
            finished=snapshot.finished,
            unsent=held.unsent,
            health=snapshot.health,
            offered=snapshot.offered,
            checked=snapshot.checked,
            peers=snapshot.peers,
            load_ns=snapshot.load_ns,
        )
