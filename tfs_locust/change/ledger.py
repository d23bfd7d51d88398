"""What was done to a server and is not taken back yet."""

from __future__ import annotations

from collections.abc import Callable

from tfs_locust.change.change import Change, ChangeError


class Ledger:
    """Each change is taken back once, at the end the newest first."""

    def __init__(self) -> None:
        self._open: list[Change] = []

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, change: Change) -> None:
        """It is about to be prepared and done, and to be taken back however far that comes."""
        self._open.append(change)

    def take_back(self, change: Change) -> None:
        """Take it back now; nothing where that was done before. Raises ChangeError."""
        if any(one is change for one in self._open):
            self._open = [one for one in self._open if one is not change]
            change.undo()

    def take_all_back(self, say: Callable[[str], None] = lambda _: None) -> list[str]:
        """Take back what there is; ``say`` is told each. Returns a sentence for each that did not come off, with what
        is to be done by hand."""
        problems = []
        while self._open:
            change = self._open.pop()
            if not change.undoes:
                continue
            say(change.undoes)
            try:
                change.undo()
            except ChangeError as error:
                problems.append(f"could not {change.undoes}: {error}; by hand: {change.by_hand}")
        return problems
