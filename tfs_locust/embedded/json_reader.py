"""JSON text -> values, as RapidJSON reads it: what it accepts, what it makes of numbers, and its errors with offsets.

Trailing bytes after the first complete value are ignored, NaN and Infinity are numbers, strings are any bytes, nesting
has no limit, an object keeps its members in order, duplicates included. Python's own reader does the work where it
provably gives the same; everything else, every error among it, goes through the reader written here. Sources:
tensorflow_serving/util/json_tensor.cc ParseJson (the flags), RapidJSON 1.1.0 reader.h and error/en.h.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from .json_number import NumberTooBigError, number

Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"
"""A value; a string may hold bytes that are no UTF-8, as ``surrogateescape`` writes them."""

DOCUMENT_EMPTY = "The document is empty."
VALUE_INVALID = "Invalid value."
OBJECT_MISS_NAME = "Missing a name for object member."
OBJECT_MISS_COLON = "Missing a colon after a name of object member."
OBJECT_MISS_COMMA = "Missing a comma or '}' after an object member."
ARRAY_MISS_COMMA = "Missing a comma or ']' after an array element."
ESCAPE_INVALID_HEX = "Incorrect hex digit after \\u escape in string."
SURROGATE_INVALID = "The surrogate pair in string is invalid."
ESCAPE_INVALID = "Invalid escape character in string."
MISS_QUOTATION_MARK = "Missing a closing quotation mark in string."
NUMBER_TOO_BIG = "Number too big to be stored in double."
NUMBER_MISS_FRACTION = "Miss fraction part in number."
NUMBER_MISS_EXPONENT = "Miss exponent in number."


class JsonError(ValueError):
    """The text is not JSON: RapidJSON's sentence, and the offset in bytes it reports."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} at offset: {offset}")
        self.message = message
        self.offset = offset


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object as written: members in order, a name may come twice; looking up finds the first."""

    members: list[tuple[str, Json]]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.members)

    def __getitem__(self, name: str) -> Json:
        return next(value for key, value in self.members if key == name)


def read(text: bytes) -> Json:
    """The first value in ``text``. Raises JsonError."""
    # Python joins a lone surrogate escape into its string, RapidJSON refuses it or writes its three bytes; Python takes
    # the 1 of a bare `1.e`, inside of brackets that is an error for both
    if _SURROGATE_ESCAPE.search(text) is None and _OBJECT.match(text):
        try:
            value: Json = _decode(text.decode().lstrip(" \t\r\n"))[0]
        except (ValueError, RecursionError):
            pass  # read it again, to say what is wrong with it and where
        else:
            return value
    return _Reader(text).document()


_OBJECT = re.compile(rb"[ \t\r\n]*\{")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_PARTS_OF_NUMBER = re.compile(r"-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")


def _number_of(text: str) -> int | float:
    match = _PARTS_OF_NUMBER.fullmatch(text)
    assert match is not None  # what Python's scanner takes for a number
    whole, fraction, exponent = match.groups()
    return number(text[0] == "-", whole, fraction, exponent)


def _float(text: str) -> float:
    # up to 15 digits are exact in a double, and so is their power of ten: one rounding, for everyone the same
    if len(text) <= 16 and "e" not in text and "E" not in text:
        return float(text)
    return float(_number_of(text))


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 19 else _number_of(text)


# `json.loads` would refuse trailing bytes
_decode = json.JSONDecoder(
    object_pairs_hook=JsonObject,
    parse_float=_float,
    parse_int=_integer,
).raw_decode


_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb"[^\x00-\x1f\"\\]*")
_DIGITS = re.compile(rb"[0-9]+")
_WHOLE = re.compile(rb"0|[1-9][0-9]*")
_SIGN = re.compile(rb"[+-]?")
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES = dict(zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True))
_WORDS: dict[int, tuple[bytes, Json]] = {
    ord("n"): (b"null", None),
    ord("t"): (b"true", True),
    ord("f"): (b"false", False),
}
_END = 0  # what RapidJSON peeks behind the last byte; a NUL byte ends a text, too


class _Reader:
    """One text, read once, from front to back."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def document(self) -> Json:
        for mark in b"\xef\xbb\xbf":  # a byte order mark; part of one is skipped, too
            if self._peek() == mark:
                self._at += 1
        self._skip_space()
        if self._peek() in b"\x00]},:":
            self._fail(DOCUMENT_EMPTY)
        return self._value()

    def _value(self) -> Json:
        """One value with all it holds: a loop with a stack of its own, so that nesting is limited by memory alone."""
        arrays_and_members: list[list[Any]] = []
        names: list[str | None] = []  # of the member being read in each open object; None in an array
        while True:
            self._skip_space()
            opening = self._peek()
            value: Json
            if opening == ord("["):
                self._advance()
                if self._peek() != ord("]"):
                    arrays_and_members.append([])
                    names.append(None)
                    continue
                self._at += 1
                value = []
            elif opening == ord("{"):
                self._advance()
                if self._peek() != ord("}"):
                    arrays_and_members.append([])
                    names.append(self._name())
                    continue
                self._at += 1
                value = JsonObject([])
            else:
                value = self._scalar()
            # put it where it belongs, and close what ends with it
            while arrays_and_members:
                self._skip_space()
                held, name = arrays_and_members[-1], names[-1]
                held.append(value if name is None else (name, value))
                following = self._peek()
                if following == ord(","):
                    self._advance()
                    if name is not None:
                        names[-1] = self._name()
                    break
                if following != ord("]" if name is None else "}"):
                    self._fail(ARRAY_MISS_COMMA if name is None else OBJECT_MISS_COMMA)
                self._at += 1
                value = held if name is None else JsonObject(held)
                arrays_and_members.pop()
                names.pop()
            else:
                return value

    def _name(self) -> str:
        if self._peek() != ord('"'):
            self._fail(OBJECT_MISS_NAME)
        name = self._string()
        self._skip_space()
        if self._peek() != ord(":"):
            self._fail(OBJECT_MISS_COLON)
        self._at += 1
        return name

    def _scalar(self) -> Json:
        first = self._peek()
        if first == ord('"'):
            return self._string()
        if first in _WORDS:
            word, value = _WORDS[first]
            if not self._consume(word):
                self._fail(VALUE_INVALID)
            return value
        return self._number()

    def _string(self) -> str:
        self._at += 1
        pieces: list[bytes] = []
        while True:
            match = _PLAIN.match(self._text, self._at)
            assert match is not None
            pieces.append(match.group())
            self._at = match.end()
            char = self._peek()
            if char == ord('"'):
                self._at += 1
                return b"".join(pieces).decode("utf-8", "surrogateescape")
            if char != ord("\\"):
                self._fail(MISS_QUOTATION_MARK if char == _END else ESCAPE_INVALID)
            pieces.append(self._escape())

    def _escape(self) -> bytes:
        start = self._at
        self._at += 1
        char = self._peek()
        if char in _ESCAPES:
            self._at += 1
            return bytes((_ESCAPES[char],))
        if char != ord("u"):
            self._fail(ESCAPE_INVALID, start)
        self._at += 1
        point = self._hex4(start)
        if 0xD800 <= point <= 0xDBFF:
            if self._text[self._at : self._at + 2] != b"\\u":
                self._fail(SURROGATE_INVALID, start)
            self._at += 2
            low = self._hex4(start)
            if not 0xDC00 <= low <= 0xDFFF:
                self._fail(SURROGATE_INVALID, start)
            point = 0x10000 + ((point - 0xD800) << 10 | low - 0xDC00)
        return chr(point).encode("utf-8", "surrogatepass")  # a low surrogate alone passes

    def _hex4(self, start: int) -> int:
        match = _HEX4.match(self._text, self._at)
        if match is None:
            self._fail(ESCAPE_INVALID_HEX, start)
        self._at = match.end()
        return int(match.group(), 16)

    def _number(self) -> int | float:
        start = self._at
        negative = self._consume(b"-")
        special = None
        whole = self._take(_WHOLE)
        if whole is None:
            special, whole = self._nan_or_infinity(negative), "0"
        fraction = exponent = None
        if self._consume(b"."):
            fraction = self._take(_DIGITS)
            if fraction is None:
                self._fail(NUMBER_MISS_FRACTION)
        if self._consume(b"e") or self._consume(b"E"):
            sign, digits = self._take(_SIGN), self._take(_DIGITS)
            if digits is None:
                self._fail(NUMBER_MISS_EXPONENT)
            exponent = f"{sign}{digits}"
        if special is not None and fraction is None and exponent is None:
            return special
        try:
            return number(negative, whole, fraction, exponent)
        except NumberTooBigError:
            self._fail(NUMBER_TOO_BIG, start)

    def _nan_or_infinity(self, negative: bool) -> float:
        if self._peek() not in b"NI":
            self._fail(VALUE_INVALID)
        if self._consume(b"NaN"):
            return math.nan
        # "NaInf" is Infinity to RapidJSON: what was taken for NaN's beginning is not put back
        if not self._consume(b"Inf") or (self._peek() == ord("i") and not self._consume(b"inity")):
            self._fail(VALUE_INVALID)
        return -math.inf if negative else math.inf

    def _peek(self) -> int:
        return self._text[self._at] if self._at < len(self._text) else _END

    def _advance(self) -> None:
        self._at += 1
        self._skip_space()

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _take(self, pattern: re.Pattern[bytes]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match.group().decode()

    def _consume(self, word: bytes) -> bool:
        """Step over ``word``; where it is not, over as much of it as there is."""
        for char in word:
            if self._peek() != char:
                return False
            self._at += 1
        return True

    def _fail(self, message: str, offset: int | None = None) -> NoReturn:
        raise JsonError(message, self._at if offset is None else offset)
