"""A host is taken apart, and what cannot be used is refused with what was given and what is expected."""

from __future__ import annotations

import pytest

from tfs_locust.transport.address import Address, AddressError, parse_address
from tfs_locust.transport.base import Endpoint


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://127.0.0.1:9000", Address("grpc", secure=False, host="127.0.0.1", port=9000)),
        ("grpc://server", Address("grpc", secure=False, host="server", port=8500)),
        ("grpcs://server", Address("grpc", secure=True, host="server", port=443)),
        ("http://server:8501/", Address("rest", secure=False, host="server", port=8501)),
        ("http://server", Address("rest", secure=False, host="server", port=80)),
        ("https://gateway/tf/", Address("rest", secure=True, host="gateway", port=443, prefix="/tf")),
        ("grpc://[::1]:9000", Address("grpc", secure=False, host="::1", port=9000)),
    ],
)
def test_hosts_are_taken_apart(text: str, address: Address) -> None:
    """Scheme, machine, port with its default, TLS and a gateway's prefix."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "protocol", "words"),
    [
        (None, "grpc", "no host is given: expected grpc:// or grpcs://, such as grpc://127.0.0.1:8500"),
        ("", "rest", "no host is given: expected http:// or https://, such as http://127.0.0.1:8501"),
        ("127.0.0.1:8500", "grpc", "'127.0.0.1:8500' has no scheme: expected grpc://"),
        ("http://x:8501", "grpc", "'http://x:8501' has the scheme 'http': expected grpc:// or grpcs://"),
        ("grpc://x:8500", "rest", "has the scheme 'grpc': expected http:// or https://"),
        ("ftp://x", None, "has the scheme 'ftp'"),
        ("grpc://", "grpc", "names no machine"),
        ("grpc://x:99999", "grpc", "not readable"),
        ("grpc://x:0", "grpc", "port 0"),
        ("grpc://x:8500/v1", "grpc", "path '/v1', which gRPC has no use for"),
        ("http://user@x:8501", "rest", "more than scheme"),
        ("http://x:8501?a=1", "rest", "more than scheme"),
    ],
)
def test_unusable_hosts_are_refused_with_the_way_out(text: str | None, protocol: str | None, words: str) -> None:
    """Each error says what was given and what is expected."""
    with pytest.raises(AddressError) as caught:
        parse_address(text, protocol)
    assert words in str(caught.value)


def test_an_ipv6_authority_stands_in_brackets() -> None:
    """host:port is not ambiguous for IPv6."""
    assert Endpoint("::1", 80).authority == "[::1]:80"
    assert Endpoint("server", 80).authority == "server:80"
