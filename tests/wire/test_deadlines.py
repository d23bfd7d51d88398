"""A call ends at its timeout, whatever the server does or leaves undone."""

from __future__ import annotations

import socket
import time

import gevent
import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import LONG_S, SHORT_S, Engine, call, names
from tests.wire.peers import Peer, Said, echo
from tests.wire.relay import Relay
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.tls import Tls


def test_deadline(engine: Engine, peer: Peer, connect: Connect) -> None:
    """The call ends at its timeout, while the peer has not answered; its late answer is never the next call's."""
    peer.script = peer.hold
    transport = connect(peer.port)
    reply = call(engine, transport, b"late", SHORT_S)
    assert reply[2:4] == (Outcome.DEADLINE_EXCEEDED, b"")
    assert not peer.released.is_set()
    assert reply.end_ns - reply.sent_ns > SHORT_S * 0.9e9
    peer.script = echo
    assert call(engine, transport, b"next")[2:] == (Outcome.OK, b"next", "")
    peer.released.set()
    for body in (b"1", b"2", b"3"):
        assert call(engine, transport, body)[2:] == (Outcome.OK, body, "")


@pytest.mark.parametrize("engine_name", [*names("grpc", "wire"), *names("rest", "wire")])
def test_an_answer_that_waits_is_not_late(engine: Engine, peer: Peer, connect: Connect) -> None:
    """What came in time is an answer, although the process was too busy to read it before the deadline."""
    transport = connect(peer.port)
    assert call(engine, transport).outcome is Outcome.OK
    peer.script = peer.hold
    greenlet = gevent.spawn(call, engine, transport, b"in time", 1.0)
    with gevent.Timeout(LONG_S):
        while len(peer.asked) < 2:
            gevent.sleep(0.005)
    peer.released.set()
    time.sleep(1.1)
    assert greenlet.get()[2:] == (Outcome.OK, b"in time", "")


@pytest.mark.parametrize("secure", [False, True])
def test_deadline_of_a_silent_server(secure: bool, engine: Engine, connect: Connect) -> None:
    """It covers the connecting: a port that takes connections and says nothing holds nobody up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = connect(silent.getsockname()[1], tls=Tls() if secure else None)
        assert call(engine, transport, timeout_s=SHORT_S).outcome is Outcome.DEADLINE_EXCEEDED


def test_deadline_while_sending(engine: Engine, connect: Connect) -> None:
    """It covers the sending: what is too large for every buffer on the way, to one that reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = connect(silent.getsockname()[1])
        assert call(engine, transport, bytes(32 << 20), SHORT_S).outcome is Outcome.DEADLINE_EXCEEDED


def test_deadline_within_an_answer(engine: Engine, peer: Peer, relay: Relay, connect: Connect) -> None:
    """It covers the whole answer: one that stops coming holds nobody up."""
    peer.script = lambda _: Said(bytes(200_000))
    relay.answer_limit, relay.stalls = 50_000, True
    reply = call(engine, connect(relay.port), timeout_s=SHORT_S)
    assert (reply.outcome, reply.body) == (Outcome.DEADLINE_EXCEEDED, b"")
