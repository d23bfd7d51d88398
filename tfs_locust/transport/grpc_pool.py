"""The connections to one endpoint: how many, to which of the addresses behind its name, and when to make them again."""

from __future__ import annotations

import os
import socket
import ssl
from collections import Counter
from errno import EINPROGRESS
from typing import Any, NamedTuple, Protocol

import gevent
import gevent.socket
from gevent import monkey
from gevent.event import Event

from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.grpc_connection import GrpcConnection
from tfs_locust.transport.http2_exchange import Exchange
from tfs_locust.transport.tls import client_context
from tfs_locust.transport.tls_pipe import TlsPipe

PACE_S = 0.1
"""Between two attempts to connect to an address that has not served since."""
_SPARE_PACES = 10  # between them where calls can go elsewhere
_CONNECT_S = 10.0  # for one attempt, TLS and the peer's settings included
_socket = monkey.get_original("socket", "socket")  # the loop reads and writes it, nobody waits in it


class Address(NamedTuple):
    """One of those that a name resolves to."""

    family: int
    place: Any

    def __str__(self) -> str:
        host, port = self.place[:2]
        return f"[{host}]:{port}" if self.family == socket.AF_INET6 else f"{host}:{port}"


class Calls(Protocol):
    """Whoever has calls for the pool's connections."""

    @property
    def waiting(self) -> bool:
        """Whether there are calls that no connection could be given yet."""

    def finish(self, exchanges: list[Exchange], now_ns: int, peer: str) -> None:
        """These ended."""

    def changed(self) -> None:
        """There may be other live connections than before, or some are to be asked for again."""

    def unreachable(self, text: str) -> None:
        """No address could be connected to, and why."""


class GrpcPool:
    """Keeps as many connections as are wanted while there are calls, and asks the name anew for each that it makes."""

    def __init__(self, endpoint: Endpoint, wanted: int | None, calls: Calls) -> None:
        """``wanted`` connections, spread over all addresses; None: one for each. Raises OSError as client_context."""
        self.live: list[GrpcConnection] = []
        """Those that take calls."""
        self._endpoint = endpoint
        self._wanted = wanted
        self._calls = calls
        self._loop = gevent.get_hub().loop
        self._tls: ssl.SSLContext | None = None
        if endpoint.tls is not None:
            self._tls = client_context(endpoint.tls)
            self._tls.set_alpn_protocols(["h2"])
        self._target = 1
        """How many there are to be: as many as the name last had addresses, or as are wanted."""
        self._connections: set[GrpcConnection] = set()
        """All that are open: the live, those that open and those that finish what they have."""
        self._attempts: dict[Any, Address] = {}
        """Greenlet -> where it connects."""
        self._keeper: gevent.Greenlet[..., None] | None = None
        self._prompt = Event()
        """A connection that has served is over and was missed: it is replaced at once, however often that is."""
        self._to_replace = False

    def demand(self) -> None:
        """There are calls: make connections where they are missing."""
        if len(self.live) < self._target and self._keeper is None:
            self._keeper = gevent.spawn(self._keep)
        elif self._to_replace:
            self._prompt.set()
        self._to_replace = False

    def close(self) -> list[Exchange]:
        """End everything; returns the exchanges that this ends."""
        gevent.killall([*self._attempts, *([self._keeper] if self._keeper else [])])
        self.live.clear()
        return [exchange for connection in list(self._connections) for exchange in connection.close("closed")]

    def _keep(self) -> None:
        """Connect, again and again while calls wait for it; where others serve them meanwhile, less often."""
        try:
            while True:
                self._prompt.clear()
                self._attempt()
                for _ in range(_SPARE_PACES if self.live else 1):
                    if self._prompt.wait(PACE_S) or self._calls.waiting:
                        break
                if not self._calls.waiting and not self._prompt.is_set():
                    break
        finally:
            self._keeper = None
        if len(self.live) < self._target:
            self._calls.changed()  # so that the next call asks for what is missing

    def _attempt(self) -> None:
        """Begin to connect to all addresses at which connections are missing."""
        try:
            missing = self._missing(_resolve(self._endpoint.host, self._endpoint.port))
        except (OSError, UnicodeError) as error:
            self._failed(f"failed to resolve {self._endpoint.host}: {error}")
            return
        for address in missing:
            greenlet = gevent.Greenlet(self._connect, address)
            self._attempts[greenlet] = address
            greenlet.start()

    def _missing(self, addresses: list[Address]) -> list[Address]:
        """Where connections are to be made; ``addresses`` are as many as there are."""
        has = Counter([str(address) for address in self._attempts.values()] + [c.peer for c in self.live])
        self._target = total = self._wanted or len(addresses)
        missing = []
        for index, address in enumerate(addresses):
            share = total // len(addresses) + (index < total % len(addresses))
            missing += [address] * (share - has[str(address)])
        return missing if self._wanted is None else missing[: total - has.total()]

    def _connect(self, address: Address) -> None:
        connection = None
        try:
            with gevent.Timeout(_CONNECT_S, TimeoutError(f"no HTTP/2 settings within {_CONNECT_S:.0f} s")):
                sock = _connected(address)
                pipe = None if self._tls is None else TlsPipe(self._tls, self._endpoint.host, "h2")
                connection = GrpcConnection(sock, str(address), pipe, self._loop, self._calls.finish, self._retire)
                self._connections.add(connection)
                connection.decided.wait()
            text = connection.http2.why
        except OSError as error:
            text = error.strerror or str(error)
        finally:
            del self._attempts[gevent.getcurrent()]
            if connection is not None and not connection.accepting:
                connection.close("given up")
                self._retire(connection)
        if connection is not None and connection.accepting:
            self.live.append(connection)
            self._calls.changed()
        else:
            self._failed(f"failed to connect to {address}: {text}")

    def _failed(self, text: str) -> None:
        if not self._attempts and not self.live:
            self._calls.unreachable(text)

    def _retire(self, connection: GrpcConnection) -> None:
        if connection.closed:
            self._connections.discard(connection)
        if connection in self.live:
            self.live.remove(connection)
            self._to_replace |= connection.served
            self._calls.changed()


def _resolve(host: str, port: int) -> list[Address]:
    found = gevent.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(Address(family, place) for family, _, _, _, place in found))


def _connected(address: Address) -> socket.socket:
    """A socket that does not block. Raises OSError."""
    sock: socket.socket = _socket(address.family, socket.SOCK_STREAM)
    code = 0
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address.place)
        if code == EINPROGRESS:
            gevent.socket.wait_write(sock.fileno())
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock
