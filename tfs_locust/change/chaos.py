"""Several scenarios in one run, each at its time: a line of a file for each, as

    # seconds after the warm-up, a scenario, its parameters
    10s  version_switch  folder=/models/resnet source=/staged/7
    60s  outage          command="docker stop tfs" undo="docker start tfs" for=5s

Words are put between quotes as in a shell. Lines need not be in the order of their times.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfs_locust.change import values as read
from tfs_locust.change.plan import Plan, Site
from tfs_locust.change.scenarios import KINDS, Draft, Rollback, Scenario, ScenarioError, VersionSwitch, parse_scenario

CHAOS = "chaos"
_MOST_TOLD = 20
"""Faults of a file."""


@dataclass(frozen=True, slots=True)
class _Line:
    place: str
    """For faults."""
    kind: str
    scenario: Scenario


def plan_of(kind: str, params: Mapping[str, str], site: Site) -> Plan:
    """All steps of the scenario ``kind``, as its parameters say. Raises ScenarioError with all faults."""
    if kind != CHAOS:
        if kind not in KINDS:
            raise ScenarioError([f"expected one of {', '.join([*KINDS, CHAOS])}"])
        return _planned([_Line("", kind, parse_scenario(kind, params))], site)
    problems = [f"{CHAOS} has no {name!r}; it has file" for name in params if name != "file"]
    if "file" not in params:
        problems.append(f"{CHAOS}: file is missing: give file=FILE, with a line for each action")
    if problems:
        raise ScenarioError(problems)
    file = params["file"]
    try:
        found = _read(file, read.lines(file))
    except ValueError as error:
        raise (
            error if isinstance(error, ScenarioError) else ScenarioError([f"{CHAOS} file={file!r}: {error}"])
        ) from None
    return _planned(found, site)


def _read(file: str, lines: Sequence[str]) -> list[_Line]:
    found: list[_Line] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        place = f"{file}, line {number}: "
        try:
            words = shlex.split(line, comments=True)
            if words:
                found.append(_Line(place, words[1] if len(words) > 1 else "", _scenario(words)))
        except ScenarioError as error:
            problems += [place + problem for problem in error.problems]
        except ValueError as error:  # shlex's, of quotes
            problems.append(f"{place}{str(error).lower()}")
    if not found and not problems:
        problems.append(f"{file}: has no action: expected lines of a time, a scenario and its parameters")
    if problems:
        more = [f"{file}: and {len(problems) - _MOST_TOLD} more faults"] if len(problems) > _MOST_TOLD else []
        raise ScenarioError(problems[:_MOST_TOLD] + more)
    return found


def _scenario(words: Sequence[str]) -> Scenario:
    time, kind = words[0], words[1] if len(words) > 1 else ""
    problems = []
    try:
        read.seconds(time)
    except ValueError:
        problems.append(f"{time!r} is no time: expected a line to begin with one, as 10s")
    if kind not in KINDS:
        problems.append(f"{kind!r} is no scenario: expected one of {', '.join(KINDS)}")
    params: dict[str, str] = {}
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if not equals:
            problems.append(f"{word!r}: expected NAME=VALUE, between quotes where there is a space in it")
        elif name == "at":
            problems.append("at is what the line begins with: leave it out")
        elif name in params:
            problems.append(f"{name!r} is given twice")
        params[name] = value
    if problems:
        raise ScenarioError(problems)
    return parse_scenario(kind, {"at": time, **params})


def _planned(lines: Sequence[_Line], site: Site) -> Plan:
    draft, problems = Draft(site), []
    ends_s: dict[Path | None, tuple[float, str]] = {}
    for line in sorted(lines, key=lambda one: one.scenario.at):
        folder = line.scenario.folder if isinstance(line.scenario, VersionSwitch | Rollback) else None
        until_s, other = ends_s.get(folder, (0.0, ""))
        if line.scenario.at < until_s:
            problems.append(f"{line.place}{folder} is still changed until {until_s:g} s, by {other}")
            continue
        try:
            line.scenario.add_to(draft)
        except ScenarioError as error:
            problems += [line.place + problem for problem in error.problems]
        except ValueError as error:
            problems.append(f"{line.place}{line.kind}: {error}")
        else:
            if folder is not None:
                ends_s[folder] = draft.steps[-1].at_s, line.place.rstrip(": ").rpartition(", ")[2]
    if problems:
        raise ScenarioError(list(dict.fromkeys(problems)))
    return Plan(tuple(sorted(draft.steps, key=lambda one: one.at_s)))
