"""One connection of the gRPC engine: a socket that gevent's loop reads and writes, with HTTP/2 on it.

All that comes is read in the loop's own greenlet, which switches to the callers of the exchanges that ended; what they
send then goes out together, with one call of the kernel.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from gevent.event import Event

from tfs_locust.transport import grpc_protocol
from tfs_locust.transport.http2 import Http2
from tfs_locust.transport.http2_exchange import Exchange
from tfs_locust.transport.tls_pipe import TlsPipe

_BLOCK_BYTES = 1 << 16
_WOKEN_MOST = 32  # callers that are woken before what the first of them sent goes out
_LOOKS_MOST = 64  # the peer may send faster than we read
_IDLE_NS = 5_000_000
_READ, _WRITE = 1, 2  # gevent's events of a descriptor


Finish = Callable[[list[Exchange], int, str], None]
"""Takes exchanges that have ended, the time, and the peer."""
Retire = Callable[["GrpcConnection"], None]
"""Takes a connection that takes no more exchanges; perhaps more than once."""


class GrpcConnection:
    """Connected, and opening: usable when ``decided`` is set and it is ``accepting``."""

    def __init__(
        self, sock: socket.socket, peer: str, pipe: TlsPipe | None, loop: Any, finish: Finish, retire: Retire
    ) -> None:
        """``sock`` is connected, does not block, and is the connection's own from now on.

        ``finish`` and ``retire`` are called in the loop's greenlet.
        """
        self.peer = peer
        self.http2 = Http2(grpc_protocol.meaning)
        self.decided = Event()
        """Set when the peer has introduced itself, or the connection is over."""
        self.served = False
        """An answer has come over it."""
        self._sender = self.http2.sender
        self._streams = self._sender.streams
        self._sock = sock
        self._pipe = pipe
        self._finish = finish
        self._retire = retire
        self._loop = loop
        self._flush_due = False
        self._unwritten = memoryview(b"")
        self._read_ns = 0
        self._reads = loop.io(sock.fileno(), _READ)
        self._writes = loop.io(sock.fileno(), _WRITE)
        self._reads.start(self._readable)
        self._flush()

    @property
    def accepting(self) -> bool:
        return self._sender.accepting and self.http2.settled

    @property
    def closed(self) -> bool:
        return self._reads is None

    def send(self, exchange: Exchange, now_ns: int) -> bool:
        """Begin an exchange, or keep it until there is room. False where this connection can take no more."""
        if not self._streams and now_ns - self._read_ns > _IDLE_NS:
            self._readable()  # in a process that was busy with other things, what has happened here is not known yet
        if not self._sender.accepting:
            self._retire(self)
            return False
        exchange.connection = self
        self._sender.send(exchange, now_ns)
        if not self._flush_due:
            self._flush_due = True
            self._loop.run_callback(self._flush)
        return True

    def cancel(self, exchange: Exchange, now_ns: int) -> None:
        """Give up an exchange; it will not be finished."""
        self.http2.cancel(exchange, now_ns)
        if self.http2.finished:
            self._loop.run_callback(self._close_if_finished)
        elif not self._flush_due:
            self._flush_due = True
            self._loop.run_callback(self._flush)

    def look(self) -> None:
        """Read what has come, without waiting for the loop's turn."""
        for _ in range(_LOOKS_MOST):
            before_ns = self._read_ns
            self._readable()
            if self._reads is None or self._read_ns == before_ns:
                break

    def close(self, text: str) -> list[Exchange]:
        """End it now. Returns the exchanges that this ends."""
        if self._reads is None:
            return []
        self._reads.close()
        self._writes.close()
        self._reads = self._writes = None
        self._sock.close()
        ended = self.http2.end(text)
        self.decided.set()
        return ended

    def _readable(self) -> None:
        if self._reads is None:
            return
        try:
            data = self._sock.recv(_BLOCK_BYTES)
            self._read_ns = now_ns = perf_counter_ns()
            if not data:
                self._lost("Socket closed")
                return
            if self._pipe is not None:
                data = self._pipe.decrypt(data)
        except BlockingIOError:
            return
        except ssl.SSLError as error:
            self._lost(f"TLS handshake failed: {error}" if not self.http2.settled else str(error))
            return
        except OSError as error:
            self._lost(error.strerror or str(error))
            return
        self._flush_due = True  # what is sent from here on is written below
        ended = self.http2.receive(data, now_ns)
        if ended and ended[0].fate is None:
            self.served = True
        for at in range(0, len(ended), _WOKEN_MOST):
            self._finish(ended[at : at + _WOKEN_MOST], now_ns, self.peer)
            self._write()
        self._flush()
        if self.http2.settled and not self.decided.is_set():
            self.decided.set()
        if not self._sender.accepting:
            self._close_if_finished()

    def _flush(self) -> None:
        self._flush_due = False
        self._write()

    def _write(self) -> None:
        if self._reads is None or self._unwritten:
            return
        try:
            while data := self._taken():
                written = self._sock.send(data)
                self._sender.written()
                if written < len(data):
                    self._wait_to_write(memoryview(data)[written:])
                    return
        except BlockingIOError:
            self._wait_to_write(memoryview(data))
        except OSError as error:
            self._lost(error.strerror or str(error))

    def _taken(self) -> bytes:
        data = self._sender.take()
        return data if self._pipe is None else self._pipe.encrypt(data)

    def _wait_to_write(self, unwritten: memoryview) -> None:
        self._unwritten = unwritten
        self._sender.pause()
        self._writes.start(self._writable)

    def _writable(self) -> None:
        try:
            written = self._sock.send(self._unwritten)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error.strerror or str(error))
            return
        self._sender.written()
        self._unwritten = self._unwritten[written:]
        if not self._unwritten:
            self._writes.stop()
            self._sender.resume(perf_counter_ns())
            self._write()

    def _close_if_finished(self) -> None:
        self._retire(self)
        if self.http2.finished:
            self._lost("the connection was drained")

    def _lost(self, text: str) -> None:
        now_ns = perf_counter_ns()
        if not self.http2.settled and self._pipe is None:
            text += " before HTTP/2 began; the server may expect TLS"
        ended = self.close(text)
        self._retire(self)
        self._finish(ended, now_ns, self.peer)
