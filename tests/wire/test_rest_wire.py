"""The REST engine's own promises, beyond the contract of all engines: its connections, its queue, and whom it wakes."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import gevent
import pytest
import trustme

from tests.wire.engines import LONG_S, SHORT_S
from tests.wire.peers import ServerTls, running_peer
from tests.wire.raw_peer import RawPeer, Reader, Writer, answer, echo, hold, read_request, running_raw_peer
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport import dialing
from tfs_locust.transport.base import Endpoint, Reply
from tfs_locust.transport.rest_wire import RestWire
from tfs_locust.transport.tls import Tls

PATH = "/v1/models/m:predict"


@contextmanager
def wire(port: int, host: str = "127.0.0.1", connections: int | None = None, **settings: Any) -> Iterator[RestWire]:
    """An engine that is closed in the end."""
    engine = RestWire(Endpoint(host, port, **settings), connections=connections)
    try:
        yield engine
    finally:
        engine.close()


def ask(engine: RestWire, body: bytes = b"hello", timeout_s: float = LONG_S) -> Reply:
    """One call."""
    return engine.call(engine.prepare(PATH, body), timeout_s)


def ask_all(engine: RestWire, bodies: list[bytes], timeout_s: float = LONG_S) -> list[Reply]:
    """All at the same time."""
    greenlets = [gevent.spawn(ask, engine, body, timeout_s) for body in bodies]
    gevent.joinall(greenlets)
    return [greenlet.get() for greenlet in greenlets]


def numbers(count: int) -> list[bytes]:
    """Bodies that differ."""
    return [b"%d" % number for number in range(count)]


def wait_until(condition: Any) -> None:
    """As engines.wait_until, while greenlets go on."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.002)


# connections


def test_a_thousand_at_once() -> None:
    """As many calls as connections, begun at one moment, come through a backlog of 128 without a failure."""
    with running_raw_peer(hold) as peer, wire(peer.port) as engine:
        greenlets = [gevent.spawn(ask, engine, body) for body in numbers(1000)]
        wait_until(lambda: peer.requests == 1000)
        peer.release()
        replies = [greenlet.get() for greenlet in gevent.joinall(greenlets)]
    assert Counter(reply.outcome for reply in replies) == {Outcome.OK: 1000}
    assert sorted(reply.body for reply in replies) == sorted(numbers(1000))
    assert peer.accepted == 1000


def test_connections_are_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment are more than 100 being made to one address."""
    seen: list[int] = []
    connect = dialing.Dialer._connect

    def counted(self: dialing.Dialer, address: dialing.Address) -> Any:
        seen.append(address.attempts)
        return connect(self, address)

    monkeypatch.setattr(dialing.Dialer, "_connect", counted)
    with running_raw_peer(hold) as peer, wire(peer.port) as engine:
        greenlets = [gevent.spawn(ask, engine) for _ in range(300)]
        wait_until(lambda: peer.requests == 300)
        peer.release()
        gevent.joinall(greenlets)
    assert max(seen) == dialing.MOST_AT_ONCE


def test_the_limit_of_connections() -> None:
    """Calls beyond it wait for their turn, are sent in order, and say when they were really sent."""
    with running_raw_peer(hold) as peer, wire(peer.port, connections=2) as engine:
        started = time.perf_counter_ns()
        greenlets = [gevent.spawn(ask, engine, body) for body in numbers(50)]
        wait_until(lambda: peer.requests == 2)
        released = time.perf_counter_ns()
        peer.release()
        replies = [greenlet.get() for greenlet in gevent.joinall(greenlets, raise_error=True)]
        assert [greenlet.value.body for greenlet in greenlets] == numbers(50)
    assert {reply.outcome for reply in replies} == {Outcome.OK}
    assert (peer.accepted, peer.most_open) == (2, 2)
    sent = [greenlet.value.sent_ns for greenlet in greenlets]
    assert sent == sorted(sent)
    assert started < sent[1] < released < sent[2]


def test_deadline_in_the_queue() -> None:
    """A call that does not come to its turn was never sent, and ends at its timeout."""
    with running_raw_peer(hold) as peer, wire(peer.port, connections=1) as engine:
        first = gevent.spawn(ask, engine)
        wait_until(lambda: peer.requests == 1)
        replies = ask_all(engine, numbers(10), SHORT_S)
        assert {(reply.outcome, reply.detail) for reply in replies} == {
            (Outcome.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        }
        assert all(reply.sent_ns == reply.end_ns for reply in replies)
        peer.release()
        assert first.get().outcome is Outcome.OK
        assert ask(engine).outcome is Outcome.OK
    assert (peer.requests, peer.accepted) == (2, 1)


def test_connections_are_spread_over_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses of a name get their share, one of which nobody answers costs no call, and later ones are found."""
    found = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]

    def look_up(_: str, port: int, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in found]

    monkeypatch.setattr(dialing, "getaddrinfo", look_up)
    with ExitStack() as stack:
        going = stack.enter_context(ExitStack())
        first = going.enter_context(running_raw_peer(hold, "127.0.0.1"))
        second = going.enter_context(running_raw_peer(hold, "127.0.0.2", first.port))
        engine = stack.enter_context(wire(first.port, "some.name"))
        greenlets = [gevent.spawn(ask, engine) for _ in range(60)]
        wait_until(lambda: first.requests + second.requests == 60)
        first.release()
        second.release()
        assert {greenlet.get().outcome for greenlet in greenlets} == {Outcome.OK}
        assert engine.peers == {f"127.0.0.1:{first.port}": 30, f"127.0.0.2:{first.port}": 30}
        going.close()
        found[:] = ["127.0.0.4"]
        third = stack.enter_context(running_raw_peer(echo, "127.0.0.4", first.port))
        wait_until(lambda: ask(engine).outcome is Outcome.OK)
        assert {reply.outcome for reply in ask_all(engine, numbers(60))} == {Outcome.OK}
        assert engine.peers[f"127.0.0.4:{first.port}"] == third.requests == 61


def test_an_outage_is_no_hot_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing listens, one attempt every 100 ms is shared by all; what listens again is found at once."""
    attempts: list[float] = []
    connect = dialing.Dialer._connect

    def counted(self: dialing.Dialer, address: dialing.Address) -> Any:
        attempts.append(time.monotonic())
        return connect(self, address)

    monkeypatch.setattr(dialing.Dialer, "_connect", counted)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    replies: list[Reply] = []
    with wire(port) as engine:

        def user() -> None:
            while not replies or replies[-1].outcome is not Outcome.OK:
                replies.append(ask(engine))

        users = [gevent.spawn(user) for _ in range(50)]
        wait_until(lambda: len(replies) >= 300)
        away = len(attempts)
        with running_raw_peer(echo, port=port):
            back = time.monotonic()
            gevent.joinall(users)
            assert time.monotonic() - back < 5
    failed = [reply for reply in replies if reply.outcome is not Outcome.OK]
    assert {(reply.outcome, reply.detail) for reply in failed} == {
        (Outcome.UNREACHABLE, "[Errno 111] Connection refused")
    }
    assert all(reply.sent_ns == reply.end_ns for reply in failed)
    # the first calls come before it is known that nothing is there
    probes = attempts[50:away]
    assert len(probes) >= 4
    assert all(later - earlier > dialing.PAUSE_S * 0.9 for earlier, later in pairwise(probes))


def test_an_attempt_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up before the call is: the server is as unreachable as one that refuses."""
    monkeypatch.setattr(dialing, "ATTEMPT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, wire(silent.getsockname()[1], tls=Tls()) as engine:
        started = time.monotonic()
        reply = ask(engine)
        assert (reply.outcome, reply.detail) == (Outcome.UNREACHABLE, "[Errno 110] Connection timed out")
        assert 0.2 <= time.monotonic() - started < LONG_S


# answers


async def _with_more(peer: RawPeer, reader: Reader, writer: Writer) -> None:
    """An answer, and in the same piece another that nobody asked for."""
    while True:
        _, body = await read_request(reader)
        peer.requests += 1
        writer.write(answer(body) + answer(b"stray"))


async def _with_more_later(peer: RawPeer, reader: Reader, writer: Writer) -> None:
    """An answer, and after it, when the test says so, another that nobody asked for."""
    while True:
        _, body = await read_request(reader)
        peer.requests += 1
        writer.write(answer(body))
        await peer.released.wait()
        writer.write(answer(b"stray"))
        await writer.drain()
        peer.requests += 100


def test_stray_bytes() -> None:
    """Are the answer to nothing: the connection is left, the next call has its own."""
    with running_raw_peer(_with_more) as peer, wire(peer.port) as engine:
        assert [ask(engine, body).body for body in numbers(3)] == numbers(3)
    assert peer.accepted == 3
    with running_raw_peer(_with_more_later) as peer, wire(peer.port) as engine:
        assert ask(engine, b"1").body == b"1"
        peer.release()
        wait_until(lambda: peer.requests == 101)
        assert ask(engine, b"2").body == b"2"
    assert peer.accepted == 2


async def _by_path(_: RawPeer, reader: Reader, writer: Writer) -> None:
    """Say what stands for the request's body."""
    while True:
        _, body = await read_request(reader)
        for piece in _SAYINGS[body]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)


_SAYINGS = {
    b"interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", answer(b"x")),
    b"cut": (b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\n\r", b"\nab", b"cd"),
    b"trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0", b"\r\nA: b\r\n\r\n"),
    b"gzip": (answer(gzip.compress(b"plain"), b"Content-Encoding: gzip\r\n"),),
    b"br": (answer(b"x", b"Content-Encoding: br\r\n"),),
    b"lengths": (answer(b"x", b"Content-Length: 5\r\n"),),
    b"too large": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",),
    b"nonsense": (b"\x00\x00\x12\x04",),
}


@pytest.mark.parametrize(
    ("body", "outcome", "said"),
    [
        (b"interim", Outcome.OK, b"x"),
        (b"cut", Outcome.OK, b"abcd"),
        (b"trailers", Outcome.OK, b"x"),
        (b"gzip", Outcome.OK, b"plain"),
        (b"br", Outcome.BAD_ANSWER, b""),
        (b"lengths", Outcome.CONNECTION_LOST, b""),
        (b"too large", Outcome.ANSWER_TOO_LARGE, b""),
        (b"nonsense", Outcome.CONNECTION_LOST, b""),
    ],
)
def test_unusual_answers(body: bytes, outcome: Outcome, said: bytes) -> None:
    """What HTTP allows is understood, what it does not fails the call at once, and the next is answered."""
    with running_raw_peer(_by_path) as peer, wire(peer.port) as engine:
        reply = ask(engine, body)
        assert (reply.outcome, reply.body) == (outcome, said)
        assert bool(reply.detail) == (outcome is not Outcome.OK)
        assert ask(engine, b"interim").body == b"x"
        lost = outcome in {Outcome.CONNECTION_LOST, Outcome.ANSWER_TOO_LARGE}
        assert peer.accepted == (2 if lost else 1)


async def _refuse_unread(peer: RawPeer, reader: Reader, writer: Writer) -> None:
    """Answer when the head is there, and close without reading the body."""
    await reader.readuntil(b"\r\n\r\n")
    peer.requests += 1
    text = b'{"error": "too much"}'
    writer.write(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
    await writer.drain()
    await peer.released.wait()


def test_an_answer_before_the_request_is_sent() -> None:
    """Is the answer; the connection, on which the rest was never sent, is not used again."""
    with running_raw_peer(_refuse_unread) as peer, wire(peer.port) as engine:
        for _ in range(2):
            reply = ask(engine, bytes(32 << 20))
            assert (reply.outcome, reply.detail) == (Outcome.INVALID_ARGUMENT, "too much")
    assert (peer.requests, peer.accepted) == (2, 2)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Issues the certificate of a server."""
    return trustme.CA()


@pytest.mark.parametrize("secure", [False, True])
def test_large_bodies(secure: bool, authority: trustme.CA, tmp_path: Any) -> None:
    """16 MB go out and come back, four times at once, over TLS too."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = Tls(str(tmp_path / "ca.pem")) if secure else None
    body = bytes(range(256)) * (1 << 16)
    server_tls = ServerTls(authority.issue_cert("127.0.0.1")) if secure else None
    with running_peer("rest", tls=server_tls) as peer, wire(peer.port, tls=tls) as engine:
        for reply in ask_all(engine, [body] * 4):
            assert reply.outcome is Outcome.OK
            assert reply.body == body


# callers


def test_kills_while_waiting_for_a_connection() -> None:
    """Who is killed in the queue leaves it; the others keep their turn."""
    with running_raw_peer(hold) as peer, wire(peer.port, connections=1) as engine:
        greenlets = [gevent.spawn(ask, engine, body) for body in numbers(10)]
        wait_until(lambda: peer.requests == 1)
        gevent.killall(greenlets[1::2])
        peer.release()
        gevent.joinall(greenlets)
        assert [greenlet.value.body for greenlet in greenlets[::2]] == numbers(10)[::2]
    assert (peer.requests, peer.accepted) == (5, 1)


class _Surprise(Exception):  # noqa: N818 - it is one
    pass


def test_an_exception_thrown_when_the_answer_is_there() -> None:
    """A greenlet gets an exception between its answer and its turn: it is not woken for the answer any more."""
    surprised: list[bytes] = []
    resumed: list[Any] = []
    greenlets: list[Any] = []

    def user(engine: RestWire, body: bytes) -> bytes:
        try:
            ask(engine, body)
        except _Surprise:
            surprised.append(body)
        resumed.append(gevent.getcurrent())
        if len(resumed) == 1:
            victim = next(greenlet for greenlet in greenlets if greenlet not in resumed)
            gevent.get_hub().loop.run_callback(resumed[0].switch)  # to come back here
            victim.throw(_Surprise())
        started = time.monotonic()
        gevent.sleep(0.1)  # the answer would end this early
        assert time.monotonic() - started > 0.09
        return ask(engine, body + b" again").body

    with running_raw_peer(hold) as peer, wire(peer.port) as engine:
        greenlets += [gevent.spawn(user, engine, body) for body in numbers(20)]
        wait_until(lambda: peer.requests == 20)
        peer.release()
        time.sleep(0.1)  # so that all answers are there before the first is read
        gevent.joinall(greenlets, raise_error=True)
        assert [greenlet.value for greenlet in greenlets] == [body + b" again" for body in numbers(20)]
    assert len(surprised) == 1


def test_close_ends_what_waits() -> None:
    """Calls on connections, in the queue and while connecting end as cancelled; so do later ones."""
    with running_raw_peer(hold) as peer, wire(peer.port, connections=1) as engine:
        greenlets = [gevent.spawn(ask, engine, body) for body in numbers(3)]
        wait_until(lambda: peer.requests == 1)
        engine.close()
        gevent.joinall(greenlets)
        assert {greenlet.value.outcome for greenlet in greenlets} == {Outcome.CANCELLED}
        assert ask(engine).outcome is Outcome.CANCELLED
    with socket.create_server(("127.0.0.1", 0)) as silent, wire(silent.getsockname()[1], tls=Tls()) as engine:
        connecting = gevent.spawn(ask, engine)
        gevent.sleep(0.05)
        engine.close()
        assert connecting.get().outcome is Outcome.CANCELLED


def test_deadlines_of_many() -> None:
    """Calls of different timeouts that are not answered end each at its own."""

    def timed(engine: RestWire, timeout_s: float) -> float:
        started = time.monotonic()
        assert ask(engine, b"", timeout_s).outcome is Outcome.DEADLINE_EXCEEDED
        return time.monotonic() - started

    with running_raw_peer(hold) as peer, wire(peer.port) as engine:
        timeouts_s = [0.05 * (1 + number % 5) for number in range(100)]
        greenlets = [gevent.spawn(timed, engine, timeout_s) for timeout_s in timeouts_s]
        gevent.joinall(greenlets, raise_error=True)
    for greenlet, timeout_s in zip(greenlets, timeouts_s, strict=True):
        assert timeout_s <= greenlet.value < timeout_s + 1


def test_an_answer_that_waits_is_not_late() -> None:
    """What came in time is an answer, although the process was too busy to read it before the deadline."""
    with running_raw_peer(hold) as peer, wire(peer.port) as engine:
        greenlet = gevent.spawn(ask, engine, b"hello", 1.0)
        wait_until(lambda: peer.requests == 1)
        peer.release()
        time.sleep(1.2)
        reply = greenlet.get()
        assert (reply.outcome, reply.body) == (Outcome.OK, b"hello")
        assert reply.end_ns - reply.sent_ns > 1_000_000_000


def test_an_idle_engine_keeps_nobody_waiting() -> None:
    """gevent's loop may end while connections are kept."""
    with running_raw_peer(echo) as peer, wire(peer.port) as engine:
        assert ask(engine, timeout_s=SHORT_S).outcome is Outcome.OK
        assert gevent.wait(timeout=LONG_S)
