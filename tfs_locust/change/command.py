"""A change that is a shell command, and another one that takes it back: restarts, outages, rollouts, anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tfs_locust.change.change import Wanted
from tfs_locust.change.process import run


@dataclass(frozen=True, slots=True)
class Command:
    """``command`` for ``sh -c``, and ``back`` to take it back; empty: there is nothing to take back."""

    kind: str
    command: str
    back: str
    timeout_s: float
    """Of each of the two."""

    @property
    def does(self) -> str:
        return f"run {self.command!r}"

    @property
    def undoes(self) -> str:
        return f"run {self.back!r}" if self.back else ""

    @property
    def by_hand(self) -> str:
        return self.undoes

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return ()

    @property
    def wanted_back(self) -> tuple[Wanted, ...]:
        return ()

    def prepare(self, _: Callable[[], bool]) -> None:
        """Nothing."""

    def do(self) -> None:
        run(["sh", "-c", self.command], self.timeout_s)

    def undo(self) -> None:
        """Also where the command failed: nobody knows how far it came."""
        if self.back:
            run(["sh", "-c", self.back], self.timeout_s)
