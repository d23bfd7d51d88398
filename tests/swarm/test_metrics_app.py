"""What answers scrapes, without a server around it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tfs_locust.swarm.metrics_server import PATH, GivingWay, MetricsApp

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


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_what_is_no_scrape_is_not_counted(method: str) -> None:
    """A probe that asks for no page has not seen the numbers."""
    app, answered = MetricsApp(CollectorRegistry()), []
    list(app({**SCRAPE, "REQUEST_METHOD": method}, lambda status, _: answered.append(status)))
    assert app.scrapes == 0
    assert answered == ["200 OK" if method == "OPTIONS" else "405 Method Not Allowed"]


class _Turns(Collector):
    """Notes in which turn of the event loop each look comes."""

    def __init__(self) -> None:
        self.turn = 0
        self.looks: list[int] = []

    def collect(self) -> list[GaugeMetricFamily]:
        self.looks.append(self.turn)
        return []

    def count(self) -> None:
        while True:
            self.turn += 1
            gevent.sleep(0)


def test_many_scrapes_at_a_time_leave_turns_between() -> None:
    """A hundred scrapers at once do not stop the load for a hundred pages: between two of them others have a turn."""
    registry, turns = CollectorRegistry(), _Turns()
    registry.register(turns)
    turns.looks.clear()  # a registry looks once to learn names
    app = MetricsApp(registry)
    counting = gevent.spawn(turns.count)
    gevent.joinall([gevent.spawn(lambda: list(app(SCRAPE, lambda *_: None))) for _ in range(100)], timeout=10)
    counting.kill()
    assert app.scrapes == 100
    assert len(set(turns.looks)) == 100


def test_one_that_asks_again_and_again_does_not_keep_others_waiting() -> None:
    """Nobody waits for more than a page or two of somebody else's."""
    app = MetricsApp(CollectorRegistry())

    def ask(times: int) -> None:
        for _ in range(times):
            list(app(SCRAPE, lambda *_: None))

    greedy = gevent.spawn(ask, 1000)
    gevent.idle()
    before = app.scrapes
    gevent.spawn(ask, 1).join(timeout=10)
    greedy.kill()
    assert app.scrapes - before <= 5


class _Three(Collector):
    """Three series that take their time."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name in "abc":
            made_s = time.perf_counter() + 2 * GivingWay.AT_ONCE_S
            while time.perf_counter() < made_s:
                pass
            yield GaugeMetricFamily(name, name, value=1)


def test_all_else_has_a_turn_between_series() -> None:
    """Also what waits for a time, as requests that are due do: it is not put off until the page is made."""
    turn = 0

    def due() -> None:
        nonlocal turn
        while True:
            gevent.sleep(0.00001)
            turn += 1

    waiting = gevent.spawn(due)
    seen = [(metric.name, turn) for metric in GivingWay(_Three()).collect()]
    waiting.kill()
    assert [name for name, _ in seen] == ["a", "b", "c"]
    assert seen[0][1] < seen[1][1] < seen[2][1]


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
