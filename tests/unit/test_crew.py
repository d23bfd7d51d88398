"""A crew begins each job at once, with as few greenlets as there are jobs under way."""

from __future__ import annotations

from typing import Any

import gevent
from gevent import getcurrent
from gevent.event import Event
from greenlet import GreenletExit

from tfs_locust.swarm.crew import Crew


def _in_hub(*calls: Any) -> None:
    """Make the calls in the hub, one after the other, and return when they were made."""
    done = Event()
    for call in calls:
        gevent.get_hub().loop.run_callback(call)
    gevent.get_hub().loop.run_callback(done.set)
    with gevent.Timeout(10):
        done.wait()


def test_greenlets_are_used_again() -> None:
    """Each job begins when it is given, and goes on beside the others; only those under way need a greenlet."""
    crew, doors, begun, ended, who = Crew(), [Event() for _ in range(6)], [], [], []

    def job(number: int) -> None:
        begun.append(number)
        who.append(getcurrent())
        doors[number].wait()
        ended.append(number)

    _in_hub(*(lambda number=number: crew.do(job, number) for number in range(3)), lambda: begun.append(-1))
    assert (begun, ended) == ([0, 1, 2, -1], [])
    for number in (1, 0):
        doors[number].set()
    gevent.sleep(0)
    assert sorted(ended) == [0, 1]
    _in_hub(*(lambda number=number: crew.do(job, number) for number in range(3, 6)))
    assert len(set(who)) == 4  # of six jobs four were under way at a time
    for door in doors:
        door.set()
    gevent.sleep(0)
    assert sorted(ended) == list(range(6))
    assert len(crew._idle) == 4
    crew.close()
    gevent.sleep(0)
    gevent.sleep(0)
    assert all(one.dead for one in who)


def test_jobs_that_never_wait() -> None:
    """A thousand of them take one greenlet."""
    crew, done = Crew(), []
    _in_hub(*(lambda number=number: crew.do(done.append, number) for number in range(1000)))
    assert done == list(range(1000))
    assert len(crew._idle) == 1
    crew.close()


def test_killed_job() -> None:
    """Its greenlet is gone; the next job has another."""
    crew, who, done = Crew(), [], []

    def wait(_: int) -> None:
        who.append(getcurrent())
        Event().wait()

    _in_hub(lambda: crew.do(wait, 1))
    _in_hub(lambda: who[0].throw(GreenletExit))
    assert who[0].dead
    _in_hub(lambda: crew.do(done.append, 2))
    assert done == [2]
    crew.close()
