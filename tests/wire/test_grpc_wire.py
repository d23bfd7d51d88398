"""The gRPC engine of our own, where servers do what the library's never would, and in what only it promises."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
import trustme

from tests.unit.http2_peer import answer, goaway
from tests.wire.engines import LONG_S, SHORT_S
from tests.wire.peers import ServerTls, echo, running_peer
from tests.wire.raw import MESSAGE, Line, running_raw
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport import grpc_pool
from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.base import Endpoint, Reply
from tfs_locust.transport.grpc_wire import GrpcWire
from tfs_locust.transport.http2_frames import ErrorCode
from tfs_locust.transport.tls import Tls

_OK = (Outcome.OK, b"hi", "")


class _Connect:
    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(self, port: int, connections: int | None = None, **settings: Any) -> GrpcWire:
        wire = GrpcWire(Endpoint(settings.pop("host", "127.0.0.1"), port, **settings), connections=connections)
        self._stack.callback(wire.close)
        return wire


@pytest.fixture
def connect() -> Iterator[_Connect]:
    """Open the engine to a port."""
    with ExitStack() as stack:
        yield _Connect(stack)


def _call(wire: GrpcWire, timeout_s: float = LONG_S, body: bytes = b"x") -> Reply:
    return wire.call(wire.prepare("/p", body), timeout_s)


def _serve(line: Line) -> None:
    line.settle()
    line.serve()


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.005)


def test_request_that_was_not_taken(connect: _Connect) -> None:
    """Is sent again on a new connection, and its time of sending is that of the second time."""
    stamps = []

    def script(line: Line) -> None:
        line.settle()
        stream_id = line.request()
        if line.number == 1:
            time.sleep(0.02)  # the server's time, not the test's
            stamps.append(time.perf_counter_ns())
            line.say(goaway(0))
        else:
            line.answer(stream_id)
            line.serve()

    with running_raw(script) as raw:
        wire = connect(raw.port)
        reply = _call(wire)
        assert reply[2:] == _OK
        assert reply.sent_ns > stamps[0]
        assert raw.accepted == 2
        assert wire.peers == {f"127.0.0.1:{raw.port}": 1}


def test_finish_what_was_taken(connect: _Connect) -> None:
    """After GOAWAY calls that were taken end on the old connection, others go to a new one."""

    def script(line: Line) -> None:
        line.settle()
        if line.number == 2:
            line.serve()
        first, second, third = (line.request() for _ in range(3))
        line.say(goaway(2**31 - 1))
        line.say(goaway(second))
        line.answer(second)
        line.answer(first)
        assert third
        line.request()

    with running_raw(script) as raw:
        wire = connect(raw.port)
        calls = [gevent.spawn(_call, wire) for _ in range(3)]
        gevent.joinall(calls, raise_error=True)
        assert [call.value[2:] for call in calls] == [_OK] * 3
        assert _call(wire)[2:] == _OK
        assert raw.accepted == 2


def test_goaway_with_an_error(connect: _Connect) -> None:
    """What it left unanswered is lost with its words, and is not sent again."""

    def script(line: Line) -> None:
        line.settle()
        line.request()
        line.say(goaway(1, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings"))

    with running_raw(script) as raw:
        reply = _call(connect(raw.port))
        assert (reply.outcome, reply.body) == (Outcome.CONNECTION_LOST, b"")
        assert "too_many_pings" in reply.detail
        assert raw.accepted == 1


@pytest.mark.parametrize("refusals", [1, 16, 17])
def test_refused_stream(refusals: int, connect: _Connect) -> None:
    """The call is sent again, at once; too often is an answer."""
    streams = []

    def script(line: Line) -> None:
        line.settle()
        while True:
            streams.append(line.request())
            if len(streams) <= refusals:
                line.say(h2.rst_stream(streams[-1], ErrorCode.REFUSED_STREAM))
            else:
                line.answer(streams[-1])

    with running_raw(script) as raw:
        reply = _call(connect(raw.port))
        if refusals < 17:
            assert reply[2:] == _OK
        else:
            words = "Received RST_STREAM with error code 7 (REFUSED_STREAM)"
            assert reply[2:] == (Outcome.UNAVAILABLE, b"", words)
        assert streams == list(range(1, 2 * min(refusals + 1, 17), 2))


def test_connection_that_breaks_the_protocol(connect: _Connect) -> None:
    """Is left, with the reason; the next call has another."""

    def script(line: Line) -> None:
        line.settle()
        stream_id = line.request()
        if line.number == 1:
            line.say(h2.window_update(0, 0))
            while line.frame().kind != h2.GOAWAY:
                pass
        else:
            line.answer(stream_id)

    with running_raw(script) as raw:
        wire = connect(raw.port)
        reply = _call(wire)
        assert (reply.outcome, reply.detail) == (Outcome.CONNECTION_LOST, "the window is to grow by 0")
        assert _call(wire)[2:] == _OK


def test_http1_server(connect: _Connect) -> None:
    """Is told by what it says."""

    def script(line: Line) -> None:
        line.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with running_raw(script) as raw:
        reply = _call(connect(raw.port))
        assert reply.outcome is Outcome.UNREACHABLE
        assert reply.detail.startswith(f"failed to connect to 127.0.0.1:{raw.port}: ")
        assert "HTTP/1.1 400 Bad Request" in reply.detail


_CERTIFICATE = trustme.CA().issue_cert("127.0.0.1")


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_tls_server_without_tls(protocol: str, connect: _Connect) -> None:
    """One that expects TLS ends the connection without a word, and is guessed."""
    with running_peer(protocol, tls=ServerTls(_CERTIFICATE)) as peer:
        reply = _call(connect(peer.port))
        assert reply.outcome is Outcome.UNREACHABLE
        assert "may expect TLS" in reply.detail


def test_tls_without_http2(connect: _Connect, tmp_path: Any) -> None:
    """A server that does not agree on HTTP/2 is refused with that reason."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with running_peer("rest", tls=ServerTls(authority.issue_cert("127.0.0.1"))) as peer:
        reply = _call(connect(peer.port, tls=Tls(str(tmp_path / "ca.pem"))))
        assert reply.outcome is Outcome.UNREACHABLE
        assert "does not offer h2" in reply.detail


def test_large_messages_over_tls(connect: _Connect, tmp_path: Any) -> None:
    """Records and frames have nothing to do with each other."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with running_peer("grpc", tls=ServerTls(authority.issue_cert("127.0.0.1"))) as peer:
        peer.script = echo
        wire = connect(peer.port, tls=Tls(str(tmp_path / "ca.pem")))
        for size in (0, 1, 16_384, 1 << 20, 8 << 20):
            reply = _call(wire, body=bytes(size))
            assert (reply.outcome, len(reply.body)) == (Outcome.OK, size)


def test_outage_is_no_hot_loop(connect: _Connect) -> None:
    """Calls share attempts to connect, and these are 100 ms apart."""
    with running_raw(lambda _: None) as raw:
        wire = connect(raw.port)
        calls = [gevent.spawn(_call, wire) for _ in range(50)]
        gevent.joinall(calls, raise_error=True)
        assert {call.value.outcome for call in calls} == {Outcome.UNREACHABLE}
        assert raw.accepted == 1
        started = time.monotonic()
        for _ in range(5):
            reply = _call(wire)
            assert reply.outcome is Outcome.UNREACHABLE
            assert reply.sent_ns == reply.end_ns
        assert time.monotonic() - started >= 5 * grpc_pool.PACE_S * 0.9
        assert raw.accepted == 6


def test_several_connections(connect: _Connect) -> None:
    """As many as are asked for, used in turn."""
    calls: Counter[int] = Counter()

    def script(line: Line) -> None:
        line.settle()
        while True:
            stream_id = line.request()
            calls[line.number] += 1
            line.answer(stream_id)

    with running_raw(script) as raw:
        wire = connect(raw.port, connections=3)
        assert _call(wire)[2:] == _OK
        _wait_until(lambda: raw.accepted == 3)
        _wait_until(lambda: len(wire._pool.live) == 3)
        before = calls.total()
        for _ in range(30):
            assert _call(wire)[2:] == _OK
        assert calls.total() - before == 30
        assert min(calls.values()) >= 10
        assert raw.accepted == 3


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of the host ``many``; a test may change them."""
    addresses = ["127.0.0.1", "127.0.0.2"]
    resolve = gevent.socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **settings: Any) -> Any:
        hosts = addresses if host == "many" else [host]
        return [found for one in hosts for found in resolve(one, port, **settings)]

    monkeypatch.setattr(grpc_pool.gevent.socket, "getaddrinfo", getaddrinfo)
    return addresses


@pytest.mark.parametrize(("connections", "opened"), [(None, (1, 1)), (3, (2, 1))])
def test_several_addresses(
    connections: int | None, opened: tuple[int, int], name: list[str], connect: _Connect
) -> None:
    """Calls go to all of them, and how many came from each is counted."""
    with running_raw(_serve) as one, running_raw(_serve, name[1], one.port) as two:
        wire = connect(one.port, connections, host="many")
        assert _call(wire)[2:] == _OK
        _wait_until(lambda: len(wire._pool.live) == sum(opened))
        assert (one.accepted, two.accepted) == opened
        before = dict(wire.peers)
        for _ in range(30):
            assert _call(wire)[2:] == _OK
        told = {peer: number - before.get(peer, 0) for peer, number in wire.peers.items()}
        share = 30 // sum(opened)
        assert told == {f"{host}:{one.port}": share * number for host, number in zip(name, opened, strict=True)}


def test_address_that_is_away(name: list[str], connect: _Connect) -> None:
    """The others carry on, and it is seen when it is back; a new address is used when a connection is made anew."""
    with running_raw(_serve) as one:
        wire = connect(one.port, host="many")
        assert [_call(wire)[2:] for _ in range(5)] == [_OK] * 5
        assert set(wire.peers) == {f"127.0.0.1:{one.port}"}

        def answered() -> set[str]:
            assert _call(wire).outcome in {Outcome.OK, Outcome.CONNECTION_LOST}
            return set(wire.peers)

        with running_raw(_serve, name[1], one.port):
            _wait_until(lambda: f"127.0.0.2:{one.port}" in answered())
        name[1] = "127.0.0.3"
        with running_raw(_serve, name[1], one.port):
            _wait_until(lambda: f"127.0.0.3:{one.port}" in answered())


def test_stream_ids_that_run_out(connect: _Connect) -> None:
    """The connection is left for another, and no call notices."""
    with running_raw(_serve) as raw:
        wire = connect(raw.port)
        assert _call(wire)[2:] == _OK
        (connection,) = wire._pool.live
        connection.http2.sender.next_id = 2**31 - 5
        calls = [gevent.spawn(_call, wire) for _ in range(10)]
        gevent.joinall(calls, raise_error=True)
        assert [call.value[2:] for call in calls] == [_OK] * 10
        assert raw.accepted == 2
        assert connection.closed


def _hold_first(line: Line) -> None:
    """One stream at a time, and the first is not answered until it is given up."""
    line.settle({h2.MAX_CONCURRENT_STREAMS: 1})
    line.request()
    while line.frame().kind != h2.RST_STREAM:
        pass
    line.serve()


def test_deadline_while_waiting_for_a_stream(connect: _Connect) -> None:
    """A call that never got as far as being sent was sent when it was given up; the next finds its place free."""
    with running_raw(_hold_first) as raw:
        wire = connect(raw.port)
        first = gevent.spawn(_call, wire, 2 * SHORT_S)
        gevent.sleep(0)
        second = gevent.spawn(_call, wire, SHORT_S)
        third = gevent.spawn(_call, wire)
        gevent.joinall([first, second, third], raise_error=True)
        assert first.value[2:] == second.value[2:] == (Outcome.DEADLINE_EXCEEDED, b"", "Deadline Exceeded")
        assert first.value.sent_ns < first.value.end_ns
        assert second.value.sent_ns == second.value.end_ns
        assert third.value[2:] == _OK
        assert third.value.sent_ns >= first.value.end_ns


def test_killed_while_waiting(connect: _Connect) -> None:
    """For a connection, for a stream, for an answer: nobody else is harmed, and a killed call is reset."""

    def script(line: Line) -> None:
        if line.number > 1:
            _hold_first(line)

    with running_raw(script) as raw:
        wire = connect(raw.port)
        assert _call(wire).outcome is Outcome.UNREACHABLE
        for_connection = gevent.spawn(_call, wire)
        gevent.sleep(0)
        for_connection.kill()
        for_answer, for_stream, last = (gevent.spawn(_call, wire) for _ in range(3))
        _wait_until(lambda: any(connection.http2.sender.waiting for connection in wire._pool.live))
        for_stream.kill()
        for_answer.kill()
        last.join()
        assert last.value[2:] == _OK


def test_timeout_of_the_callers_own(connect: _Connect) -> None:
    """An exception that is thrown into a call comes out of it, and the engine goes on."""
    with running_raw(_hold_first) as raw:
        wire = connect(raw.port)
        with pytest.raises(gevent.Timeout), gevent.Timeout(SHORT_S):
            _call(wire)
        assert _call(wire)[2:] == _OK


def test_close_ends_what_waits_for_a_connection(connect: _Connect) -> None:
    """At once, as cancelled; calls after it too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wire = connect(silent.getsockname()[1])
        call = gevent.spawn(_call, wire)
        gevent.sleep(0.01)
        wire.close()
        call.join(LONG_S)
        assert call.value.outcome is Outcome.CANCELLED
        assert _call(wire).outcome is Outcome.CANCELLED


def test_message_over_several_frames(connect: _Connect) -> None:
    """A message may begin anywhere in a frame's payload, its prefix too."""

    def script(line: Line) -> None:
        line.settle()
        stream_id = line.request()
        line.say(answer(stream_id, *(MESSAGE[at : at + 1] for at in range(len(MESSAGE)))))
        line.serve()

    with running_raw(script) as raw:
        assert _call(connect(raw.port))[2:] == _OK
