"""Bodies of sizes at which something changes, and whether they come back as they went."""

from __future__ import annotations

from typing import Any

from tests.wire.engines import Engine, call
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Transport

KB, MB = 1 << 10, 1 << 20
# a gRPC message is five bytes longer; frames hold 16384, and windows 65535, before a server says otherwise
EDGES = [edge + more for edge in (16384, 65535) for more in (-6, -5, -4, -1, 0, 1)]
SIZES = [0, 1, 5 * KB, *EDGES, MB, 16 * MB]


def assert_echoed(engine: Engine, transport: Transport[Any], size: int) -> None:
    """A body of ``size`` bytes goes out and comes back."""
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    reply = call(engine, transport, body)
    assert (reply.outcome, reply.detail, len(reply.body)) == (Outcome.OK, "", size)
    assert reply.body == body
