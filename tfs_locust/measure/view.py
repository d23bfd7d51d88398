"""What all workers have measured together, at one moment: what verdict, report and live displays are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from tfs_locust.measure.cell import WARMUP, Cell, CellKey
from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.paired import Paired, PairedKey
from tfs_locust.measure.snapshot import Health
from tfs_locust.measure.spell import Spell
from tfs_locust.measure.stint import Served, Stint
from tfs_locust.measure.timeline import Second


class WorkerState(str, Enum):
    """How much of a worker's measurement is here."""

    COMPLETE = "complete"  # its final snapshot came: all of it
    RUNNING = "running"  # it reports
    LATE = "late"  # it has not reported for a while
    LOST = "lost"  # it is gone, or was started anew, without a final snapshot
    MISSING = "missing"  # it was expected and never reported

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Worker:
    """One incarnation of one worker, as its newest snapshot tells."""

    name: str
    incarnation: int
    """0 of a worker that never reported."""
    sequence: int
    state: WorkerState
    started: int
    finished: int
    unsent: int
    health: Health
    offered: int = 0
    """Requests that schedules had due, and that it came to; 0 in a closed loop."""
    checked: int = 0
    """Answers that were decoded and compared with what is expected."""
    peers: dict[str, int] = field(default_factory=dict)
    """Answers by the address that gave them."""
    load_ns: int = 0
    """How long it had sent load after the warm-up when it told this."""

    @property
    def missing(self) -> int:
        """Requests known to have been sent whose end is not in the measurement. Of a lost worker this is the least
        number: what it sent after its last snapshot nobody knows."""
        return self.started - self.finished

    @property
    def is_at_work(self) -> bool:
        """Whether more is to come of it."""
        return self.state in {WorkerState.RUNNING, WorkerState.LATE}


@dataclass(frozen=True, slots=True)
class View:
    """Merged counts of all workers. Its cells and seconds are copies: measuring goes on beside it."""

    cells: dict[CellKey, Cell]
    timeline: dict[int, Second]
    workers: tuple[Worker, ...]
    warmup_ns: int
    load_ns: int
    """How long load was sent after the warm-up: the longest of all workers."""

    send_lag: Histogram = field(default_factory=Histogram)
    """Due to sent, of all workers, after the warm-up."""
    loop_lag: Histogram = field(default_factory=Histogram)
    """How late heartbeats in the workers' event loops were, after the warm-up."""
    scheduled: int | None = None
    """Requests that schedules had due, where there is one for the whole run and it has ended."""
    pairs: dict[PairedKey, Paired] = field(default_factory=dict)
    """What was compared pair by pair, after the warm-up."""
    stints: dict[Served, tuple[Stint, ...]] = field(default_factory=dict)
    """When each version answered, from the run's start."""
    spells: tuple[Spell, ...] = ()
    """When nothing ended well, the longest of each worker, from the run's start; of several workers they overlap."""

    run_from_ns: int = 0
    """When ``load_ns`` begins, since the run's start: of the worker that began last."""

    @property
    def offered(self) -> int:
        """Requests that schedules had due, whether or not anybody came to them; 0 in a closed loop."""
        return max(self.scheduled or 0, sum(worker.offered for worker in self.workers))

    @property
    def abandoned(self) -> int:
        """Requests that were due and that no worker came to, or none that has told of it."""
        return self.offered - sum(worker.offered for worker in self.workers)

    def select(self, wanted: Callable[[CellKey], bool]) -> Cell:
        """The cells that are ``wanted``, merged to one."""
        merged = Cell()
        for key, cell in self.cells.items():
            if wanted(key):
                merged.merge(cell)
        return merged

    @property
    def in_flight(self) -> int:
        """Requests that are sent and have not ended, of workers that are at work."""
        return sum(one.missing for one in self.workers if one.is_at_work)

    def judged(self) -> dict[CellKey, Cell]:
        """The cells that objectives see: all but the warm-up's."""
        return {key: cell for key, cell in self.cells.items() if key.phase != WARMUP}
