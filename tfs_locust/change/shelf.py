"""The versions in a base path as they will be when all that is planned so far has been done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfs_locust.change.change import Change
from tfs_locust.change.version_folder import HIGHEST, AddedVersion, RemovedVersion, versions_in


@dataclass(frozen=True, slots=True)
class _Version:
    number: int
    path: Path
    added: AddedVersion | None


class Shelf:
    """Of one base path, while a plan is made. Raises ValueError where something cannot be planned."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._versions = [_Version(number, path, None) for number, path in versions_in(base).items()]
        self._gone: list[_Version] = []
        self._highest = self._versions[-1].number
        self._newest = self._versions[-1].path

    def add(self, source: Path | None, model: str, timeout_s: float) -> AddedVersion:
        """A new newest version, from ``source`` or from what is the newest now.

        It has the source's number where that is above all others, else the next one. A number is not used twice, so
        that each switch of a run can be told from the others.
        """
        own = source.name if source is not None else ""
        number = int(own) if own.isascii() and own.isdigit() and int(own) > self._highest else self._highest + 1
        if number > HIGHEST:
            raise ValueError(f"{self.base} has a version {self._highest}, and no number is left above it")
        change = AddedVersion(model, self.base, number, source or self._newest, self._versions[-1].number, timeout_s)
        self._versions.append(_Version(number, self.base / str(number), change))
        self._highest = number
        return change

    def take_away(self, model: str, timeout_s: float) -> tuple[Change, bool]:
        """The newest version goes: a change, and whether it is to be taken back instead of made."""
        if len(self._versions) < 2:
            raise ValueError(f"{self.base} would be left without a version: it needs two")
        gone = self._versions.pop()
        self._gone.append(gone)
        if gone.added is not None:
            return gone.added, True
        return RemovedVersion(model, gone.path, self._versions[-1].number, timeout_s), False

    def put_back(self) -> None:
        """What was taken away last is there again."""
        self._versions.append(self._gone.pop())
