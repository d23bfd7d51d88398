"""Makes the run of a version behave as planted: slower, cold at first, failing now and then.

What is slow holds its thread and its batch as a slow model does. A failing answer is one of the version's: the server
counts it under its status, as any that the model fails.
"""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction

from tfs_locust.embedded.planted import Cold, Delay, Errors
from tfs_locust.embedded.servable import Run
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import Array


def slowed(run: Run, delay: Delay, cold: Cold) -> Run:
    """``run`` as a slower model would do it: it cannot be interrupted, and is late for its timeout when it ends."""
    if delay == Delay() and not cold.executions:
        return run
    executions = itertools.count()  # safe among threads

    def slow(feeds: Mapping[str, Array], fetches: Sequence[str], timeout_s: float | None) -> list[Array]:
        first = next(iter(feeds.values()), None)
        rows = 1 if first is None or first.ndim == 0 else len(first)
        is_cold = next(executions) < cold.executions
        left_s = _sleep(delay.base_s + delay.per_row_s * rows, timeout_s)
        outputs = run(feeds, fetches, left_s)
        if is_cold:  # after the run, whose own first times are slow too: they are among those that are planted then
            _sleep(cold.extra_s, left_s)
        return outputs

    return slow


def _sleep(seconds: float, timeout_s: float | None) -> float | None:
    """Sleep, and say how much of the time is left. Raises ServingError where it was not enough."""
    time.sleep(seconds)
    if timeout_s is None:
        return None
    if timeout_s <= seconds:
        raise ServingError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
    return timeout_s - seconds


def failing(run: Run, errors: Errors, seed: str) -> Run:
    """``run``, of whose calls an exact share fails at once; which do is the same for the same seed."""
    lot = Lot(errors.share, seed)
    text = f"Simulated error ({float(errors.share):.4g} of all answers of this version)"

    def fail_or_run(feeds: Mapping[str, Array], fetches: Sequence[str], timeout_s: float | None) -> list[Array]:
        if lot.draw():
            raise ServingError(errors.code, text)
        return run(feeds, fetches, timeout_s)

    return fail_or_run


class Lot:
    """Draws a share of all that come: after n draws within one of ``n * share``, at moments nobody can foretell.

    One of each ``1 / share`` draws in a row is drawn, at random among them. Thread-safe.
    """

    def __init__(self, share: Fraction, seed: str) -> None:
        self._share = share
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._asked = 0
        self._drawn = 0
        self._next = self._place(0)

    def draw(self) -> bool:
        """Whether this one is drawn."""
        with self._lock:
            at, self._asked = self._asked, self._asked + 1
            if at < self._next:
                return False
            self._drawn += 1
            self._next = max(self._place(self._drawn), at + 1)
            return True

    def _place(self, number: int) -> int:
        return math.floor((number + Fraction(self._random.random())) / self._share)
