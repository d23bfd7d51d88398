"""Which engine carries a run's requests: ``wire``, our own and fast, or ``library``, over grpcio and geventhttpclient.

What a user sees is the same with both.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed leaves it out

from tfs_locust.transport.address import Address
from tfs_locust.transport.base import Endpoint, Transport
from tfs_locust.transport.grpc_library import GrpcLibrary
from tfs_locust.transport.grpc_wire import GrpcWire
from tfs_locust.transport.rest_library import RestLibrary
from tfs_locust.transport.rest_wire import RestWire

WIRE, LIBRARY = "wire", "library"
ENGINES = (WIRE, LIBRARY)

_LIBRARIES: dict[str, Callable[[Endpoint], Transport[Any]]] = {"grpc": GrpcLibrary, "rest": RestLibrary}
_WIRES: dict[str, Callable[..., Transport[Any]]] = {"grpc": GrpcWire, "rest": RestWire}

# in the order in which gRPC core looks (src/core/handshaker/http_connect/http_proxy_mapper.cc)
_GRPC_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def open_transport(
    address: Address, endpoint: Endpoint, engine: str = WIRE, connections: int | None = None
) -> Transport[Any]:
    """The transport for an address's protocol; it connects when it is first called.

    ``connections`` is how many ``wire`` keeps: None for one to each of the host's addresses (gRPC) or as many as there
    are requests in flight (REST). Raises OSError where a certificate cannot be read.
    """
    if engine == WIRE:
        return _WIRES[address.protocol](endpoint, connections=connections)
    return _LIBRARIES[address.protocol](endpoint)


def refusal(address: Address, engine: str, connections: int | None, environment: Mapping[str, str] = os.environ) -> str:
    """Why the engine cannot do what is asked, and the way out; empty where it can."""
    if engine == LIBRARY:
        return (
            "--tfs-connections is for the engine 'wire', the library decides for itself; leave one of them out"
            if connections is not None
            else ""
        )
    if address.protocol != "grpc" or _is_loopback(address.host):
        return ""
    name = next((name for name in _GRPC_PROXIES if environment.get(name)), None)
    passed_by = {"no": environment.get("no_grpc_proxy") or environment.get("no_proxy") or ""}
    if name is None or proxy_bypass_environment(address.host, passed_by):
        return ""
    return (
        f"the environment names a proxy for gRPC ({name}), which the engine 'wire' does not use; add {address.host} to "
        f"no_proxy to go there directly, or go through the proxy with --tfs-engine library"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
