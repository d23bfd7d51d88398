"""What a server says of a whole connection: that it ends, which streams it did not take, how many it allows.

Rules are those of RFC 9113. Each server is a script of single frames.
"""

from __future__ import annotations

import base64

import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import SHORT_S, Engine, call, names, wait_until
from tests.wire.frames import (
    ALL_STREAMS,
    CANCEL,
    MAX_CONCURRENT_STREAMS,
    REFUSED_STREAM,
    WINDOW_UPDATE,
    Connection,
    FramePeer,
    Script,
    answer,
    echoes,
    frame,
    running_frames,
    settings,
)
from tests.wire.playing import hear, outcome, playing, tell
from tfs_locust.measure.sample import Outcome

over_grpc = pytest.mark.parametrize("engine_name", names("grpc"))
only_wire = pytest.mark.parametrize("engine_name", names("grpc", "wire"))


def _together(engine: Engine, engine_name: str, peer: FramePeer, count: int, at_once: int) -> list[tuple[str, bytes]]:
    """Outcomes and bodies of calls whose bodies are their numbers."""
    requests = [(engine.path, b"%d" % number) for number in range(count)]
    with playing("together", engine_name, peer.port, requests, at_once) as process:
        replies = outcome(process)["replies"]
    return [(reply["outcome"], base64.b64decode(reply["body"])) for reply in replies]


def _all_ok(count: int) -> list[tuple[str, bytes]]:
    return [("ok", b"%d" % number) for number in range(count)]


def _heard(peer: FramePeer) -> list[list[bytes]]:
    return [sorted(connection.bodies, key=int) for connection in peer.connections]


@over_grpc
@pytest.mark.parametrize("code", [0x0, 0xB], ids=["NO_ERROR", "ENHANCE_YOUR_CALM"])
def test_goaway_below_some_streams(code: int, engine: Engine, engine_name: str) -> None:
    """Of ten calls in flight the server takes five; the others are sent again, once, on another connection."""

    def script(connection: Connection) -> None:
        connection.greet()
        requests = sorted(connection.request() for _ in range(10))
        connection.goaway(requests[4].stream, code)
        for stream, body in requests[:5]:
            connection.send(answer(stream, body))
        connection.drain()

    with running_frames(script, echoes) as peer:
        assert _together(engine, engine_name, peer, 10, 10) == _all_ok(10)
        first, second = peer.connections
        assert sorted(first.bodies[:5] + second.bodies) == sorted(first.bodies)
        assert len(second.bodies) == 5


@over_grpc
def test_goaway_in_two_steps(engine: Engine, engine_name: str) -> None:
    """Calls in flight are answered on the connection that ends; all others go to the next."""

    def script(connection: Connection) -> None:
        connection.greet()
        requests = [connection.request() for _ in range(5)]
        connection.goaway(ALL_STREAMS)
        connection.ping()
        connection.goaway(max(request.stream for request in requests))
        for stream, body in requests:
            connection.send(answer(stream, body))
        connection.drain()

    with running_frames(script, echoes) as peer:
        assert _together(engine, engine_name, peer, 20, 5) == _all_ok(20)
        assert _heard(peer) == [[b"%d" % number for number in range(5)], [b"%d" % number for number in range(5, 20)]]


@over_grpc
def test_goaway_and_end(engine: Engine, engine_name: str) -> None:
    """What the server took and does not answer before it ends the connection is lost; it is not sent again."""

    def script(connection: Connection) -> None:
        connection.greet()
        requests = sorted(connection.request() for _ in range(10))
        connection.goaway(requests[4].stream)

    with running_frames(script, echoes) as peer:
        replies = _together(engine, engine_name, peer, 10, 10)
        lost = [number for number, (how, _) in enumerate(replies) if how != "ok"]
        assert {how for how, _ in replies} == {"ok", "connection_lost"}
        first, second = peer.connections
        assert sorted(b"%d" % number for number in lost) == sorted(first.bodies[:5])
        assert sorted(second.bodies) == sorted(first.bodies[5:])


@over_grpc
def test_goaway_of_an_idle_connection(engine: Engine, connect: Connect) -> None:
    """The next call goes to another connection, and nothing fails of it."""

    def script(connection: Connection) -> None:
        connection.greet()
        connection.send(answer(*connection.request()))
        connection.goaway(1)
        connection.drain()

    with running_frames(script) as peer:
        transport = connect(peer.port)
        for number in range(5):
            assert call(engine, transport, b"%d" % number)[2:] == (Outcome.OK, b"%d" % number, "")
        # what comes after the GOAWAY the server does not take
        taken = [connection.bodies[0] for connection in peer.connections if connection.bodies]
        assert taken == [b"0", b"1", b"2", b"3", b"4"]


def _refuses(times: int) -> Script:
    def script(connection: Connection) -> None:
        connection.greet()
        for _ in range(times):
            connection.reset(connection.request().stream, REFUSED_STREAM)
        connection.echo()

    return script


@only_wire
@pytest.mark.parametrize("times", [1, 4])
def test_refused_streams(times: int, engine: Engine, connect: Connect) -> None:
    """A stream that the server has refused it has not taken: it is sent again, on the same connection.

    (grpcio does so for one of several calls, and fails the others: CONNECTION_LOST.)
    """
    with running_frames(_refuses(times)) as peer:
        assert call(engine, connect(peer.port), b"x")[2:] == (Outcome.OK, b"x", "")
        assert [connection.bodies for connection in peer.connections] == [[b"x"] * (times + 1)]


@over_grpc
def test_refused_without_end(engine: Engine, connect: Connect) -> None:
    """A server that refuses everything holds nobody up."""
    with running_frames(_refuses(10**9)) as peer:
        reply = call(engine, connect(peer.port), timeout_s=SHORT_S)
        assert reply.outcome in {Outcome.UNAVAILABLE, Outcome.CONNECTION_LOST, Outcome.DEADLINE_EXCEEDED}


@only_wire
def test_no_more_streams_than_allowed(engine: Engine, engine_name: str) -> None:
    """Three at once, from the first on, and the next as soon as one ends. (grpcio does not wait to learn the limit.)"""

    def script(connection: Connection) -> None:
        connection.greet({MAX_CONCURRENT_STREAMS: 3})
        waiting = []
        for number in range(30):
            waiting.append(connection.request())
            if len(waiting) == 3:
                connection.ping()
                assert len(connection.bodies) == number + 1, "a stream more than allowed"
                connection.send(answer(*waiting.pop(0)))
        for stream, body in waiting:
            connection.send(answer(stream, body))
        connection.drain()

    with running_frames(script) as peer:
        assert _together(engine, engine_name, peer, 30, 30) == _all_ok(30)


@over_grpc
def test_no_streams_at_first(engine: Engine, connect: Connect) -> None:
    """A server that allows no stream at all is waited for until it does."""

    def script(connection: Connection) -> None:
        connection.greet({MAX_CONCURRENT_STREAMS: 0})
        connection.ping()
        connection.ping()
        connection.send(settings({MAX_CONCURRENT_STREAMS: 1}))
        connection.echo()

    with running_frames(script) as peer:
        assert call(engine, connect(peer.port), b"x")[2:] == (Outcome.OK, b"x", "")


@over_grpc
def test_waiting_for_a_stream_ends_at_the_deadline(engine: Engine, connect: Connect) -> None:
    """Also where none is ever allowed."""

    def script(connection: Connection) -> None:
        connection.greet({MAX_CONCURRENT_STREAMS: 0})
        connection.drain()

    with running_frames(script) as peer:
        transport = connect(peer.port)
        # grpcio learns the limit only after it has sent one
        outcomes = [call(engine, transport, timeout_s=SHORT_S).outcome for _ in range(2)]
        assert outcomes == [Outcome.DEADLINE_EXCEEDED] * 2


@over_grpc
def test_ten_thousand_streams_at_once(engine: Engine, engine_name: str) -> None:
    """One connection carries them all: the server answers none before it has all, and the last one first."""

    def script(connection: Connection) -> None:
        connection.greet({MAX_CONCURRENT_STREAMS: 20_000})
        connection.send(frame(WINDOW_UPDATE, 0, 0, (1 << 24).to_bytes(4, "big")))
        connection.grants = False
        requests = [connection.request() for _ in range(10_000)]
        for stream, body in reversed(requests):
            connection.send(answer(stream, body))
        connection.drain()

    with running_frames(script) as peer:
        assert _together(engine, engine_name, peer, 10_000, 10_000) == _all_ok(10_000)
        assert len(peer.connections) == 1


@over_grpc
def test_deadline_cancels_the_stream(engine: Engine, connect: Connect) -> None:
    """At the deadline the server is told that nobody waits; its late answer is nobody's; the connection is kept."""

    def script(connection: Connection) -> None:
        connection.greet()
        late = connection.request()
        while not connection.resets:
            connection.step()
        connection.send(answer(*late))
        connection.echo()

    with running_frames(script) as peer:
        transport = connect(peer.port)
        assert call(engine, transport, b"late", SHORT_S).outcome is Outcome.DEADLINE_EXCEEDED
        assert call(engine, transport, b"next")[2:] == (Outcome.OK, b"next", "")
        assert peer.connections[0].resets == [(1, CANCEL)]
        assert len(peer.connections) == 1


@only_wire
def test_killed_calls_cancel_their_streams(engine: Engine, engine_name: str) -> None:
    """The server is told of callers that are gone. (grpcio lets such calls go on until their deadlines.)"""

    def script(connection: Connection) -> None:
        connection.greet()
        while True:
            stream, body = connection.request()
            if body != b"hold":
                connection.send(answer(stream, body))

    with running_frames(script) as peer:
        requests = [(engine.path, b"x")] * 20
        with playing("killed", engine_name, peer.port, requests, 10) as process:
            wait_until(lambda: sum(len(connection.bodies) for connection in peer.connections) == 10)
            tell(process, "held")
            assert hear(process) == "killed\n"
            told = outcome(process)
        assert {reply["outcome"] for reply in told["replies"]} == {"ok"}
        assert sorted(peer.connections[0].resets) == [(stream, CANCEL) for stream in range(1, 20, 2)]
        assert len(peer.connections) == 1
