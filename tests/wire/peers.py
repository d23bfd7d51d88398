"""Servers that do as a test tells them, over gRPC and over HTTP.

Each runs in threads of its own; its script is a function of the request, called in one of them.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import grpc
from trustme import CA, LeafCert

_MOST_AT_ONCE = 64


class Asked(NamedTuple):
    """A request as it arrived."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    """Header fields, or metadata."""
    client: str
    """The other end of its connection."""


@dataclass(frozen=True)
class Said:
    """What is answered. Without a ``status``, success; it is a gRPC code's number or an HTTP status."""

    body: bytes = b""
    status: int | None = None
    text: str | None = None
    """The words of a failure; over HTTP as TensorFlow Serving's JSON, which then is the body."""
    framing: str = "length"
    """HTTP alone: how the body's end is told: ``length``, ``chunked`` or ``close``."""
    closes: bool = False
    """HTTP alone: ``Connection: close``."""


Script = Callable[[Asked], Said]


def echo(asked: Asked) -> Said:
    """The request's body is the answer's."""
    return Said(asked.body)


@dataclass(frozen=True)
class ServerTls:
    """The server's certificate, and the authority that its clients' certificates must come from, if any."""

    certificate: LeafCert
    clients: CA | None = None


@dataclass
class Peer:
    """A scripted server. Whoever waits in a script waits for ``released``, which is also set when the peer ends."""

    port: int = 0
    script: Script = echo
    asked: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    patience_s: float | None = None
    """gRPC alone: how long, when the peer ends, calls that it has may go on."""

    def hear(self, asked: Asked) -> Said:
        """Note the request and ask the script."""
        self.asked.append(asked)
        return self.script(asked)

    def hold(self, asked: Asked) -> Said:
        """Wait until released, then answer with the request's body. A script."""
        self.released.wait(60)
        return echo(asked)


@contextmanager
def running_peer(
    protocol: str,
    host: str = "127.0.0.1",
    tls: ServerTls | None = None,
    *,
    port: int = 0,
    script: Script = echo,
    options: Mapping[str, int] | None = None,
) -> Iterator[Peer]:
    """A peer that listens on ``host``, on a free port if none is given; ``options`` are gRPC core's."""
    peer = Peer(port, script)
    with _grpc_server(peer, host, tls, options or {}) if protocol == "grpc" else _http_server(peer, host, tls):
        yield peer


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method is unary, its messages bytes."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def service(self, handler_call_details: Any) -> Any:
        def answer(body: bytes, context: Any) -> bytes:
            metadata = tuple((name, value) for name, value in context.invocation_metadata())
            said = self._peer.hear(Asked(handler_call_details.method, body, metadata, context.peer()))
            if said.status:
                code = next(code for code in grpc.StatusCode if code.value[0] == said.status)
                context.abort(code, said.text or "")
            return said.body

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def _grpc_server(peer: Peer, host: str, tls: ServerTls | None, options: Mapping[str, int]) -> Iterator[None]:
    options = {"grpc.max_receive_message_length": -1, "grpc.so_reuseport": 0, **options}
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        server = grpc.server(pool, handlers=[_Handler(peer)], options=list(options.items()))
        address = f"[{host}]:{peer.port}" if ":" in host else f"{host}:{peer.port}"
        peer.port = server.add_secure_port(address, _credentials(tls)) if tls else server.add_insecure_port(address)
        server.start()
        try:
            yield
        finally:
            peer.released.set()
            server.stop(peer.patience_s).wait()


def _credentials(tls: ServerTls) -> Any:
    certificate = tls.certificate
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    return grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), chain)],
        root_certificates=tls.clients.cert_pem.bytes() if tls.clients else None,
        require_client_auth=tls.clients is not None,
    )


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = False  # they are joined when the server closes
    request_queue_size = 128

    def __init__(self, peer: Peer, host: str) -> None:
        self.peer = peer
        self.connections: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, peer.port), _HttpConnection)

    def handle_error(self, *_: object) -> None:
        """A client that goes away, or whose handshake fails, is what many tests are about."""


class _HttpConnection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = self.server.peer.hear(Asked(self.path, body, tuple(self.headers.items()), str(self.client_address)))
        body = said.body if said.text is None else json.dumps({"error": said.text}).encode()
        self.send_response(said.status or 200)
        if said.closes or said.framing == "close":
            self.send_header("Connection", "close")
        if said.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            pieces = (body[at : at + 1000] for at in range(0, len(body), 1000))
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        elif said.framing == "length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing: the tests say what happened."""


@contextmanager
def _http_server(peer: Peer, host: str, tls: ServerTls | None) -> Iterator[None]:
    with _HttpServer(peer, host) as server:
        peer.port = server.server_port
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.certificate.configure_cert(context)
            if tls.clients:
                tls.clients.configure_trust(context)
                context.verify_mode = ssl.CERT_REQUIRED
            # the handshake belongs to the connection's own thread, not to the one that accepts
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            peer.released.set()
            server.shutdown()
            thread.join()
            for connection in list(server.connections):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
