"""An HTTP/2 server without a protocol of its own: a test's script says every byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.unit import http2_peer
from tfs_locust.transport import http2_frames as h2

MESSAGE = b"\0\0\0\0\2hi"


class Lost(Exception):  # noqa: N818 - it reads as what happened
    """The client is gone."""


class Line:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.number = number
        """Of the connection: 1 is the first."""
        self._sock = sock
        self._read = b""

    def settle(self, settings: dict[int, int] | None = None) -> None:
        """Hear the client's preface and say the server's."""
        while not self._read.startswith(h2.CLIENT_PREFACE):
            self._more()
        self._read = self._read.removeprefix(h2.CLIENT_PREFACE)
        self.say(h2.settings(settings or {}))

    def request(self) -> int:
        """Wait until a request is complete; returns its stream."""
        while True:
            frame = self.frame()
            if frame.kind == h2.DATA and frame.flags & h2.END_STREAM:
                return frame.stream_id

    def frame(self) -> http2_peer.Frame:
        """The next, whatever it is."""
        while len(self._read) < 9 or len(self._read) < 9 + int.from_bytes(self._read[:3], "big"):
            self._more()
        size = 9 + int.from_bytes(self._read[:3], "big")
        frame, self._read = http2_peer.frames(self._read[:size])[0], self._read[size:]
        return frame

    def say(self, data: bytes) -> None:
        self._sock.sendall(data)

    def answer(self, stream_id: int, message: bytes = MESSAGE) -> None:
        self.say(http2_peer.answer(stream_id, message))

    def serve(self) -> None:
        """Answer all requests until the client goes."""
        while True:
            self.answer(self.request())

    def _more(self) -> None:
        data = self._sock.recv(1 << 16)
        if not data:
            raise Lost
        self._read += data


Script = Callable[[Line], None]


class Raw:
    """Listens on a free port of loopback; each connection is a thread that plays the script and then closes."""

    def __init__(self, script: Script, host: str, port: int) -> None:
        self.script = script
        self.accepted = 0
        self._listener = socket.create_server((host, port), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._socks.append(sock)
            self._threads.append(threading.Thread(target=self._play, args=(sock, self.accepted)))
            self._threads[-1].start()

    def _play(self, sock: socket.socket, number: int) -> None:
        with sock, suppress(Lost, OSError):
            self.script(Line(sock, number))
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections and listen no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@contextmanager
def running_raw(script: Script, host: str = "127.0.0.1", port: int = 0) -> Iterator[Raw]:
    """A server that plays ``script`` on every connection."""
    raw = Raw(script, host, port)
    try:
        yield raw
    finally:
        raw.close()
