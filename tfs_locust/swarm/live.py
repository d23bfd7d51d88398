"""Looks at the run at hand, or the last: the whole where it is led, elsewhere a worker's own part."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from functools import cache

from locust.env import Environment
from locust.runners import MasterRunner

from tfs_locust.judge.decide import Judged
from tfs_locust.report.live import Live
from tfs_locust.swarm.judging import Judgement, version_of
from tfs_locust.swarm.measurement import measurement_of
from tfs_locust.swarm.turn import give_way


def whole_run(environment: Environment, *, judged: bool = True) -> Live | None:
    """What the leading process knows; None as long as there was no run. With ``judged`` False, objectives of a run that
    goes on are left to whoever asks, see :func:`judged_so_far`."""
    measurement = measurement_of(environment)
    judgement, view = measurement.judgement, measurement.view()
    if judgement is None or view is None:
        return None
    verdict, ended_s = judgement.verdict, judgement.ended_s
    runner = environment.runner
    users = (
        {}
        if runner is None
        else (runner.reported_user_classes_count if isinstance(runner, MasterRunner) else runner.user_classes_count)
    )
    target = getattr(runner, "target_user_count", 0) or 0
    sections = judgement.sections(view, users=target)
    objectives: tuple[Judged, ...] = () if verdict is None else verdict.objectives
    if verdict is None and judged:
        give_way()  # it takes milliseconds to judge: requests that are due meanwhile come first
        objectives = judgement.objectives_so_far(view)
    return Live(
        judgement.run_id,
        view,
        users=dict(users),
        target_users=target,
        started_s=judgement.started_s,
        asked=measurement.objectives,
        ended_s=ended_s,
        objectives=objectives,
        verdict=verdict,
        searches=judgement.searches,
        sections=sections,
        info=_info(environment, judgement.run_id),
    )


def judged_so_far(live: Live, judgement: Judgement) -> Live:
    """With what its verdict would be if the run ended now. It takes a look at every worker, and no time of the event
    loop's: the live view is a copy, so it may be done in a thread."""
    if live.verdict is not None:
        return live
    verdict = judgement.so_far(live.view)
    return replace(live, objectives=verdict.objectives, so_far=verdict)


def own_part(environment: Environment) -> Live | None:
    """What this worker has measured itself; None as long as it sent nothing."""
    measurement, runner = measurement_of(environment), environment.runner
    recorder = measurement.last_recorder
    if recorder is None or runner is None:
        return None
    return Live(
        recorder.run_id,
        recorder.view(),
        users=dict(runner.user_classes_count),
        target_users=runner.target_user_count,
        started_s=recorder.started_s,
        asked=measurement.objectives,
        info=_info(environment, recorder.run_id) | {"worker": recorder.tally.worker},
    )


def _info(environment: Environment, run_id: str) -> dict[str, str]:
    options = environment.parsed_options or Namespace()
    return {
        "run": run_id,
        "locustfile": str(getattr(options, "locustfile", None) or ""),
        "host": environment.host or "",
        **_versions(),
    }


@cache
def _versions() -> dict[str, str]:
    """Read once: they stand in files."""
    return {"version": version_of("tfs-locust"), "locust_version": version_of("locust")}
