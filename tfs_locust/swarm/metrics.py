"""Tells Prometheus of the run: a port of metrics in each process, /metrics in the web page, a push at the end.

Nothing here can stop a run: a taken port, a gateway that is not there, a scraper that hangs are told, and that is all.
Importing this module registers the listener.
"""

from __future__ import annotations

import errno
import logging
import time
from argparse import Namespace
from functools import partial
from http.client import HTTPException
from typing import Any

import gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from prometheus_client import CollectorRegistry, ProcessCollector, push_to_gateway

from tfs_locust.report.exporter import RUN, WORKER, Exporter
from tfs_locust.swarm.live import own_part, whole_run
from tfs_locust.swarm.measurement import measurement_of, predict_users, starts_by_itself
from tfs_locust.swarm.metrics_server import LINGER_S, PATH, USUAL_PORT, GivingWay, MetricsApp, MetricsSettings, serve
from tfs_locust.swarm.settings import read_settings

_JOB = "tfs_locust"
_PUSH_WITHIN_S = 10
_OF_THE_PORT = {errno.EADDRINUSE, errno.EACCES}
_MASTER_SILENT_S = 10.0
"""Masters send a heartbeat each second (Locust 2.47)."""
_logger = logging.getLogger(__name__)


class Telling:
    """The metrics of this process, as long as it lives."""

    def __init__(self, environment: Environment, settings: MetricsSettings) -> None:
        self._environment, self._settings = environment, settings
        self._is_worker = isinstance(environment.runner, WorkerRunner)
        look = own_part if self._is_worker else whole_run
        self._registry = CollectorRegistry()
        exporter = Exporter(partial(look, environment), WORKER if self._is_worker else RUN)
        self._registry.register(GivingWay(exporter))
        ProcessCollector(registry=self._registry)
        self.app = MetricsApp(self._registry, self._lacks)
        self._server: WSGIServer | None = None
        self._is_ending = False
        self._pushed = ""
        """The run that the gateway was told of, or could not be."""
        self._pushing: gevent.Greenlet[..., None] | None = None

    def begin(self) -> None:
        """Serve them on a port, if that can be had."""
        if self._settings.off:
            return
        options: Any = self._environment.parsed_options
        chosen = self._settings.port
        # workers forked beside their master cannot each have the port that was chosen for it
        wanted = 0 if self._is_worker and getattr(options, "processes", None) else chosen
        try:
            self._server = self._serve(USUAL_PORT if wanted is None else wanted)
        except OSError as error:
            if error.errno not in _OF_THE_PORT:
                _logger.warning(
                    "--tfs-metrics-address %s: no metrics are served: %s; the run goes on",
                    self._settings.address,
                    error,
                )
                return
            if chosen is not None and not self._is_worker:
                _logger.warning(
                    "--tfs-metrics-port %d: no metrics are served, for it cannot be used at %s: %s. The run goes on. "
                    "Choose another, 0 for a free one, or off",
                    chosen,
                    self._settings.address,
                    error,
                )
                return
            _logger.warning("metrics: port %d cannot be used, another is taken: %s", wanted or USUAL_PORT, error)
            try:
                self._server = self._serve(0)
            except OSError as other:
                _logger.warning("no metrics are served at %s: %s; the run goes on", self._settings.address, other)
                return
        _logger.info("metrics of %s: %s", "this worker" if self._is_worker else "the run", self._url())

    def _lacks(self) -> str:
        """What keeps this process from taking part in a run; empty if nothing does."""
        if not self._is_worker:
            return ""
        heard_s = getattr(self._environment.runner, "last_heartbeat_timestamp", None)
        if heard_s is None or time.time() - heard_s > _MASTER_SILENT_S:
            return "the master has not been heard of"
        # who ends another worker when this one is ready would leave the run's schedule to nobody
        return "it prepares for the run" if measurement_of(self._environment).preparing else ""

    def _serve(self, port: int) -> WSGIServer:
        return serve(self.app, self._settings.address, port)

    def _url(self) -> str:
        assert self._server is not None
        address = self._settings.address
        return f"http://{f'[{address}]' if ':' in address else address}:{self._server.server_port}{PATH}"

    def end(self) -> None:
        """The process is about to end: push what there is to push, wait for a last scrape, and close the port."""
        self._is_ending = True
        self.push()
        if self._pushing is not None:
            self._pushing.join()
        if self._server is not None:
            self._linger(self._server)
            self._server.stop(timeout=1)

    def end_sooner(self) -> None:
        """The process is told to end: if it is waiting for a scrape already, that is over.

        Locust answers SIGTERM by a shutdown in a greenlet of its own, beside the one in the main greenlet that comes
        with the run's end. The second of the two must not tell everything again: it is kept here until the first has
        ended the process. Where the second is the main greenlet's, nobody has asked for more than the run's end.
        """
        if not self._is_ending:
            return
        if gevent.getcurrent().parent is not None:
            self.app.wait_no_more()
        try:
            Event().wait()
        except KeyboardInterrupt:
            self.app.wait_no_more()
            Event().wait()

    def push_beside(self) -> None:
        """The same, while all else goes on: a page is not kept waiting for a gateway."""
        self._pushing = gevent.spawn(self.push)

    def push(self) -> None:
        """Give the whole run's numbers to the gateway, where there is one; once, also where that fails."""
        url, judgement = self._settings.pushgateway, measurement_of(self._environment).judgement
        if url is None or self._is_worker or judgement is None or judgement.run_id == self._pushed:
            return
        self._pushed = judgement.run_id
        try:
            # a timeout of sockets alone begins anew with each byte of an answer
            with gevent.Timeout(_PUSH_WITHIN_S, TimeoutError(f"not done within {_PUSH_WITHIN_S} s")):
                push_to_gateway(url, job=_JOB, registry=self._registry, timeout=_PUSH_WITHIN_S)
        except (OSError, ValueError, HTTPException) as error:
            _logger.warning("--tfs-pushgateway %s: the metrics could not be pushed: %s", url, error)
        else:
            _logger.info("metrics pushed to %s", url)

    def _linger(self, server: WSGIServer) -> None:
        measurement = measurement_of(self._environment)
        if measurement.judgement is None and measurement.last_recorder is None:
            return  # there was no run
        within_s = self._settings.linger_s
        if within_s is None:
            within_s = LINGER_S if self.app.scrapes and not measurement.interrupted else 0.0
        if not within_s:
            return
        _logger.info("waiting for one more scrape of %s, for %g s at most; Ctrl-C ends it", self._url(), within_s)
        try:
            self.app.wait_for_scrape(within_s)
        except KeyboardInterrupt:
            _logger.info("not waiting for a scrape any more")
        server.stop_accepting()


def _begin(environment: Environment, runner: Any, web_ui: Any, **_: Any) -> None:
    if runner is None or not predict_users(environment):
        return
    telling = Telling(environment, read_settings(environment.parsed_options or Namespace())[0].metrics)
    telling.begin()
    if web_ui is not None:
        _add_to_page(web_ui, getattr(environment.parsed_options, "web_base_path", None) or "", telling.app)
    if not starts_by_itself(environment):  # a page sees one run after the other
        environment.events.test_stop.add_listener(lambda **_: telling.push_beside())
    if isinstance(runner, MasterRunner) and environment.parsed_options is not None:
        environment.events.test_start.add_listener(lambda **_: _keep_own(environment.parsed_options))
    environment.events.quitting.add_listener(lambda **_: telling.end_sooner())
    environment.events.quit.add_listener(lambda **_: telling.end())


def _keep_own(options: Any) -> None:
    """Take the options of this process out of those that Locust gives to workers, in place of their own.

    A worker that joins a run under way gets them before it has read its own: it would serve at its master's address.
    """
    for name in ("metrics_port", "metrics_address", "metrics_linger", "pushgateway"):
        vars(options).pop(f"tfs_{name}", None)


def _add_to_page(web_ui: Any, base_path: str, app: MetricsApp) -> None:
    def metrics() -> Any:
        from flask import Response, request

        answer: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            answer.update(status=status, headers=headers)

        body = b"".join(app({**request.environ, "PATH_INFO": PATH}, start_response))
        return Response(body, **answer)

    url = base_path.rstrip("/") + PATH
    web_ui.app.add_url_rule(url, "tfs_metrics", web_ui.auth_required_if_enabled(metrics))


events.init.add_listener(_begin)
