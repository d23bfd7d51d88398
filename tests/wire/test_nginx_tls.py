"""TLS as nginx ends it: ALPN, all sizes, and ports that are spoken to in the wrong way."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
import trustme

from tests.wire.conftest import Connect
from tests.wire.engines import NO_ANSWER, Engine, call, names
from tests.wire.nginx import gateway, running_nginx
from tests.wire.peers import Peer, ServerTls, running_peer
from tests.wire.playing import outcome, playing
from tests.wire.sizes import EDGES, MB, assert_echoed
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.tls import Tls

over_grpc = pytest.mark.parametrize("engine_name", names("grpc"))

_AUTHORITY = trustme.CA()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[str, Tls]:
    """nginx's settings, and the client's."""
    certificate = _AUTHORITY.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    _AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    file = tmp_path / "server.pem"
    return f"ssl_certificate {file}; ssl_certificate_key {file};", Tls(str(tmp_path / "ca.pem"))


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_tls(version: str, engine: Engine, peer: Peer, connect: Connect, tmp_path: Path, tls: tuple[str, Tls]) -> None:
    """nginx ends the TLS, having agreed on the protocol by ALPN; bodies of all sizes pass, on one connection."""
    settings, client = tls
    server = gateway(engine.protocol, peer.port, f"{settings} ssl_protocols {version};", listen="ssl")
    with running_nginx(tmp_path, server) as nginx:
        transport = connect(nginx.port, "localhost", tls=client)
        for size in (0, 1, *EDGES, MB, 16 * MB):
            assert_echoed(engine, transport, size)
        assert len({line.split()[1] for line in nginx.log()}) == 1
        transport.close()


def test_tls_under_load(engine: Engine, engine_name: str, peer: Peer, tmp_path: Path, tls: tuple[str, Tls]) -> None:
    """Records that arrive cut anywhere, or several at once, are put together; nothing that was read stays unseen."""
    settings, client = tls
    bodies = [bytes((number % 251,)) * (number * 97) for number in range(400)]
    server = gateway(engine.protocol, peer.port, settings, listen="ssl")
    with running_nginx(tmp_path, server) as nginx:
        requests = [(engine.path, body) for body in bodies]
        with playing("together", engine_name, nginx.port, requests, ca_file=client.ca_file) as process:
            replies = outcome(process)["replies"]
    assert [base64.b64decode(reply["body"]) for reply in replies] == bodies


@over_grpc
def test_tls_without_http2(engine: Engine, connect: Connect, tmp_path: Path, tls: tuple[str, Tls]) -> None:
    """A server that agrees on HTTP/1.1 alone is no gRPC server: unreachable, with ALPN as the reason."""
    settings, client = tls
    with running_nginx(tmp_path, f"listen LISTEN ssl; {settings} location / {{ return 200 x; }}") as nginx:
        reply = call(engine, connect(nginx.port, tls=client))
        assert reply.outcome is Outcome.UNREACHABLE
        # nginx ends such a handshake by an alert of that name
        assert re.search("ALPN|APPLICATION.PROTOCOL", reply.detail, re.IGNORECASE), reply.detail
        assert nginx.log() == []


@over_grpc
def test_tls_without_alpn(engine: Engine, connect: Connect, tls: tuple[str, Tls]) -> None:
    """So is one that knows nothing of ALPN."""
    certificate = _AUTHORITY.issue_cert("127.0.0.1")
    with running_peer("rest", tls=ServerTls(certificate)) as peer:
        reply = call(engine, connect(peer.port, tls=tls[1]))
        assert reply.outcome is Outcome.UNREACHABLE
        assert "ALPN" in reply.detail
        assert peer.asked == []


def test_tls_to_a_port_without(
    engine: Engine, peer: Peer, connect: Connect, tmp_path: Path, tls: tuple[str, Tls]
) -> None:
    """TLS is never given up."""
    with running_nginx(tmp_path, gateway(engine.protocol, peer.port)) as nginx:
        reply = call(engine, connect(nginx.port, tls=tls[1]), timeout_s=5)
        assert reply.outcome is Outcome.UNREACHABLE
        assert reply.detail
        assert peer.asked == []


def test_no_tls_to_a_port_with(
    engine: Engine, peer: Peer, connect: Connect, tmp_path: Path, tls: tuple[str, Tls]
) -> None:
    """nginx says in HTTP/1.1 what is wrong; to gRPC that is no HTTP/2 server."""
    server = gateway(engine.protocol, peer.port, tls[0], listen="ssl")
    with running_nginx(tmp_path, server) as nginx:
        reply = call(engine, connect(nginx.port), timeout_s=5)
        if engine.protocol == "rest":
            assert reply[2:] == (Outcome.INVALID_ARGUMENT, b"", "HTTP 400")
        else:
            assert reply.outcome in NO_ANSWER
            assert reply.detail
        assert peer.asked == []
