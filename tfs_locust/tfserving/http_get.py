"""One GET with a deadline over all of it: for pages that are looked at beside the load, such as metrics.

Not for load: it opens a connection for each page. Goes straight to the host, whatever proxies the environment names.
"""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

LARGEST = 64 << 20
"""Bytes of an answer; what is larger is no page of metrics."""


class GetError(Exception):
    """No page came. The text says from where, and why; it names no password."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8, with replacement characters for what is none."""
        return self.body.decode("utf-8", errors="replace")


def http_get(
    url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> Answer:
    """GET ``url`` (http or https, ``user:password@`` allowed). Redirects are not followed: the error names the place.

    ``timeout_s`` is for all of it, so that a peer that trickles cannot hold its reader. Without ``tls`` the system's
    authorities are trusted. Raises GetError.
    """
    parts = _checked(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    deadline = time.monotonic() + timeout_s
    connection = _connection(parts, timeout_s, tls)
    try:
        connection.connect()
        with _ended_at(deadline, connection.sock):
            path = parts.path or "/"
            connection.request(
                "GET", f"{path}?{parts.query}" if parts.query else path, headers=_headers(parts, headers)
            )
            response = connection.getresponse()
            body = response.read(LARGEST + 1)
        if response.length and len(body) <= LARGEST:  # read(n) does not tell of a body that is too short
            raise http.client.IncompleteRead(body, response.length)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline or isinstance(error, TimeoutError):
            raise GetError(f"{shown}: no answer within {timeout_s:g} s") from error
        raise GetError(f"{shown}: {_reason(error)}") from error
    finally:
        connection.close()
    if len(body) > LARGEST:
        raise GetError(f"{shown}: the answer is larger than {LARGEST >> 20} MiB")
    if 300 <= response.status < 400:
        raise GetError(f"{shown}: redirects to {response.headers.get('Location', 'nowhere')}; give that URL")
    return Answer(response.status, body)


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port != 0
    except ValueError as error:
        raise GetError(f"URL {url!r}: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise GetError(f"URL {url!r}: expected such as http://127.0.0.1:8501/path")
    return parts


def _connection(parts: SplitResult, timeout_s: float, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            host, parts.port, timeout=timeout_s, context=tls or ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


def _headers(parts: SplitResult, given: Mapping[str, str] | None) -> dict[str, str]:
    headers = {"Connection": "close", **(given or {})}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.setdefault("Authorization", "Basic " + base64.b64encode(login.encode()).decode("ascii"))
    return headers


@contextmanager
def _ended_at(deadline: float, sock: socket.socket) -> Iterator[None]:
    """Shut the connection down at ``deadline``, whatever is being done on it; raises TimeoutError where that happened.

    A socket's own timeout is for each of its operations: a peer that sends a byte now and then would never meet it.
    """
    # a handle of its own: http.client closes the first one once it has made a file of it
    with socket.socket(fileno=os.dup(sock.fileno())) as handle:
        timer = threading.Timer(deadline - time.monotonic(), _shut_down, [handle])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
    if time.monotonic() >= deadline:
        raise TimeoutError


def _shut_down(handle: socket.socket) -> None:
    with suppress(OSError):  # it may have ended by itself in this moment
        handle.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut off"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return "what answers does not speak HTTP/1.1"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
