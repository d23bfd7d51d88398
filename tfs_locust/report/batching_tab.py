"""The tab Batching: what the server's page and the plan say, and what the diagnosis makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfs_locust.report import units
from tfs_locust.report.live import Live
from tfs_locust.report.server import why

Section = dict[str, Any]
Row = dict[str, str]

_HOW = (
    "To see what batching does, name the server's metrics page with --tfs-server-metrics http://HOST:8501; it shows "
    "one with --rest_api_port and a --monitoring_config_file that holds prometheus_config { enable: true }"
)
_NO_PLAN = "not known: give --tfs-batching-parameters-file"
_NO_BATCH = "The server's page counts no batch: batching is off there, or TensorFlow Serving is older than 2.10"


def batching_rows(live: Live) -> list[Row]:
    """What is measured beside what was to be expected, then what was found; where nothing is known, why."""
    server = live.sections.get("server")
    if server is None:
        return [_row("not known", "The server is not looked at yet")]
    found = live.sections.get("diagnosis", [])
    no_data = next((one["sentence"] for one in found if one["id"] == "no-data"), "")
    plans = server["plans"]
    if server["batching"]["mean_rows_per_batch"] is not None and (server["asked"] or not no_data):
        rows = [*_numbers(server, plans), *_extent(server)]
        if no_data:
            rows.append(_row("not to be relied on", _sentence(no_data)))
    else:
        rows = [_row("not known", _why(live, server, no_data)), *(_numbers(server, plans) if plans else ())]
    rows += [_row(one["id"], _sentence(one["sentence"])) for one in found if one["id"] != "no-data"]
    return rows + [_row(f"plan of {', '.join(names)}", _sentence(told)) for told, names in _warnings(plans).items()]


def _numbers(server: Section, plans: Sequence[Section]) -> list[Row]:
    batching = server["batching"]
    doubt = " (uncertain)" if {"executed_rows", "padding_rows"}.intersection(batching["uncertain"]) else ""

    def measured(name: str, text: Callable[[float | None], str], more: str = "") -> str:
        return units.NOTHING if batching[name] is None else units.unbroken(text(batching[name])) + more

    rows = [
        ("rows in a batch", measured("mean_rows_per_batch", units.number, doubt), "mean_rows_per_batch", units.number),
        ("full", measured("fill_ratio", units.share, doubt), "fill_ratio", units.share),
        ("padding", measured("padding_ratio", units.share, doubt), "padding_ratio", units.share),
        ("requests in a batch", measured("requests_per_batch", units.number), "requests_per_batch", units.number),
        (
            "queueing",
            measured("queueing_share", units.share, " of the service time"),
            "mean_queueing_s",
            units.duration,
        ),
    ]
    return [_row(units.unbroken(what), told, _planned(plans, name, text)) for what, told, name, text in rows]


def _extent(server: Section) -> list[Row]:
    return [
        _row(units.unbroken("executed batches"), units.count(server["batching"]["executed_batches"])),
        _row(units.unbroken("measured over"), units.unbroken(units.duration(server["window_s"]))),
    ]


def _warnings(plans: Sequence[Section]) -> dict[str, list[str]]:
    """What the plans warn of, each with the scenarios that it is of."""
    warnings: dict[str, list[str]] = {}
    for plan in plans:
        for one in plan["statements"]:
            if one["warning"]:
                warnings.setdefault(one["sentence"], []).append(plan["scenario"])
    return warnings


def _planned(plans: Sequence[Section], name: str, text: Callable[[float | None], str]) -> str:
    """What was expected; of several scenarios each with its name."""
    told = [(plan["scenario"], units.unbroken(text((plan["expected"] or {}).get(name)))) for plan in plans]
    if not told:
        return _NO_PLAN if name == "mean_rows_per_batch" else units.NOTHING
    if len({value for _, value in told}) == 1:
        return told[0][1]
    return ", ".join(f"{scenario} {value}" for scenario, value in told)


def _why(live: Live, server: Section, no_data: str) -> str:
    """Why no numbers are there, and what would give some."""
    pages = server["pages"]
    if not pages:
        return f"No metrics page is looked at. {_HOW}"
    if missed := [f"{page['url']}: {why(page)}" for page in pages if page["reason"]]:
        return f"{'; '.join(missed)}. {_HOW}"
    if live.ended_s is None and any(page["looks"] < 2 for page in pages):
        return "The server's page is looked at every few seconds: numbers come with the second look"
    if others := [page["url"] for page in pages if not page["used"]]:
        return f"{', '.join(others)} counted nothing of this run: it is another server's. {_HOW}"
    if server["batching"]["executed_batches"] == 0:
        return _NO_BATCH
    return _sentence(no_data) if no_data else _NO_BATCH


def _row(what: str, measured: str, planned: str = "") -> Row:
    return {"what": what, "measured": measured, "planned": planned}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
