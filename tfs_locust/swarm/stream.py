"""A stripe of a schedule on this process's clock: what is due is dealt out when it is due."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tfs_locust.load.schedule import Stripe


class Stream:
    """A stripe whose arrivals are dealt out when they are due."""

    def __init__(self, stripe: Stripe, zero_ns: int, ahead_ns: int, deal: Callable[[int], None]) -> None:
        self.stripe = stripe
        self.zero_ns = zero_ns
        self._ahead_ns = ahead_ns
        self._deal = deal
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
        until_ns = max(self.zero_ns, now_ns) + self._ahead_ns
        self._work_out(until_ns)
        return self._due_ns[0] if self._due_ns else until_ns

    def end(self, at_ns: int) -> None:
        """Nothing is due from this time on."""
        self._work_out(at_ns)
        self._over = True
        while self._due_ns and self._due_ns[-1] >= at_ns:
            self._due_ns.pop()

    @property
    def is_done(self) -> bool:
        """Ended, and all was dealt out."""
        return self._over and not self._due_ns

    def rest(self) -> list[int]:
        """What is still to be dealt out, given up."""
        rest = list(self._due_ns)
        self._due_ns.clear()
        return rest

    def _work_out(self, until_ns: int) -> None:
        self._due_ns.extend((self.stripe.take(until_ns - self.zero_ns).due_ns + self.zero_ns).tolist())
