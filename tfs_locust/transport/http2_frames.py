"""The layout of HTTP/2 frames as bytes (RFC 9113 sections 4 and 6). Knows no order in which they may come."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum

CLIENT_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# types
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

# flags; ACK is that of SETTINGS and PING
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

# settings
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

HEAD_BYTES = 9
SMALLEST_MAX_FRAME, LARGEST_MAX_FRAME = 1 << 14, (1 << 24) - 1
DEFAULT_WINDOW, LARGEST_WINDOW = (1 << 16) - 1, (1 << 31) - 1
LAST_STREAM_ID = (1 << 31) - 1


class ErrorCode(IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def error_name(code: int) -> str:
    """``7 (REFUSED_STREAM)``, or the number alone where it has no name."""
    return f"{code} ({ErrorCode(code).name})" if code in ErrorCode._value2member_map_ else str(code)


UINT32 = struct.Struct(">I")
_SETTING = struct.Struct(">HI")
_GOAWAY = struct.Struct(">II")
_HEAD = struct.Struct(">BHBBI")

unpack_head: Callable[[bytes, int], tuple[int, int, int, int, int]] = _HEAD.unpack_from
"""A frame's first nine bytes: the length's upper 8 and lower 16 bits, type, flags, stream id with its reserved bit."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return _HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream_id) + payload


def unaddressed(kind: int, flags: int, length: int) -> bytes:
    """A frame's first five bytes: what comes before its stream id."""
    return _HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, 0)[:5]


def settings(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Name and value of each, in order; ``payload`` is a whole number of them."""
    return _SETTING.iter_unpack(payload)


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, UINT32.pack(increment))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    return frame(RST_STREAM, 0, stream_id, UINT32.pack(code))


def goaway(code: ErrorCode, text: str) -> bytes:
    """As a client sends it, that has taken no stream from the server."""
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(0, code) + text.encode())


def read_goaway(payload: bytes) -> tuple[int, int, str]:
    """Last stream id, error code, the peer's words; ``payload`` has at least eight bytes."""
    last_id, code = _GOAWAY.unpack_from(payload)
    return last_id & LAST_STREAM_ID, code, payload[8:].decode("utf-8", "replace")


def header_frames(stream_id: int, block: bytes, most: int) -> Iterator[bytes]:
    """HEADERS and, where ``block`` is larger than a frame may be, CONTINUATIONs. The request's data come after them."""
    for at in range(0, len(block), most):
        last = END_HEADERS if at + most >= len(block) else 0
        yield frame(CONTINUATION if at else HEADERS, last, stream_id, block[at : at + most])
