"""A run as it stands, or as it ended: what every live display is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfs_locust.judge.decide import Judged
from tfs_locust.judge.slo import Objective
from tfs_locust.judge.verdict import Verdict
from tfs_locust.measure.view import View


@dataclass(frozen=True, slots=True)
class Live:
    """One look at a run. Its numbers are those that the report would have if the run ended now."""

    run_id: str
    view: View
    """Without its timeline."""
    users: Mapping[str, int]
    """How many there are, by class."""
    target_users: int
    started_s: float
    """Unix time."""
    ended_s: float | None = None
    """Unix time; None while the run goes on."""
    objectives: tuple[Judged, ...] = ()
    """What is known of each; empty where only a worker's own part is, and in a search, which judges its levels."""
    verdict: Verdict | None = None
    """None while the run goes on."""
    so_far: Verdict | None = None
    """What it would be if the run ended now and all in flight were told; None where nobody asked, and at the end."""
    searches: bool = False
    """Capacity is searched."""
    sections: Mapping[str, Any] = field(default_factory=dict)
    """``server`` and ``diagnosis``, as the report has them."""
    info: Mapping[str, str] = field(default_factory=dict)
    """What was run and where."""
    asked: tuple[Objective, ...] = ()
    """The objectives of the run, or of the levels of a search."""
