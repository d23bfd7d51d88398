"""A socket over TLS behaves as one without, but that it knows an end from a cut."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trustme

from tfs_locust.transport.tls_socket import TlsSocket

_PATIENCE_S = 30
_AUTHORITY = trustme.CA()
_CERTIFICATE = _AUTHORITY.issue_cert("name.example")

Script = Callable[[ssl.SSLSocket], None]


@contextmanager
def connected(script: Script, name: str = "name.example") -> Iterator[tuple[TlsSocket, socket.socket]]:
    """One end of a connection, and the socket under it; the other end does what the script says, in a thread."""
    client, server = socket.socketpair()
    for end in (client, server):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.setblocking(False)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _CERTIFICATE.configure_cert(context)

    def serve() -> None:
        with suppress(OSError), context.wrap_socket(server, server_side=True) as other:
            script(other)

    thread = threading.Thread(target=serve)
    thread.start()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _AUTHORITY.configure_trust(trusting)
    try:
        yield TlsSocket(client, trusting, name), client
    finally:
        client.close()
        thread.join()
        server.close()


def _again(work: Callable[[], object], sock: socket.socket, event: int) -> object:
    """Do it, as often as it would block, when the socket is ready."""
    poller = select.poll()
    poller.register(sock, event)
    while True:
        with suppress(BlockingIOError):
            return work()
        assert poller.poll(_PATIENCE_S * 1000)


def _receive(tls: TlsSocket, sock: socket.socket) -> bytes:
    data = _again(lambda: tls.recv(1 << 16), sock, select.POLLIN)
    assert isinstance(data, bytes)
    return data


def _echo(other: ssl.SSLSocket) -> None:
    received = b""
    while len(received) < 3_000_000:
        received += other.recv(1 << 16)
    other.sendall(received)


def test_megabytes_through_a_small_buffer() -> None:
    """What does not go out at once goes out later, none of it twice; all that has come is given."""
    data = bytes(range(250)) * 12_000
    with connected(_echo) as (tls, sock):
        _again(tls.shake_hands, sock, select.POLLIN)
        left = memoryview(data)
        while left:
            sent = _again(lambda: tls.send(left), sock, select.POLLOUT)  # noqa: B023 - called at once
            assert isinstance(sent, int)
            assert sent > 0
            left = left[sent:]
        received = b""
        while len(received) < len(data):
            received += _receive(tls, sock)
        assert received == data


def _say_and_end(other: ssl.SSLSocket) -> None:
    other.sendall(b"all of it")
    other.unwrap()


def _say_and_stop(other: ssl.SSLSocket) -> None:
    other.sendall(b"a part")


def test_end() -> None:
    """After the other side's goodbye there is no more to receive, and poll tells of it."""
    with connected(_say_and_end) as (tls, sock):
        _again(tls.shake_hands, sock, select.POLLIN)
        assert _receive(tls, sock) == b"all of it"
        assert _receive(tls, sock) == b""


def test_cut() -> None:
    """A connection that ends without goodbye may have been cut by anybody."""
    with connected(_say_and_stop) as (tls, sock):
        _again(tls.shake_hands, sock, select.POLLIN)
        assert _receive(tls, sock) == b"a part"
        with pytest.raises(ssl.SSLEOFError):
            _receive(tls, sock)


def test_another_name() -> None:
    """The handshake fails where the certificate is not the server's."""
    with connected(_echo, "other.example") as (tls, sock), pytest.raises(ssl.SSLCertVerificationError):
        _again(tls.shake_hands, sock, select.POLLIN)
