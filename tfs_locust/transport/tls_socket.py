"""A non-blocking socket over TLS: the four methods of a socket that an engine uses, and the handshake.

OpenSSL works on memory here, not on the socket: so nothing waits in it that epoll cannot see, and nothing depends on
whether the ssl module is gevent's.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

_SEND_BYTES = 1 << 18


class TlsSocket:
    """``sock``, which is connected and does not block, over TLS. Methods raise OSError as a socket's do."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str) -> None:
        self.fileno = sock.fileno
        self.close = sock.close
        self._sock = sock
        self._received = ssl.MemoryBIO()
        self._produced = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._produced, server_hostname=server_name)
        self._unsent = b""
        self._taken = 0
        """Bytes of a caller's data that are in ``_unsent``, and not reported as sent."""

    def shake_hands(self) -> None:
        """Go on with the handshake. BlockingIOError: call again when there is something to read. Checks the peer."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                break
        with suppress(BlockingIOError):  # the rest goes with the first request
            self._flush()

    def send(self, data: bytes | memoryview) -> int:
        """Send a first part of ``data``; its length. After BlockingIOError call again, with the same data."""
        if not self._taken:
            with memoryview(data) as view:
                self._taken = self._tls.write(view[:_SEND_BYTES])
        self._flush()
        taken, self._taken = self._taken, 0
        return taken

    def recv(self, size: int) -> bytes:
        """All that has come, up to ``size`` bytes as they went over the wire; empty when the peer has said its end.

        A connection that ends without saying so raises ssl.SSLEOFError: it may have been cut (RFC 9112 section 9.8).
        """
        self._fill(size)
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(size):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            with suppress(BlockingIOError):
                self._flush()  # TLS answers some messages by itself
            if not pieces:
                raise BlockingIOError from None
        except ssl.SSLError:
            if not pieces:
                raise
            self._come_back()
        else:
            if pieces:
                self._come_back()
        return b"".join(pieces)

    def _come_back(self) -> None:
        """What came has an end behind it, which the next ``recv`` is to tell: let epoll say so."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def _fill(self, size: int = 1 << 16) -> None:
        received = self._sock.recv(size)
        if received:
            self._received.write(received)
        else:
            self._received.write_eof()

    def _flush(self) -> None:
        self._unsent += self._produced.read()
        while self._unsent:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
