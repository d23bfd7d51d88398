"""A conductor tells who sends what from when on, in time for all, and knows afterwards how much was due."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from tfs_locust.load.arrival import Arrival, constant, poisson, trace
from tfs_locust.load.schedule import ALL, Division, Schedule
from tfs_locust.swarm.conductor import END_LEAD_NS, LEAD_NS, Conductor
from tfs_locust.swarm.orders import Orders

S = 10**9
SLACK_NS = S // 4
"""For a machine that is busy with other tests."""


class Led:
    """A conductor, the workers there are, and the orders it gave."""

    def __init__(self, arrival: Arrival, rate: float | None, *workers: str) -> None:
        self.workers = list(workers)
        self.orders: list[Orders] = []
        self.conductor = Conductor(arrival, 7, rate, lambda: self.workers, self._take)
        self._zero_ns = 0

    def _take(self, orders: Orders) -> None:
        zero_ns = time.perf_counter_ns() + orders.starts_in_ns
        if self.orders:
            assert zero_ns == pytest.approx(self._zero_ns, abs=SLACK_NS)
            before = self.orders[-1]
            assert orders.divisions[: len(before.divisions)] == before.divisions
            assert orders.changes[: len(before.changes)] == before.changes
        self._zero_ns = zero_ns
        self.orders.append(orders)

    def now_ns(self) -> int:
        """By the schedule's clock."""
        return time.perf_counter_ns() - self._zero_ns

    def wait(self, orders: int) -> Orders:
        """The last of so many orders."""
        with gevent.Timeout(10):
            while len(self.orders) < orders:
                gevent.sleep(0.01)
        assert len(self.orders) == orders
        return self.orders[-1]

    def assert_ahead(self, at_ns: int, lead_ns: int = LEAD_NS) -> None:
        """What was told just now takes effect this much later."""
        assert at_ns == pytest.approx(self.now_ns() + lead_ns, abs=SLACK_NS)


@pytest.fixture
def led() -> Iterator[Callable[..., Led]]:
    """Makes conductors; they end with the test."""
    made: list[Led] = []

    def make(arrival: Arrival, rate: float | None, *workers: str) -> Led:
        made.append(Led(arrival, rate, *workers))
        return made[-1]

    yield make
    for one in made:
        one.conductor.end()
        gevent.sleep(0)


def test_start(led: Callable[..., Led]) -> None:
    """Half a second ahead, among those who are there; the second time it does nothing."""
    one = led(poisson(), 50.0, "a", "b")
    assert one.orders == []
    one.conductor.start()
    (orders,) = one.orders
    assert orders.starts_in_ns == pytest.approx(LEAD_NS, abs=SLACK_NS)
    assert (orders.divisions, orders.changes) == (((0, ("a", "b")),), ((0, 50.0),))
    one.conductor.start()
    assert len(one.orders) == 1


def test_nobody_is_there_yet(led: Callable[..., Led]) -> None:
    """It starts as soon as somebody is."""
    one = led(constant(), 50.0)
    one.conductor.start()
    gevent.sleep(0)
    assert one.orders == []
    one.workers.append("a")
    orders = one.wait(1)
    assert orders.starts_in_ns == pytest.approx(LEAD_NS, abs=SLACK_NS)
    assert orders.divisions == ((0, ("a",)),)


def test_workers_come_and_go(led: Callable[..., Led]) -> None:
    """Each time the schedule is divided anew, half a second ahead; who says so is left out at once, and for good."""
    one = led(constant(), 50.0, "a", "b")
    one.conductor.start()
    one.workers.remove("a")
    at_ns, names = one.wait(2).divisions[-1]
    assert names == ("b",)
    one.assert_ahead(at_ns)
    one.workers.append("c")
    assert one.wait(3).divisions[-1][1] == ("b", "c")
    one.conductor.leave("b")
    assert len(one.orders) == 4
    at_ns, names = one.orders[-1].divisions[-1]
    assert names == ("c",)
    one.assert_ahead(at_ns)
    one.workers.remove("c")
    assert one.wait(5).divisions[-1][1] == ()
    assert [names for _, names in one.orders[-1].divisions] == [("a", "b"), ("b",), ("b", "c"), ("c",), ()]


def test_the_last_one_keeps_its_part(led: Callable[..., Led]) -> None:
    """Who is about to go sends for as long as there is nobody else: what is due then would be nobody's."""
    one = led(constant(), 50.0, "a")
    one.conductor.start()
    one.conductor.leave("a")
    one.conductor.set_rate(60.0)  # a look that changes nothing tells nothing; this does
    assert [names for _, names in one.orders[-1].divisions] == [("a",)]
    one.workers.append("b")
    assert one.wait(3).divisions[-1][1] == ("b",)


def test_rate(led: Callable[..., Led]) -> None:
    """Before the start it is the first; later it takes effect half a second on; the same again is no news."""
    one = led(poisson(), None, "a")
    one.conductor.set_rate(5.0)
    one.conductor.set_rate(10.0)
    assert (one.orders, one.conductor.rate) == ([], 10.0)
    one.conductor.start()
    assert one.orders[-1].changes == ((0, 10.0),)
    one.conductor.set_rate(10.0)
    assert len(one.orders) == 1
    one.conductor.set_rate(0.0)
    one.conductor.set_rate(40.0)
    first, *_, last = one.orders[-1].changes
    assert (first, last[1], one.conductor.rate) == ((0, 10.0), 40.0, 40.0)
    one.assert_ahead(last[0])
    assert len(one.orders) == 3


def test_end(led: Callable[..., Led]) -> None:
    """A tenth of a second ahead, once; then nothing is told any more, and what was due is known."""
    one = led(poisson(), 200.0, "a", "b")
    one.conductor.start()
    one.conductor.set_rate(400.0)
    one.workers.remove("b")
    one.wait(3)
    with gevent.Timeout(10):
        while one.now_ns() < S // 2:
            gevent.sleep(0.01)
    end_ns = one.conductor.end()
    assert end_ns is not None
    one.assert_ahead(end_ns, END_LEAD_NS)
    one.conductor.set_rate(1.0)
    one.conductor.leave("a")
    one.conductor.start()
    assert one.conductor.end() == end_ns
    assert len(one.orders) == 3
    schedule = Schedule(poisson(), 7, one.orders[-1].changes)
    scheduled = one.conductor.scheduled()
    assert scheduled == schedule.count(end_ns)
    # what the two sent by the last orders is all of it
    shares = [
        schedule.stripe(
            *(
                Division(at_ns, names.index(worker), len(names)) if worker in names else Division(at_ns)
                for at_ns, names in one.orders[-1].divisions
            )
        ).skip(end_ns)
        for worker in ("a", "b")
    ]
    assert sum(shares) == scheduled == schedule.stripe(ALL).skip(end_ns)
    assert all(share > 0 for share in shares)


def test_end_before_it_started(led: Callable[..., Led]) -> None:
    """Nothing was due, whether it was never asked to start, or nobody came, or its first instant was not reached."""
    never, waiting, early = led(constant(), 9.0, "a"), led(constant(), 9.0), led(constant(), 9.0, "a")
    waiting.conductor.start()
    early.conductor.start()
    # half a second ahead of its first instant
    assert [one.conductor.end() for one in (never, waiting, early)] == [None, None, 0]
    assert [one.conductor.scheduled() for one in (never, waiting, early)] == [0, 0, 0]
    never.conductor.start()
    waiting.workers.append("late")
    waiting.conductor.leave("other")
    assert (never.orders, waiting.orders) == ([], [])


def test_trace(led: Callable[..., Led], tmp_path: Path) -> None:
    """It has no rate; a file that is not what it was leaves unknown how much was due."""
    file = tmp_path / "due"
    file.write_text("0\n0.001\n")
    one = led(trace(file), None, "a")
    one.conductor.start()
    assert one.orders[-1].changes == ()
    with gevent.Timeout(10):
        while one.now_ns() < 0:
            gevent.sleep(0.01)
    one.conductor.end()
    assert one.conductor.scheduled() == 2
    file.write_text("soon\nlater\n")
    assert one.conductor.scheduled() is None


def test_orders_on_the_wire() -> None:
    """Locust's messages make lists of tuples; orders come out as they went in."""
    orders = Orders(-5, ((0, ("a", "b")), (9, ())), ((0, 1.5), (7, 0.0)))
    assert Orders.from_wire(json.loads(json.dumps(orders.to_wire()))) == orders
