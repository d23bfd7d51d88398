"""gRPC servers that are not ours: grpcio's with its limits set, and nginx as a proxy in front of it."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import ENGINES, Engine, call
from tests.wire.nginx import running_nginx
from tests.wire.peers import Asked, Peer, Said, echo, running_peer
from tests.wire.playing import outcome, playing
from tests.wire.relay import running_relay
from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.protos import PREDICT


@pytest.fixture(params=[name for name, engine in ENGINES.items() if engine.protocol == "grpc"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each transport over gRPC in turn."""
    return str(request.param)


_SIZES = [0, 1, 16_378, 16_379, 16_380, 65_530, 65_531, 1 << 20, 16 << 20]


def _check_sizes(engine: Engine, transport: Any) -> None:
    for size in _SIZES:
        body = bytes([size % 251]) * size
        reply = call(engine, transport, body)
        assert (reply.outcome, len(reply.body), reply.body == body) == (Outcome.OK, size, True)


def _check_load(engine_name: str, port: int, peer: Peer, number: int, at_once: int) -> None:
    """All calls are answered, each with its own answer, and have arrived once."""
    bodies = [b"%d" % i for i in range(number)]
    with playing("together", engine_name, port, [(PREDICT, body) for body in bodies], at_once) as process:
        replies = outcome(process)["replies"]
    assert Counter(reply["outcome"] for reply in replies) == {"ok": number}, [r for r in replies if r["detail"]][:5]
    assert [base64.b64decode(reply["body"]) for reply in replies] == bodies
    assert Counter(asked.body for asked in peer.asked) == Counter(bodies)


def test_sizes(engine: Engine, peer: Peer, connect: Connect) -> None:
    """Messages around the sizes of frames and windows, and far above them, go both ways."""
    _check_sizes(engine, connect(peer.port))


def test_connections_that_are_to_be_left(engine_name: str) -> None:
    """A server that ends each connection after a second, under load: no call is lost and none is taken twice."""
    with (
        running_peer("grpc", options=[("grpc.max_connection_age_ms", 1000)]) as peer,
        running_relay(peer.port) as relay,
    ):
        _check_load(engine_name, relay.port, peer, 6000, 50)
        assert relay.accepted >= 2


def test_one_stream_at_a_time() -> None:
    """Where the server wants no more, calls wait for each other.

    Of our own engine alone: the library sends its first calls before it is told, and loses some of them.
    """
    at_work = threading.Semaphore(1)

    def script(asked: Asked) -> Said:
        assert at_work.acquire(blocking=False)
        try:
            return echo(asked)
        finally:
            at_work.release()

    with running_peer("grpc", options=[("grpc.max_concurrent_streams", 1)]) as peer:
        peer.script = script
        _check_load("grpc_wire", peer.port, peer, 300, 50)


def test_many_streams(engine_name: str) -> None:
    """Ten thousand calls at once, on one connection."""
    queue = [("grpc.server.max_pending_requests", 20_000), ("grpc.server.max_pending_requests_hard_limit", 20_000)]
    with running_peer("grpc", options=queue) as peer, running_relay(peer.port) as relay:
        _check_load(engine_name, relay.port, peer, 10_000, 10_000)
        assert relay.accepted == 1


def test_sizes_through_nginx(engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """So they do through a proxy with windows of its own."""
    with running_nginx(tmp_path, peer.port) as port:
        _check_sizes(engine, connect(port))


def test_failure_through_nginx(engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """The server's words pass, and where there is no server the proxy's own answer is told by its status."""
    words = 'größer: "3" \\ ☃\n'
    peer.script = lambda _: Said(status=5, text=words)
    with running_nginx(tmp_path, peer.port) as port:
        assert call(engine, connect(port))[2:] == (Outcome.NOT_FOUND, b"", words)
    with running_relay(peer.port) as relay:
        relay.leave()
        with running_nginx(tmp_path, relay.port) as port:
            reply = call(engine, connect(port))
            assert (reply.outcome, reply.body) == (Outcome.UNAVAILABLE, b"")
            assert "502" in reply.detail


@pytest.mark.parametrize("limits", [{"requests": 100}, {"streams": 1}, {}])
def test_load_through_nginx(limits: dict[str, int], engine_name: str, peer: Peer, tmp_path: Path) -> None:
    """A proxy that ends each connection after a hundred calls, that takes one at a time, and one that does neither."""
    with running_nginx(tmp_path, peer.port, **limits) as port:
        _check_load(engine_name, port, peer, 2000, 50)
