"""The result of a run as plain data: what ``report.json`` holds, and all else is rendered from.

docs/report.md documents every field. The names are an interface: pipelines read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfs_locust.judge.decide import Judged
from tfs_locust.judge.slo import Objective
from tfs_locust.judge.verdict import Limits, Verdict, judge
from tfs_locust.measure.cell import RUN, WARMUP, Cell, CellKey
from tfs_locust.measure.histogram import Histogram, merged
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.timeline import Second
from tfs_locust.measure.view import View, Worker
from tfs_locust.report.comparisons import comparisons
from tfs_locust.report.lifecycle import lifecycle_of
from tfs_locust.report.peers import peers, skew
from tfs_locust.report.queries import series_of
from tfs_locust.report.steps import steps
from tfs_locust.report.stored import histogram_of, view_of

SCHEMA_VERSION = 1
Result = dict[str, Any]
Target = tuple[str, str, str, str]
"""Scenario, protocol, model and version."""

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
_SECOND_NS = 1_000_000_000


def build(
    view: View, verdict: Verdict, manifest: Mapping[str, Any], sections: Mapping[str, Any] | None = None
) -> Result:
    """The result. ``manifest`` says what was run and where; ``sections`` are further parts, under their own names."""
    judged = view.judged()
    ok = _merge(cell for key, cell in judged.items() if key.key.outcome is Outcome.OK)
    answers = peers(view.workers)
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": _verdict(verdict),
        "objectives": [_objective(one) for one in verdict.objectives],
        "totals": _totals(judged),
        "response_time_s": times(ok.response),
        "service_time_s": times(ok.service),
        "send_lag_s": times(view.send_lag),
        "throughput": _throughput(judged, view.load_ns),
        "offered": _offered(view),
        "failures": _failures(judged),
        "warmup_s": view.warmup_ns / _SECOND_NS,
        "load_s": view.load_ns / _SECOND_NS,
        "warmup": _totals({key: cell for key, cell in view.cells.items() if key.phase == WARMUP}),
        "checked": sum(worker.checked for worker in view.workers),
        "peers": answers,
        "peer_skew": skew(answers),
        "keys": [
            {
                "scenario": scenario,
                "protocol": protocol,
                "model": model,
                "version": version,
                **figures(own, view.load_ns),
            }
            for (scenario, protocol, model, version), own in by_target(judged).items()
        ],
        "comparisons": comparisons(view.pairs),
        "workers": [_worker(worker) for worker in view.workers],
        "manifest": dict(manifest),
        "timeline": _timeline(view.timeline),
        **(sections or {}),
        "cells": [_cell(key, cell) for key, cell in sorted(view.cells.items())],
    }


def rejudge(
    result: Result, objectives: Sequence[Objective], *, confidence: float, limits: Limits | None = None
) -> Result:
    """The same measurement, judged by other objectives."""
    before = result["verdict"]
    verdict = judge(
        view_of(result),
        objectives,
        confidence=confidence,
        limits=limits or Limits(**before["limits"]),
        aborted=before["aborted"],
        series=series_of(result),
        lifecycle=lifecycle_of(result),
    )
    return {**result, "verdict": _verdict(verdict), "objectives": [_objective(one) for one in verdict.objectives]}


def times(histogram: Histogram) -> dict[str, float | int | None]:
    """What people ask of a distribution, in seconds; None where nothing was counted."""
    empty = not histogram.buckets

    def seconds(duration_ns: float | None) -> float | None:
        return None if empty or duration_ns is None else duration_ns / _SECOND_NS

    return {
        "count": histogram.count,
        "mean": seconds(histogram.mean_ns),
        "min": seconds(histogram.minimum_ns),
        **dict(zip(_QUANTILES, map(seconds, histogram.quantiles(list(_QUANTILES.values()))), strict=True)),
        "max": seconds(histogram.maximum_ns),
    }


def times_of(result: Result) -> tuple[Histogram, Histogram]:
    """Response and service time of all requests that were judged and ended well."""
    good = [cell for cell in result["cells"] if cell["phase"] != WARMUP and cell["outcome"] == Outcome.OK]
    return (
        merged(histogram_of(cell["response_time_ns"]) for cell in good),
        merged(histogram_of(cell["service_time_ns"]) for cell in good),
    )


def _merge(cells: Iterable[Cell]) -> Cell:
    total = Cell()
    for cell in cells:
        total.merge(cell)
    return total


def _verdict(verdict: Verdict) -> Result:
    limits = verdict.limits
    return {
        "state": verdict.state.value,
        "exit_code": int(verdict.exit_code),
        "reasons": list(verdict.reasons),
        "confidence": verdict.confidence,
        "aborted": verdict.aborted,
        "limits": {name: getattr(limits, name) for name in limits.__slots__},
    }


def _objective(judged: Judged) -> Result:
    evidence = judged.evidence
    return {
        "expression": judged.objective.expression,
        "state": judged.state.value,
        "metric": judged.objective.metric,
        "measured": judged.measured,
        "bound": judged.bound,
        "note": judged.note,
        "evidence": evidence and {name: getattr(evidence, name) for name in evidence.__slots__},
    }


def _totals(cells: Mapping[CellKey, Cell]) -> Result:
    ok = [cell for key, cell in cells.items() if key.key.outcome is Outcome.OK]
    requests, well = sum(cell.count for cell in cells.values()), sum(cell.count for cell in ok)
    return {
        "requests": requests,
        "ok": well,
        "failed": requests - well,
        "unsent": sum(cell.count for key, cell in cells.items() if key.key.outcome is Outcome.UNSENT),
        "rows": sum(cell.rows for cell in ok),
        "request_bytes": sum(cell.request_bytes for cell in cells.values()),
        "response_bytes": sum(cell.response_bytes for cell in cells.values()),
    }


def _failures(cells: Mapping[CellKey, Cell]) -> dict[str, int]:
    """Count of each outcome but ok, the most frequent first."""
    counts: dict[str, int] = {}
    for key, cell in cells.items():
        if key.key.outcome is not Outcome.OK:
            name = key.key.outcome.value
            counts[name] = counts.get(name, 0) + cell.count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _throughput(cells: Mapping[CellKey, Cell], load_ns: int) -> Result:
    while_on = [cell for key, cell in cells.items() if key.key.outcome is Outcome.OK and key.phase == RUN]
    seconds = load_ns / _SECOND_NS
    return {
        "requests_per_s": sum(cell.count for cell in while_on) / seconds if seconds else None,
        "rows_per_s": sum(cell.rows for cell in while_on) / seconds if seconds else None,
    }


def _offered(view: View) -> Result | None:
    """What schedules had due, the warm-up included; None in a closed loop."""
    if not view.offered:
        return None
    return {
        "requests": view.offered,
        "scheduled": view.scheduled,
        "unsent": view.abandoned + sum(worker.unsent for worker in view.workers),
        "abandoned": view.abandoned,
    }


def by_target(cells: Mapping[CellKey, Cell]) -> dict[Target, dict[CellKey, Cell]]:
    """The cells of each scenario, protocol, model and version."""
    own: dict[Target, dict[CellKey, Cell]] = {}
    for key, cell in sorted(cells.items()):
        scenario, protocol, model, version, _ = key.key
        own.setdefault((scenario, protocol, model, version), {})[key] = cell
    return own


def figures(cells: Mapping[CellKey, Cell], load_ns: int) -> Result:
    """What there is to say of these cells: all outcomes and phases of them put together."""
    ok = _merge(cell for key, cell in cells.items() if key.key.outcome is Outcome.OK)
    return {
        **_totals(cells),
        "failures": _failures(cells),
        "throughput": _throughput(cells, load_ns),
        "response_time_s": times(ok.response),
        "service_time_s": times(ok.service),
    }


def _worker(worker: Worker) -> Result:
    health = worker.health
    return {
        "name": worker.name,
        "incarnation": worker.incarnation,
        "sequence": worker.sequence,
        "state": worker.state.value,
        "started": worker.started,
        "finished": worker.finished,
        "missing": worker.missing,
        "unsent": worker.unsent,
        "offered": worker.offered,
        "checked": worker.checked,
        "peers": worker.peers,
        "send_lag_s": times(health.send_lag),
        "loop_lag_s": times(health.loop_lag),
        "cpu_share": health.cpu_share,
        "throttled_share": health.throttled_share,
        "send_lag_ns": _histogram(health.send_lag),
        "loop_lag_ns": _histogram(health.loop_lag),
    }


def _timeline(timeline: Mapping[int, Second]) -> Result:
    """Columns of equal length; seconds in which nothing was told are filled in, so that a standstill is seen."""
    numbers, seconds = zip(*steps(timeline), strict=True) if timeline else ((), ())

    def in_seconds(values: Iterable[int | None]) -> list[float | None]:
        return [None if value is None else value / _SECOND_NS for value in values]

    return {
        "second": list(numbers),
        "step_s": [second.width for second in seconds],
        "requests": [second.count for second in seconds],
        "failures": [second.failures for second in seconds],
        "rows": [second.rows for second in seconds],
        "users": [second.users for second in seconds],
        "p50_s": in_seconds(second.quantile(0.5) for second in seconds),
        "p99_s": in_seconds(second.quantile(0.99) for second in seconds),
        "max_s": in_seconds(second.maximum_ns if second.buckets else None for second in seconds),
    }


def _cell(key: CellKey, cell: Cell) -> Result:
    scenario, protocol, model, version, outcome = key.key
    return {
        "scenario": scenario,
        "protocol": protocol,
        "model": model,
        "version": version,
        "outcome": outcome.value,
        "phase": key.phase,
        "requests": cell.count,
        "rows": cell.rows,
        "request_bytes": cell.request_bytes,
        "response_bytes": cell.response_bytes,
        "response_time_ns": _histogram(cell.response),
        "service_time_ns": _histogram(cell.service),
    }


def _histogram(histogram: Histogram) -> Result:
    minimum, maximum, total, saturated, buckets = histogram.to_wire()
    return {"minimum": minimum, "maximum": maximum, "total": total, "saturated": saturated, "buckets": buckets}
