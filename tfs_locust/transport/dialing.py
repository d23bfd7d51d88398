"""New connections to all addresses of a name, paced: a server that starts is not flooded, one that is away not hunted.

Knows no protocol above TLS, and no calls: it is told how many connections are wanted, and gives them one by one.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import monkey
from gevent.socket import getaddrinfo, wait_read, wait_write

from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.tls_socket import TlsSocket

_NS = 1_000_000_000
PAUSE_S = 0.1
"""Between two attempts at an address that does not answer, and the age at which a name is looked up again."""
ATTEMPT_S = 5.0
"""For TCP and TLS together: two losses of the first packet, which TCP sends again after 1 and 3 s."""
MOST_AT_ONCE = 100
"""Attempts at one address. TensorFlow Serving's backlog is 128, and what does not fit is sent again after 1 s."""
SETTLE_S = 0.02
"""How long a connection counts among those: the kernel makes it before the server accepts it from its backlog."""

_TICK_S = 0.01
_PAUSE_NS = int(PAUSE_S * _NS)

# not gevent's: it does not wait
_Socket = monkey.get_original("socket", "socket")

Channel = Any
"""A connected, non-blocking socket.socket, or the same over TLS."""


@dataclass(eq=False, slots=True)
class Address:
    """One of the places a name stands for, and how it goes there."""

    family: int
    sockaddr: Any
    open: int = 0
    """Connections. Who closes one counts it off."""
    answers: int = 0
    """For who receives them to count."""
    attempts: int = 0
    fresh: int = 0
    """Attempts, and connections that have not settled."""
    failed_ns: int = 0
    """When the last attempt failed; zero if it did not."""

    @property
    def name(self) -> str:
        """``127.0.0.1:8500``, ``[::1]:8500``."""
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Dialer:
    """Makes connections as long as they are wanted.

    An address that failed is tried by one attempt at a time, beside those at others, ``PAUSE_S`` after the last.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext | None,
        server_name: str,
        wanted: Callable[[], int],
        connected: Callable[[Channel, Address], None],
        failed: Callable[[str], None],
    ) -> None:
        """The three are called in greenlets of the dialer's own, and must not wait.

        ``wanted``: how many connections are, those that are being made among them. ``failed``, with the last reason:
        no address can be reached.
        """
        self._endpoint = endpoint
        self._context = context
        self._server_name = server_name
        self._wanted = wanted
        self._connected = connected
        self._failed = failed
        self._known: dict[Any, Address] = {}
        self._current: list[Address] = []
        self._looked_up_ns = -_NS
        self._looking_up = False
        self._waiting = False
        self._under_way = 0
        """Attempts that are counted on: not those at addresses that failed the last time."""
        self._working: set[Any] = set()

    @property
    def addresses(self) -> list[Address]:
        """All that were ever found."""
        return list(self._known.values())

    def dial(self) -> None:
        """Start what is wanted and allowed now. To be called whenever more may be wanted."""
        wanted = self._wanted()
        if wanted <= self._under_way or self._looking_up:
            return
        now_ns = time.perf_counter_ns()
        if now_ns - self._looked_up_ns > _PAUSE_NS:
            self._looking_up = True
            self._start(self._look_up)
            return
        for address in self._current:
            if address.failed_ns and not address.attempts and now_ns - address.failed_ns > _PAUSE_NS:
                self._try(address, 0)
        while self._under_way < wanted and (best := self._best()):
            self._try(best, 1)
        if not self._waiting and not self._any_attempt():
            self._waiting = True
            self._start(self._wait)

    def close(self) -> None:
        """Give up all that is under way."""
        self._wanted = lambda: 0
        gevent.killall(list(self._working))

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        greenlet = gevent.spawn(work, *arguments)
        self._working.add(greenlet)
        greenlet.rawlink(self._working.discard)

    def _wait(self) -> None:
        """For the end of a pause, as long as someone waits."""
        gevent.sleep(_TICK_S)
        self._waiting = False
        self.dial()

    def _look_up(self) -> None:
        try:
            found = getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # ValueError: no name at all
            if not self._current:  # else those known before are the best there are
                self._failed(str(error))
        else:
            self._current = [self._address(family, sockaddr) for family, _, _, _, sockaddr in found]
        finally:
            self._looked_up_ns = time.perf_counter_ns()
            self._looking_up = False
        self.dial()

    def _address(self, family: int, sockaddr: Any) -> Address:
        return self._known.setdefault((family, sockaddr), Address(family, sockaddr))

    def _best(self) -> Address | None:
        """Of those that may be tried, the one with the fewest connections."""
        usable = [address for address in self._current if not address.failed_ns and address.fresh < MOST_AT_ONCE]
        return min(usable, key=lambda address: address.open + address.attempts, default=None)

    def _any_attempt(self) -> bool:
        return any(address.attempts for address in self._known.values())

    def _try(self, address: Address, counted: int) -> None:
        address.attempts += 1
        address.fresh += 1
        self._under_way += counted
        self._start(self._attempt, address, counted)

    def _attempt(self, address: Address, counted: int) -> None:
        problem = ""
        try:
            with gevent.Timeout(ATTEMPT_S, TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))):
                channel = self._connect(address)
        except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot ask for
            problem = str(error) or type(error).__name__
            address.failed_ns = time.perf_counter_ns()
        else:
            address.failed_ns = 0
            address.open += 1
        finally:
            address.attempts -= 1
            self._under_way -= counted
        if not problem:
            self._connected(channel, address)
            gevent.sleep(SETTLE_S)
        elif not self._any_attempt() and all(address.failed_ns for address in self._current):
            self._failed(problem)
        address.fresh -= 1
        self.dial()

    def _connect(self, address: Address) -> Channel:
        sock = _Socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            error = sock.connect_ex(address.sockaddr)
            if error == errno.EINPROGRESS:
                wait_write(sock.fileno())
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            _raise_if(error)
            return sock if self._context is None else self._secure(sock, self._context)
        except BaseException:
            sock.close()
            raise

    def _secure(self, sock: socket.socket, context: ssl.SSLContext) -> TlsSocket:
        channel = TlsSocket(sock, context, self._server_name)
        while True:
            try:
                channel.shake_hands()
            except BlockingIOError:
                wait_read(sock.fileno())
            else:
                return channel


def _raise_if(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))
