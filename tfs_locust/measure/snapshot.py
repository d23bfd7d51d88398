"""What a worker says of itself: absolute values with a sequence number. The master can replace, and never adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfs_locust.measure.cell import Cell, CellKey
from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.paired import Paired, PairedKey
from tfs_locust.measure.spell import Spell
from tfs_locust.measure.stint import Stint, StintKey
from tfs_locust.measure.timeline import Second


@dataclass(slots=True)
class Health:
    """Whether the generator itself could keep up, after the warm-up."""

    send_lag: Histogram = field(default_factory=Histogram)
    """Due to sent, of each request that was sent."""
    loop_lag: Histogram = field(default_factory=Histogram)
    """How late a heartbeat in the worker's event loop woke up, once for each beat."""
    cpu_share: float | None = None
    """Processor time of the worker process by wall time: 1.0 is one whole core. None if it was not measured."""
    throttled_share: float | None = None
    """The part of the time in which the worker's cgroup held it back, 0 to 1. None if it was not measured."""
    watched_ns: int = 0
    """The time over which the two shares were measured; 0 if that was not told, and then they cannot be subtracted."""

    def copy(self) -> Health:
        """Another one with the same values."""
        shares = (self.cpu_share, self.throttled_share, self.watched_ns)
        return Health(self.send_lag.copy(), self.loop_lag.copy(), *shares)

    def since(self, before: Health) -> Health:
        """How the generator fared after ``before``, an earlier state of this one.

        The shares are None where no reading of the processor time came in between, or none tells of its time.
        """
        watched_ns = self.watched_ns - before.watched_ns
        return Health(
            self.send_lag.since(before.send_lag),
            self.loop_lag.since(before.loop_lag),
            self._share_since(before, self.cpu_share, before.cpu_share),
            self._share_since(before, self.throttled_share, before.throttled_share),
            watched_ns,
        )

    def _share_since(self, before: Health, now: float | None, then: float | None) -> float | None:
        passed_ns = self.watched_ns - before.watched_ns
        if now is None or passed_ns <= 0:
            return None
        return max(0.0, (now * self.watched_ns - (then or 0.0) * before.watched_ns) / passed_ns)

    def to_wire(self) -> list[Any]:
        """Lists and numbers, ready for msgpack or JSON."""
        shares = (self.cpu_share, self.throttled_share, self.watched_ns)
        return [self.send_lag.to_wire(), self.loop_lag.to_wire(), *shares]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> Health:
        """What :meth:`to_wire` gave."""
        send_lag, loop_lag, *shares = wire
        return cls(Histogram.from_wire(send_lag), Histogram.from_wire(loop_lag), *shares)


@dataclass(slots=True)
class Snapshot:
    """One report of one worker.

    Every value in it is absolute: it tells how things stand, not what came since the last one. A live snapshot may
    leave out cells and seconds in which nothing changed; the last one of a worker is ``final`` and leaves out none.
    """

    worker: str
    incarnation: int
    """Higher after each start of this worker's process; the start's wall clock time in ns will do."""
    sequence: int
    """Higher with each snapshot of this incarnation."""
    final: bool
    """No request is in flight any more, or the drain was given up; nothing will be said after this."""
    now_ns: int
    """Since the run's start, as the worker counts it."""
    warmup_ns: int
    """How long the warm-up is, from the run's start."""
    load_ns: int
    """How long load was sent after the warm-up; what throughput is divided by."""
    started: int
    """Requests handed to a transport, warm-up included."""
    finished: int
    """Of those, how many have ended: ``started - finished`` are in flight."""
    health: Health
    cells: dict[CellKey, Cell]
    seconds: dict[int, Second]
    offered: int = 0
    """Requests that schedules had due, sent or not; 0 in a closed loop."""
    offered_apart: int = 0
    """Of these, those of schedules that users have for themselves."""
    checked: int = 0
    """Answers that were decoded and compared with what is expected."""
    peers: dict[str, int] = field(default_factory=dict)
    """Answers by the address that gave them, where the engine can tell."""
    pairs: dict[PairedKey, Paired] = field(default_factory=dict)
    """What is compared pair by pair: always all of it, for it is little."""
    stints: dict[StintKey, Stint] = field(default_factory=dict)
    """Which version answered when; as with cells, a live snapshot may leave out what did not change."""
    run_from_ns: int = 0
    """When the warm-up was over and ``load_ns`` begins, since the run's start: later than ``warmup_ns`` says where load
    began later than the run."""
    spells: tuple[Spell, ...] = ()
    """When nothing ended well: always all that are kept, for they are few."""

    def to_wire(self) -> dict[str, Any]:
        """Lists, strings and numbers, ready for msgpack (Locust's messages) or JSON."""
        return {
            "worker": self.worker,
            "incarnation": self.incarnation,
            "sequence": self.sequence,
            "final": self.final,
            "now_ns": self.now_ns,
            "warmup_ns": self.warmup_ns,
            "load_ns": self.load_ns,
            "run_from_ns": self.run_from_ns,
            "started": self.started,
            "finished": self.finished,
            "offered": self.offered,
            "offered_apart": self.offered_apart,
            "health": self.health.to_wire(),
            "cells": [[key.to_wire(), cell.to_wire()] for key, cell in self.cells.items()],
            "checked": self.checked,
            "peers": self.peers,
            "pairs": [[list(key), paired.to_wire()] for key, paired in self.pairs.items()],
            "stints": [[list(key), stint.to_wire()] for key, stint in self.stints.items()],
            "spells": [spell.to_wire() for spell in self.spells],
            "seconds": [[number, second.to_wire()] for number, second in self.seconds.items()],
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Snapshot:
        """What :meth:`to_wire` gave."""
        return cls(
            **{
                **wire,
                "health": Health.from_wire(wire["health"]),
                "cells": {CellKey.from_wire(key): Cell.from_wire(cell) for key, cell in wire["cells"]},
                "pairs": {PairedKey(*key): Paired.from_wire(paired) for key, paired in wire["pairs"]},
                "stints": {StintKey(*key): Stint.from_wire(stint) for key, stint in wire["stints"]},
                "spells": tuple(Spell.from_wire(spell) for spell in wire["spells"]),
                "seconds": {number: Second.from_wire(second) for number, second in wire["seconds"]},
            }
        )
