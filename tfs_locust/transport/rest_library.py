"""REST through geventhttpclient, the library: keep-alive connections, each carrying one request at a time."""

from __future__ import annotations

import select
import time
from typing import Any, NamedTuple

import gevent
import gevent.ssl
from gevent import monkey
from gevent.lock import DummySemaphore
from geventhttpclient import HTTPClient
from geventhttpclient.header import Headers
from geventhttpclient.response import HTTPParseError

from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Endpoint, Reply
from tfs_locust.transport.http_status import error_text, outcome_of
from tfs_locust.transport.tls import client_context

# Connections are as many as calls in flight; the pool's own limit is not to be met.
_CONNECTIONS = 1 << 16
_BLOCK_BYTES = 1 << 16


class _Call(NamedTuple):
    method: str
    path: str
    body: bytes


class _DeadlineExceeded(Exception):  # noqa: N818 - raised into a call by its own timer
    pass


class _Unreachable(Exception):  # noqa: N818 - it reads as what happened
    """No connection could be made."""


class RestLibrary:
    """A :class:`~tfs_locust.transport.base.Transport` over keep-alive HTTP/1.1 connections, one per call in flight."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises OSError or ssl.SSLError where a certificate cannot be used. Connects on the first call."""
        tls = endpoint.tls
        headers = Headers({"User-Agent": "tfs-locust"})
        headers.update(Headers(endpoint.headers))
        self._client = HTTPClient(
            endpoint.host,
            endpoint.port,
            headers=headers,
            block_size=_BLOCK_BYTES,
            concurrency=_CONNECTIONS,
            # deadlines are this transport's own, over the whole call
            connection_timeout=None,
            network_timeout=None,
            ssl=tls is not None,
            # called with the library's own choice of authorities, which ours replaces
            ssl_context_factory=None if tls is None else lambda **_: client_context(tls, _Context),
        )
        self._closed = False
        self._in_flight: dict[Any, Any] = {}
        """Greenlet -> the connection it uses."""
        pool = self._client._connection_pool  # noqa: SLF001 - the library has no other door to what follows
        self._get_socket = pool.get_socket
        pool.get_socket = self._take_connection
        # The library looks with select(), which cannot see descriptors above 1023 and takes them for dead.
        pool._is_socket_alive = _is_idle  # noqa: SLF001
        # It counts its connections, loses count where a call ends while it sends, and in the end lets nobody in.
        pool._semaphore = DummySemaphore()  # noqa: SLF001
        # It sends a GET again whose connection ended, up to size + 1 times; here a request is sent once.
        pool.size = -1

    @property
    def peers(self) -> dict[str, int]:
        """Nothing: geventhttpclient does not tell which address answered."""
        return {}

    def prepare(self, path: str, body: bytes | None) -> _Call:
        return _Call("GET" if body is None else "POST", path, body or b"")

    def call(self, request: _Call, timeout_s: float) -> Reply:
        sent_ns = time.perf_counter_ns()
        timer = gevent.Timeout.start_new(timeout_s, _DeadlineExceeded)
        caller = gevent.getcurrent()
        try:
            response = self._client.request(request.method, request.path, body=request.body)
            body = bytes(response.read())
            end_ns = time.perf_counter_ns()
            complete = response.message_complete
            del self._in_flight[caller]
        except _DeadlineExceeded:
            return Reply(sent_ns, time.perf_counter_ns(), Outcome.DEADLINE_EXCEEDED, b"", "Deadline Exceeded")
        except (_Unreachable, HTTPParseError, OSError, RuntimeError) as error:
            if self._closed:
                outcome = Outcome.CANCELLED
            elif isinstance(error, _Unreachable):
                outcome = Outcome.UNREACHABLE
            else:
                outcome = Outcome.CONNECTION_LOST
            return Reply(sent_ns, time.perf_counter_ns(), outcome, b"", str(error))
        finally:
            timer.close()
            if unfinished := self._in_flight.pop(caller, None):
                unfinished.close()
        if not complete:
            return Reply(sent_ns, end_ns, Outcome.CONNECTION_LOST, b"", "connection closed before end of the body")
        if response.status_code == 200:
            return Reply(sent_ns, end_ns, Outcome.OK, body, "")
        detail = error_text(response.status_code, body)
        return Reply(sent_ns, end_ns, outcome_of(response.status_code, detail), b"", detail)

    def close(self) -> None:
        self._closed = True
        self._client.close()
        for connection in list(self._in_flight.values()):  # these the library leaves open
            connection.close()

    def _take_connection(self) -> Any:
        try:
            connection = self._get_socket()
        except (OSError, RuntimeError, UnicodeError) as error:  # refused, no route, no such name, a failed handshake
            raise _Unreachable(str(error)) from error
        self._in_flight[gevent.getcurrent()] = connection
        if self._closed:
            connection.close()
        return connection


class _Context(gevent.ssl.SSLContext):
    """gevent's own, because without patching the standard one blocks every greenlet, timers included."""

    def wrap_socket(self, sock: Any, **settings: Any) -> Any:  # type: ignore[override]
        """Shake hands; a connection that does not come to it in time is closed, which the library leaves undone."""
        wrapped = super().wrap_socket(sock, do_handshake_on_connect=False, **settings)
        try:
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped


_poll = monkey.get_original("select", "poll")


def _is_idle(sock: Any) -> bool:
    """Whether a kept connection can be used: open, with nothing to read (neither an end nor a stray answer)."""
    if sock is None or sock.fileno() < 0:
        return False
    poller = _poll()
    poller.register(sock.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poller.poll(0)
