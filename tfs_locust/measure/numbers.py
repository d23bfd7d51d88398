"""Numbers in sentences for people: three digits, with their units."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LISTED = 12
"""Numbers of a list that are shown; of more the last is shown behind dots."""


def number(value: float) -> str:
    """Three digits, with commas between thousands."""
    return f"{float(f'{value:.3g}'):,.10g}"


def percent(share: float) -> str:
    """A share of 1."""
    return f"{number(share * 100)} %"


def near_one(share: float) -> str:
    """A share near to 1, with the digits that make it differ: ``99.9987 %``. Only all of them are 100 %."""
    short = f"{share * 100:.6g}"
    return f"{short if short != '100' or share == 1 else f'{share * 100:.12g}'} %"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{number(seconds * 1e3)} ms"


def listed(numbers: Sequence[int], word: str = "or") -> str:
    """``1, 2 or 4``."""
    shown = [f"{value:,}" for value in numbers[:MOST_LISTED]]
    if len(numbers) > MOST_LISTED:
        return f"{', '.join(shown)} ... {numbers[-1]:,}"
    return f"{', '.join(shown[:-1])} {word} {shown[-1]}" if len(shown) > 1 else shown[0]


def neighbours(ascending: Sequence[int], value: int) -> list[int]:
    """The next numbers below and above ``value``, as far as there are any."""
    below = [one for one in ascending if one < value][-1:]
    above = [one for one in ascending if one > value][:1]
    return below + above
