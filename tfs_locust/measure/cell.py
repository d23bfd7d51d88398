"""All requests of one kind in one phase of the run: what a row of the report is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.sample import Key, Outcome

WARMUP = "warmup"
"""Due before the run's warm-up was over. Counted, but no objective sees it."""
RUN = "run"
"""Due after the warm-up, ended while the load was on."""
DRAIN = "drain"
"""Due after the warm-up, ended when no more load was sent. Objectives see it; throughput does not, for a server that
needs a minute more for what came in a minute does not carry the load."""


class CellKey(NamedTuple):
    """What a cell holds: samples of one key in one phase."""

    key: Key
    phase: str

    def to_wire(self) -> list[str]:
        """Six strings: the key's five, then the phase."""
        return [*map(str, self.key), self.phase]

    @classmethod
    def from_wire(cls, wire: Iterable[str]) -> CellKey:
        """What :meth:`to_wire` gave."""
        scenario, protocol, model, version, outcome, phase = wire
        return cls(Key(scenario, protocol, model, version, Outcome(outcome)), phase)


@dataclass(slots=True)
class Cell:
    """Counts and times of the samples of one :class:`CellKey`."""

    response: Histogram = field(default_factory=Histogram)
    """Due to end."""
    service: Histogram = field(default_factory=Histogram)
    """Sent to end."""
    count: int = 0
    rows: int = 0
    request_bytes: int = 0
    response_bytes: int = 0

    def merge(self, other: Cell) -> None:
        """Count in what ``other`` counted."""
        self.response.merge(other.response)
        self.service.merge(other.service)
        self.count += other.count
        self.rows += other.rows
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes

    def replace(self, before: Cell, after: Cell) -> None:
        """Count ``after`` instead of ``before``, an earlier state of the same that was counted in here."""
        self.response.replace(before.response, after.response)
        self.service.replace(before.service, after.service)
        self.count += after.count - before.count
        self.rows += after.rows - before.rows
        self.request_bytes += after.request_bytes - before.request_bytes
        self.response_bytes += after.response_bytes - before.response_bytes

    def copy(self) -> Cell:
        """Another one with the same counts."""
        copied = Cell()
        copied.merge(self)
        return copied

    def since(self, before: Cell) -> Cell:
        """What was counted after ``before``, an earlier state of this one; ``ValueError`` if it is none."""
        return Cell(
            self.response.since(before.response),
            self.service.since(before.service),
            self.count - before.count,
            self.rows - before.rows,
            self.request_bytes - before.request_bytes,
            self.response_bytes - before.response_bytes,
        )

    def to_wire(self) -> list[Any]:
        """Lists and integers, ready for msgpack or JSON."""
        return [
            self.count,
            self.rows,
            self.request_bytes,
            self.response_bytes,
            self.response.to_wire(),
            self.service.to_wire(),
        ]

    @classmethod
    def from_wire(cls, wire: Iterable[Any]) -> Cell:
        """What :meth:`to_wire` gave."""
        count, rows, request_bytes, response_bytes, response, service = wire
        return cls(
            Histogram.from_wire(response), Histogram.from_wire(service), count, rows, request_bytes, response_bytes
        )
