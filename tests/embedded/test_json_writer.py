"""The layout of PrettyWriter, the numbers, and the echo of error messages, against RapidJSON's own."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded.json_double import double_notation
from tfs_locust.embedded.json_reader import read
from tfs_locust.embedded.json_writer import PrettyWriter, debug_text, double_text, float_text, quoted

RECORDED = [
    json.loads(line) for line in (Path(__file__).parent.parent / "data" / "rapidjson.jsonl").read_text().splitlines()
]


def test_the_echo_of_every_recorded_document_is_rapidjsons() -> None:
    """Single-line arrays, four spaces, Grisu2's digits, the cut at 256 bytes, the stop at a NaN."""
    for case in RECORDED:
        if "echo_hex" in case:
            echo = debug_text(read(bytes.fromhex(case["text_hex"])))
            assert echo.encode("utf-8", "surrogateescape").hex() == case["echo_hex"]


def test_the_layout_option_changes_in_the_middle_of_an_array() -> None:
    """Elements on one line and a bracket on its own: the line breaks of a row-format answer."""
    writer = PrettyWriter()
    writer.start_object()
    writer.string("predictions")
    writer.start_array()
    for _ in range(2):
        writer.single_line_arrays = True
        writer.start_array()
        writer.raw("1.0")
        writer.raw("2.0")
        writer.end_array()
        writer.single_line_arrays = False
    writer.end_array()
    writer.end_object()
    assert writer.text() == '{\n    "predictions": [[1.0, 2.0], [1.0, 2.0]\n    ]\n}'


def test_empty_arrays_and_objects_have_no_line_break() -> None:
    """`[]` and `{}` in either layout."""
    writer = PrettyWriter()
    writer.start_array()
    writer.start_object()
    writer.end_object()
    writer.start_array()
    writer.end_array()
    writer.end_array()
    assert writer.text() == "[\n    {},\n    []\n]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (2.0, "2.0"),
        (-0.0, "-0.0"),
        (0.833989143371582, "0.833989143"),
        (2.1666667461395264, "2.16666675"),
        (61728400.0, "6.17284e+07"),
        (1e6, "1e+06"),
        (100000.0, "100000.0"),
        (123456792.0, "123456792.0"),
        (1.401298464324817e-45, "1.4013e-45"),
        (3.4028234663852886e38, "3.40282347e+38"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_floats_have_six_digits_or_nine(value: float, text: str) -> None:
    """%.6g where it comes back as the same float32, %.9g otherwise; `.0` where there is neither point nor exponent."""
    assert float_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1 / 3, "0.33333333333333331"), (123456789.0, "123456789.0"), (1e300, "1e+300"), (2.0, "2.0")],
)
def test_doubles_have_six_digits_or_seventeen(value: float, text: str) -> None:
    """The same rule with max_digits10 of a double."""
    assert double_text(value) == text


@given(st.floats(width=32, allow_nan=False))
def test_float_text_comes_back(value: float) -> None:
    """Whatever float32 is written, reading it gives the same float32."""
    text = float_text(value)
    if math.isfinite(value):
        assert struct.pack("f", float(text)) == struct.pack("f", value)
        assert any(mark in text for mark in ".e")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_double_text_and_notation_come_back(value: float) -> None:
    """Whatever double is written, in an answer or in an echo, Python reads the same double."""
    assert struct.pack("d", float(double_text(value))) == struct.pack("d", value)
    assert struct.pack("d", float(double_notation(value))) == struct.pack("d", value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e21, "1e21"),
        (1e20, "100000000000000000000.0"),
        (1.5e-6, "0.0000015"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (-0.0, "-0.0"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
    ],
)
def test_the_notation_of_echoed_doubles(value: float, text: str) -> None:
    """Exponents only beyond 21 digits or below 1e-6, without plus sign and leading zero."""
    assert double_notation(value) == text


@given(st.text())
def test_quoted_strings_come_back(value: str) -> None:
    """Only control characters, quotes and backslashes are escaped, and Python's reader undoes it."""
    assert json.loads(quoted(value)) == value


def test_control_characters_have_upper_case_hex() -> None:
    """Short escapes where there are some, four upper-case digits elsewhere, DEL and the slash as they are."""
    assert quoted('\b\t\n\f\r"\\/\x00\x1f\x7f\xe9') == '"\\b\\t\\n\\f\\r\\"\\\\/\\u0000\\u001F\x7f\xe9"'
