"""One thing that is done to a server and can be taken back. What does it, and when, stands elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class ChangeError(Exception):
    """A change, or its taking back, did not come off. The text says what happened."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version that a model is to serve from now on."""

    model: str
    version: int


class Change(Protocol):
    """What all changes have. Methods block until they are done; they raise ChangeError."""

    @property
    def kind(self) -> str:
        """One word for it."""
        ...

    @property
    def does(self) -> str:
        """What :meth:`do` does, as an order: *put a copy of ...*"""
        ...

    @property
    def undoes(self) -> str:
        """The same of :meth:`undo`; empty where nothing is ever taken back."""
        ...

    @property
    def by_hand(self) -> str:
        """What somebody has to do where :meth:`undo` failed, or never came."""
        ...

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """The switches that :meth:`do` triggers, as far as that can be told."""
        ...

    @property
    def wanted_back(self) -> tuple[Wanted, ...]:
        """The same of :meth:`undo`."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long the server may take to follow."""
        ...

    def prepare(self, unwanted: Callable[[], bool], /) -> None:
        """All that takes time and the server does not notice. Comes before :meth:`do`, and is left off as soon as it
        is unwanted."""
        ...

    def do(self) -> None:
        """Change the server."""
        ...

    def undo(self) -> None:
        """Take back what was done, however far :meth:`prepare` and :meth:`do` have come."""
        ...
