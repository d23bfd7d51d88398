"""The kinds of scenarios and their parameters, from the text of options or of a file; each makes the steps of a plan.

version_switch  a new version is put beside those of a model, or another model config is sent; again and again
rollback        the newest version is taken away, and the server goes back
restart         a command, which may be taken back in the end
outage          a command, and ten seconds later the one that takes it back
command         a restart by another name, for what is neither
chaos           several of these at their times, from a file (chaos.py)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tfs_locust.change import values as read
from tfs_locust.change.command import Command
from tfs_locust.change.plan import Site, Step
from tfs_locust.change.reload import ModelConfig, Reload
from tfs_locust.change.shelf import Shelf
from tfs_locust.change.version_folder import left_over

OUTAGE = "outage"
_OUTAGE_S = 10.0


class ScenarioError(ValueError):
    """A scenario that cannot be. ``problems`` holds a sentence for each fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class Draft:
    """A plan in the making."""

    site: Site
    steps: list[Step] = field(default_factory=list)
    shelves: dict[Path, Shelf] = field(default_factory=dict)

    def shelf(self, base: Path) -> Shelf:
        """The versions in a base path as they will be. Raises ScenarioError for what an earlier run has left."""
        if base not in self.shelves:
            if left := left_over(base):
                raise ScenarioError(
                    [f"{base}: a run that was killed has not put it back, or one is under way: {one}" for one in left]
                )
            self.shelves[base] = Shelf(base)
        return self.shelves[base]

    def model(self, given: str | None) -> str:
        """The one whose versions are meant. Raises ValueError."""
        if given is None and len(self.site.models) != 1:
            asked = ", ".join(self.site.models) or "none"
            raise ValueError(f"which model is it? The run asks for {asked}: give model=NAME")
        return self.site.models[0] if given is None else given


def _parameter(parse: Callable[[str], Any], default: Any = None) -> Any:
    """A field that is read from text by ``parse``."""
    return field(default=default, metadata={"parse": parse})


@dataclass(frozen=True, slots=True)
class VersionSwitch:
    """``times`` times, ``every`` so often: a copy of ``source`` is put into ``folder``; or ``config`` is sent."""

    folder: Path | None = field(default=None, metadata={"parse": read.base_path})
    source: Path | None = field(default=None, metadata={"parse": read.version})
    model: str | None = _parameter(read.words)
    config: ModelConfig | None = field(default=None, metadata={"parse": read.model_config})
    original: ModelConfig | None = field(default=None, metadata={"parse": read.model_config})
    server: str = _parameter(read.words, "")
    at: float = _parameter(read.seconds, 5.0)
    times: int = _parameter(read.times, 1)
    every: float = _parameter(read.some_seconds, 10.0)
    timeout: float = _parameter(read.some_seconds, 10.0)
    rollback: bool = _parameter(read.yes_or_no, False)

    def faults(self) -> list[str]:
        """What does not go together."""
        if self.folder is not None and self.config is not None:
            return ["folder and config exclude each other: give one of them"]
        if self.folder is None and self.config is None:
            return [
                "folder is missing: give folder=BASE_PATH, the model's base path as this process sees it; or two model "
                "configs, config=NEW and original=OLD"
            ]
        faults = []
        if self.config is None:
            given = [name for name in ("original", "server") if getattr(self, name)]
            return [f"{name} belongs to config, which is not given" for name in given]
        if self.original is None:
            faults.append(
                "original is missing: give original=FILE, the model config that the server has: it cannot be asked for "
                "it, and is to get it back"
            )
        elif self.original.config == self.config.config:
            faults.append("config and original say the same: nothing would change")
        faults += [
            f"{name} belongs to folder, which is not given" for name in ("source", "model") if getattr(self, name)
        ]
        if self.times > 1 and not self.rollback:
            faults.append(f"times={self.times}: sent again the config changes nothing: give rollback=true as well")
        return faults

    def add_to(self, draft: Draft) -> None:
        """Raises ValueError."""
        turn_s = self.every * (2 if self.rollback else 1)
        model = "" if self.folder is None else draft.model(self.model)
        for number in range(self.times):
            at_s = self.at + number * turn_s
            if self.folder is not None:
                change: Any = draft.shelf(self.folder).add(self.source, model, self.timeout)
            else:
                server, ask = draft.site.asking(self.server, self.timeout)
                change = Reload(self.config, self.original, server, ask, self.timeout)  # type: ignore[arg-type]
            draft.steps.append(Step(at_s, change))
            if self.rollback:
                if self.folder is not None:
                    draft.shelf(self.folder).take_away(model, self.timeout)
                draft.steps.append(Step(at_s + self.every, change, back=True))


@dataclass(frozen=True, slots=True)
class Rollback:
    """The newest version of ``folder`` is taken away; put back after ``for``, or at the end."""

    folder: Path = field(metadata={"parse": read.base_path})
    model: str | None = _parameter(read.words)
    at: float = _parameter(read.seconds, 5.0)
    for_: float | None = _parameter(read.some_seconds)
    timeout: float = _parameter(read.some_seconds, 10.0)

    def faults(self) -> list[str]:
        """What does not go together."""
        return []

    def add_to(self, draft: Draft) -> None:
        """Raises ValueError."""
        shelf = draft.shelf(self.folder)
        change, back = shelf.take_away(draft.model(self.model), self.timeout)
        draft.steps.append(Step(self.at, change, back))
        if self.for_ is None:
            return
        if back:
            raise ValueError(f"for={self.for_:g}s: the newest version is then one of this run's own: leave it out")
        draft.steps.append(Step(self.at + self.for_, change, back=True))
        shelf.put_back()


@dataclass(frozen=True, slots=True)
class Commanded:
    """``command``, and where there is an ``undo``, that after ``for``, or at the end."""

    kind: str
    command: str = field(metadata={"parse": read.words})
    undo: str = _parameter(read.words, "")
    at: float = _parameter(read.seconds, 5.0)
    for_: float | None = _parameter(read.some_seconds)
    timeout: float = _parameter(read.some_seconds, 30.0)
    times: int = _parameter(read.times, 1)
    every: float = _parameter(read.some_seconds, 30.0)

    @property
    def lasts_s(self) -> float | None:
        """From the command to its undo; None: until the end."""
        if self.for_ is None and self.undo and self.kind == OUTAGE:
            return _OUTAGE_S
        return self.for_

    def faults(self) -> list[str]:
        """What does not go together."""
        if self.for_ is not None and not self.undo:
            return ["for is given, and no undo that could be run after it: give undo=COMMAND"]
        if self.times > 1 and self.undo and self.lasts_s is None:
            return [f"times={self.times}: give for=TIME as well, after which undo is run each time"]
        if self.times > 1 and self.lasts_s is not None and self.lasts_s >= self.every:
            return [f"every={self.every:g}s: expected more than the {self.lasts_s:g} s until undo is run"]
        return []

    def add_to(self, draft: Draft) -> None:
        """Its steps."""
        for number in range(self.times):
            change, at_s = Command(self.kind, self.command, self.undo, self.timeout), self.at + number * self.every
            draft.steps.append(Step(at_s, change))
            if self.undo and self.lasts_s is not None:
                draft.steps.append(Step(at_s + self.lasts_s, change, back=True))


Scenario: TypeAlias = VersionSwitch | Rollback | Commanded

KINDS: dict[str, type[Scenario]] = {
    "version_switch": VersionSwitch,
    "rollback": Rollback,
    "restart": Commanded,
    OUTAGE: Commanded,
    "command": Commanded,
}


def parameters(kind: str) -> list[str]:
    """The names of what a kind takes."""
    return [one.name.rstrip("_") for one in dataclasses.fields(KINDS[kind]) if one.metadata]


def parse_scenario(kind: str, params: Mapping[str, str]) -> Scenario:
    """The scenario of a kind, with the defaults for what ``params`` leave out. Raises ScenarioError with all faults."""
    known = parameters(kind)
    problems = [f"{kind} has no {name!r}; it has {', '.join(known)}" for name in params if name not in known]
    values: dict[str, Any] = {}
    for one in dataclasses.fields(KINDS[kind]):
        name = one.name.rstrip("_")
        if not one.metadata:
            values[one.name] = kind
        elif name in params:
            try:
                values[one.name] = one.metadata["parse"](params[name].strip())
            except ValueError as error:
                problems.append(f"{kind} {name}={params[name]!r}: {error}")
        elif one.default is dataclasses.MISSING:
            problems.append(f"{kind}: {name} is missing: give {name}={name.upper()}")
    if problems:
        raise ScenarioError(problems)
    scenario = KINDS[kind](**values)
    if faults := scenario.faults():
        raise ScenarioError([f"{kind}: {fault}" for fault in faults])
    return scenario
