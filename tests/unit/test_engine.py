"""What an engine cannot do is refused before the run, with the reason and the way out."""

from __future__ import annotations

import pytest

from tfs_locust.transport.address import parse_address
from tfs_locust.transport.engine import LIBRARY, WIRE, refusal

PROXY = {"https_proxy": "http://proxy:3128"}
REASON = (
    "the environment names a proxy for gRPC (https_proxy), which the engine 'wire' does not use; add models.example to "
    "no_proxy to go there directly, or go through the proxy with --tfs-engine library"
)


@pytest.mark.parametrize(
    ("host", "engine", "environment", "told"),
    [
        ("grpc://models.example", WIRE, {}, ""),
        ("grpc://models.example", WIRE, PROXY, REASON),
        ("grpc://models.example", LIBRARY, PROXY, ""),
        ("grpc://models.example", WIRE, {**PROXY, "no_proxy": "localhost, models.example"}, ""),
        ("grpc://models.example", WIRE, {**PROXY, "no_proxy": ".example"}, ""),
        ("grpc://models.example", WIRE, {**PROXY, "no_grpc_proxy": "*"}, ""),
        ("grpc://models.example", WIRE, {**PROXY, "no_proxy": "other.example"}, REASON),
        ("grpc://127.0.0.1", WIRE, PROXY, ""),
        ("grpc://[::1]", WIRE, PROXY, ""),
        ("grpc://localhost", WIRE, PROXY, ""),
        ("http://models.example", WIRE, PROXY, ""),  # neither REST engine uses a proxy
    ],
)
def test_proxies(host: str, engine: str, environment: dict[str, str], told: str) -> None:
    """A proxy for gRPC that the library would use is not passed by in silence."""
    assert refusal(parse_address(host), engine, None, environment) == told


def test_connections_of_the_library() -> None:
    """The library cannot be told how many connections to make."""
    assert refusal(parse_address("grpc://a"), LIBRARY, 2, {}).startswith("--tfs-connections is for the engine 'wire'")
    assert refusal(parse_address("grpc://a"), WIRE, 2, {}) == ""
