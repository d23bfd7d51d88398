"""JSON numbers with RapidJSON's arithmetic: which are integers, and which double a decimal becomes.

RapidJSON's default precision is not correctly rounded: a long decimal may be off by some units in the last place. A
DOUBLE tensor shows it, so it is reproduced here (RapidJSON 1.1.0, reader.h ParseNumber and internal/strtod.h).
"""

from __future__ import annotations

_LARGEST_UINT64 = 2**64 - 1
_LARGEST_NEGATIVE = 2**63
_LARGEST_EXACT = 2**53 - 1
_NEARLY_TOO_BIG = 1.7976931348623157e307
_DIGITS_OF_DOUBLE = 17
_POWERS_OF_TEN = tuple(float(f"1e{exponent}") for exponent in range(309))
_LARGEST_POWER = 308


class NumberTooBigError(ValueError):
    """The number is beyond the range of a double."""


def number(negative: bool, whole: str, fraction: str | None, exponent: str | None) -> int | float:
    """The value of ``[-]whole[.fraction][e exponent]``; all of them digits, ``exponent`` with an optional sign.

    An integer where there is neither fraction nor exponent and it fits int64 or uint64, a double otherwise. Raises
    NumberTooBigError.
    """
    limit = _LARGEST_NEGATIVE if negative else _LARGEST_UINT64
    held = whole[:20] if int(whole[:20]) <= limit else whole[: 19 if int(whole[:19]) <= limit else 18]
    if held == whole and fraction is None and exponent is None:
        return -int(whole) if negative else int(whole)
    taken = 0  # digits of the fraction that count
    double = float(int(held))
    if held != whole:
        for digit in whole[len(held) :]:
            if double >= _NEARLY_TOO_BIG:
                raise NumberTooBigError
            double = double * 10.0 + int(digit)
    elif fraction is not None:
        double, taken = _with_fraction(whole, fraction)
    power = _exponent(exponent, taken) - taken
    scaled = _scaled(double, power)
    return -scaled if negative else scaled


def _with_fraction(whole: str, fraction: str) -> tuple[float, int]:
    """The digits of both as one double, and how many digits of the fraction are in it."""
    digits = whole + fraction
    zeros = len(digits) - len(digits.lstrip("0"))
    # digits are gathered in an integer until it is beyond what a double holds exactly: 16 of them, or 17
    exact = zeros + 16
    if int(digits[:exact]) <= _LARGEST_EXACT:
        exact += 1
    exact = min(max(exact, len(whole)), len(digits))
    double, taken = float(int(digits[:exact])), exact - len(whole)
    # the first digit of the whole part is not counted, leading zeros of a fraction are not either
    significant = exact - 1 if whole != "0" else exact - zeros
    for digit in digits[exact:]:
        if significant >= _DIGITS_OF_DOUBLE:
            break
        double = double * 10.0 + int(digit)
        taken += 1
        significant += 1
    return double, taken


def _exponent(text: str | None, taken: int) -> int:
    if text is None:
        return 0
    negative, digits = text.startswith("-"), text.lstrip("+-").lstrip("0")
    value = int(digits[:9] or "0") if len(digits) <= 9 else 10**9
    if negative:
        return -value
    if value > _LARGEST_POWER + taken:
        raise NumberTooBigError
    return value


def _scaled(double: float, power: int) -> float:
    if power < -_LARGEST_POWER:
        double /= _POWERS_OF_TEN[_LARGEST_POWER]
        power += _LARGEST_POWER
        if power < -_LARGEST_POWER:
            return 0.0
    return double * _POWERS_OF_TEN[power] if power >= 0 else double / _POWERS_OF_TEN[-power]
