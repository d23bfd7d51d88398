"""Due times from a file: one on each line, in seconds from the start, as a decimal number.

Lines ascend, or repeat a time. In a CSV the time is the first column, and there may be a header. Empty lines, and what
follows a ``#``, are passed over. What is written is taken exactly, to the nearest nanosecond. Files are streamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

LATEST_S = 1e9
"""Some 30 years: further than that is no time from a start but a date."""

_CHUNK_BYTES = 1 << 16  # some milliseconds at most, in which nobody can be sending
_TOLD = 5
_NANO = Decimal("1e-9")
_EXPECTED = "expected one due time on each line, in seconds from the start and ascending, as 0.25"


class TraceError(ValueError):
    """A file that holds no due times; the text names it and its lines."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What is in a trace, all in all."""

    count: int
    last_ns: int


def extent(file: Path) -> Extent:
    """Read the whole file. Raises TraceError with the first few faults."""
    count = last_ns = 0
    faults: list[str] = []
    for block in _blocks(file, faults):
        if len(block):
            count, last_ns = count + len(block), int(block[-1])
        if len(faults) > _TOLD:
            break
    if faults:
        more = "; and more" if len(faults) > _TOLD else ""
        raise TraceError(f"trace {str(file)!r}: {'; '.join(faults[:_TOLD])}{more}; {_EXPECTED}")
    if not count:
        raise TraceError(f"trace {str(file)!r}: holds no time; {_EXPECTED}")
    return Extent(count, last_ns)


def due_times(file: Path) -> Iterator[npt.NDArray[np.int64]]:
    """Nanoseconds from the start, ascending, some thousand at a time. Raises TraceError at the first fault."""
    faults: list[str] = []
    for block in _blocks(file, faults):
        if faults:
            raise TraceError(f"trace {str(file)!r}: {faults[0]}; {_EXPECTED}")
        if len(block):
            yield block


def _blocks(file: Path, faults: list[str]) -> Iterator[npt.NDArray[np.int64]]:
    """The times, chunk by chunk; what is wrong with a chunk is added to ``faults`` before it is given."""
    try:
        with file.open("rb") as opened:
            number, last_ns, seen = 1, 0, False
            for lines in _chunks(opened):
                numbers, cells, floats = _read(lines, number, faults, header=not seen)
                times = _nanoseconds(cells, floats)
                faults += _out_of_order(numbers, cells, times, last_ns)
                number += len(lines)
                seen = seen or bool(cells)
                last_ns = int(times[-1]) if len(times) else last_ns
                yield times
    except OSError as error:
        raise TraceError(f"trace {str(file)!r}: cannot be read: {error.strerror}") from None


def _chunks(opened: BinaryIO) -> Iterator[list[bytes]]:
    """Whole lines, some thousand at a time."""
    start = b"\xef\xbb\xbf"  # some editors put this mark in front of UTF-8
    while chunk := opened.read(_CHUNK_BYTES) + opened.readline():
        yield chunk.removeprefix(start).splitlines()
        start = b""


def _read(
    lines: list[bytes], first: int, faults: list[str], *, header: bool
) -> tuple[Sequence[int], list[bytes], npt.NDArray[np.float64]]:
    """Line numbers, what is written there, and what number that is, about. ``header``: the first line may be one."""
    try:  # most files have nothing but numbers
        return range(first, first + len(lines)), lines, _floats(lines)
    except ValueError:
        numbers, cells = _first_column(lines, first)
    try:
        return numbers, cells, _floats(cells)
    except ValueError:
        bad = {at for at, cell in enumerate(cells) if not _is_time(cell)}
    faults += [
        f"line {numbers[at]}: {_shown(cells[at])} is no number from 0 to {LATEST_S:.0f}"
        for at in sorted(bad)
        if not (header and at == 0 and cells[at][:1].isalpha())
    ]
    numbers = [number for at, number in enumerate(numbers) if at not in bad]
    cells = [cell for at, cell in enumerate(cells) if at not in bad]
    return numbers, cells, _floats(cells)


def _first_column(lines: list[bytes], first: int) -> tuple[list[int], list[bytes]]:
    """Line numbers and first cells of lines that are not empty."""
    numbers, cells = [], []
    for number, line in enumerate(lines, first):
        content = line.partition(b"#")[0] if b"#" in line else line
        if content and not content.isspace():
            numbers.append(number)
            cells.append(content.partition(b",")[0].strip(b' \t"'))
    return numbers, cells


def _is_time(cell: bytes) -> bool:
    try:
        return bool(len(_floats([cell])))
    except ValueError:
        return False


def _floats(cells: list[bytes]) -> npt.NDArray[np.float64]:
    """Raises ValueError unless all are numbers in the range of a trace."""
    values = np.array(list(map(float, cells)), np.float64)
    if not np.all((values >= 0) & (values <= LATEST_S)) or b"_" in b"".join(cells):
        raise ValueError("out of range")
    return values


def _nanoseconds(cells: list[bytes], values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The whole number nearest to 10**9 times what is written.

    A float is off by at most 2**-53 of its value, and so is a product. Below 2**50 ns (13 days) both together are off
    by less than a quarter. Where the product is within a quarter of a whole number, that is then the one nearest to
    what is written: always, where no more than 9 decimals are. The others are made of the text.
    """
    scaled = values * 1e9
    nearest = np.rint(scaled)
    times = nearest.astype(np.int64)
    for at in np.flatnonzero((np.abs(scaled - nearest) > 0.25) | (scaled >= 2**50)).tolist():
        written = Decimal(cells[at].decode().strip())
        times[at] = int(written.quantize(_NANO, ROUND_HALF_EVEN).scaleb(9))
    return times


def _out_of_order(
    numbers: Sequence[int], cells: list[bytes], times: npt.NDArray[np.int64], last_ns: int
) -> Iterator[str]:
    earlier = np.flatnonzero(np.diff(times, prepend=np.int64(last_ns)) < 0).tolist()
    return (f"line {numbers[at]}: {_shown(cells[at])} is earlier than the time before it" for at in earlier)


def _shown(cell: bytes) -> str:
    text = cell.strip().decode("ascii", "replace")
    return repr(text if len(text) <= 40 else text[:40] + "...")
