"""What ``report.json`` holds, as the measurement's own types again: to be judged, merged or drawn once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfs_locust.measure.cell import Cell, CellKey
from tfs_locust.measure.histogram import Histogram, merged
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.measure.snapshot import Health
from tfs_locust.measure.view import View, Worker, WorkerState

_SECOND_NS = 1_000_000_000


def view_of(result: Mapping[str, Any]) -> View:
    """The view that the result was built from, but without its timeline: nothing is judged by that."""
    return View(
        cells={
            CellKey(
                Key(cell["scenario"], cell["protocol"], cell["model"], cell["version"], Outcome(cell["outcome"])),
                cell["phase"],
            ): Cell(
                histogram_of(cell["response_time_ns"]),
                histogram_of(cell["service_time_ns"]),
                cell["requests"],
                cell["rows"],
                cell["request_bytes"],
                cell["response_bytes"],
            )
            for cell in result["cells"]
        },
        timeline={},
        workers=tuple(
            Worker(
                name=worker["name"],
                incarnation=worker["incarnation"],
                sequence=worker["sequence"],
                state=WorkerState(worker["state"]),
                started=worker["started"],
                finished=worker["finished"],
                unsent=worker["unsent"],
                offered=worker.get("offered", 0),
                checked=worker["checked"],
                peers=worker["peers"],
                health=Health(
                    histogram_of(worker["send_lag_ns"]),
                    histogram_of(worker["loop_lag_ns"]),
                    worker["cpu_share"],
                    worker["throttled_share"],
                ),
            )
            for worker in result["workers"]
        ),
        scheduled=(result.get("offered") or {}).get("scheduled"),
        warmup_ns=round(result["warmup_s"] * _SECOND_NS),
        load_ns=round(result["load_s"] * _SECOND_NS),
        send_lag=merged(histogram_of(worker["send_lag_ns"]) for worker in result["workers"]),
        loop_lag=merged(histogram_of(worker["loop_lag_ns"]) for worker in result["workers"]),
    )


def histogram_of(data: Mapping[str, Any]) -> Histogram:
    """A distribution from the numbers it was stored as."""
    return Histogram.from_wire([data[name] for name in ("minimum", "maximum", "total", "saturated", "buckets")])
