"""nginx as a gateway: its own HTTP/2 and HTTP/1.1, its buffers and its error pages."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import LONG_S, Engine, call, names
from tests.wire.nginx import gateway, running_nginx
from tests.wire.peers import Asked, Peer, Said, echo, running_peer
from tests.wire.playing import outcome, playing
from tests.wire.relay import running_relay
from tests.wire.sizes import KB, MB, SIZES, assert_echoed
from tfs_locust.measure.sample import Outcome

over_grpc = pytest.mark.parametrize("engine_name", names("grpc"))
over_rest = pytest.mark.parametrize("engine_name", names("rest"))


@pytest.mark.parametrize("options", [{}, {"grpc.http2.lookahead_bytes": 1}], ids=["as it is", "small windows"])
@over_grpc
def test_sizes_to_grpcio(options: dict[str, int], engine: Engine, connect: Connect) -> None:
    """Messages of nothing to 16 MB, there and back, also to a server that has little room."""
    with running_peer("grpc", options=options) as peer:
        transport = connect(peer.port)
        for size in SIZES:
            assert_echoed(engine, transport, size)
        transport.close()


_BUFFERS = {
    "grpc": ["", "http2_body_preread_size 0;", "http2_chunk_size 1k;"],
    "rest": ["", "proxy_request_buffering off;", "proxy_buffering off;"],
}


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_sizes_through_nginx(variant: int, engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """So through nginx, however it buffers."""
    with running_nginx(tmp_path, gateway(engine.protocol, peer.port, _BUFFERS[engine.protocol][variant])) as nginx:
        transport = connect(nginx.port)
        for size in SIZES:
            assert_echoed(engine, transport, size)
        transport.close()


def test_large_bodies_together(engine: Engine, engine_name: str, peer: Peer, tmp_path: Path) -> None:
    """Several at once share windows and buffers, and none gets another's bytes."""
    bodies = [bytes((number,)) * (MB + number) for number in range(10)]
    requests = [(engine.path, body) for body in bodies]
    with (
        running_nginx(tmp_path, gateway(engine.protocol, peer.port)) as nginx,
        playing("together", engine_name, nginx.port, requests, 8) as process,
    ):
        replies = outcome(process)["replies"]
    assert [base64.b64decode(reply["body"]) for reply in replies] == bodies


@over_rest
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_framing_through_nginx(framing: str, engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """However nginx learns an answer's end, and whatever it makes of it. It would compress if it were asked to."""
    peer.script = lambda asked: Said(asked.body, framing=framing)
    with running_nginx(
        tmp_path, gateway(engine.protocol, peer.port, "gzip on; gzip_types *; gzip_min_length 1;")
    ) as nginx:
        transport = connect(nginx.port)
        for size in (0, 1, 5000, 200_000):
            assert_echoed(engine, transport, size)
        assert len({line.split()[1] for line in nginx.log()}) == 1
        transport.close()


@over_rest
@pytest.mark.usefixtures("engine")
def test_files_of_nginx(connect: Connect, tmp_path: Path) -> None:
    """nginx as a plain server, of an empty file and of 16 MB."""
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(bytes(range(256)) * (16 * MB // 256))
    server = f"listen LISTEN; root {tmp_path}; location = /said {{ return 200 hello; }}"
    with running_nginx(tmp_path, server) as nginx:
        transport = connect(nginx.port)
        for path, body in (
            ("/empty", b""),
            ("/said", b"hello"),
            ("/large", (tmp_path / "large").read_bytes()),
            ("/empty", b""),
        ):
            assert transport.call(transport.prepare(path, None), LONG_S)[2:] == (Outcome.OK, body, "")
        assert transport.call(transport.prepare("/none", None), LONG_S)[2:] == (Outcome.NOT_FOUND, b"", "HTTP 404")
        assert len({line.split()[1] for line in nginx.log()}) == 1


def test_headers_through_nginx(engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """Long header fields, of the request and of the answer, come through; nginx compresses with Huffman's code."""
    given = (("x-one", "a" * 4000), ("x-two", "~!@#$%^&*(){}[]|<>?" * 100), ("x-many", "1"), ("x-many", "2"))
    more = " ".join(f'add_header x-answer-{number} "{"Zz9_" * 500}";' for number in range(4))
    with running_nginx(tmp_path, gateway(engine.protocol, peer.port, more)) as nginx:
        transport = connect(nginx.port, headers=given)
        for _ in range(3):
            assert call(engine, transport)[2:] == (Outcome.OK, b"hello", "")
        for asked in peer.asked:
            arrived = [(name.lower(), value) for name, value in asked.headers]
            assert sorted(field for field in arrived if field[0].startswith("x-")) == sorted(given)


@over_grpc
@pytest.mark.parametrize("words", ["ü" * 4000, "%" * 2700, "x" * 8000, 'a "b"\\\t\n'], ids=["ü", "%", "x", "quotes"])
def test_long_words(words: str, engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """A failure's words are as they were, also when they fill 8 KB and more of trailers, coded twice over."""
    peer.script = lambda _: Said(status=9, text=words)
    with running_nginx(tmp_path, gateway(engine.protocol, peer.port)) as nginx:
        for port in (peer.port, nginx.port):
            transport = connect(port)
            for _ in range(2):
                assert call(engine, transport)[2:] == (Outcome.FAILED_PRECONDITION, b"", words)
            transport.close()


def test_request_larger_than_nginx_takes(
    engine: Engine, engine_name: str, peer: Peer, connect: Connect, tmp_path: Path
) -> None:
    """413 comes while the request is being sent, and is the answer; the next call is served."""
    with running_nginx(tmp_path, gateway(engine.protocol, peer.port, "client_max_body_size 1k;")) as nginx:
        transport = connect(nginx.port)
        for size in (2 * KB, MB, 16 * MB):
            reply = call(engine, transport, bytes(size))
            expected = {Outcome.UNKNOWN if engine.protocol == "grpc" else Outcome.INVALID_ARGUMENT}
            if engine_name == "rest_library":  # it reads no answer before all is sent
                expected.add(Outcome.CONNECTION_LOST)
            assert reply.outcome in expected, reply
            assert call(engine, transport, b"next")[2:] == (Outcome.OK, b"next", "")
        assert {asked.body for asked in peer.asked} == {b"next"}


def test_slow_server_behind_nginx(engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """nginx gives up and says so, over gRPC by a status that means UNAVAILABLE, over REST by 504."""
    protocol = "grpc" if engine.protocol == "grpc" else "proxy"
    with running_nginx(tmp_path, gateway(engine.protocol, peer.port, f"{protocol}_read_timeout 200ms;")) as nginx:
        transport = connect(nginx.port)
        peer.script = peer.hold
        reply = call(engine, transport)
        assert (reply.outcome, reply.body) == (
            Outcome.UNAVAILABLE if engine.protocol == "grpc" else Outcome.DEADLINE_EXCEEDED,
            b"",
        )
        assert "504" in reply.detail
        peer.released.set()
        peer.script = echo
        assert call(engine, transport)[2:] == (Outcome.OK, b"hello", "")


def test_no_server_behind_nginx(engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """502 is UNAVAILABLE: somebody answered, so it is not unreachable."""
    with running_relay(peer.port) as relay, running_nginx(tmp_path, gateway(engine.protocol, relay.port)) as nginx:
        transport = connect(nginx.port)
        relay.leave()
        reply = call(engine, transport)
        assert (reply.outcome, reply.body) == (Outcome.UNAVAILABLE, b"")
        assert "502" in reply.detail
        relay.return_()
        assert call(engine, transport)[2:] == (Outcome.OK, b"hello", "")


def test_server_dies_behind_nginx(engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """A connection that ends behind nginx is nginx's to tell: 502, or a stream that is reset; never an answer."""
    with running_relay(peer.port) as relay, running_nginx(tmp_path, gateway(engine.protocol, relay.port)) as nginx:

        def cut(_: Asked) -> Said:
            relay.cut()
            return Said()

        transport = connect(nginx.port)
        peer.script = cut
        reply = call(engine, transport)
        assert (reply.outcome, reply.body) == (Outcome.UNAVAILABLE, b"")
        assert len(peer.asked) == 1


_PAGE_FOR_GRPC = """
    error_page 502 = /unavailable;
    location = /unavailable {
        internal; default_type application/grpc;
        add_header grpc-status 14; add_header grpc-message "no%20backend"; add_header content-length 0; return 204;
    }
"""


@over_grpc
def test_page_made_for_grpc(engine: Engine, peer: Peer, connect: Connect, tmp_path: Path) -> None:
    """What gateways are told to say to gRPC clients: a status in the head of a 204."""
    with (
        running_relay(peer.port) as relay,
        running_nginx(tmp_path, gateway(engine.protocol, relay.port, _PAGE_FOR_GRPC)) as nginx,
    ):
        relay.leave()
        assert call(engine, connect(nginx.port))[2:] == (Outcome.UNAVAILABLE, b"", "no backend")
