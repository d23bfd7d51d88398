"""A turn of the event loop, given by whoever has milliseconds of work to all who wait meanwhile."""

from __future__ import annotations

import time

import gevent


def give_way() -> None:
    """Let the event loop do all else that is due.

    By a timer: after ``gevent.sleep(0)`` the loop goes on here for milliseconds before it looks at sockets and timers.
    """
    gevent.sleep(0.0001)


class Turns:
    """Turns for all others in the middle of a long piece of work. It is given no more often than it needs to be: a turn
    takes a millisecond itself."""

    def __init__(self, at_once_s: float) -> None:
        """``at_once_s`` is for how long others may wait."""
        self._at_once_s = at_once_s
        self._began_s = time.perf_counter()

    def give_if_due(self) -> None:
        """To be called between the parts of the work."""
        if time.perf_counter() - self._began_s > self._at_once_s:
            give_way()
            self._began_s = time.perf_counter()
