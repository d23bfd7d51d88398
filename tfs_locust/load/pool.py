"""The payloads of one source that are held, ready to be sent, while the source itself may be larger than memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from tfs_locust.load.corpus import CorpusError, Payload
from tfs_locust.load.sources import Source

Ready = TypeVar("Ready")

MOST_BYTES = 64 << 20
_OVERHEAD = 500  # bytes of Python objects for each payload, about


class Pool(Generic[Ready]):
    """Holds at most ``most`` payloads, and takes no more when they fill ``most_bytes`` bytes; at least one.

    A source that fits is held whole and cycled in order, and so is what was taken of one that is made without end. Of a
    larger one the pool is a window: :meth:`refill`, called beside the sending, puts the source's next payloads in the
    place of those that were sent. Where refilling is too slow the payloads that are held are sent again, rather than
    wait: see ``laps``. Not for several threads at once.
    """

    def __init__(
        self,
        source: Source,
        prepare: Callable[[Payload], Ready],
        *,
        most: int | None = None,
        most_bytes: int = MOST_BYTES,
        least: int = 1,
    ) -> None:
        """``prepare`` makes of a payload what is handed out. A source shorter than ``least`` payloads is read again
        until there are so many: for requests of different sizes, so that each size is there in its share."""

        self.laps = 0
        """Times that all that is held had been sent when no more had come: with a whole source, ordinary turns."""
        self.whole = False
        """There is nothing to refill with."""
        self.held_bytes = 0
        """Bytes of the bodies that are held, and of what Python needs to hold them."""
        self.source = source
        self._prepare = prepare
        self._most, self._most_bytes, self._least = most, most_bytes, least
        self._pass = source.passes()
        self._empty_pass = True
        self._fresh: deque[tuple[Ready, int]] = deque()
        self._sent: deque[tuple[Ready, int]] = deque()

    def __len__(self) -> int:
        return len(self._fresh) + len(self._sent)

    def __iter__(self) -> Iterator[Ready]:
        return self

    @property
    def held(self) -> tuple[Ready, ...]:
        """What is held now, the next first."""
        return tuple(ready for ready, _ in (*self._fresh, *self._sent))

    def endless(self) -> Iterator[Ready]:
        """The same as this pool, but where it is whole, and so has nothing to keep books of, without its cost."""
        return itertools.cycle(self.held) if self.whole else self

    def __next__(self) -> Ready:
        """The next payload, at once. The pool must have been filled."""
        if not self._fresh:
            self._fresh, self._sent = self._sent, self._fresh
            self.laps += 1
        held = self._fresh.popleft()
        self._sent.append(held)
        return held[0]

    def fill(self, pause: Callable[[], None] = lambda: None) -> None:
        """Take payloads until the pool is full or the source at its end, before any is sent.

        ``pause`` is called after each: encoding many takes seconds, in which others must have their turn. Raises
        CorpusError for a payload that cannot be sent, and for a source with none.
        """
        while not self.whole and not self._is_full():
            payload = next(self._pass, None)
            if payload is not None:
                self._hold(payload)
            elif len(self) >= self._least or (self and self._empty_pass):
                self.whole = True
            else:
                self._start_pass()
            pause()
        self.whole = self.whole or self.source.made

    def refill(self, most: int = 1) -> int:
        """Replace up to ``most`` payloads that were sent by the next of the source; returns how many came.

        0: there is nothing to do now. Raises CorpusError for a payload that cannot be sent.
        """
        came = 0
        while came < most and self._sent and not self.whole:
            payload = next(self._pass, None)
            if payload is None:
                self._start_pass()
                continue
            self._hold(payload)
            while self._sent and self._is_over():
                self.held_bytes -= self._sent.popleft()[1]
            came += 1
        return came

    def turn(self, count: int) -> None:
        """Put the first ``count`` payloads last, so that workers do not all begin with the same."""
        self._fresh.rotate(-(count % max(1, len(self._fresh))))

    def _hold(self, payload: Payload) -> None:
        size = len(payload.body) + len(payload.against) + _OVERHEAD
        self._fresh.append((self._prepare(payload), size))
        self.held_bytes += size
        self._empty_pass = False

    def _start_pass(self) -> None:
        if self._empty_pass:
            raise CorpusError(
                f"{self.source.describe()}: has no more payloads: it can be read once only, and was, maybe by "
                "an earlier run; give one that can be read again, such as a list"
            )
        self._pass, self._empty_pass = self.source.passes(), True

    def _is_full(self) -> bool:
        return bool(self) and (len(self) == self._most or self.held_bytes >= self._most_bytes)

    def _is_over(self) -> bool:
        return (self._most is not None and len(self) > self._most) or self.held_bytes > self._most_bytes
