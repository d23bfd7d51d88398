"""Which numbers are integers, and which double a decimal becomes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded.json_number import NumberTooBigError, number


def value_of(text: str) -> int | float:
    negative, digits = text.startswith("-"), text.lstrip("-").lower()
    digits, has_exponent, exponent = digits.partition("e")
    whole, has_fraction, fraction = digits.partition(".")
    return number(negative, whole, fraction if has_fraction else None, exponent if has_exponent else None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("2147483648", 2**31),
        ("-2147483649", -(2**31) - 1),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775809", -(2.0**63)),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        ("1e+3", 1000.0),
        ("5E-1", 0.5),
        ("0e5", 0.0),
    ],
)
def test_integers_that_fit_64_bits_are_integers_and_the_rest_doubles(text: str, value: float) -> None:
    """`1` is an integer; `1.0`, `1e3` and what does not fit int64 or uint64 are doubles."""
    got = value_of(text)
    assert got == value
    assert type(got) is type(value)


def test_the_sign_of_a_double_zero_is_kept() -> None:
    """-0.0 is negative, -0 is the integer 0."""
    assert math.copysign(1, value_of("-0.0")) == -1


@pytest.mark.parametrize("text", ["1e309", "1e400", "9" * 400, "0.1e310", "1.5e99999999999"])
def test_beyond_a_double_is_too_big(text: str) -> None:
    """An exponent above 308 and the digits behind the point, or too many digits, is an error."""
    with pytest.raises(NumberTooBigError):
        value_of(text)


@pytest.mark.parametrize(("text", "value"), [("1e-400", 0.0), ("1e-99999999999", 0.0), ("2e308", math.inf)])
def test_underflow_is_zero_and_a_significand_may_overflow(text: str, value: float) -> None:
    """What is too small is 0; only the exponent is checked, so 2e308 becomes infinite."""
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # what RapidJSON 1.1.0 gives
        ("0.9424502837770503", 0.9424502837770504),
        ("0.9433567169983137", 0.9433567169983136),
        ("0.9009004917506227", 0.9009004917506228),
    ],
)
def test_long_decimals_are_not_correctly_rounded(text: str, value: float) -> None:
    """Sixteen digits may be one unit off: they are more than a double holds exactly."""
    assert value_of(text) == value != float(text)


@given(st.integers(0, 10**15 - 1), st.integers(1, 15), st.booleans())
def test_fifteen_digits_are_exact(digits: int, places: int, negative: bool) -> None:
    """Up to fifteen digits there is one rounding, so the value is the nearest double."""
    written = str(digits).rjust(places + 1, "0")
    text = f"{'-' * negative}{int(written[:-places])}.{written[-places:]}"
    assert value_of(text) == float(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_comes_back_within_four_units_in_the_last_place(value: float) -> None:
    """Normal precision is at most a few units off, for what repr writes of any double."""
    text = repr(value)
    got = value_of(text)
    assert abs(got - value) <= 4 * math.ulp(value)
