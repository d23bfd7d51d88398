"""What the leading process tells of the run's schedule: when it starts, who shares it, how fast it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MESSAGE = "tfs_orders"


@dataclass(frozen=True, slots=True)
class Orders:
    """All that was told so far. Absolute: newer orders replace older ones. Times run from the schedule's start."""

    starts_in_ns: int
    """From when the orders are sent to the schedule's start; negative where that is past."""
    divisions: tuple[tuple[int, tuple[str, ...]], ...]
    """From when on, which workers share it; each sends the arrivals k with ``k % workers == its place``."""
    changes: tuple[tuple[int, float], ...]
    """From when on, requests per second of the whole run."""

    def to_wire(self) -> dict[str, Any]:
        """For Locust's messages."""
        return {"starts_in_ns": self.starts_in_ns, "divisions": self.divisions, "changes": self.changes}

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Orders:
        """What :meth:`to_wire` gave; tuples have become lists."""
        return cls(
            wire["starts_in_ns"],
            tuple((at_ns, tuple(names)) for at_ns, names in wire["divisions"]),
            tuple((at_ns, rate) for at_ns, rate in wire["changes"]),
        )
