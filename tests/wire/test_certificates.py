"""Addresses of all kinds, and the certificates by which servers and clients are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.wire.conftest import Connect
from tests.wire.engines import NO_ANSWER, Engine, call
from tests.wire.peers import Peer, ServerTls, running_peer
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.tls import Tls


def test_ipv6(engine: Engine) -> None:
    """An address with colons is an address."""
    with running_peer(engine.protocol, "::1") as peer:
        transport = engine.open(Endpoint("::1", peer.port))
        assert call(engine, transport)[2:] == (Outcome.OK, b"hello", "")
        transport.close()


_AUTHORITY = trustme.CA()
_CERTIFICATE = _AUTHORITY.issue_cert("127.0.0.1", "::1", "localhost")
_OTHER_AUTHORITY = trustme.CA()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what clients need: their authority's certificate, another's, one of their own and its key."""
    folder = tmp_path_factory.mktemp("pem")
    client = _AUTHORITY.issue_cert("client.example")
    _AUTHORITY.cert_pem.write_to_path(str(folder / "ca.pem"))
    _OTHER_AUTHORITY.cert_pem.write_to_path(str(folder / "other.pem"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    return folder


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_private_authority(host: str, engine: Engine, pem: Path) -> None:
    """A server whose certificate is from the given authority is spoken to, by address and by name."""
    with running_peer(engine.protocol, "::1" if host == "::1" else "127.0.0.1", ServerTls(_CERTIFICATE)) as peer:
        transport = engine.open(Endpoint(host, peer.port, Tls(str(pem / "ca.pem"))))
        for _ in range(2):
            assert call(engine, transport)[2:] == (Outcome.OK, b"hello", "")
        transport.close()


@pytest.mark.parametrize(
    ("certificate", "ca"),
    [
        (_CERTIFICATE, "other.pem"),
        (_CERTIFICATE, None),
        (_AUTHORITY.issue_cert("elsewhere.example"), "ca.pem"),
    ],
    ids=["another authority", "the system's authorities", "another name"],
)
def test_server_that_is_not_trusted(certificate: trustme.LeafCert, ca: str | None, engine: Engine, pem: Path) -> None:
    """No request is sent to a server that is not shown to be the right one."""
    with running_peer(engine.protocol, tls=ServerTls(certificate)) as peer:
        transport = engine.open(Endpoint("127.0.0.1", peer.port, Tls(ca and str(pem / ca))))
        assert call(engine, transport).outcome is Outcome.UNREACHABLE
        transport.close()
        assert peer.asked == []


def test_server_without_tls(engine: Engine, peer: Peer, connect: Connect, pem: Path) -> None:
    """TLS is never given up."""
    assert call(engine, connect(peer.port, tls=Tls(str(pem / "ca.pem")))).outcome is Outcome.UNREACHABLE
    assert peer.asked == []


def test_client_certificate(engine: Engine, pem: Path) -> None:
    """A server that asks for a certificate answers who shows one, and nobody else."""
    ca, certificate, key = (str(pem / name) for name in ("ca.pem", "client.pem", "client.key"))
    with running_peer(engine.protocol, tls=ServerTls(_CERTIFICATE, clients=_AUTHORITY)) as peer:
        known = engine.open(Endpoint("127.0.0.1", peer.port, Tls(ca, certificate, key)))
        assert call(engine, known)[2:] == (Outcome.OK, b"hello", "")
        unknown = engine.open(Endpoint("127.0.0.1", peer.port, Tls(ca)))
        assert call(engine, unknown).outcome in NO_ANSWER
        assert len(peer.asked) == 1
        known.close()
        unknown.close()


def test_certificate_that_cannot_be_read(engine: Engine, pem: Path) -> None:
    """Is found when the transport is made, not with the first call."""
    with pytest.raises(OSError, match="No such file"):
        engine.open(Endpoint("127.0.0.1", 1, Tls(str(pem / "none.pem"))))
