"""Values -> JSON text, laid out as RapidJSON's PrettyWriter does: four spaces, and arrays that may stay on one line.

The layout may change while an array is open, as TensorFlow Serving changes it; the odd line breaks that come of it are
part of the answers a client sees. Sources: RapidJSON 1.1.0 prettywriter.h, writer.h;
tensorflow_serving/util/json_tensor.cc WriteDecimal and JsonValueToDebugString.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass

from .json_double import double_notation
from .json_reader import Json, JsonObject

_INDENT = "    "
_DEBUG_BYTES = 256


@dataclass(slots=True)
class _Level:
    in_array: bool
    values: int = 0  # names count, too


class PrettyWriter:
    """Writes one document, event by event. A string may hold stray bytes, as ``surrogateescape`` writes them."""

    def __init__(self) -> None:
        self.single_line_arrays = False
        self.size = 0  # bytes so far
        self._text: list[str] = []
        self._levels: list[_Level] = []

    def text(self) -> str:
        return "".join(self._text)

    def raw(self, token: str) -> None:
        """A number or a word, as it is."""
        self._prefix()
        self._put(token)

    def string(self, value: str) -> None:
        """A string, or the name of a member."""
        self.raw(quoted(value))

    def start_array(self) -> None:
        self.raw("[")
        self._levels.append(_Level(in_array=True))

    def end_array(self) -> None:
        if self._levels.pop().values and not self.single_line_arrays:
            self._break_line()
        self._put("]")

    def start_object(self) -> None:
        self.raw("{")
        self._levels.append(_Level(in_array=False))

    def end_object(self) -> None:
        if self._levels.pop().values:
            self._break_line()
        self._put("}")

    def begin_value(self) -> None:
        """What stands before the next value, without the value."""
        self._prefix()

    def _prefix(self) -> None:
        if not self._levels:
            return
        level = self._levels[-1]
        if level.in_array:
            if level.values:
                self._put(", " if self.single_line_arrays else ",")
            if not self.single_line_arrays:
                self._break_line()
        elif level.values % 2:
            self._put(": ")
        else:
            if level.values:
                self._put(",")
            self._break_line()
        level.values += 1

    def _break_line(self) -> None:
        self._put("\n" + _INDENT * len(self._levels))

    def _put(self, text: str) -> None:
        self._text.append(text)
        self.size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


_ESCAPED = re.compile(r'[\x00-\x1f"\\]')
_SHORT_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def quoted(value: str) -> str:
    """A JSON string: control characters, quotes and backslashes escaped, everything else as it is."""
    return f'"{_ESCAPED.sub(_escape, value)}"'


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    return _SHORT_ESCAPES.get(char) or f"\\u{ord(char):04X}"


def float_text(value: float) -> str:
    """A float32 in six digits where that comes back as itself, in nine otherwise."""
    return _decimal(value, 6 if _six_digits_hold_float32(value) else 9)


def double_text(value: float) -> str:
    """A double in six digits where that comes back as itself, in seventeen otherwise."""
    return _decimal(value, 6 if float(f"{value:.6g}") == value else 17)


def _six_digits_hold_float32(value: float) -> bool:
    if not math.isfinite(value):
        return True
    short = float(f"{value:.6g}")
    return short == value or struct.unpack("f", struct.pack("f", short))[0] == value


def _decimal(value: float, digits: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.{digits}g}"
    return text if "." in text or "e" in text else text + ".0"


def debug_text(value: Json) -> str:
    """A value as error messages show it: arrays on one line, cut once 256 bytes are written.

    The cut comes between tokens, so the text may be somewhat longer, and no closing brackets follow.
    """
    writer = PrettyWriter()
    writer.single_line_arrays = True
    _write_some(writer, value)
    return writer.text()


def _write_some(writer: PrettyWriter, value: Json) -> bool:
    """Write ``value`` unless the limit is reached; False where writing has to end."""
    if writer.size >= _DEBUG_BYTES:
        return False
    if isinstance(value, list):
        writer.start_array()
        if not all(_write_some(writer, element) for element in value) or writer.size >= _DEBUG_BYTES:
            return False
        writer.end_array()
    elif isinstance(value, JsonObject):
        writer.start_object()
        for name, member in value.members:
            if not (_write_some(writer, name) and _write_some(writer, member)):
                return False
        if writer.size >= _DEBUG_BYTES:
            return False
        writer.end_object()
    elif isinstance(value, str):
        writer.string(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            writer.begin_value()  # the writer gives up on it, after what stands before it
            return False
        writer.raw(double_notation(value))
    elif value is None:
        writer.raw("null")
    else:
        writer.raw({True: "true", False: "false"}[value] if isinstance(value, bool) else str(value))
    return True
