"""The tabs of the web page: what a live view says, as rows of text. Numbers are made as the report makes them.

What the tabs Batching and Verdict say stands in files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tfs_locust.measure.cell import WARMUP, Cell, CellKey
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View
from tfs_locust.report import units
from tfs_locust.report.batching_tab import batching_rows
from tfs_locust.report.live import Live
from tfs_locust.report.recent import Rates
from tfs_locust.report.report import Result, Target, by_target, figures
from tfs_locust.report.verdict_tab import verdict_rows

Row = dict[str, str]
MOST_ROWS = 100
"""Of the tab TF Serving: who asks for a thousand versions must not wait for the page, nor the load for its making."""


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab: a table. Its rows come as they are given: Locust's page sorts only those with a ``name`` (2.47)."""

    key: str
    title: str
    columns: Mapping[str, str]
    """Titles by the key that a row has its text under."""


LOAD = Tab("tfs-load", "Load", {"what": "Load", "now": "Now"})
SERVING = Tab(
    "tfs-serving",
    "TF Serving",
    {
        "scenario": "Scenario",
        "protocol": "Protocol",
        "model": "Model",
        "version": "Version",
        "requests": "Requests",
        "failed": "Failed",
        "now": "Ok/s now",
        "rate": "Ok/s",
        "rows": "Rows/s",
        "p50": "p50",
        "p95": "p95",
        "p99": "p99",
        "p999": "p99.9",
        "failures": "Failures",
    },
)
BATCHING = Tab("tfs-batching", "Batching", {"what": "Batching", "measured": "By the server", "planned": "By the plan"})
VERDICT = Tab(
    "tfs-verdict",
    "Verdict",
    {
        "what": "Verdict",
        "state": "State",
        "measured": "Measured",
        "bound": "Bound",
        "budget": "Budget left",
        "sure": "Share beyond, with confidence bounds",
        "why": "Why",
    },
)
TABS = (LOAD, SERVING, BATCHING, VERDICT)


def tables(live: Live, rates: Rates) -> dict[str, list[Row]]:
    """The rows of each tab, by its key."""
    return {
        LOAD.key: load_rows(live, rates),
        SERVING.key: serving_rows(live, rates),
        BATCHING.key: batching_rows(live),
        VERDICT.key: verdict_rows(live),
    }


def load_rows(live: Live, rates: Rates) -> list[Row]:
    """What is offered, what comes of it, and how well the generator keeps up; the warm-up's requests among them."""
    view = live.view
    ok = view.select(lambda key: key.key.outcome is Outcome.OK)
    ended = sum(cell.count for cell in view.cells.values())
    shown = {
        "offered by schedule": units.rate(rates.offered) if view.offered else "closed loop",
        "achieved": units.rate(rates.achieved),
        "requests": f"{units.count(ended)}, failed {units.count(ended - ok.count)}",
        "unsent": units.count(view.abandoned + sum(worker.unsent for worker in view.workers)),
        "in flight": units.count(view.in_flight),
        "send lag p99": _time(view.send_lag.quantile(0.99)),
        "response time p50": _time(ok.response.quantile(0.5)),
        "response time p99": _time(ok.response.quantile(0.99)),
        "service time p99": _time(ok.service.quantile(0.99)),
    }
    return [{"what": what, "now": now} for what, now in shown.items()]


def serving_rows(live: Live, rates: Rates) -> list[Row]:
    """A row for each scenario, protocol, model and version, those with the most requests, and one for all."""
    view = live.view
    judged = view.judged()
    if not judged:
        return [{"scenario": _nothing_yet(view)}]
    targets = by_target(judged)
    shown = sorted(sorted(targets, key=lambda one: -_requests(targets[one]))[:MOST_ROWS])
    rows = [
        _row(target, figures(targets[target], view.load_ns), rates.by_target.get(target) if rates.by_target else None)
        for target in shown
    ]
    if len(targets) > 1:
        left_out = len(targets) - len(shown)
        name = f"all, and {units.count(left_out)} that are not shown" if left_out else "all"
        rows.append(_row((name, "", "", ""), figures(judged, view.load_ns), rates.achieved))
    return rows


def _row(target: Target, figure: Result, now: float | None) -> Row:
    scenario, protocol, model, version = target
    times, throughput = figure["response_time_s"], figure["throughput"]
    return {
        "scenario": scenario,
        "protocol": protocol,
        "model": model,
        "version": version or (units.NOTHING if protocol else ""),
        "requests": units.count(figure["requests"]),
        "failed": units.count(figure["failed"]),
        "now": units.rate(now),
        "rate": units.rate(throughput["requests_per_s"]),
        "rows": units.rate(throughput["rows_per_s"]),
        **{name: units.unbroken(units.duration(times[column])) for name, column in _TIMES.items()},
        "failures": ", ".join(f"{name} {units.count(count)}" for name, count in figure["failures"].items()),
    }


_TIMES = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99_9"}


def _requests(cells: Mapping[CellKey, Cell]) -> int:
    return sum(cell.count for cell in cells.values())


def _nothing_yet(view: View) -> str:
    warming = sum(cell.count for key, cell in view.cells.items() if key.phase == WARMUP)
    if warming:
        return f"warming up: {units.count(warming)} requests so far, which do not count"
    return "no request has ended yet"


def _time(ns: int | None) -> str:
    return units.duration(None if ns is None else ns / 1e9)
