"""When our own engines say that a request was sent, and how often they try where nobody lets them in.

The libraries cannot tell when they send, and pace themselves.
"""

from __future__ import annotations

import itertools
import time

import gevent
import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import SHORT_S, Engine, call, names
from tests.wire.frames import MAX_CONCURRENT_STREAMS, Connection, answer, running_frames
from tests.wire.peers import Peer
from tests.wire.relay import running_relay
from tfs_locust.measure.sample import Outcome

over_grpc = pytest.mark.parametrize("engine_name", names("grpc", "wire"))
over_both = pytest.mark.parametrize("engine_name", [*names("grpc", "wire"), *names("rest", "wire")])


@over_both
def test_what_is_never_sent(engine: Engine, peer: Peer, connect: Connect) -> None:
    """Has one stamp: when it was given up."""
    with running_relay(peer.port) as relay:
        relay.leave()
        before = time.perf_counter_ns()
        reply = call(engine, connect(relay.port))
        assert reply.outcome is Outcome.UNREACHABLE
        assert before <= reply.sent_ns == reply.end_ns <= time.perf_counter_ns()


@over_grpc
def test_what_waits_for_a_stream_in_vain(engine: Engine, connect: Connect) -> None:
    """Was never sent either."""

    def script(connection: Connection) -> None:
        connection.greet({MAX_CONCURRENT_STREAMS: 0})
        connection.drain()

    with running_frames(script) as peer:
        before = time.perf_counter_ns()
        reply = call(engine, connect(peer.port), timeout_s=SHORT_S)
        assert (reply.outcome, reply.detail) == (Outcome.DEADLINE_EXCEEDED, "Deadline Exceeded")
        assert reply.sent_ns == reply.end_ns >= before + SHORT_S * 0.9e9


@over_grpc
def test_what_waits_for_a_stream(engine: Engine, connect: Connect) -> None:
    """Is sent when it has one: not before the one before it is answered."""

    def script(connection: Connection) -> None:
        connection.greet({MAX_CONCURRENT_STREAMS: 1})
        connection.echo()

    with running_frames(script) as peer:
        transport = connect(peer.port)
        assert call(engine, transport).outcome is Outcome.OK  # so that the limit is known
        calls = [gevent.spawn(call, engine, transport, b"%d" % number) for number in range(5)]
        replies = sorted(greenlet.get() for greenlet in calls)
        assert [reply.outcome for reply in replies] == [Outcome.OK] * 5
        for first, second in itertools.pairwise(replies):
            assert first.sent_ns < first.end_ns <= second.sent_ns


@over_grpc
def test_stamps_enclose_the_servers_work(engine: Engine, connect: Connect) -> None:
    """Also where the connection has to be made first: that is not service time."""
    came: list[int] = []

    def script(connection: Connection) -> None:
        time.sleep(0.2)
        connection.greet()
        request = connection.request()
        came.append(time.perf_counter_ns())
        connection.send(answer(*request))
        connection.drain()

    with running_frames(script) as peer:
        before = time.perf_counter_ns()
        reply = call(engine, connect(peer.port))
        assert before + 0.15e9 < reply.sent_ns < came[0] < reply.end_ns


@over_grpc
def test_an_outage_is_not_hunted(engine: Engine, connect: Connect) -> None:
    """Twenty callers that do not let go cause one attempt in 100 ms, and share its failure."""

    def script(_: Connection) -> None:
        """Say nothing and end."""

    with running_frames(script) as peer:
        transport = connect(peer.port)
        started = time.monotonic()
        outcomes: set[Outcome] = set()

        def insist() -> None:
            while time.monotonic() < started + 1:
                outcomes.add(call(engine, transport).outcome)

        gevent.joinall([gevent.spawn(insist) for _ in range(20)], raise_error=True)
        took = time.monotonic() - started
        assert outcomes == {Outcome.UNREACHABLE}
        assert 2 <= len(peer.connections) <= took / 0.1 + 2
