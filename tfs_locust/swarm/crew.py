"""Greenlets that wait for something to do, so that to send a request on time takes no new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent
from greenlet import greenlet

Job = Callable[[int], None]


class Crew:
    """As many greenlets as there are jobs under way at a time. Jobs must not raise, but for being killed."""

    def __init__(self) -> None:
        self._hub: Any = get_hub()
        self._idle: list[Any] = []

    def do(self, job: Job, due_ns: int) -> None:
        """Begin ``job(due_ns)`` at once, and come back when it first waits. In the hub."""
        if self._idle:
            self._idle.pop().switch((job, due_ns))
        else:
            greenlet(self._work, self._hub).switch((job, due_ns))

    def close(self) -> None:
        """Let those who are idle go."""
        for one in self._idle:
            self._hub.loop.run_callback(one.switch, None)
        self._idle.clear()

    def _work(self, given: tuple[Job, int] | None) -> None:
        me = getcurrent()
        while given is not None:
            job, due_ns = given
            job(due_ns)
            self._idle.append(me)
            given = self._hub.switch()
