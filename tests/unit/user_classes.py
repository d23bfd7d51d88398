"""User classes as far as blueprints read them. Real ones would bring Locust, and gevent's patches, into the process."""

from __future__ import annotations

from typing import Any

_OPEN = (
    "model", "version", "version_label", "signature", "rows", "payload", "payloads", "timeout_s", "slo", "expect",
    "arrival", "max_in_flight", "traffic", "canary_ramp", "against",
)  # fmt: skip


def user_class(name: str = "Mine", *, protocol: str = "grpc", host: Any = "grpc://127.0.0.1:8500", **said: Any) -> Any:
    """One that leaves open all but what is said."""
    return type(name, (), {**dict.fromkeys(_OPEN), "tasks": (), "protocol": protocol, "host": host, **said})
