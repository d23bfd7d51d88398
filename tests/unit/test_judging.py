"""What the leading process notes is put on the clock by which its workers measure."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace

import pytest

from tests.unit.measured import SECOND
from tfs_locust.measure.tally import Tally
from tfs_locust.swarm import judging
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.settings import read_settings

SETTINGS = read_settings(Namespace())[0]


def test_marks_are_on_the_clock_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That began three seconds after the leader's; a report that took a second to come does not move it, nor does a
    worker that joined later."""
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr(
        judging,
        "time",
        SimpleNamespace(
            perf_counter_ns=lambda: int(clock.now_s * SECOND),
            perf_counter=lambda: clock.now_s,
            monotonic_ns=lambda: int(clock.now_s * SECOND),
        ),
    )
    judgement = Judgement("run", SETTINGS, ())
    tallies = {name: Tally(name, 1, origin_ns=at_s * SECOND) for name, at_s in (("first", 103), ("second", 104))}

    def report(name: str, at_s: float, heard_s: float) -> None:
        clock.now_s = heard_s
        snapshot = tallies[name].snapshot(int(at_s * SECOND))
        judgement.accept({"run": "run", "snapshot": snapshot.to_wire()})

    clock.now_s = 107
    judgement.mark("restart", "before any report")
    assert judgement.lifecycle(judgement.view()).marks[0].at_ns == 7 * SECOND
    report("second", 107.5, 108.5)
    report("first", 109, 109)
    report("first", 110, 112)
    (mark,) = judgement.lifecycle(judgement.view()).marks
    assert mark.at_ns == 4 * SECOND
