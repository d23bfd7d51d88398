"""The bench's tables, and the arithmetic in them."""

from __future__ import annotations

from bench.peers import IN_C, PLAIN, WIRE
from bench.round import Round, usable
from bench.table import markdown, median, number, ratio, share, span, times
from bench.throughput import Cell, by_cpu, by_rate, goals, noise, table


def test_columns_are_as_wide_as_their_cells() -> None:
    """Numbers stand to the right, words to the left."""
    text = markdown(("client", "requests/s", "note"), [["ours", "1,000", ""], ["h2load", "-", "missing"]])
    assert text.splitlines() == [
        "| client | requests/s | note    |",
        "| ------ | ---------: | ------- |",
        "| ours   |      1,000 |         |",
        "| h2load |          - | missing |",
    ]


def test_numbers() -> None:
    """What is not there is a dash."""
    assert [number(1234.56), number(1234.56, 1), number(None)] == ["1,235", "1,234.6", "-"]
    assert [times(8.0), times(None), share(0.256), share(None)] == ["8.00x", "-", "26%", "-"]
    assert [span([3, 1, 2]), span([])] == ["1 to 3", "-"]
    assert median([]) is None


def test_ratio_goes_round_by_round() -> None:
    """A round in which the machine was half as fast changes nothing; a lost round takes its partner with it."""
    assert ratio([80, 40, 100], [10, 5, 10]) == 8
    assert ratio([80, None, 30], [10, 1, None]) == 8
    assert ratio([None], [1]) is None
    assert ratio([1], [0]) is None


def test_disturbed_rounds_are_left_out_if_others_are_there() -> None:
    """A round beside something else's load counts only where there is nothing better."""
    quiet, busy, lost = Round(rate=100), Round(rate=10, others_share=1.2), Round("did not run")
    assert usable([quiet, busy, lost]) == [quiet, None, None]
    assert usable([busy, lost]) == [busy, None]


def test_ratios_compare_rounds_of_one_time() -> None:
    """Rates are compared upwards, processor time downwards; disturbed pairs only where there is no other."""
    ours = [Round(rate=800, cpu_us=10), Round(rate=100, cpu_us=10, others_share=1)]
    other = [Round(rate=100, cpu_us=50), Round(rate=100, cpu_us=20)]
    assert (by_rate(ours, other), by_cpu(ours, other)) == (8, 5)
    assert (by_rate(ours[1:], other[1:]), by_cpu(ours[1:], other[1:])) == (1, 2)
    assert (by_rate([], other), by_cpu([], other)) == (None, None)


def test_goals() -> None:
    """Reached, missed, or not measured."""
    found = {
        Cell(WIRE["grpc"], "small", 100): [Round(rate=80_000, cpu_us=12)],
        Cell(PLAIN["grpc"], "small", 100): [Round(rate=8_000, cpu_us=120)],
        Cell(IN_C["grpc"], "small", 100): [Round(rate=200_000, cpu_us=6)],
    }
    first, second, third, _ = goals(found).splitlines()[2:]
    assert [cell.strip() for cell in first.split("|")[3:6]] == ["10.00x", "10.00x", "yes"]
    assert "not measured" in second
    assert [cell.strip() for cell in third.split("|")[3:6]] == ["0.40x", "0.50x", "no"]


def test_a_client_that_is_missing_has_a_row_and_a_note() -> None:
    """Nothing is left out in silence."""
    text = table({Cell(WIRE["rest"], "small", 100): [Round("missing: no engine")]}, "rest")
    assert "100 users, ours, wire" in text
    assert "missing: no engine" in text


def test_a_busy_machine_is_told() -> None:
    """Most rounds disturbed: the results say so."""
    cell, busy, quiet = Cell(WIRE["grpc"], "small", 1), Round(others_share=0.5), Round(rate=1)
    assert "2 of 3 rounds" in noise({cell: [busy, busy, quiet]})
    assert noise({cell: [busy, quiet, quiet]}) == ""
    assert noise({}) == ""
