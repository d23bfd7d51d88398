"""Tables in Markdown, and the arithmetic in them: medians of rounds, ratios of rounds that belong together."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

NOTHING = "-"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its columns as wide as their widest cell; columns of numbers to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    left = [column == 0 or not any(_is_number(row[column]) for row in table[1:]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(cells, widths, left, strict=True)
        )
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * width if is_left else "-" * (width - 1) + ":" for width, is_left in zip(widths, left, strict=True)]
    return "\n".join([line(table[0]), line(rule), *map(line, table[1:])])


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-")[:1].isdigit()


def median(values: Iterable[float]) -> float | None:
    """The middle value; None of none."""
    there = list(values)
    return statistics.median(there) if there else None


def ratio(above: Sequence[float | None], below: Sequence[float | None]) -> float | None:
    """The median of the quotients, round by round: what slowed one round down slowed both. None marks a lost round."""
    return median(a / b for a, b in zip(above, below, strict=False) if a is not None and b)


def markdown_list(lines: Iterable[str]) -> str:
    """A list of points."""
    return "\n".join(f"- {line}" for line in lines)


def number(value: float | None, digits: int = 0) -> str:
    """With commas between thousands."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def times(value: float | None) -> str:
    """A ratio."""
    return NOTHING if value is None else f"{value:.2f}x"


def share(value: float | None) -> str:
    """Of one: in percent."""
    return NOTHING if value is None else f"{value:.0%}"


def span(values: Sequence[float]) -> str:
    """The lowest and the highest."""
    return f"{min(values):,.0f} to {max(values):,.0f}" if values else NOTHING
