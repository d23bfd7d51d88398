"""An outage of the whole server, begun from outside: for some time every call is refused, over gRPC and REST alike.

It stands for a server that is not there: a refused call never reaches the models, and no metric counts it, as none of
the real server's counts what ends before it. What was begun before the outage is answered in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

REFUSAL = "Simulated outage"


class Outage:
    """Whether calls are refused just now. Belongs to the thread of the event loop."""

    def __init__(self, length_s: float, say: Callable[[str], None]) -> None:
        """``say`` is told when one began and when it ended, in Unix time."""
        self.is_on = False
        self._length_s = length_s
        self._say = say

    def begin(self) -> None:
        """From now on calls are refused. Within an outage it does nothing."""
        if self.is_on:
            return
        self.is_on = True
        began_s = time.time()
        asyncio.get_running_loop().call_later(self._length_s, self._end)
        self._say(f"outage: began {began_s:.6f}")

    def _end(self) -> None:
        self.is_on = False
        self._say(f"outage: ended {time.time():.6f}")
