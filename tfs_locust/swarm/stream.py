"""A stripe of a schedule on this process's clock: what is due is dealt out when it is due."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tfs_locust.load.schedule import Stripe
from tfs_locust.load.trace import TraceError

Take = Callable[[int], None]
"""Takes an arrival, by when it was due."""


class Stream:
    """A stripe whose arrivals are dealt out when they are due."""

    def __init__(
        self,
        stripe: Stripe,
        zero_ns: int,
        ahead_ns: int,
        deal: Take,
        give_up: Take,
        on_fault: Callable[[str], None],
    ) -> None:
        """``ahead_ns``: how far the stripe is worked out before its arrivals are due. ``give_up`` takes those that are
        not dealt out any more. ``on_fault`` is told why it ended by itself: the file of a trace is not what it was."""
        self.stripe = stripe
        self.zero_ns = zero_ns
        self._ahead_ns = ahead_ns
        self._deal = deal
        self._give_up = give_up
        self._on_fault = on_fault
        self._due_ns: deque[int] = deque()
        self._over = False

    def come(self, now_ns: int) -> int | None:
        """Deal out the next arrival if it is due; when there is something to do again."""
        if self._due_ns and self._due_ns[0] <= now_ns:
            self._deal(self._due_ns.popleft())
        if self._due_ns:
            return self._due_ns[0]
        if self._over:
            return None
        # step by step where it is behind: all of hours, or of a rate that nobody can send, would be too much at once
        reached_ns = self.zero_ns + self.stripe.taken_ns
        until_ns = min(max(self.zero_ns, now_ns), reached_ns + self._ahead_ns) + self._ahead_ns
        self._work_out(until_ns)
        return self._due_ns[0] if self._due_ns else until_ns

    def end(self, at_ns: int) -> None:
        """Nothing is due from this time on. The first call decides."""
        if self._over:
            return
        self._work_out(at_ns)
        self._over = True
        while self._due_ns and self._due_ns[-1] >= at_ns:
            self._due_ns.pop()

    @property
    def is_done(self) -> bool:
        """Ended, and all was dealt out."""
        return self._over and not self._due_ns

    def give_up(self) -> None:
        """Deal out nothing more of what is due."""
        while self._due_ns:
            self._give_up(self._due_ns.popleft())

    def _work_out(self, until_ns: int) -> None:
        try:
            due = self.stripe.take(until_ns - self.zero_ns)
        except TraceError as error:
            self._over = True
            self._on_fault(str(error))
        else:
            self._due_ns.extend((due.due_ns + self.zero_ns).tolist())
