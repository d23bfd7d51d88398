"""The transports under contract. A new one is one more line in ``ENGINES``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.protos import PREDICT
from tfs_locust.transport.base import Endpoint, Reply, Transport
from tfs_locust.transport.grpc_library import GrpcLibrary
from tfs_locust.transport.grpc_wire import GrpcWire
from tfs_locust.transport.rest_library import RestLibrary
from tfs_locust.transport.rest_wire import RestWire


@dataclass(frozen=True)
class Engine:
    """A transport's protocol, ``grpc`` or ``rest``, and how it is made."""

    protocol: str
    open: Callable[[Endpoint], Transport[Any]]

    @property
    def path(self) -> str:
        """What a scripted peer is asked: any Predict."""
        return PREDICT if self.protocol == "grpc" else "/v1/models/m:predict"


LONG_S = 30.0  # a timeout that is not to be met
SHORT_S = 0.3  # one that is
NO_ANSWER = {Outcome.CONNECTION_LOST, Outcome.UNREACHABLE}

ENGINES = {
    "grpc_library": Engine("grpc", GrpcLibrary),
    "grpc_wire": Engine("grpc", GrpcWire),
    "rest_library": Engine("rest", RestLibrary),
    "rest_wire": Engine("rest", RestWire),
}


def names(protocol: str, kind: str = "") -> list[str]:
    """The engines of a protocol, or those of a kind, ``wire`` or ``library``, among them."""
    return [name for name, engine in ENGINES.items() if engine.protocol == protocol and name.endswith(kind)]


def where_it_applies(protocol: str, cases: Iterable[str], only_wire: Mapping[str, str]) -> Any:
    """Parametrise ``engine_name`` and ``case``: all cases for our own engines, the library's without ``only_wire``.

    The latter says for each case what the library does instead.
    """
    assert set(only_wire) <= set(cases)
    return pytest.mark.parametrize(
        ("engine_name", "case"),
        [
            pytest.param(name, case, id=f"{case}-{name}")
            for case in cases
            for name in names(protocol)
            if not (case in only_wire and name.endswith("library"))
        ],
    )


def call(engine: Engine, transport: Transport[Any], body: bytes | None = b"hello", timeout_s: float = LONG_S) -> Reply:
    """Ask a scripted peer."""
    return transport.call(transport.prepare(engine.path, body), timeout_s)


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again, and fail where it never comes true."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
