"""What a peer must not do over HTTP/2, and how it shows that it speaks something else."""

from __future__ import annotations

from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.http2_frames import ErrorCode

_LINE_MOST = 80


class PeerError(Exception):
    """The peer breaks the protocol: nothing more from it can be trusted (RFC 9113 section 5.4.1)."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_size(right: bool) -> None:
    if not right:
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "a frame has a wrong size")


def check_stream(right: bool) -> None:
    if not right:
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "a frame of the connection names a stream")


def unpadded(payload: bytes) -> bytes:
    """RFC 9113 section 6.1."""
    if not payload or payload[0] >= len(payload):
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "a frame is shorter than its padding")
    return payload[1 : len(payload) - payload[0]]


def check_first(data: bytes) -> bool:
    """A server begins with SETTINGS (RFC 9113 section 3.4). Whether there is enough to be read as frames."""
    if len(data) < h2.HEAD_BYTES or (data.startswith(b"HTTP/") and len(data) < _LINE_MOST and b"\n" not in data):
        return False
    if data[3] != h2.SETTINGS or data[4] & h2.ACK:
        raise PeerError(ErrorCode.PROTOCOL_ERROR, foreign(data))
    return True


def foreign(data: bytes) -> str:
    """What a peer speaks that does not speak HTTP/2; empty where it said nothing."""
    if data.startswith(b"HTTP/"):
        return f"the peer speaks HTTP/1, not HTTP/2: {data.splitlines()[0][:_LINE_MOST].decode('latin-1')}"
    if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":
        return "the peer speaks TLS, and it was spoken to without"
    return f"the peer does not speak HTTP/2: it began with {bytes(data[:40])!r}" if data else ""
