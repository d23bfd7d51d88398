"""A tab of Locust's web page: what is offered and what comes of it, by our own measurement, while a run lasts.

Importing this module registers the listener.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

from locust import events
from locust.env import Environment

from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View
from tfs_locust.report import units
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.measurement import Measurement, measurement_of, predict_users

_KEY = "tfs-load"
_OVER_S = 5.0  # rates are shown over about this time: a master hears of its workers every 3 s


class LiveTable:
    """Rows of the tab. Rates are those since an earlier look, some seconds ago."""

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement
        self._looks: deque[tuple[float, int, int]] = deque()
        """Time, requests due by then, requests that had ended well."""
        self._of: Judgement | None = None

    def rows(self) -> list[dict[str, str]]:
        """Names and values, as text."""
        judgement, view = self._measurement.judgement, self._measurement.view()
        if judgement is None or view is None:
            return []
        offered, achieved = self._rates(judgement, view)
        ok = view.select(lambda key: key.key.outcome is Outcome.OK)
        ended = sum(cell.count for cell in view.cells.values())
        shown = [
            ("offered by schedule", offered if view.offered else "closed loop"),
            ("achieved", achieved),
            ("requests", f"{units.count(ended)}, failed {units.count(ended - ok.count)}"),
            ("unsent", units.count(sum(worker.unsent for worker in view.workers))),
            ("in flight", units.count(sum(worker.missing for worker in view.workers))),
            ("send lag p99", _time(view.send_lag.quantile(0.99))),
            ("response time p50", _time(ok.response.quantile(0.5))),
            ("response time p99", _time(ok.response.quantile(0.99))),
            ("service time p99", _time(ok.service.quantile(0.99))),
        ]
        return [{"name": name, "value": value} for name, value in shown]

    def _rates(self, judgement: Judgement, view: View) -> tuple[str, str]:
        if judgement is not self._of:
            self._of = judgement
            self._looks.clear()
        begun = time.monotonic() - view.load_ns / 1e9, 0, 0
        now = time.monotonic(), view.offered, view.select(lambda key: key.key.outcome is Outcome.OK).count
        self._looks.append(now)
        while len(self._looks) > 2 and self._looks[1][0] <= now[0] - _OVER_S:
            self._looks.popleft()
        before = self._looks[0] if len(self._looks) > 1 else begun
        passed_s = now[0] - before[0]
        if passed_s <= 0:
            return units.NOTHING, units.NOTHING
        return units.rate((now[1] - before[1]) / passed_s), units.rate((now[2] - before[2]) / passed_s)


def _time(ns: int | None) -> str:
    return units.NOTHING if ns is None else units.duration(ns / 1e9)


def _add_tab(environment: Environment, web_ui: Any, **_: Any) -> None:
    if web_ui is None or not predict_users(environment):
        return
    table = LiveTable(measurement_of(environment))
    columns = [{"key": "name", "title": "Load"}, {"key": "value", "title": "Now"}]
    web_ui.template_args["extended_tabs"] = [{"title": "TF Serving load", "key": _KEY}]
    web_ui.template_args["extended_tables"] = [{"key": _KEY, "structure": columns}]

    def add_rows(response: Any) -> Any:
        from flask import request

        if request.path.endswith("/stats/requests") and response.is_json:
            told = {**response.get_json(), "extended_stats": [{"key": _KEY, "data": table.rows()}]}
            response.set_data(json.dumps(told))
        return response

    web_ui.app.after_request(add_rows)


events.init.add_listener(_add_tab)
