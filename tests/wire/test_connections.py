"""Connections are kept, and lost, without a call being lost with them that need not be."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import LONG_S, NO_ANSWER, Engine, call, wait_until
from tests.wire.peers import Asked, Peer, Said, echo, running_peer
from tests.wire.relay import Relay, running_relay
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Endpoint, Transport


def _answered(engine: Engine, transport: Transport[Any], body: bytes) -> bool:
    reply = call(engine, transport, body)
    assert reply.outcome in {Outcome.OK, *NO_ANSWER}
    return reply.outcome is Outcome.OK


def test_connections_are_reused(engine: Engine, peer: Peer, relay: Relay, connect: Connect) -> None:
    """A hundred calls in turn, failures among them, use one connection."""
    peer.script = lambda asked: (
        Said(status=5 if engine.protocol == "grpc" else 404) if asked.body == b"9" else echo(asked)
    )
    transport = connect(relay.port)
    outcomes = [call(engine, transport, b"%d" % (i % 10)).outcome for i in range(100)]
    assert outcomes == ([Outcome.OK] * 9 + [Outcome.NOT_FOUND]) * 10
    assert relay.accepted == 1


@contextmanager
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    taken = []
    try:
        while not taken or taken[-1] < 1100:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_are_reused_above_1023(engine: Engine, relay: Relay, connect: Connect) -> None:
    """So are those whose descriptors select() cannot see."""
    with _many_descriptors():
        transport = connect(relay.port)
        assert [call(engine, transport).outcome for _ in range(20)] == [Outcome.OK] * 20
        transport.close()
    assert relay.accepted == 1


def test_no_server(engine: Engine, connect: Connect, peer: Peer) -> None:
    """Where nothing listens the server is unreachable, long before the timeout."""
    with running_relay(peer.port) as relay:
        relay.leave()
        transport = connect(relay.port)
        started = time.monotonic()
        reply = call(engine, transport)
        assert (reply.outcome, reply.body) == (Outcome.UNREACHABLE, b"")
        assert reply.detail
        assert time.monotonic() - started < LONG_S / 2


@pytest.mark.parametrize("name", ["nobody.invalid", "no..body"])
def test_no_such_name(name: str, engine: Engine, connect: Connect) -> None:
    """So it is where its name is unknown (.invalid never exists: RFC 6761) or no name at all."""
    assert call(engine, connect(80, name)).outcome is Outcome.UNREACHABLE


def test_server_comes_back(engine: Engine, relay: Relay, connect: Connect) -> None:
    """A server that was away and listens again is found by the same transport."""
    transport = connect(relay.port)
    assert call(engine, transport).outcome is Outcome.OK
    relay.leave()
    wait_until(lambda: call(engine, transport).outcome is Outcome.UNREACHABLE)
    relay.return_()
    wait_until(lambda: call(engine, transport).outcome is Outcome.OK)
    assert [call(engine, transport).outcome for _ in range(5)] == [Outcome.OK] * 5


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("body", [b"x", None])
def test_connection_ends_with_a_call_in_flight(
    body: bytes | None, reset: bool, engine: Engine, peer: Peer, relay: Relay, connect: Connect
) -> None:
    """The call is lost, is not sent again, and harms no other."""

    def cut(_: Asked) -> Said:
        relay.cut(reset=reset)
        return Said()

    transport = connect(relay.port)
    assert call(engine, transport).outcome is Outcome.OK
    peer.script = cut
    reply = call(engine, transport, body)
    assert (reply.outcome, reply.body) == (Outcome.CONNECTION_LOST, b"")
    assert len(peer.asked) == 2
    peer.script = echo
    wait_until(partial(_answered, engine, transport, b"y"))
    assert [asked.body for asked in peer.asked[2:]] == [b"y"]


def test_connection_ends_within_an_answer(engine: Engine, peer: Peer, relay: Relay, connect: Connect) -> None:
    """A part of an answer is none."""
    peer.script = lambda _: Said(bytes(200_000))
    relay.answer_limit = 50_000
    reply = call(engine, connect(relay.port))
    assert (reply.outcome, reply.body) == (Outcome.CONNECTION_LOST, b"")


@pytest.mark.parametrize("reset", [False, True])
def test_connection_ends_between_calls(reset: bool, engine: Engine, peer: Peer, relay: Relay, connect: Connect) -> None:
    """A server that ended idle connections is called again at once, and nothing is sent twice.

    Over HTTP no call fails of it. Over gRPC one may that is made before the news is there.
    """
    transport = connect(relay.port)
    for number in range(10):
        body = b"%d" % number
        if engine.protocol == "rest":
            assert call(engine, transport, body)[2:] == (Outcome.OK, body, "")
        else:
            wait_until(partial(_answered, engine, transport, body))
        relay.cut(reset=reset)
    assert [asked.body for asked in peer.asked] == [b"%d" % number for number in range(10)]


def test_server_closes_after_each_answer(rest_engine: Engine) -> None:
    """``Connection: close`` is kept to."""
    with running_peer("rest") as peer, running_relay(peer.port) as relay:
        peer.script = lambda asked: Said(asked.body, closes=True)
        transport = rest_engine.open(Endpoint("127.0.0.1", relay.port))
        assert [call(rest_engine, transport).outcome for _ in range(5)] == [Outcome.OK] * 5
        assert relay.accepted == 5
        transport.close()


def test_other_protocol(engine: Engine, connect: Connect) -> None:
    """A port that speaks something else fails the call; it neither hangs nor raises."""
    with running_peer("rest" if engine.protocol == "grpc" else "grpc") as peer:
        transport = connect(peer.port)
        assert call(engine, transport, timeout_s=5).outcome in NO_ANSWER
        transport.close()


def test_close(engine: Engine, relay: Relay, connect: Connect) -> None:
    """It ends the connections; a call after it fails; closing again does nothing."""
    transport = connect(relay.port)
    request = transport.prepare(engine.path, b"")
    assert transport.call(request, LONG_S).outcome is Outcome.OK
    assert relay.open == 1
    transport.close()
    wait_until(lambda: relay.open == 0)
    assert transport.call(request, LONG_S).outcome in {Outcome.CANCELLED, Outcome.CONNECTION_LOST}
    transport.close()
