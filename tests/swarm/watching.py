"""A second locustfile, beside any other: each process says at its end how much it sent and how its heartbeats went."""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from typing import Any

from locust import events

sent = itertools.count()
heartbeats: dict[str, list[float]] = defaultdict(list)


@events.request.add_listener
def _count(**_: Any) -> None:
    next(sent)


@events.heartbeat_sent.add_listener  # which the master fires when a worker's heartbeat has come
def _note(client_id: str, timestamp: float, **_: Any) -> None:
    heartbeats[client_id].append(timestamp)


@events.quitting.add_listener
def _say(**_: Any) -> None:
    gaps = [later - earlier for times in heartbeats.values() for earlier, later in itertools.pairwise(times)]
    print(f"WATCHED sent {next(sent)}, longest heartbeat gap {max(gaps, default=0):.3f} s", file=sys.stderr, flush=True)
