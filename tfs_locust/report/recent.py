"""Rates of the last seconds: what came since an earlier look at the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tfs_locust.measure.sample import Outcome
from tfs_locust.report.live import Live
from tfs_locust.report.report import Target

OVER_S = 5.0
"""About the time that rates are taken over: a master hears of its workers every 3 s."""


@dataclass(frozen=True, slots=True)
class Rates:
    """By the second. None: not known, or the run has ended."""

    offered: float | None = None
    """Requests that schedules had due."""
    achieved: float | None = None
    """Requests that ended well."""
    by_target: Mapping[Target, float] = field(default_factory=dict)
    """The same, of each scenario, protocol, model and version."""


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    offered: int = 0
    achieved: int = 0
    by_target: Mapping[Target, int] = field(default_factory=dict)


class Recent:
    """Remembers the looks of the last seconds, of one run after the other."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()
        self._run_id = ""

    def rates(self, live: Live, now_s: float) -> Rates:
        """What came by the second since the look some :data:`OVER_S` before this one, or since the run's beginning.
        ``now_s`` is of a clock that never goes back. The warm-up's requests count, too."""
        if live.run_id != self._run_id:
            self._run_id = live.run_id
            self._looks.clear()
        if live.ended_s is not None:
            return Rates()
        now = _look(live, now_s)
        self._looks.append(now)
        while len(self._looks) > 2 and self._looks[1].at_s <= now_s - OVER_S:
            self._looks.popleft()
        before = self._looks[0] if len(self._looks) > 1 else _beginning(live, now_s)
        passed_s = now_s - before.at_s
        if passed_s <= 0:
            return Rates()
        return Rates(
            (now.offered - before.offered) / passed_s,
            (now.achieved - before.achieved) / passed_s,
            {name: (count - before.by_target.get(name, 0)) / passed_s for name, count in now.by_target.items()},
        )


def _look(live: Live, now_s: float) -> _Look:
    by_target: dict[Target, int] = {}
    for cell_key, cell in live.view.cells.items():
        scenario, protocol, model, version, outcome = cell_key.key
        if outcome is Outcome.OK:
            target = scenario, protocol, model, version
            by_target[target] = by_target.get(target, 0) + cell.count
    return _Look(now_s, live.view.offered, sum(by_target.values()), by_target)


def _beginning(live: Live, now_s: float) -> _Look:
    """Before the first request, as far as the view tells when that was."""
    view = live.view
    return _Look(now_s - (view.warmup_ns + view.load_ns) / 1e9 if view.load_ns else now_s)
