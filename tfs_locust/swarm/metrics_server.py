"""Serves the metrics of one process to Prometheus, on a port of its own, beside the load.

Everything here runs in greenlets: a scraper that hangs keeps nobody waiting but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pywsgi import WSGIServer
from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.registry import Collector

from tfs_locust.swarm.turn import Turns, give_way

LOOPBACK = "127.0.0.1"
USUAL_PORT = 9646
PATH = "/metrics"
HEALTH, READINESS = "/healthz", "/readyz"
"""For probes, as those of Kubernetes: whether the event loop lives, and whether the process can take part in a run."""

_Start = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where metrics are told, and for how long."""

    port: int | None = None
    """0: a free one. None: not chosen, so :data:`USUAL_PORT`, or a free one if that is taken."""
    off: bool = False
    address: str = LOOPBACK
    linger_s: float | None = None
    """How long the process waits at its end for one more scrape. None: not chosen, see :data:`LINGER_S`."""
    pushgateway: str | None = None


LINGER_S = 15.0
"""What a process that was scraped before waits at its end: Prometheus scrapes every 15 s where nobody changed that."""


class GivingWay(Collector):
    """A collector's series, with turns for all others between them.

    A page takes a busy process ten milliseconds, in which thousands of requests may be due.
    """

    AT_ONCE_S = 0.002
    """A turn is given after so long."""

    def __init__(self, whose: Collector) -> None:
        self._whose = whose

    def describe(self) -> Iterable[Metric]:
        """Nothing: see :class:`~tfs_locust.report.exporter.Exporter`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The same series."""
        turns = Turns(self.AT_ONCE_S)
        for metric in self._whose.collect():
            yield metric
            turns.give_if_due()


class MetricsApp:
    """Answers scrapes and probes, for whatever server: a WSGI application (PEP 3333)."""

    def __init__(self, registry: CollectorRegistry, lacks: Callable[[], str] = str) -> None:
        """``lacks`` says what the process lacks to be ready; empty if nothing."""
        self.scrapes = 0
        """So many were answered to their end."""
        self._scraped = Event()
        self._metrics = make_wsgi_app(registry)
        self._turn = BoundedSemaphore()
        self._lacks = lacks

    def __call__(self, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        """Metrics at /metrics, in the format that is asked for; probes; and nothing elsewhere."""
        path = environ.get("PATH_INFO")
        if path == PATH:
            return self._page(environ, start_response)
        if path in {HEALTH, READINESS}:
            lacking = self._lacks() if path == READINESS else ""
            status, text = ("503 Service Unavailable", lacking) if lacking else ("200 OK", "ok")
        else:
            status, text = "404 Not Found", f"there is nothing here; metrics are at {PATH}"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    def _page(self, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        # many at a time make their pages one after the other, and load is sent between: all at once would stop it
        give_way()  # to those who wait already: one that asks again and again would always come first
        with self._turn:
            give_way()
            scraped = self._scraped
            body: Iterable[bytes] = self._metrics(environ, start_response)
        # other methods are told that they are not known; only a scrape ends the wait for one
        return self._counted(scraped, body) if environ["REQUEST_METHOD"] == "GET" else body

    def _counted(self, scraped: Event, body: Iterable[bytes]) -> Iterator[bytes]:
        yield from body
        # a server comes back here when it has sent all of it
        self.scrapes += 1
        scraped.set()

    def wait_for_scrape(self, within_s: float) -> bool:
        """Wait until one more scrape has been answered; False where none came in time."""
        self._scraped = Event()  # a scrape that is under way has looked already, and does not count
        return bool(self._scraped.wait(within_s))

    def wait_no_more(self) -> None:
        """Let whoever waits for a scrape go on."""
        self._scraped.set()


def serve(app: MetricsApp, address: str, port: int) -> WSGIServer:
    """Begin to answer, at this port; 0 takes a free one. Raises OSError where that cannot be."""
    server = WSGIServer((address, port), app, log=None, error_log=None)
    server.start()
    return server
