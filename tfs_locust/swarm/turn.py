"""A turn of the event loop, given by whoever has milliseconds of work to all who wait meanwhile."""

from __future__ import annotations

import gevent


def give_way() -> None:
    """Let the event loop do all else that is due.

    By a timer: after ``gevent.sleep(0)`` the loop goes on here for milliseconds before it looks at sockets and timers.
    """
    gevent.sleep(0.0001)
