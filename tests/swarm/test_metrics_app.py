"""What answers scrapes, without a server around it."""

from __future__ import annotations

from typing import Any

import gevent
from prometheus_client import CollectorRegistry

from tfs_locust.swarm.metrics_server import PATH, MetricsApp

SCRAPE: dict[str, Any] = {"PATH_INFO": PATH, "QUERY_STRING": "", "REQUEST_METHOD": "GET"}


def test_only_a_scrape_that_begins_later_ends_the_wait() -> None:
    """One that is under way when the run ends may hold numbers from before its end."""
    app = MetricsApp(CollectorRegistry())
    under_way = app(SCRAPE, lambda *_: None)
    waiting = gevent.spawn(app.wait_for_scrape, 30)
    gevent.idle()
    list(under_way)
    gevent.idle()
    assert (app.scrapes, waiting.dead) == (1, False)
    list(app(SCRAPE, lambda *_: None))
    assert waiting.get(timeout=5) is True
    assert app.scrapes == 2


def test_probes() -> None:
    """The process lives if it answers; it is ready unless it lacks something, which it says; neither is a scrape."""
    lacking = ["the master has not been heard of"]
    app = MetricsApp(CollectorRegistry(), lambda: lacking[0])

    def probe(path: str) -> tuple[str, bytes]:
        told: list[str] = []
        body = b"".join(app({"PATH_INFO": path}, lambda status, _: told.append(status)))
        return told[0], body

    assert probe("/healthz") == ("200 OK", b"ok\n")
    assert probe("/readyz") == ("503 Service Unavailable", b"the master has not been heard of\n")
    lacking[0] = ""
    assert probe("/readyz") == ("200 OK", b"ok\n")
    assert app.scrapes == 0
