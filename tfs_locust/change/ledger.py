"""What was done to a server and is not taken back yet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from tfs_locust.change.change import Change


class Ledger:
    """Each change is taken back once, at the end the newest first."""

    def __init__(self) -> None:
        self._open: list[Change] = []
        self.not_put_back: list[str] = []
        """A sentence for each that could not be taken back, with what is to be done by hand."""

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, change: Change) -> None:
        """It is about to be prepared and done, and to be taken back however far that comes."""
        self._open.append(change)

    def take_back(self, change: Change) -> None:
        """Take it back now; nothing where that was tried before. Raises ChangeError."""
        if any(one is change for one in self._open):
            self._open = [one for one in self._open if one is not change]
            try:
                change.undo()
            except Exception as error:
                self.not_put_back.append(f"could not {change.undoes}: {error}; by hand: {change.by_hand}")
                raise

    def take_all_back(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Take back what there is; ``say`` is told each. What fails is in :attr:`not_put_back`."""
        while self._open:
            change = self._open[-1]
            if change.undoes:
                say(change.undoes)
            with suppress(Exception):  # whatever it is, what is left is to be taken back, too
                self.take_back(change)
