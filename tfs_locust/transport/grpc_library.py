"""gRPC through grpcio, the library: bytes in and bytes out, no message is parsed on the way.

Under gevent, call :func:`use_gevent` once after patching and before the first channel: without it every call blocks the
whole process, and with it the heartbeats of a distributed run.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

# before it is imported: else a process that forks for a command starts grpcio's threads in the child as well, which end
# it with SIGABRT before the command is there, half of the time (grpcio 1.85)
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc

from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.errors import closer_meaning
from tfs_locust.transport.base import Endpoint, Reply
from tfs_locust.transport.tls import Tls

# status -> Outcome, before the text is looked at
OUTCOMES: dict[grpc.StatusCode, Outcome] = {
    code: Outcome.OK if code is grpc.StatusCode.OK else Outcome[code.name] for code in grpc.StatusCode
}

# gRPC core's own words for UNAVAILABLE, when no server said it. Source: src/core/.../subchannel.cc, chttp2_transport.cc
_NOT_CONNECTED = (
    "failed to connect",
    "DNS resolution failed",
    "errors resolving",
    "connections to all backends failing",
    "empty address list",
    "Handshake",
    "handshake",
)
_DISCONNECTED = (
    "Socket closed",
    "GOAWAY received",
    "Connection reset",
    "Broken pipe",
    "Stream removed",
    "transport is closing",
    "keepalive timeout",
    "ping timeout",
    "Endpoint closing",
    "RST_STREAM",
    "recvmsg:",
    "sendmsg:",
)

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # the library's default is 4 MB
    ("grpc.max_send_message_length", -1),
    # a failure's words come as a header field, whose limit of 8 KB would make another failure of it
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
    # a connection of one's own, not shared with other channels of the process (grpc/grpc#20985)
    ("grpc.use_local_subchannel_pool", 1),
    # all addresses behind a name, as of a headless Kubernetes service
    ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
    # a server that comes back is to be seen at once; the library's default waits up to two minutes (the lower limit of
    # this waiting is left alone: it is also all the time that a connection gets to be made)
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.primary_user_agent", "tfs-locust"),
)

CALLS_AT_ONCE = 1000
"""Under gevent each call in flight waits in a thread of gevent's pool, which are made as needed. Were there fewer than
calls, as with gevent's usual ten, an answer would wait until slower ones are there (grpcio 1.85)."""


def use_gevent() -> None:
    """Make grpcio yield to gevent's other greenlets while it waits. Process-wide; harmless when called again."""
    import gevent
    from grpc.experimental import gevent as grpc_gevent

    threads = gevent.get_hub().threadpool
    threads.maxsize = max(threads.maxsize, CALLS_AT_ONCE)
    grpc_gevent.init_gevent()


def outcome_of(code: grpc.StatusCode, details: str) -> Outcome:
    """What a failed call's status means."""
    outcome = OUTCOMES[code]
    if outcome is Outcome.UNAVAILABLE:
        if any(words in details for words in _NOT_CONNECTED):
            return Outcome.UNREACHABLE
        if any(words in details for words in _DISCONNECTED):
            return Outcome.CONNECTION_LOST
    if outcome is Outcome.UNKNOWN and "Failed parsing HTTP/2" in details:
        return Outcome.CONNECTION_LOST
    return closer_meaning(outcome, details)


class _Call(NamedTuple):
    send: Any
    body: bytes


class GrpcLibrary:
    """A :class:`~tfs_locust.transport.base.Transport` over one grpcio channel."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises OSError where a certificate cannot be read. Connects on the first call."""
        self._metadata = tuple((name.lower(), value) for name, value in endpoint.headers)
        if endpoint.tls is None:
            self._channel = grpc.insecure_channel(endpoint.authority, options=_OPTIONS)
        else:
            self._channel = grpc.secure_channel(endpoint.authority, _credentials(endpoint.tls), options=_OPTIONS)

    @property
    def peers(self) -> dict[str, int]:
        """Nothing: grpcio does not tell which address answered."""
        return {}

    def prepare(self, path: str, body: bytes | None) -> _Call:
        return _Call(self._channel.unary_unary(path), body or b"")

    def call(self, request: _Call, timeout_s: float) -> Reply:
        sent_ns = time.perf_counter_ns()
        try:
            body: bytes | None = request.send(request.body, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            end_ns = time.perf_counter_ns()
            details = error.details() or ""
            return Reply(sent_ns, end_ns, outcome_of(error.code(), details), b"", details)
        except ValueError as error:  # the channel was closed meanwhile
            return Reply(sent_ns, time.perf_counter_ns(), Outcome.CANCELLED, b"", str(error))
        end_ns = time.perf_counter_ns()
        if body is None:  # which the library passes off as an answer
            return Reply(sent_ns, end_ns, Outcome.INTERNAL, b"", "the server said OK and sent no message")
        return Reply(sent_ns, end_ns, Outcome.OK, body, "")

    def close(self) -> None:
        self._channel.close()


def _credentials(tls: Tls) -> Any:
    def read(path: str | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    return grpc.ssl_channel_credentials(read(tls.ca_file), read(tls.key_file), read(tls.certificate_file))
