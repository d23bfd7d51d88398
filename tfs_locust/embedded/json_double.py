"""A double as RapidJSON writes it: the digits the Grisu2 algorithm finds, in RapidJSON's notation.

Grisu2 gives digits that come back as the same double, nearly always the fewest, not always the closest; an echoed value
shows the difference, so `repr` will not do. Sources: F. Loitsch, "Printing Floating-Point Numbers Quickly and
Accurately with Integers" (2010); RapidJSON 1.1.0 internal/dtoa.h (notation) and internal/diyfp.h (choice of power).
"""

from __future__ import annotations

import functools
import math

_BITS = 64
_HIDDEN_BIT = 1 << 52
_SMALLEST_EXPONENT = -1074
_WORD = (1 << _BITS) - 1


def double_notation(value: float) -> str:
    """A finite double: at least one digit behind the point, an exponent only beyond 21 digits or below 1e-6."""
    minus = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return minus + "0.0"
    digits, exponent = grisu2(abs(value))
    point = len(digits) + exponent  # 0.digits * 10**point
    if exponent >= 0 and point <= 21:
        return f"{minus}{digits}{'0' * exponent}.0"
    if 0 < point <= 21:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{fraction}e{point - 1}"


def grisu2(value: float) -> tuple[str, int]:
    """Digits and exponent of a positive double: value = digits * 10**exponent, as far as a double can tell."""
    significand, exponent = _parts(value)
    # the value and the bounds of what rounds to it, 64 bits wide, with one exponent for the three
    shift = _BITS - significand.bit_length()
    exponent -= shift
    middle = significand << shift
    upper = middle + (1 << (shift - 1))
    lower = middle - (1 << (shift - 2 if significand == _HIDDEN_BIT else shift - 1))
    power, binary, decimal = _cached_power(exponent)
    # one unit inside of both bounds, since each product may be off by one
    top = _times(upper, power) - 1
    bottom = _times(lower, power) + 1
    digits, dropped = _digits(top, -(exponent + binary + _BITS), top - bottom, top - _times(middle, power))
    return digits, dropped - decimal


def _parts(value: float) -> tuple[int, int]:
    """Significand and exponent: value = significand * 2**exponent, the significand at most 53 bits."""
    exponent = max(math.frexp(value)[1] - 53, _SMALLEST_EXPONENT)
    numerator, denominator = value.as_integer_ratio()
    return (numerator << max(-exponent, 0)) // (denominator << max(exponent, 0)), exponent


def _times(left: int, right: int) -> int:
    """The upper 64 bits of a product, rounded."""
    return (left * right + (1 << (_BITS - 1))) >> _BITS


def _cached_power(exponent: int) -> tuple[int, int, int]:
    """The power of ten that brings 2**exponent near 1: its 64 bits, its binary and its decimal exponent."""
    wanted = math.ceil((-61 - exponent) * 0.30102999566398114 + 347)
    decimal = -348 + 8 * ((wanted >> 3) + 1)
    return (*_power_of_ten(decimal), decimal)


@functools.cache
def _power_of_ten(decimal: int) -> tuple[int, int]:
    if decimal >= 0:
        exact = 10**decimal
        binary = exact.bit_length() - _BITS
        if binary <= 0:
            return exact << -binary, binary
        return (exact + (1 << (binary - 1))) >> binary, binary
    divisor = 10**-decimal
    binary = -(divisor.bit_length() + _BITS - 1)
    return ((1 << -binary) + divisor // 2) // divisor, binary


def _digits(top: int, point: int, room: int, distance: int) -> tuple[str, int]:
    """The shortest digits from ``top`` on that stay within ``room`` below it; ``point`` bits are behind the point.

    ``distance`` is how far below ``top`` the value itself lies. Returns the digits and the decimal exponent they lost.
    """
    one = 1 << point
    whole, part = divmod(top, one)
    digits: list[int] = []
    for kappa in reversed(range(len(str(whole)))):
        digit, whole = divmod(whole, 10**kappa)
        digits.append(digit)
        rest = whole * one + part
        if rest <= room:
            _towards(digits, room, rest, 10**kappa * one, distance)
            return "".join(map(str, digits)), kappa
    kappa = 0
    while True:
        part, room = part * 10, room * 10
        digit, part = divmod(part, one)
        if digit or any(digits):
            digits.append(digit)
        kappa -= 1
        if part < room:
            # RapidJSON's table of powers ends here: behind the ninth digit nothing is rounded
            scaled = distance * 10**-kappa & _WORD if kappa > -9 else 0
            _towards(digits, room, part, one, scaled)
            return "".join(map(str, digits)).lstrip("0"), kappa


def _towards(digits: list[int], room: int, rest: int, unit: int, distance: int) -> None:
    """Lower the last digit while that brings it closer to the value."""
    while (
        rest < distance and room - rest >= unit and (rest + unit < distance or distance - rest > rest + unit - distance)
    ):
        digits[-1] -= 1
        rest += unit
