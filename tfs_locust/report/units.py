"""Numbers as people read them. None is an en dash: there is no such number."""

from __future__ import annotations

from collections.abc import Sequence

from tfs_locust.measure.numbers import near_one

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def duration(seconds: float | None) -> str:
    """Four significant digits in the unit that fits: ``312.5 us``, ``99.96 ms``, ``1.25 s``."""
    if seconds is None:
        return NOTHING
    if not seconds:
        return "0 s"
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        # compare what will be shown: 999.96 us is shown as 1 ms
        if float(f"{seconds:.4g}") < limit:
            return f"{_four_digits(seconds * factor)} {unit}"
    return f"{_four_digits(seconds)} s"


def signed(seconds: float | None) -> str:
    """A difference of durations, with its sign: ``+312.5 us``."""
    if not seconds:
        return duration(seconds)
    return f"{'+' if seconds > 0 else MINUS}{duration(abs(seconds))}"


def share(value: float | None) -> str:
    """A share as percent: ``0.1 %``."""
    return NOTHING if value is None else f"{_four_digits(value * 100)} %"


def available(value: float | None) -> str:
    """A share near to 1 as percent, see :func:`~tfs_locust.measure.numbers.near_one`."""
    return NOTHING if value is None else near_one(value)


def rate(by_second: float | None) -> str:
    """``12,345/s``; small ones with a decimal."""
    if by_second is None:
        return NOTHING
    return f"{by_second:,.0f}/s" if by_second >= 1000 else f"{_four_digits(by_second)}/s"


def count(number: float | None) -> str:
    """``1,234,567``."""
    return NOTHING if number is None else f"{number:,.0f}"


def number(value: float | None) -> str:
    """Four significant digits."""
    return NOTHING if value is None else _four_digits(value)


def measured(metric: str, value: float | None) -> str:
    """A value of an objective's metric, in the metric's unit."""
    if metric == "error_rate":
        return share(value)
    if metric in {"availability", "availability_by_second", "switch_success"}:
        return available(value)
    if metric in {"series", "ratio"}:
        return number(value)
    return rate(value) if metric in {"throughput", "rows"} else duration(value)


def unbroken(text: str) -> str:
    """The same, kept on one line by whatever shows it."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table for the terminal: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _four_digits(value: float) -> str:
    return f"{float(f'{value:.4g}'):.10g}"
