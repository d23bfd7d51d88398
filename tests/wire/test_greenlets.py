"""Under gevent, as in Locust's workers: calls wait without keeping others from their turn, and survive each other."""

from __future__ import annotations

import base64
import threading
import time
from functools import partial
from typing import Any

from tests.wire.engines import ENGINES, wait_until
from tests.wire.peers import Asked, Peer, Said, echo
from tests.wire.playing import AT_ONCE, hear, outcome, playing, tell


def _requests(engine_name: str, bodies: list[bytes]) -> list[tuple[str, bytes]]:
    return [(ENGINES[engine_name].path, body) for body in bodies]


def _bodies(told: dict[str, Any]) -> list[bytes]:
    assert {reply["outcome"] for reply in told["replies"]} == {"ok"}
    return [base64.b64decode(reply["body"]) for reply in told["replies"]]


def test_waiting_keeps_nobody_from_its_turn(engine_name: str, peer: Peer) -> None:
    """Calls that wait 0.3 s for the server wait together, and another greenlet goes on all the while.

    The peer answers none of them before it has them all: if one kept the others from being sent, all would time out.
    """
    all_are_here = threading.Barrier(AT_ONCE)

    def script(asked: Asked) -> Said:
        all_are_here.wait(60)
        time.sleep(0.3)
        return echo(asked)

    peer.script = script
    bodies = [b"%d" % i for i in range(AT_ONCE)]
    with playing("together", engine_name, peer.port, _requests(engine_name, bodies)) as process:
        told = outcome(process)
    assert _bodies(told) == bodies
    assert told["ticks"] >= 10  # of 60; a call that blocks leaves none


def _hold_some(peer: Peer, asked: Asked) -> Said:
    return peer.hold(asked) if asked.body == b"hold" else echo(asked)


def test_killed_calls_leave_the_transport_as_it_was(engine_name: str, peer: Peer) -> None:
    """What is answered to greenlets that are gone reaches no other, and others are served as before."""
    peer.script = partial(_hold_some, peer)
    bodies = [b"%d" % i for i in range(200)]
    with playing("killed", engine_name, peer.port, _requests(engine_name, bodies)) as process:
        wait_until(lambda: len(peer.asked) == AT_ONCE)
        tell(process, "held")
        assert hear(process) == "killed\n"
        peer.released.set()
        told = outcome(process)
    assert told["dead"]
    assert _bodies(told) == bodies


def test_an_answer_does_not_wait_for_slower_ones(engine_name: str, peer: Peer) -> None:
    """With many calls in flight that are not answered, another one's answer is there at once."""
    peer.script = partial(_hold_some, peer)
    with playing("overtaking", engine_name, peer.port, _requests(engine_name, [b"fast"])) as process:
        wait_until(lambda: len(peer.asked) == AT_ONCE)
        tell(process, "held")
        assert hear(process) == "overtaken\n"
        peer.released.set()
        told = outcome(process)
    assert _bodies(told) == [b"fast"] + [b"hold"] * AT_ONCE


def test_close_ends_calls_in_flight(engine_name: str, peer: Peer) -> None:
    """None of them waits for its answer or its timeout."""
    peer.script = peer.hold
    with playing("closed", engine_name, peer.port, _requests(engine_name, [b"hold"])) as process:
        wait_until(lambda: len(peer.asked) == AT_ONCE)
        tell(process, "held")
        told = outcome(process)
        assert not peer.released.is_set()
    assert {reply["outcome"] for reply in told["replies"]} <= {"cancelled", "connection_lost"}
    assert len(told["replies"]) == AT_ONCE
    assert told["took_s"] < 10  # of the 30 that they would have had
