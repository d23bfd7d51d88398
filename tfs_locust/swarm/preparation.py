"""What a run's user classes are to do, with nothing left to choose; and what is known of their servers beforehand."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from locust.env import Environment
from locust.runners import WorkerRunner

from tfs_locust.change.plan import Plan
from tfs_locust.load.sources import brings_rows
from tfs_locust.load.traffic import parse_traffic
from tfs_locust.report.server import Watched
from tfs_locust.swarm.arrivals import problems_of
from tfs_locust.swarm.batching import Planned, batching_of, handed_out, planned, settled, setup_of, users_of
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.changes import planned_changes
from tfs_locust.swarm.pairing import blueprint_of, hosts_of, problems_of_pairs
from tfs_locust.swarm.server_watch import ServerWatch, pages_of
from tfs_locust.swarm.settings import Settings, SettingsError
from tfs_locust.swarm.status_watch import StatusWatch, models_of
from tfs_locust.swarm.traffics import problems_of_traffic

if TYPE_CHECKING:
    from tfs_locust.swarm.users import PredictUser


@dataclass(slots=True)
class Preparation:
    """The blueprints of a run, by class; those that cannot be used are missing, for a problem that is told."""

    blueprints: dict[type[PredictUser], Blueprint] = field(default_factory=dict)
    plans: dict[str, Planned] = field(default_factory=dict)
    """By class name; only where the run is led, and the server's batching is known."""
    problems: list[str] = field(default_factory=list)
    changes: Plan | None = None
    """Of the server; only where the run is led."""


def prepare(
    environment: Environment, user_classes: Iterable[type[PredictUser]], settings: Settings, host: str | None
) -> Preparation:
    """Read the classes and, where the run is led, plan them; workers take over what was planned."""
    options = environment.parsed_options or Namespace()
    found = Preparation()
    leads = not isinstance(environment.runner, WorkerRunner)
    total = None if environment.shape_class else getattr(options, "num_users", None)
    setup = None
    try:
        setup = setup_of(settings) if leads else None
    except SettingsError as error:
        found.problems += error.problems
    user_classes = list(user_classes)
    found.problems += problems_of_pairs(user_classes, list(environment.user_classes))
    for user_class in user_classes:
        try:
            one = blueprint_of(user_class, settings, host, {} if leads else getattr(options, "tfs_hosts", {}))
            if one.traffic is not None and one.traffic.auto_share is not None and not leads:
                told = getattr(options, "tfs_found_traffic", {}).get(
                    one.name
                )  # by who leads, to workers that come later
                one = one if told is None else replace(one, traffic=parse_traffic(told))
            plan = other_plan = None
            if leads:
                users = users_of(user_class, environment.user_classes, total)
                plan = planned(one, settings, setup, users)
                if one.against is not None and plan is not None:
                    other_plan = planned(replace(one.against, rows=plan.plan.rows), settings, setup, users)
        except SettingsError as error:
            found.problems += error.problems
            continue
        found.blueprints[user_class] = one
        if plan is not None:
            found.plans[one.name] = plan
        if other_plan is not None and one.against is not None:
            found.plans[one.against.name] = other_plan
    arrivals = [one.arrival for one in found.blueprints.values()]
    found.problems += problems_of(arrivals, settings, getattr(options, "run_time", None))
    found.problems += problems_of_traffic(list(found.blueprints.values()), settings)
    if leads:
        found.changes, problems = planned_changes(environment, found.blueprints.values(), settings)
        found.problems += problems
        options.tfs_hosts = hosts_of(user_classes)  # as the next one
        options.tfs_planned = handed_out(found.plans, settings)  # travels to the workers with the options
    handed = getattr(options, "tfs_planned", handed_out({}, settings))
    for user_class, one in list(found.blueprints.items()):
        if one.rows.choice and one.name not in handed["rows"] and not brings_rows(one.payload):
            # the file to choose them by could not be read, which is told
            del found.blueprints[user_class]
        else:
            found.blueprints[user_class] = settled(one, handed)
    return found


class Servers:
    """The servers of a run, as the leading process knows them: how they batch, their pages, their models' versions."""

    def __init__(self, preparation: Preparation, settings: Settings) -> None:
        blueprints = list(preparation.blueprints.values())
        self._plans = preparation.plans
        self._mixes = {() if brings_rows(one.payload) else one.rows.mix for one in blueprints}
        compared = [one.against for one in blueprints if one.against is not None]
        self._batching_asked = settings.batching_parameters_file is not None
        self.watch = ServerWatch(pages_of(settings.server_metrics, blueprints + compared))
        self.statuses = StatusWatch(models_of(blueprints + compared), every_s=settings.status_interval_s)

    def watched(self) -> Watched:
        """What is known, at the end."""
        mix = next(iter(self._mixes)) if len(self._mixes) == 1 else ()
        return Watched(
            histories=self.watch.histories,
            looked_at_s=self.watch.looked_at_s,
            asked=self.watch.asked or self._batching_asked,
            plans={name: (one.plan, one.told) for name, one in self._plans.items() if one.rows_known},
            batching=batching_of(self._plans.values()),
            rows=tuple((rows, float(share)) for rows, share in mix),
            late_s=self.watch.late_s,
        )
