"""HTTP/2 servers of single frames, so that a fault can be exact: what a script writes is what goes out.

Frames are those of RFC 9113 section 6, header blocks literals without indexing (RFC 7541 section 6.2.2), messages with
gRPC's five bytes before them. A script runs in a thread of its connection and may be as wrong as it likes.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)

NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 0x0, 0x1, 0x7, 0x8
ALL_STREAMS = 2**31 - 1

_PATIENCE_S = 30


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame's bytes."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, payload=b"".join(struct.pack("!HI", name, value) for name, value in values.items()))


def _text(value: bytes) -> bytes:
    """A string literal, not Huffman-coded (RFC 7541 section 5.2)."""
    if len(value) < 127:
        return bytes((len(value),)) + value
    rest, length = len(value) - 127, b"\x7f"
    while rest >= 128:
        length += bytes((rest % 128 | 128,))
        rest //= 128
    return length + bytes((rest,)) + value


def block(*fields: tuple[str, str]) -> bytes:
    """A header block of literals that no table keeps."""
    return b"".join(b"\x00" + _text(name.encode()) + _text(value.encode()) for name, value in fields)


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message: a flag, the length, the bytes."""
    return struct.pack("!BI", compressed, len(body)) + body


HEAD = block((":status", "200"), ("content-type", "application/grpc"))
TAIL = block(("grpc-status", "0"))


def answer(stream: int, body: bytes) -> bytes:
    """The three parts of an ordinary answer, as one run of frames."""
    whole = message(body)
    parts = [whole[at : at + 16384] for at in range(0, len(whole), 16384)]
    return (
        frame(HEADERS, END_HEADERS, stream, HEAD)
        + b"".join(frame(DATA, 0, stream, part) for part in parts)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, TAIL)
    )


class Request(NamedTuple):
    """A whole request as it came."""

    stream: int
    body: bytes
    """The message, without gRPC's five bytes."""


@dataclass
class Connection:
    """The server's side of one connection."""

    sock: socket.socket
    number: int
    """0 for the first that the peer takes, and so on."""
    grants: bool = True
    """Whether what arrives as DATA is given back to the windows at once."""
    blocks: list[bytes] = field(default_factory=list)
    """The requests' header blocks."""
    bodies: list[bytes] = field(default_factory=list)
    """Of the requests that came whole."""
    data_sizes: list[int] = field(default_factory=list)
    """Of the DATA frames that came."""
    acks: list[int] = field(default_factory=list)
    """The kinds of the frames that the client acknowledged."""
    settings: dict[int, int] = field(default_factory=dict)
    """The client's."""
    resets: list[tuple[int, int]] = field(default_factory=list)
    """The streams that the client reset, and their error codes."""
    _coming: dict[int, bytearray] = field(default_factory=dict)

    def greet(self, values: dict[int, int] | None = None) -> None:
        """Take the preface, send SETTINGS."""
        assert self._read(len(PREFACE)) == PREFACE
        self.send(settings(values or {}))

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def frame(self) -> Frame:
        """The next frame. Raises EOFError at the end."""
        head = self._read(9)
        return Frame(head[3], head[4], int.from_bytes(head[5:], "big"), self._read(int.from_bytes(head[:3], "big")))

    def ping(self) -> None:
        """Ask whether the client is there, and read until it says so."""
        answered = self.acks.count(PING)
        self.send(frame(PING, 0, 0, b"are you?"))
        while self.acks.count(PING) == answered:
            self.step()

    def request(self) -> Request:
        """Read until a request is complete, doing what a good server does meanwhile."""
        while True:
            request = self.step()
            if request is not None:
                return request

    def step(self) -> Request | None:
        """Read one frame, and return the request that it completes, if it does."""
        kind, flags, stream, payload = self.frame()
        if kind in (SETTINGS, PING) and flags & ACK:
            self.acks.append(kind)
        elif kind in (SETTINGS, PING):
            if kind == SETTINGS:
                self.settings.update(struct.iter_unpack("!HI", payload))
            self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == RST_STREAM:
            self.resets.append((stream, int.from_bytes(payload, "big")))
        elif kind == HEADERS:
            assert flags & END_HEADERS
            self.blocks.append(payload)
            self._coming[stream] = bytearray()
        elif kind == DATA:
            self.data_sizes.append(len(payload))
            self._coming[stream] += payload
            if payload and self.grants:
                self.grant(stream, len(payload))
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.bodies.append(bytes(self._coming.pop(stream)[5:]))
            return Request(stream, self.bodies[-1])
        return None

    def grant(self, stream: int, size: int) -> None:
        """Give room for ``size`` bytes more, to the connection and to the stream."""
        self.send(b"".join(frame(WINDOW_UPDATE, 0, number, size.to_bytes(4, "big")) for number in (0, stream)))

    def goaway(self, last_stream: int, code: int = NO_ERROR) -> None:
        self.send(frame(GOAWAY, 0, 0, struct.pack("!II", last_stream, code)))

    def reset(self, stream: int, code: int) -> None:
        self.send(frame(RST_STREAM, 0, stream, struct.pack("!I", code)))

    def echo(self) -> None:
        """Answer every request with its body, until the client goes."""
        while True:
            stream, body = self.request()
            self.send(answer(stream, body))

    def drain(self) -> None:
        """Read on until the client goes."""
        while True:
            self.step()

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self.sock.recv(min(size - len(parts), 1 << 16))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


Script = Callable[[Connection], None]


def echoes(connection: Connection) -> None:
    """A good server. A script."""
    connection.greet()
    connection.echo()


@dataclass
class FramePeer:
    """A listening server, and its connections in the order in which they came."""

    port: int
    connections: list[Connection] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    """What went wrong in scripts, other than that the client went."""


@contextmanager
def running_frames(*scripts: Script) -> Iterator[FramePeer]:
    """A server whose first connection follows the first script, and so on; all that come later follow the last."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    peer = FramePeer(listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def run(connection: Connection) -> None:
        try:
            with connection.sock:
                scripts[min(connection.number, len(scripts) - 1)](connection)
                # to close with something unread would take back what was written last
                connection.sock.shutdown(socket.SHUT_WR)
                while connection.sock.recv(1 << 16):
                    pass
        except (EOFError, OSError):
            pass  # the client went
        except BaseException as failure:
            peer.failures.append(failure)

    def accept() -> None:
        with suppress(OSError):  # the listener was shut
            while True:
                sock, _ = listener.accept()
                sock.settimeout(_PATIENCE_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(sock, len(peer.connections))
                peer.connections.append(connection)
                threads.append(threading.Thread(target=run, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield peer
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for connection in peer.connections:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
    if peer.failures:
        raise peer.failures[0]
