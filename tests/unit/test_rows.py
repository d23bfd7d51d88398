"""How many rows requests have: what is written, what is refused, and that a short run has the mix."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.rows import LARGEST_BLOCK, RowsError, parse_rows, rows

_WEIGHTS = st.dictionaries(st.integers(1, 500), st.integers(1, 50), min_size=2, max_size=6)


def _text(weights: dict[int, int]) -> str:
    return ",".join(f"{number}:{weight}" for number, weight in weights.items())


def test_one_number() -> None:
    """Every request has it, as a number or as an option's text."""
    assert rows(8) == rows("8") == parse_rows(" 8 ")
    assert list(islice(rows(8).sequence(), 3)) == [8, 8, 8]
    assert (rows(8).mean, rows(8).largest) == (8, 8)


def test_mix() -> None:
    """Shares are exact and add up to 1, whatever the weights add up to."""
    mix = rows("8:0.2, 1:0.7,32:.1")
    assert mix.mix == ((1, Fraction(7, 10)), (8, Fraction(1, 5)), (32, Fraction(1, 10)))
    assert mix.mean == Fraction(55, 10)
    assert mix.largest == 32
    assert mix.block == ((1, 7), (8, 2), (32, 1))
    assert rows("1:7,8:2,32:1").mix == mix.mix


def test_choices() -> None:
    """What the plan chooses has no numbers before it has chosen."""
    assert rows(auto=True) == parse_rows("auto")
    assert rows(auto="worst") == rows("worst")
    assert rows(auto="worst").choice == "worst"
    with pytest.raises(ValueError, match="rows 'auto' are for the plan to choose first"):
        rows(auto=True).sequence()


def test_trace(tmp_path: Path) -> None:
    """A trace is repeated in its order, from a file or from numbers."""
    file = tmp_path / "rows.txt"
    file.write_text("1 2\n2\n\n8\n")
    for traced in (rows(trace=file), parse_rows(f"trace:{file}"), rows(trace=[1, 2, 2, 8])):
        assert list(islice(traced.sequence(), 6)) == [1, 2, 2, 8, 1, 2]
        assert traced.mix == ((1, Fraction(1, 4)), (2, Fraction(1, 2)), (8, Fraction(1, 4)))


@given(_WEIGHTS, st.integers(0, 2**32))
def test_every_block_has_exactly_the_mix(weights: dict[int, int], seed: int) -> None:
    """In each full block the shares are exact."""
    mix = rows(_text(weights))
    size = sum(count for _, count in mix.block)
    sequence = mix.sequence(seed)
    for _ in range(3):
        counts = Counter(islice(sequence, size))
        assert {number: Fraction(count, size) for number, count in counts.items()} == dict(mix.mix)


@given(_WEIGHTS, st.integers(0, 2**32), st.integers(1, 600))
def test_a_short_run_has_nearly_the_mix(weights: dict[int, int], seed: int, length: int) -> None:
    """After any number of requests each size is off by no more than two requests and one for each size."""
    mix = rows(_text(weights))
    counts = Counter(islice(mix.sequence(seed), length))
    for number, share in mix.mix:
        assert abs(counts[number] - share * length) <= 2 + len(mix.mix)


@given(_WEIGHTS, st.integers(0, 2**32))
def test_the_seed_decides(weights: dict[int, int], seed: int) -> None:
    """The same seed, the same sequence."""
    mix = rows(_text(weights))
    assert list(islice(mix.sequence(seed), 100)) == list(islice(mix.sequence(seed), 100))


@given(_WEIGHTS)
def test_text_is_what_an_option_takes(weights: dict[int, int]) -> None:
    """Written and read again it is the same."""
    mix = rows(_text(weights))
    assert parse_rows(str(mix)) == mix


def test_weights_too_fine_for_a_block_are_rounded() -> None:
    """The block stays of bounded size, and even the rarest size is in it."""
    mix = rows("1:0.3333333,2:0.6666666,4:0.0000001")
    assert mix.block == ((1, 3333), (2, 6667), (4, 1))
    assert sum(count for _, count in mix.block) <= LARGEST_BLOCK + len(mix.mix)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'': expected a number of rows, ROWS:WEIGHT"),
        ("0", "'0': expected a number of rows"),
        ("-1", "'-1': expected a number of rows"),
        ("many", "'many': expected a number of rows"),
        ("1:0.7,x:0.3", "'1:0.7,x:0.3': column 7: 'x' is no number of rows, which is a whole number above zero"),
        ("1:0.7,8:-1", "'1:0.7,8:-1': column 9: '-1' is no weight, which is a number above zero, as in 8:0.7"),
        ("1:0.7,8:0", "column 9: '0' is no weight"),
        ("1:0.7,8", "column 7: '' is no weight, which is a number above zero, as in 8:0.7"),
        ("1:0.7,1:0.3", "column 7: 1 rows are given twice"),
        ("1:0.7,", "column 7: '' is no number of rows"),
        (
            "a:1,8:b",
            "column 1: 'a' is no number of rows, which is a whole number above zero; column 7: 'b' is no weight",
        ),
    ],
)
def test_what_is_no_rows(text: str, message: str) -> None:
    """All faults at once, each with its column."""
    with pytest.raises(RowsError) as error:
        parse_rows(text)
    assert message in str(error.value)


def test_what_is_no_trace(tmp_path: Path) -> None:
    """Files are named with the line, numbers with their place."""
    file = tmp_path / "rows.txt"
    for content, message in (
        ("1\n2 x\n0\n", "line 2: 'x' is no number of rows, which is a whole number above zero; line 3: '0' is no"),
        ("\n", "holds no number of rows"),
        ("\n".join("x" * 9), "line 5: 'x' is no number of rows, which is a whole number above zero; and 4 more"),
    ):
        file.write_text(content)
        with pytest.raises(RowsError) as error:
            rows(trace=file)
        assert str(file) in str(error.value)
        assert message in str(error.value)
    file.write_bytes(b"1 \xff")
    with pytest.raises(RowsError, match="byte 2: is not plain text"):
        rows(trace=file)
    with pytest.raises(RowsError, match="cannot be read: No such file"):
        rows(trace=tmp_path / "none.txt")
    with pytest.raises(RowsError, match="rows are whole numbers above zero; number 2 is 0"):
        rows(trace=[1, 0])


def test_one_source_only() -> None:
    """Two sources, or none, are a mistake."""
    with pytest.raises(RowsError, match="takes one of a mix, trace and auto; given: a mix, auto"):
        rows(8, auto=True)
    with pytest.raises(RowsError, match="given: none"):
        rows()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"auto": "wurst"}, "rows(auto='wurst'): expected True or 'worst'"),
        ({"trace": 5}, "rows(trace=5): expected a file of whole numbers, or the numbers"),
    ],
)
def test_what_rows_does_not_take(given: Any, told: str) -> None:
    """It is told, not taken for something else."""
    with pytest.raises(RowsError) as raised:
        rows(**given)
    assert str(raised.value) == told
