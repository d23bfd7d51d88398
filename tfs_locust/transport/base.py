"""The one interface of all transports: bytes in, a :class:`Reply` out, a failure is a value.

A transport knows an endpoint and how to speak to it. It does not know models, schedules or Locust. Each transport holds
one table that translates its protocol's status into an :class:`~tfs_locust.measure.sample.Outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.control import Ask, CallFailed
from tfs_locust.transport.tls import Tls

# ``Prepared`` is a transport's own form of a request, made once before the run.
Prepared = TypeVar("Prepared")


class Reply(NamedTuple):
    """How one call ended. Times are nanoseconds of ``time.perf_counter_ns``, taken by the transport."""

    sent_ns: int
    """When it was handed to the kernel, or to what this turn of the loop sends at its end; waiting for a connection or
    a free stream comes before. Of a call that never came so far, its end."""
    end_ns: int
    outcome: Outcome
    body: bytes
    """The answer's bytes; empty on failure."""
    detail: str
    """The server's or the transport's own words on a failure, as they came; empty on success."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to connect."""

    host: str
    port: int
    tls: Tls | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values sent with every request: HTTP headers, or gRPC metadata (lower case)."""

    @property
    def authority(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Transport(Protocol[Prepared]):
    """One way to send requests to one endpoint; shared by all users of a process, safe among greenlets."""

    @property
    def peers(self) -> Mapping[str, int]:
        """Answers so far by the address (``host:port``) that gave them; empty where the engine cannot tell."""
        ...

    def prepare(self, path: str, body: bytes | None) -> Prepared:
        """A request ready to be sent many times.

        ``path`` is the gRPC method (``/package.Service/Method``) or the URL path; ``body`` the serialised message or
        JSON document, None for a REST GET. Costs what it costs: it is called before the run.
        """
        ...

    def call(self, request: Prepared, timeout_s: float) -> Reply:
        """Send, wait at most ``timeout_s`` seconds in all, and say how it ended. Never raises for a failed request."""
        ...

    def close(self) -> None:
        """End every connection. Calls in flight end as ``CONNECTION_LOST`` or ``CANCELLED``."""
        ...


def asking(transport: Transport[Prepared], timeout_s: float) -> Ask:
    """Control calls over ``transport``: returns the answer's bytes or raises CallFailed."""

    def ask(path: str, body: bytes | None) -> bytes:
        reply = transport.call(transport.prepare(path, body), timeout_s)
        if reply.outcome is not Outcome.OK:
            raise CallFailed(reply.outcome, reply.detail)
        return reply.body

    return ask
