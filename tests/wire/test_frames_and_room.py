"""What a server has room for, in its windows and its frames: no more is sent, and all of it in the end.

Rules are those of RFC 9113 section 5.2 and 6.9. Each server is a script of single frames.
"""

from __future__ import annotations

import threading
import time

import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import SHORT_S, Engine, call, names
from tests.wire.frames import (
    ALL_STREAMS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    WINDOW_UPDATE,
    Connection,
    Script,
    answer,
    frame,
    running_frames,
    settings,
)
from tfs_locust.measure.sample import Outcome

over_grpc = pytest.mark.parametrize("engine_name", names("grpc"))


def _window_of_one(connection: Connection) -> None:
    connection.grants = False
    connection.greet({INITIAL_WINDOW_SIZE: 1})
    request = None
    while request is None:
        seen = len(connection.data_sizes)
        request = connection.step()
        if request is None and len(connection.data_sizes) > seen:
            connection.grant(1, 1)
    assert max(connection.data_sizes) == 1
    connection.send(answer(*request))
    connection.drain()


def _no_window_at_first(connection: Connection) -> None:
    connection.greet({INITIAL_WINDOW_SIZE: 0})
    while not connection.blocks:
        connection.step()
    connection.ping()
    assert sum(connection.data_sizes) == 0
    connection.send(settings({INITIAL_WINDOW_SIZE: 65535}))
    connection.echo()


def _window_below_zero(connection: Connection) -> None:
    connection.grants = False
    connection.greet()
    while sum(connection.data_sizes) < 65535:
        connection.step()
    # the stream's window is -65535 then, and 10 after
    connection.send(settings({INITIAL_WINDOW_SIZE: 0}))
    connection.grant(1, 65545)
    while sum(connection.data_sizes) < 65545:
        connection.step()
    connection.ping()
    assert sum(connection.data_sizes) == 65545
    connection.grants = True
    connection.grant(1, 1 << 20)
    connection.echo()


def _narrow_connection(connection: Connection) -> None:
    connection.grants = False
    connection.greet({INITIAL_WINDOW_SIZE: 1 << 20})
    while sum(connection.data_sizes) < 65535:
        connection.step()
    connection.ping()
    assert sum(connection.data_sizes) == 65535
    connection.grants = True
    connection.grant(1, 1 << 20)
    connection.echo()


def _large_frames(connection: Connection) -> None:
    connection.greet({MAX_FRAME_SIZE: 1 << 18, INITIAL_WINDOW_SIZE: 1 << 20})
    connection.send(frame(WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4, "big")))
    request = connection.request()
    assert max(connection.data_sizes) <= 1 << 18
    connection.send(answer(*request))
    connection.drain()


def _small_frames(connection: Connection) -> None:
    connection.greet({INITIAL_WINDOW_SIZE: 1 << 20})
    connection.send(frame(WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4, "big")))
    request = connection.request()
    assert max(connection.data_sizes) <= 16384
    connection.send(answer(*request))
    connection.drain()


def _ping_within_a_request(connection: Connection) -> None:
    connection.grants = False
    connection.greet()
    while not connection.data_sizes:
        connection.step()
    connection.ping()
    connection.grants = True
    connection.grant(1, 1 << 20)
    connection.echo()


_ROOM: dict[str, tuple[Script, int]] = {
    "window of one byte": (_window_of_one, 50),
    "no window at first": (_no_window_at_first, 50),
    "window below zero": (_window_below_zero, 150_000),
    "narrow connection": (_narrow_connection, 150_000),
    "large frames": (_large_frames, 500_000),
    "small frames": (_small_frames, 500_000),
    "PING within a request": (_ping_within_a_request, 150_000),
}


@over_grpc
@pytest.mark.parametrize("case", _ROOM)
def test_room(case: str, engine: Engine, connect: Connect) -> None:
    """No more is sent than the server has room for, in no larger frames, and all of it in the end."""
    script, size = _ROOM[case]
    with running_frames(script) as peer:
        body = bytes(number % 251 for number in range(size))
        reply = call(engine, connect(peer.port), body, timeout_s=10)
        assert (reply.outcome, reply.detail) == (Outcome.OK, "")
        assert reply.body == body
        assert peer.connections[0].bodies == [body]


@pytest.mark.parametrize(
    ("engine_name", "window"),
    # grpcio keeps no deadline while the kernel takes no more of what it sends
    [*((name, 65535) for name in names("grpc")), *((name, ALL_STREAMS) for name in names("grpc", "wire"))],
)
def test_deadline_of_a_server_that_stops_reading(window: int, engine: Engine, connect: Connect) -> None:
    """What waits for room in the server's windows, or in the kernel's buffers, is given up at the deadline."""
    released = threading.Event()

    def script(connection: Connection) -> None:
        connection.greet({INITIAL_WINDOW_SIZE: window})
        connection.send(frame(WINDOW_UPDATE, 0, 0, (ALL_STREAMS - 65535).to_bytes(4, "big")))
        connection.step()
        released.wait(20)

    with running_frames(script) as peer:
        transport = connect(peer.port)
        started = time.monotonic()
        assert call(engine, transport, bytes(32 << 20), SHORT_S).outcome is Outcome.DEADLINE_EXCEEDED
        transport.close()
        assert time.monotonic() - started < 10
        released.set()
