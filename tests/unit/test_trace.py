"""Due times from files: what is written is replayed to the nanosecond, and what is no time is named with its line."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfs_locust.load import trace
from tfs_locust.load.trace import Extent, TraceError, due_times, extent

_OWN_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example overwrites it


def _replayed(file: Path) -> list[int]:
    return [time for block in due_times(file) for time in block.tolist()]


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=50), st.integers(0, 3))
@_OWN_FILE
def test_nanoseconds_are_exact(tmp_path: Path, times: list[int], zeros: int) -> None:
    """Whatever the time, up to 30 years: what is written with nine decimals or fewer comes back."""
    times.sort()
    file = tmp_path / "due"
    file.write_text("".join(f"{ns // 10**9}.{ns % 10**9:09d}{'0' * zeros}\n" for ns in times))
    assert _replayed(file) == times
    assert extent(file) == Extent(len(times), times[-1])


@given(st.lists(st.from_regex(r"[0-9]{1,7}(\.[0-9]{0,25})?(e[-+]?[0-2])?", fullmatch=True), min_size=1, max_size=50))
@_OWN_FILE
def test_any_decimals_are_rounded_once(tmp_path: Path, texts: list[str]) -> None:
    """The nearest nanosecond to the exact value; of two as near, the even one."""
    texts.sort(key=Fraction)
    file = tmp_path / "due"
    file.write_text("\n".join(texts))
    assert _replayed(file) == [round(Fraction(text) * 10**9) for text in texts]


def test_ties_and_the_edge_of_floats(tmp_path: Path) -> None:
    """Halves of a nanosecond, and times where a float has no nanoseconds any more."""
    texts = [
        "0.0000000005",
        "0.0000000015",
        "0.00000000150000000000000000000001",
        "1125899.906842623",
        "90071992.547409931",
    ]
    (tmp_path / "due").write_text("\n".join(texts))
    assert _replayed(tmp_path / "due") == [0, 2, 2, 1125899906842623, 90071992547409931]


def test_layout(tmp_path: Path) -> None:
    """A header, a mark of the encoding, comments, blanks, quotes, other columns, any ends of lines."""
    file = tmp_path / "due.csv"
    file.write_bytes(
        b'\xef\xbb\xbf# recorded\n\nTime (s),rows\r\n 0 ,8\r\n"0.25",1 # a comment, here\r\n\t \n.5\n1e0,\r\n1.000'
    )
    assert _replayed(file) == [0, 250_000_000, 500_000_000, 10**9, 10**9]


def test_long_files_are_read_in_pieces(tmp_path: Path) -> None:
    """Order and line numbers go on from piece to piece, and no line is lost between them."""
    times = np.arange(50_000) * 1_000_003
    file = tmp_path / "due"
    lines = [f"{ns / 1e9:.9f}" for ns in times.tolist()]
    file.write_text("\n".join(["# start", *lines]))
    assert [block.dtype for block in due_times(file)] == [np.int64] * len(list(due_times(file)))
    assert len(list(due_times(file))) > 5
    assert _replayed(file) == times.tolist()
    pieces = list(due_times(file))
    at = len(pieces[0])  # the first line of the second piece
    lines[at] = "0.000000001"
    file.write_text("\n".join(["# start", *lines]))
    with pytest.raises(TraceError, match=rf": line {at + 2}: '0.000000001' is earlier than the time before it; "):
        extent(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no time"),
        ("# nothing\n\ntime\n", "holds no time"),
        ("1\nsoon\n", "line 2: 'soon' is no number from 0 to 1000000000"),
        ("time\ntime\n", "line 2: 'time' is no number from 0 to 1000000000"),
        ("-1\n", "line 1: '-1' is no number from 0 to 1000000000"),
        ("0\n1_0\n", "line 2: '1_0' is no number from 0 to 1000000000"),
        ("0\nnan\n", "line 2: 'nan' is no number from 0 to 1000000000"),
        ("0\ninf\n", "line 2: 'inf' is no number from 0 to 1000000000"),
        ("0\n,5\n", "line 2: '' is no number from 0 to 1000000000"),
        ("1700000000.5\n", "line 1: '1700000000.5' is no number from 0 to 1000000000"),
        ("0\n\n2\n1\n", "line 4: '1' is earlier than the time before it"),
        (
            "a\nb\nc\n2\n1\n",
            "line 2: 'b' is no number from 0 to 1000000000; line 3: 'c' is no number from 0 to 1000000000; "
            "line 5: '1' is earlier than the time before it",
        ),
        (f"0\n{'x' * 50}\n", f"line 2: '{'x' * 40}...' is no number from 0 to 1000000000"),
    ],
)
def test_what_is_no_trace(content: str, reason: str, tmp_path: Path) -> None:
    """Every fault with its line, and what is expected."""
    file = tmp_path / "due"
    file.write_text(content)
    expected = "expected one due time on each line, in seconds from the start and ascending, as 0.25"
    with pytest.raises(TraceError, match=f"^{re.escape(f'trace {str(file)!r}: {reason}; {expected}')}$"):
        extent(file)


def test_many_faults(tmp_path: Path) -> None:
    """A file of something else is not told in full, nor read to its end."""
    (tmp_path / "due").write_text("0\n" + "what\n" * 200_000)
    with pytest.raises(TraceError, match=r"line 6: 'what' is no number from 0 to 1000000000; and more; expected one"):
        extent(tmp_path / "due")


def test_a_file_that_changes(tmp_path: Path) -> None:
    """Replay stops at a fault that was not there when the file was checked."""
    (tmp_path / "due").write_text("0\n?\n")
    with pytest.raises(TraceError, match="line 2: '\\?' is no number"):
        next(due_times(tmp_path / "due"))
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        next(due_times(tmp_path / "nowhere"))
    assert trace.LATEST_S == 1e9
