"""A host as users write it (``grpc://127.0.0.1:8500``), taken apart and checked."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

# scheme -> protocol, whether TLS, port where none is given (gRPC's is TensorFlow Serving's, HTTP's are the web's)
_SCHEMES: dict[str, tuple[str, bool, int]] = {
    "grpc": ("grpc", False, 8500),
    "grpcs": ("grpc", True, 443),
    "http": ("rest", False, 80),
    "https": ("rest", True, 443),
}
_EXAMPLES = {"grpc": "grpc://127.0.0.1:8500", "rest": "http://127.0.0.1:8501"}


class AddressError(ValueError):
    """A host that cannot be used; the text says what was given and what is expected."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how it is spoken to."""

    protocol: str
    """``grpc`` or ``rest``."""
    secure: bool
    host: str
    port: int
    prefix: str = ""
    """For REST behind a gateway: what stands before ``/v1``."""


def parse_address(text: str | None, protocol: str | None = None) -> Address:
    """``text`` as an Address, for ``protocol`` if that is given. Raises AddressError."""
    expected = (
        f"{protocol_schemes(protocol)}, such as {_EXAMPLES[protocol]}"
        if protocol
        else f"such as {' or '.join(_EXAMPLES.values())}"
    )
    if not text:
        raise AddressError(f"no host is given: expected {expected}")
    if "://" not in text:
        raise AddressError(f"host {text!r} has no scheme: expected {expected}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"host {text!r} is not readable ({error}): expected {expected}") from error
    if parts.scheme not in _SCHEMES:
        raise AddressError(f"host {text!r} has the scheme {parts.scheme!r}: expected {expected}")
    found, secure, default_port = _SCHEMES[parts.scheme]
    if protocol and found != protocol:
        raise AddressError(f"host {text!r} has the scheme {parts.scheme!r}: expected {expected}")
    if not parts.hostname:
        raise AddressError(f"host {text!r} names no machine: expected {expected}")
    if parts.username is not None or parts.query or parts.fragment:
        raise AddressError(f"host {text!r} carries more than scheme, machine, port and path: expected {expected}")
    prefix = parts.path.rstrip("/")
    if prefix and found == "grpc":
        raise AddressError(f"host {text!r} has the path {parts.path!r}, which gRPC has no use for: expected {expected}")
    if port == 0:
        raise AddressError(f"host {text!r} has port 0, which nothing listens on: expected {expected}")
    return Address(found, secure, parts.hostname, port or default_port, prefix)


def protocol_schemes(protocol: str) -> str:
    """The schemes of a protocol, for a sentence: ``grpc:// or grpcs://``."""
    return " or ".join(f"{scheme}://" for scheme, (found, _, _) in _SCHEMES.items() if found == protocol)
