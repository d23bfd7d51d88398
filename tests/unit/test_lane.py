"""A lane sends for one user up to its room, goes on after what a request raises, and ends with all it has in flight."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event
from greenlet import GreenletExit

from tfs_locust.swarm.crew import Crew

with pytest.MonkeyPatch.context() as _patched:
    _patched.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")  # the tests beside these want the process as it is
    from locust.exception import InterruptTaskSet, RescheduleTask, StopUser

    from tfs_locust.swarm.lane import Lane


class Sending:
    """A lane of a user whose requests end when, and as, the test says."""

    def __init__(self, most: int) -> None:
        self.begun: list[int] = []
        self.ended: list[tuple[int, str]] = []
        self.errors: list[tuple[Any, str]] = []
        self.rooms = 0
        self._answers: dict[int, Event] = {}
        self._raises: dict[int, BaseException] = {}
        events = SimpleNamespace(user_error=SimpleNamespace(fire=self._fire))
        self.user: Any = SimpleNamespace(environment=SimpleNamespace(events=events), send_due=self._send_due)
        self.crew = Crew()
        self.lane = Lane(self.user, self.crew, most, self._on_room)

    def send(self, *due: int) -> None:
        """As a schedule does, in the hub."""
        done = Event()
        for one in due:
            gevent.get_hub().loop.run_callback(self.lane.send, one)
        gevent.get_hub().loop.run_callback(done.set)
        with gevent.Timeout(10):
            done.wait()

    def answer(self, due: int, raises: BaseException | None = None) -> None:
        """End a request, and return when the lane knows."""
        if raises is not None:
            self._raises[due] = raises
        self._answers[due].set()
        with gevent.Timeout(10):
            while due not in [ended for ended, _ in self.ended]:
                gevent.sleep(0)
        gevent.sleep(0)

    def _send_due(self, due: int) -> None:
        self.begun.append(due)
        self._answers[due] = Event()
        how = "killed"
        try:
            self._answers[due].wait()
            how = "answered"
            if due in self._raises:
                how = "raised"
                raise self._raises[due]
        finally:
            self.ended.append((due, how))

    def _on_room(self, lane: Lane) -> None:
        assert lane is self.lane
        self.rooms += 1

    def _fire(self, *, user_instance: Any, exception: Exception, tb: Any) -> None:
        assert tb is exception.__traceback__
        self.errors.append((user_instance, str(exception)))


@pytest.fixture
def sending() -> Iterator[Callable[[int], Sending]]:
    """Makes lanes; what they have in flight ends with the test."""
    made: list[Sending] = []

    def make(most: int) -> Sending:
        made.append(Sending(most))
        return made[-1]

    yield make
    for one in made:
        one.lane.close()
        one.crew.close()
        gevent.sleep(0)


def test_room(sending: Callable[[int], Sending]) -> None:
    """As many as may be in flight; the news of room comes once, when there is some where there was none."""
    one = sending(2)
    assert (one.lane.has_room, one.lane.is_full) == (True, False)
    one.send(1, 2)
    assert (one.begun, one.lane.in_flight) == ([1, 2], 2)
    assert (one.lane.has_room, one.lane.is_full, one.rooms) == (False, True, 0)
    one.answer(2)
    assert (one.lane.has_room, one.lane.in_flight, one.rooms) == (True, 1, 1)
    one.answer(1)
    assert (one.lane.in_flight, one.rooms) == (0, 1)


def test_stopped(sending: Callable[[int], Sending]) -> None:
    """It takes nothing more in turn with others, and waits for what is in flight."""
    one = sending(5)
    one.send(1, 2)
    waiting = [gevent.spawn(one.lane.wait_for_stop)]
    gevent.sleep(0)
    assert not waiting[0].ready()
    one.lane.stop()
    waiting.append(gevent.spawn(one.lane.wait_for_answers))
    waiting[0].join(10)
    assert not one.lane.has_room
    assert not one.lane.is_full  # its own schedule may still have something due
    one.answer(1)
    assert not waiting[1].ready()
    one.answer(2)
    waiting[1].join(10)
    assert waiting[1].ready()
    assert one.ended == [(1, "answered"), (2, "answered")]


def test_nothing_in_flight(sending: Callable[[int], Sending]) -> None:
    """There is nothing to wait for, however often it was empty before."""
    one = sending(1)
    for due in (1, 2):
        one.send(due)
        one.answer(due)
    with gevent.Timeout(10):
        one.lane.wait_for_answers()


def test_closed(sending: Callable[[int], Sending]) -> None:
    """What is in flight ends there and then, and the crew goes on with others."""
    one = sending(5)
    one.send(1, 2, 3)
    one.answer(2)
    one.lane.close()
    gevent.sleep(0)
    gevent.sleep(0)
    assert sorted(one.ended) == [(1, "killed"), (2, "answered"), (3, "killed")]
    assert one.lane.in_flight == 0
    assert one.errors == []
    done: list[int] = []
    gevent.get_hub().loop.run_callback(one.crew.do, done.append, 7)
    gevent.sleep(0)
    assert done == [7]


def test_what_requests_raise(sending: Callable[[int], Sending], caplog: pytest.LogCaptureFixture) -> None:
    """Told to Locust and logged with where it was, once each; Locust's own signals are not errors; it goes on."""
    one = sending(9)
    one.send(*range(1, 5))
    with caplog.at_level(logging.ERROR):
        one.answer(1, ValueError("first"))
        one.answer(2, RescheduleTask())
        one.answer(3, InterruptTaskSet())
        one.answer(4, KeyError("fourth"))
    assert one.errors == [(one.user, "first"), (one.user, "'fourth'")]
    assert ["_send_due" in record.getMessage() for record in caplog.records] == [True, True]
    assert one.lane.in_flight == 0
    assert one.lane.has_room


def test_a_request_that_ends_its_user(sending: Callable[[int], Sending]) -> None:
    """StopUser is a stop from within: the others in flight are waited for."""
    one = sending(9)
    one.send(1, 2)
    one.answer(1, StopUser())
    with gevent.Timeout(10):
        one.lane.wait_for_stop()
    assert (one.lane.has_room, one.lane.in_flight, one.errors) == (False, 1, [])
    one.answer(2)
    assert one.ended[-1] == (2, "answered")


def test_one_that_is_killed_alone(sending: Callable[[int], Sending]) -> None:
    """As by a timeout of somebody's: its room is free again, and it is no error."""
    one = sending(1)
    one.send(1)
    (sender,) = one.lane._senders
    gevent.get_hub().loop.run_callback(sender.throw, GreenletExit)
    gevent.sleep(0)
    assert one.ended == [(1, "killed")]
    assert (one.lane.in_flight, one.rooms, one.errors) == (0, 1, [])
