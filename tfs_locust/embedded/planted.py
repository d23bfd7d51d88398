"""What is planted in the models: the flags ``--simulate_*``, read and looked up by version.

Each flag is a list with commas of ``MODEL=...`` or ``MODEL/VERSION=...``; what is said of a version goes before what is
said of its model. How a version is made to behave so stands in simulated.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from tfs_locust.embedded.flags import Flags
from tfs_locust.embedded.status import Code

Value = TypeVar("Value")
Default = TypeVar("Default")
ByName = Mapping[str, Value]
"""``MODEL`` or ``MODEL/VERSION`` -> what is planted there."""

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_DELAY = re.compile(rf"({_NUMBER})(?:\+({_NUMBER}))?")
_COLD = re.compile(rf"({_NUMBER})x(\d+)")
_ERRORS = re.compile(rf"({_NUMBER})(%?)(?::([A-Z_]+))?")


@dataclass(frozen=True, slots=True)
class Delay:
    """Time added to each execution, in seconds."""

    base_s: float = 0.0
    per_row_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Cold:
    """Time added to each of the first executions after a load, in seconds."""

    extra_s: float = 0.0
    executions: int = 0


@dataclass(frozen=True, slots=True)
class Errors:
    """A share of a version's answers that fail, and the status they fail with."""

    share: Fraction
    """Above 0, at most 1."""
    code: Code


@dataclass(frozen=True, slots=True)
class Planted:
    """All that the flags plant in models and versions."""

    delays: ByName[Delay]
    loads_s: ByName[float]
    """How long a load takes, at least."""
    colds: ByName[Cold]
    errors: ByName[Errors]
    seed: int


def planted_at(what: ByName[Value], model: str, version: int, otherwise: Default) -> Value | Default:
    """What is planted in a version, or in all of its model, or ``otherwise``."""
    return what.get(f"{model}/{version}", what.get(model, otherwise))


def read_planted(flags: Flags) -> tuple[Planted, list[str]]:
    """What the flags plant, and what is wrong with them."""
    problems: list[str] = []

    def read(flag: str, form: str, value: Callable[[str], Value | None]) -> dict[str, Value]:
        found = {}
        for item in filter(None, getattr(flags, flag).split(",")):
            name, _, text = item.partition("=")
            planted = value(text) if name else None
            if planted is None:
                problems.append(f"--{flag}: {item!r} is not MODEL={form} or MODEL/VERSION={form}")
            else:
                found[name] = planted
        return found

    planted = Planted(
        delays=read("simulate_delay_ms", "MS[+MS_PER_ROW]", _delay),
        loads_s=read("simulate_load_ms", "MS", _seconds),
        colds=read("simulate_cold_ms", "MSxEXECUTIONS", _cold),
        errors=read("simulate_errors", "SHARE[:STATUS]", _errors),
        seed=flags.simulate_seed,
    )
    if flags.simulate_outage_ms < 0:
        problems.append(f"--simulate_outage_ms: must not be negative; was {flags.simulate_outage_ms}")
    return planted, problems


def _seconds(text: str) -> float | None:
    return float(text) / 1e3 if re.fullmatch(_NUMBER, text) else None


def _delay(text: str) -> Delay | None:
    match = _DELAY.fullmatch(text)
    return None if match is None else Delay(float(match[1]) / 1e3, float(match[2] or 0) / 1e3)


def _cold(text: str) -> Cold | None:
    match = _COLD.fullmatch(text)
    return None if match is None else Cold(float(match[1]) / 1e3, int(match[2]))


def _errors(text: str) -> Errors | None:
    match = _ERRORS.fullmatch(text)
    code = None if match is None else Code.__members__.get(match[3] or Code.INTERNAL.name)
    if match is None or code is None or code is Code.OK:
        return None
    share = Fraction(match[1]) / (100 if match[2] else 1)
    return Errors(share, code) if 0 < share <= 1 else None
