"""Where workers' reports wait until the master has time for them, behind everything else that it has to do.

A report takes a millisecond or more. Locust's master reads messages for as long as there are any, without a turn for
anybody else (2.47): were reports taken in as they are read, a thousand workers would keep heartbeats, probes and the
end of the run waiting for seconds. What they tell is absolute, so nothing is lost by taking them in later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import gevent

from tfs_locust.swarm.turn import Turns

_AT_ONCE_S = 0.005


class Intake:
    """Hands reports on, in the order in which they came."""

    def __init__(self, take: Callable[[dict[str, Any]], None]) -> None:
        self._take = take
        self._waiting: deque[dict[str, Any]] = deque()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def put(self, report: dict[str, Any]) -> None:
        """Hand it on soon."""
        self._waiting.append(report)
        if self._greenlet is None or self._greenlet.ready():
            self._greenlet = gevent.spawn(self._hand_on)

    def finish(self) -> None:
        """Hand on at once all that have come."""
        while self._waiting:
            self._take(self._waiting.popleft())

    def _hand_on(self) -> None:
        turns = Turns(_AT_ONCE_S)
        while self._waiting:
            self._take(self._waiting.popleft())
            turns.give_if_due()
