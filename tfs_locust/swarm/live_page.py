"""Our tabs in Locust's web page, by its own extension points: what a run has measured, while it lasts and at its end.

Importing this module registers the listener.
"""

from __future__ import annotations

import json
import time
from typing import Any

import gevent
from gevent import get_hub
from gevent.lock import BoundedSemaphore
from locust import events
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING

from tfs_locust.report.recent import Recent
from tfs_locust.report.tabs import TABS, Row, tables
from tfs_locust.swarm.downloads import add_downloads
from tfs_locust.swarm.ending import LAST_REPORT_WITHIN_S
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.live import judged_so_far, whole_run
from tfs_locust.swarm.measurement import measurement_of, predict_users

_FRESH_S = 1.0
"""So long one look serves all who ask: it takes time of a process that may be sending load."""
_STATS = "/stats/requests"
"""What Locust's page asks for every 2 s, and what holds the rows of its tabs."""


class LiveTabs:
    """The rows of all tabs, as Locust's page expects them."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._recent = Recent()
        self._making = BoundedSemaphore()
        self._made_s = 0.0
        self._of: tuple[str, bool] | None = None
        self._stats: list[dict[str, Any]] = []

    def stats(self) -> list[dict[str, Any]]:
        """As they are now, or were less than a second ago."""
        with self._making:
            now_s = time.monotonic()
            judgement = measurement_of(self._environment).judgement
            of = None if judgement is None else (judgement.run_id, judgement.result is not None)
            if of != self._of or now_s - self._made_s >= _FRESH_S:
                rows = {} if judgement is None else self._rows(judgement, now_s)
                self._stats = [{"key": tab.key, "data": rows.get(tab.key, [])} for tab in TABS]
                self._of, self._made_s = of, now_s
            return self._stats

    def _rows(self, judgement: Judgement, now_s: float) -> dict[str, list[Row]]:
        live = whole_run(self._environment, judged=False)
        if live is None:
            return {}
        rates = self._recent.rates(live, now_s)
        # of many models this takes tens of milliseconds, in which requests are due: a thread lets them through
        made: dict[str, list[Row]] = get_hub().threadpool.apply(lambda: tables(judged_so_far(live, judgement), rates))
        return made


def _wait_for_verdict(environment: Environment) -> None:
    """While a run ends, let the page wait for its answer: told of a run that stops, Locust's page (2.47) asks no more,
    says so for ever, and would never show how it ended."""
    measurement, runner = measurement_of(environment), environment.runner
    give_up_s = time.monotonic() + measurement.drain_s + LAST_REPORT_WITHIN_S
    while runner is not None and time.monotonic() < give_up_s:
        judgement = measurement.judgement
        judging = judgement is not None and judgement.result is None
        if runner.state not in {STATE_STOPPING, STATE_CLEANUP} and not (runner.state == STATE_STOPPED and judging):
            return
        gevent.sleep(0.05)


def _add_tabs(environment: Environment, web_ui: Any, **_: Any) -> None:
    if web_ui is None or not predict_users(environment):
        return
    base_path = (getattr(environment.parsed_options, "web_base_path", None) or "").rstrip("/")
    live = LiveTabs(environment)
    web_ui.template_args["extended_tabs"] = [{"title": tab.title, "key": tab.key} for tab in TABS]
    web_ui.template_args["extended_tables"] = [
        {"key": tab.key, "structure": [{"key": key, "title": title} for key, title in tab.columns.items()]}
        for tab in TABS
    ]
    # Jinja would sort the names, and options that belong together would not stand together in the start form
    web_ui.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
    add_downloads(environment, web_ui, base_path)

    def hold() -> None:
        from flask import request

        if request.path == base_path + _STATS:
            _wait_for_verdict(environment)

    def add_rows(response: Any) -> Any:
        from flask import request

        if request.path == base_path + _STATS and response.is_json:
            told = {**response.get_json(), "extended_stats": live.stats()}
            response.set_data(json.dumps(told))
        return response

    web_ui.app.before_request(hold)
    web_ui.app.after_request(add_rows)


events.init.add_listener(_add_tabs)
