"""Series that a Prometheus has of the server, in the report: their values over the measured window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tfs_locust.judge.series import Series
from tfs_locust.tfserving.prometheus_query import Query


@dataclass(frozen=True, slots=True)
class Answered:
    """A query, and what came of it."""

    query: Query
    points: tuple[tuple[float, float], ...] = ()
    """Unix time in seconds and value."""
    reason: str = ""
    """Why there are none."""


def section(answers: Iterable[Answered], started_s: float) -> list[dict[str, Any]]:
    """What the report holds of them; ``started_s`` is the Unix time at which its timeline begins."""
    rows = []
    for one in answers:
        values = [value for _, value in one.points]
        rows.append(
            {
                "name": one.query.name,
                "query": one.query.promql,
                "reason": one.reason,
                "min": min(values, default=None),
                "mean": sum(values) / len(values) if values else None,
                "max": max(values, default=None),
                "second": [round(at_s - started_s, 3) for at_s, _ in one.points],
                "value": values,
            }
        )
    return rows


def series_of(result: dict[str, Any]) -> dict[str, Series]:
    """The series in a report, by name, as objectives see them."""
    return {
        one["name"]: Series(tuple(one["value"]), one["reason"]) for one in result.get("server", {}).get("queries", ())
    }
