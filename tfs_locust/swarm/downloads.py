"""Our report and its tables in the tab Download Data of Locust's page: of the last run, or of the run so far."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gevent import get_hub
from locust.env import Environment

from tfs_locust.report import capacity, files, html, tables
from tfs_locust.report.report import Result
from tfs_locust.swarm.ending import asked_for
from tfs_locust.swarm.measurement import measurement_of

FOLDER = "/tfs"
_NO_RUN = "There is no report yet: start a run first.\n"
_NO_SEARCH = "There is no table of a search for capacity: none has ended. Ask for one with --tfs-find-capacity.\n"


@dataclass(frozen=True, slots=True)
class Download:
    """One file, and the link to it."""

    name: str
    title: str
    kind: str
    """MIME type."""
    text: Callable[[Result], str]
    """Empty where the run has no such thing."""


def _capacity_csv(result: Result) -> str:
    section = capacity.capacity_of(result)
    return "" if section is None else capacity.csv_text(section)


DOWNLOADS = (
    Download("report.html", "Download TF Serving report", "text/html", html.page),
    Download("report.json", "Download TF Serving report JSON", "application/json", files.to_json),
    Download("keys.csv", "Download TF Serving requests CSV", "text/csv", tables.keys_csv),
    Download("objectives.csv", "Download objectives CSV", "text/csv", tables.objectives_csv),
    Download("capacity.csv", "Download capacity search CSV, where there is one", "text/csv", _capacity_csv),
)


def add_downloads(environment: Environment, web_ui: Any, base_path: str) -> None:
    """Serve the files, and have Locust's page link to them. ``base_path`` is where that page is."""

    def download(name: str) -> Any:
        from flask import Response

        found = next((one for one in DOWNLOADS if one.name == name), None)
        if found is None:
            there = ", ".join(one.name for one in DOWNLOADS)
            return Response(f"There is no {name}; there are {there}.\n", 404, mimetype="text/plain")
        result = _result(environment)
        if result is None:
            return Response(_NO_RUN, 404, mimetype="text/plain")
        # to make the page takes half a second, in which requests are due: a thread lets them through
        text = get_hub().threadpool.apply(found.text, (result,))
        if not text:
            return Response(_NO_SEARCH, 404, mimetype="text/plain")
        attached = {"Content-Disposition": f'attachment; filename="{_file_name(result, name)}"'}
        return Response(text, mimetype=found.kind, headers=attached)

    web_ui.app.add_url_rule(f"{base_path}{FOLDER}/<name>", "tfs_download", web_ui.auth_required_if_enabled(download))
    web_ui.template_args["extended_csv_files"] = [
        {"href": f".{FOLDER}/{one.name}", "title": one.title} for one in DOWNLOADS
    ]


def _result(environment: Environment) -> Result | None:
    judgement = measurement_of(environment).heard()
    return None if judgement is None else judgement.result_so_far(*asked_for(environment))


def _file_name(result: Result, name: str) -> str:
    """With the time at which the run began, so that the files of several runs can lie in one folder."""
    started = re.sub(r"\+.*|[^\dT]", "", result["manifest"]["started"])
    return f"tfs_locust_{started}_{'so_far_' if tables.is_so_far(result) else ''}{name}"
