"""The intake: reports in their order, behind all else, and at once where the run ends."""

from __future__ import annotations

import time

import gevent

from tfs_locust.swarm.intake import Intake


def test_others_have_their_turns_between_reports() -> None:
    """Whoever puts reports goes on at once; a beat in the event loop comes while they are handed on, one by one."""
    taken: list[int] = []

    def take(report: dict[str, int]) -> None:
        time.sleep(0.002)  # it is busy
        taken.append(report["number"])

    intake = Intake(take)
    for number in range(50):
        intake.put({"number": number})
    assert taken == []
    beats = 0
    with gevent.Timeout(10):
        while len(taken) < 50:
            gevent.sleep(0.001)
            beats += 1
    assert taken == list(range(50))
    assert beats > 10


def test_a_run_that_ends_waits_for_no_turn() -> None:
    """What has come is handed on at once, each report once, and what comes later as before."""
    taken: list[int] = []
    intake = Intake(lambda report: taken.append(report["number"]))
    for number in range(3):
        intake.put({"number": number})
    intake.finish()
    assert taken == [0, 1, 2]
    gevent.sleep(0.01)
    intake.put({"number": 3})
    with gevent.Timeout(10):
        while len(taken) < 4:
            gevent.sleep(0.001)
    assert taken == [0, 1, 2, 3]
