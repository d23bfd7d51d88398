"""Values of profiles in text: times, levels, and levels over time from a file. All raise ValueError."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LONGEST_S = 30 * 86_400.0
HIGHEST = 1e9

_TIME = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d+(?:\.\d*)?|\.\d+)s?)?")


def seconds(text: str) -> float:
    """Seconds in ``90``, ``90s``, ``5m``, ``1h`` or ``1h30m``; 0 is one."""
    match = _TIME.fullmatch(text) if text else None
    if match is None:
        raise ValueError("expected a time, as 90, 90s, 5m, 1h or 1h30m")
    found = int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + float(match[3] or 0)
    if found > LONGEST_S:
        raise ValueError(f"expected {LONGEST_S / 86_400:.0f} days at most")
    return found


def level(text: str) -> float:
    """A number from zero up."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= HIGHEST:
        raise ValueError(f"expected a number from 0 to {HIGHEST:.0f}")
    return found


def levels(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    try:
        return tuple(level(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{error}, or several as 10,20,50") from None


def change(text: str) -> float:
    """A level, or one less than nothing."""
    return -level(text[1:]) if text.startswith("-") else level(text)


def count(text: str) -> int:
    """Of steps."""
    if not re.fullmatch(r"\d{1,4}", text) or not int(text):
        raise ValueError("expected a whole number from 1 to 9999")
    return int(text)


def spawn_rate(text: str) -> float:
    """Users per second."""
    rate = level(text)
    if not rate:
        raise ValueError("expected users per second, above zero")
    return rate


def one_of(*choices: str) -> Callable[[str], str]:
    """A reader of one of these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected {' or '.join(choices)}")
        return text

    return parse


@dataclass(frozen=True, slots=True)
class Recording:
    """Levels over time, as a file has them."""

    file: str
    points: tuple[tuple[float, float], ...]
    """Seconds, ascending from 0, and levels."""


def recording(file: str) -> Recording:
    """What is in ``file``: lines of time and level. Tells the first few lines that are at fault."""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start}: is not plain text") from None
    points: list[tuple[float, float]] = []
    faults: list[str] = []
    header = True
    for number, line in enumerate(lines, 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        cells = [cell.strip(' \t"') for cell in content.split(",")]
        try:
            point = seconds(cells[0]), level(cells[1] if len(cells) > 1 else "")
        except ValueError:
            if not (header and content[0].isalpha()):
                faults.append(f"line {number}: {content[:40]!r} is no time and level, as 90,50")
        else:
            if points and point[0] < points[-1][0]:
                faults.append(f"line {number}: {cells[0]} is earlier than the time before it")
            points.append(point)
        header = False
    if not faults and (len(points) < 2 or points[0][0] or not points[-1][0]):
        faults.append("expected lines of time and level, the first at 0 and the last at the end")
    if faults:
        raise ValueError("; ".join(faults[:5]) + ("; and more" if len(faults) > 5 else ""))
    return Recording(file, tuple(points))
