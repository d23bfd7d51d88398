"""Tables of a result as comma-separated values, for a spreadsheet. Times are in seconds, shares of one.

A column ``run`` says ``so far`` where the run was still under way when the result was made.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfs_locust.report.report import Result

_TIMES = ("mean", "min", "p50", "p90", "p95", "p99", "p99_9", "max")
_COUNTS = ("requests", "ok", "failed", "unsent", "rows", "request_bytes", "response_bytes")
_TARGET = ("scenario", "protocol", "model", "version")
_RATES = ("requests_per_s", "rows_per_s")


def keys_csv(result: Result) -> str:
    """A row for each scenario, protocol, model and version."""
    times = [f"{kind}_{name}_s" for kind in ("response", "service") for name in _TIMES]
    return _text(
        ("run", *_TARGET, *_COUNTS, *_RATES, *times, "failures"),
        (
            {
                **{name: one[name] for name in (*_TARGET, *_COUNTS)},
                **{name: one["throughput"][name] for name in _RATES},
                **{
                    f"{kind}_{name}_s": one[f"{kind}_time_s"][name]
                    for kind in ("response", "service")
                    for name in _TIMES
                },
                "failures": " ".join(f"{name}={count}" for name, count in one["failures"].items()),
                "run": _run(result),
            }
            for one in result["keys"]
        ),
    )


def objectives_csv(result: Result) -> str:
    """A row for each objective."""
    evidence = ("requests", "beyond", "allowed", "lower", "upper", "confidence")
    return _text(
        ("run", "expression", "metric", "measured", "bound", "state", *evidence, "note"),
        ({"run": _run(result), **one, **(one["evidence"] or {})} for one in result["objectives"]),
    )


def is_so_far(result: Result) -> bool:
    """Whether the run was still under way when this was made."""
    manifest = result["manifest"]
    return "ended" in manifest and manifest["ended"] is None


def _run(result: Result) -> str:
    return "so far" if is_so_far(result) else "ended"


def _text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
