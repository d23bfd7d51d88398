"""Versions of a model in its base path: one more is put there, or one is taken away, in a single rename.

The server lists the base path about once a second, takes every name that is a number for a version and loads it at
once; there is no sign by which it could tell that a copy is not whole yet
(tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc). So what is not to be seen has a name that
is no number, in the same folder, for a rename is atomic within a file system only. These names also tell whoever comes
next what a run that was killed has left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfs_locust.change.change import ChangeError, Wanted
from tfs_locust.change.process import run

_PREFIX = ".tfs_locust-"
_COPY, _ADDED, _REMOVED, _GOING = (f"{_PREFIX}{what}-" for what in ("copy", "added", "removed", "going"))
_LEFT = {
    _COPY: "delete {file}, a copy that was not needed",
    _ADDED: "delete {version}, which that run has put there, and then {file}",
    _REMOVED: "rename {file} to {version}",
    _GOING: "delete {file}",
}
HIGHEST = (1 << 63) - 1


def versions_in(base: Path) -> dict[int, Path]:
    """Path by version, rising. Raises OSError."""
    found = {int(one.name): one for one in sorted(base.iterdir()) if re.fullmatch("[0-9]{1,19}", one.name)}
    return {number: found[number] for number in sorted(found) if number <= HIGHEST}


def left_over(base: Path) -> list[str]:
    """What a run that was killed has left in a base path: a sentence for each, with what is to be done."""
    return [
        told.format(file=file, version=base / file.name.removeprefix(name))
        for file in sorted(base.glob(f"{_PREFIX}*"))
        for name, told in _LEFT.items()
        if file.name.startswith(name)
    ]


@dataclass(frozen=True, slots=True)
class AddedVersion:
    """A copy of a version's folder becomes a new version."""

    model: str
    base: Path
    number: int
    source: Path
    before: int
    """The newest version until then."""
    timeout_s: float

    @property
    def kind(self) -> str:
        return "add"

    @property
    def does(self) -> str:
        return f"put a copy of {self.source} into {self.base} as version {self.number}"

    @property
    def undoes(self) -> str:
        return f"take version {self.number} out of {self.base}"

    @property
    def by_hand(self) -> str:
        return f"delete {self._path}, if it is there, and then all that is named {self.base}/{_PREFIX}*-{self.number}"

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return (Wanted(self.model, self.number),)

    @property
    def wanted_back(self) -> tuple[Wanted, ...]:
        return (Wanted(self.model, self.before),)

    @property
    def _path(self) -> Path:
        return self.base / str(self.number)

    def _aside(self, prefix: str) -> Path:
        return self.base / f"{prefix}{self.number}"

    def prepare(self, unwanted: Callable[[], bool]) -> None:
        """Copy it, what links point to as well, under a name that the server passes over."""
        copy = self._aside(_COPY)
        if copy.exists():
            raise ChangeError(f"{copy} is there already: another run changes this folder, too")
        run(["cp", "-RLp", "--", str(self.source), str(copy)], unwanted=unwanted)
        run(["chmod", "-R", "u+w", "--", str(copy)])  # what cannot be written to cannot be deleted later

    def do(self) -> None:
        with _told():
            if self._path.exists():
                raise ChangeError(f"{self._path} is there already: somebody else has put it there")
            self._aside(_ADDED).touch()
            self._aside(_COPY).rename(self._path)

    def undo(self) -> None:
        with _told():
            going = self._aside(_GOING)
            if self._aside(_ADDED).exists() and self._path.exists():
                self._path.rename(going)
            for one in (self._aside(_COPY), going):
                if one.exists():
                    run(["rm", "-rf", "--", str(one)])
            self._aside(_ADDED).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class RemovedVersion:
    """A version is taken away, and the server goes back to the newest that is left."""

    model: str
    path: Path
    left: int
    """The newest that is left."""
    timeout_s: float

    @property
    def kind(self) -> str:
        return "remove"

    @property
    def does(self) -> str:
        return f"take version {self.path.name} out of {self.path.parent}"

    @property
    def undoes(self) -> str:
        return f"put version {self.path.name} back into {self.path.parent}"

    @property
    def by_hand(self) -> str:
        return f"rename {self._aside} to {self.path}"

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return (Wanted(self.model, self.left),)

    @property
    def wanted_back(self) -> tuple[Wanted, ...]:
        return (Wanted(self.model, int(self.path.name)),)

    @property
    def _aside(self) -> Path:
        return self.path.with_name(_REMOVED + self.path.name)

    def prepare(self, _: Callable[[], bool]) -> None:
        """Nothing."""

    def do(self) -> None:
        with _told():
            self.path.rename(self._aside)

    def undo(self) -> None:
        with _told():
            if self._aside.exists():
                if self.path.exists():
                    raise ChangeError(f"{self.path} is there: somebody else has put it there")
                self._aside.rename(self.path)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ChangeError(f"{error.filename}: {error.strerror}") from error
