"""Under gevent, as in Locust's workers: calls wait without keeping others from their turn, and survive each other."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.wire.engines import ENGINES, wait_until
from tests.wire.peers import Asked, Peer, Said, echo

_AT_ONCE = 50


@contextmanager
def _playing(scene: str, engine_name: str, port: int, bodies: list[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A process that plays a scene of greenlets.py; it is killed in the end if it still runs."""
    path = ENGINES[engine_name].path
    requests = [(path, base64.b64encode(body).decode()) for body in bodies]
    load = {"scene": scene, "engine": engine_name, "port": port, "requests": requests, "at_once": _AT_ONCE}
    command = [sys.executable, "-m", "tests.wire.greenlets"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            _tell(process, json.dumps(load))
            yield process
        finally:
            process.kill()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(_hear(process))
    assert process.wait(timeout=30) == 0
    return told


def _bodies(told: dict[str, Any]) -> list[bytes]:
    assert {reply["outcome"] for reply in told["replies"]} == {"ok"}
    return [base64.b64decode(reply["body"]) for reply in told["replies"]]


def test_waiting_keeps_nobody_from_its_turn(engine_name: str, peer: Peer) -> None:
    """Calls that wait 0.3 s for the server wait together, and another greenlet goes on all the while.

    The peer answers none of them before it has them all: if one kept the others from being sent, all would time out.
    """
    all_are_here = threading.Barrier(_AT_ONCE)

    def script(asked: Asked) -> Said:
        all_are_here.wait(60)
        time.sleep(0.3)
        return echo(asked)

    peer.script = script
    with _playing("together", engine_name, peer.port, [b"%d" % i for i in range(_AT_ONCE)]) as process:
        told = _outcome(process)
    assert _bodies(told) == [b"%d" % i for i in range(_AT_ONCE)]
    assert told["ticks"] >= 10  # of 60; a call that blocks leaves none


def _hold_some(peer: Peer, asked: Asked) -> Said:
    return peer.hold(asked) if asked.body == b"hold" else echo(asked)


def test_killed_calls_leave_the_transport_as_it_was(engine_name: str, peer: Peer) -> None:
    """What is answered to greenlets that are gone reaches no other, and others are served as before."""
    peer.script = partial(_hold_some, peer)
    bodies = [b"%d" % i for i in range(200)]
    with _playing("killed", engine_name, peer.port, bodies) as process:
        wait_until(lambda: len(peer.asked) == _AT_ONCE)
        _tell(process, "held")
        assert _hear(process) == "killed\n"
        peer.released.set()
        told = _outcome(process)
    assert told["dead"]
    assert _bodies(told) == bodies


def test_close_ends_calls_in_flight(engine_name: str, peer: Peer) -> None:
    """None of them waits for its answer or its timeout."""
    peer.script = peer.hold
    with _playing("closed", engine_name, peer.port, [b"hold"]) as process:
        wait_until(lambda: len(peer.asked) == _AT_ONCE)
        _tell(process, "held")
        told = _outcome(process)
        assert not peer.released.is_set()
    assert {reply["outcome"] for reply in told["replies"]} <= {"cancelled", "connection_lost"}
    assert len(told["replies"]) == _AT_ONCE
    assert told["took_s"] < 10  # of the 30 that they would have had
