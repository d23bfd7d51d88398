"""A load of greenlets over one transport, in a process of its own that gevent has patched, as Locust's workers are.

``python -m tests.wire.greenlets`` reads a Load as JSON from standard input and writes what became of it to standard
output.
"""

# ruff: noqa: E402 - patching comes before what is patched
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

from tfs_locust.transport.grpc_library import use_gevent

use_gevent()

import base64
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.pool import Pool

from tests.wire.engines import ENGINES
from tests.wire.resolving import knowing
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Endpoint, Reply, Transport
from tfs_locust.transport.tls import Tls

_TICK_S = 0.005
_TIMEOUT_S = 30.0

Requests = list[tuple[str, bytes]]


def _told(reply: Reply) -> dict[str, Any]:
    return {"outcome": reply.outcome.value, "body": base64.b64encode(reply.body).decode(), "detail": reply.detail}


def together(transport: Transport[Any], requests: Requests, at_once: int) -> dict[str, Any]:
    """Send all requests, ``at_once`` at a time; count how often another greenlet got its turn meanwhile."""
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            gevent.sleep(_TICK_S)
            ticks += 1

    prepared = [transport.prepare(path, body) for path, body in requests]
    ticker = gevent.spawn(tick)
    replies = Pool(at_once).map(lambda request: transport.call(request, _TIMEOUT_S), prepared)
    ticker.kill()
    transport.close()
    return {"replies": [_told(reply) for reply in replies], "ticks": ticks}


def killed(transport: Transport[Any], requests: Requests, at_once: int) -> dict[str, Any]:
    """Kill ``at_once`` greenlets in the middle of calls that are not answered, then send all requests in turn."""
    path = requests[0][0]
    held = [gevent.spawn(transport.call, transport.prepare(path, b"hold"), _TIMEOUT_S) for _ in range(at_once)]
    _wait_for_word("held")
    gevent.killall(held, timeout=_TIMEOUT_S)
    dead = all(greenlet.dead for greenlet in held)
    _say("killed")
    result = together(transport, requests, 10)
    return {**result, "dead": dead}


def closed(transport: Transport[Any], requests: Requests, at_once: int) -> dict[str, Any]:
    """Close the transport with ``at_once`` calls in flight."""
    path, body = requests[0]
    held = [gevent.spawn(transport.call, transport.prepare(path, body), _TIMEOUT_S) for _ in range(at_once)]
    _wait_for_word("held")
    started = time.monotonic()
    transport.close()
    gevent.joinall(held)
    return {"replies": [_told(greenlet.get()) for greenlet in held], "took_s": time.monotonic() - started}


def overtaking(transport: Transport[Any], requests: Requests, at_once: int) -> dict[str, Any]:
    """Send a request with ``at_once`` calls in flight that are answered after it."""
    path, body = requests[0]
    held = [gevent.spawn(transport.call, transport.prepare(path, b"hold"), _TIMEOUT_S) for _ in range(at_once)]
    _wait_for_word("held")
    reply = transport.call(transport.prepare(path, body), _TIMEOUT_S)
    _say("overtaken")
    gevent.joinall(held)
    transport.close()
    return {"replies": [_told(reply), *(_told(greenlet.get()) for greenlet in held)]}


def steady(transport: Transport[Any], requests: Requests, at_once: int) -> dict[str, Any]:
    """Keep ``at_once`` calls in flight until the test says that it is enough; no two bodies are the same."""
    (path, padding), running = requests[0], True
    ended: dict[str, str] = {}
    details: dict[str, list[str]] = {}
    wrong: list[str] = []

    def go_on(place: int) -> None:
        for number in itertools.count():
            if not running:
                return
            name = f"{place}-{number}"
            body = name.encode() + b" " + padding
            reply = transport.call(transport.prepare(path, body), _TIMEOUT_S)
            ended[name] = reply.outcome.value
            if reply.outcome is Outcome.OK:
                if reply.body != body:
                    wrong.append(name)
            else:
                details.setdefault(reply.outcome.value, []).append(reply.detail)
                gevent.sleep(_TICK_S)  # an outage is not asked about as fast as possible

    greenlets = [gevent.spawn(go_on, place) for place in range(at_once)]
    _wait_for_word("enough")
    running = False
    gevent.joinall(greenlets, raise_error=True)
    peers = dict(getattr(transport, "peers", {}))
    transport.close()
    return {"ended": ended, "wrong": wrong, "details": details, "peers": peers}


def _wait_for_word(word: str) -> None:
    """The test's next line, which says that the peer has all the calls."""
    line = gevent.get_hub().threadpool.apply(sys.stdin.readline)
    assert line.strip() == word, line


def _say(word: str) -> None:
    print(word, flush=True)


SCENES: dict[str, Callable[[Transport[Any], Requests, int], dict[str, Any]]] = {
    "together": together,
    "killed": killed,
    "closed": closed,
    "overtaking": overtaking,
    "steady": steady,
}


def main() -> None:
    """Read the load, play its scene, say what became of it."""
    load = json.loads(sys.stdin.readline())
    requests = [(path, base64.b64decode(body)) for path, body in load["requests"]]
    tls = Tls(load["ca_file"]) if load["ca_file"] else None
    with knowing(load["names"]):
        transport = ENGINES[load["engine"]].open(Endpoint(load["host"], load["port"], tls))
        _say(json.dumps(SCENES[load["scene"]](transport, requests, load["at_once"])))


if __name__ == "__main__":
    main()
