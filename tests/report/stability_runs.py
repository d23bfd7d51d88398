"""A run with a switch, an outage and a mark, as a report has it."""

from __future__ import annotations

import random

from tests.report.runs import MANIFEST
from tests.unit.measured import SECOND
from tests.unit.planted import Served, record, usual, view_of
from tfs_locust.judge.lifecycle import Lifecycle, look
from tfs_locust.judge.moments import AVAILABLE, SWITCH, Mark, Poll
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View
from tfs_locust.report.lifecycle import section
from tfs_locust.report.report import Result, build

OBJECTIVES = ("switch_time<10s", "recovery_time<30s", "availability>=80%", "switch_success>=99.5%")


def eventful() -> tuple[View, Lifecycle]:
    """Version 2 is asked for at 8 s, there at 10 and cold; nothing ends well from 20 to 20.5 s."""
    slow = [20]

    def behave(at_ns: int, dice: random.Random) -> Served:
        if 20 * SECOND <= at_ns < 20 * SECOND + SECOND // 2:
            return Served(outcome=Outcome.UNREACHABLE, response_ms=1.0)
        if at_ns < 10 * SECOND:
            return Served("1", usual(dice))
        slow[0] -= 1
        return Served("2", 150.0 if slow[0] >= 0 else usual(dice))

    view = view_of(record(behave, seconds=30, warmup_s=2))
    marks = [Mark(8 * SECOND, SWITCH, "copied 1 to 2", "resnet", "2"), Mark(20 * SECOND, "restart", "<kill> & wait")]
    polls = [
        Poll(
            n * SECOND // 4, "resnet", {"1": AVAILABLE} | ({"2": AVAILABLE if n >= 40 else "LOADING"} if n > 33 else {})
        )
        for n in range(80)
    ]
    return view, look(view, marks=marks, polls=polls)


def eventful_result(objectives: tuple[str, ...] = OBJECTIVES) -> Result:
    """The same as a report."""
    view, found = eventful()
    verdict = judge(view, parse_objectives(objectives), lifecycle=found)
    return build(view, verdict, MANIFEST, {"lifecycle": section(view, found)})
