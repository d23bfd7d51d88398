"""What the server's batching will make of each user class's requests: planned where a run is led.

Workers may not see the batching parameters file, and may have other CPUs: what was decided by it travels to them with
the options, as :func:`handed_out` gives it.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from tfs_locust.judge.batching import Batching
from tfs_locust.load.advice import Statement, statements
from tfs_locust.load.plan import Demand, Plan, Protocol, Setup, make_plan
from tfs_locust.load.rows import parse_rows
from tfs_locust.load.sources import brings_rows
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.scenario import too_large
from tfs_locust.swarm.settings import Settings, SettingsError
from tfs_locust.tfserving.batching import BatchingParameters
from tfs_locust.tfserving.text_proto import TextProtoError

if TYPE_CHECKING:
    from locust import User

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """One user class's plan."""

    plan: Plan
    rows_known: bool
    """Whether its requests have the plan's rows, and not those of their source."""

    @property
    def told(self) -> tuple[Statement, ...]:
        """What there is to say of it."""
        return statements(self.plan) if self.rows_known else ()


def setup_of(settings: Settings) -> Setup | None:
    """What is said of the server; None where no file says how it batches. Raises SettingsError."""
    path = settings.batching_parameters_file
    if path is None:
        return None
    try:
        parameters = BatchingParameters.read(path)
    except TextProtoError as error:
        raise SettingsError([f"--tfs-batching-parameters-file {error}"]) from error
    if problems := parameters.problems():
        raise SettingsError([f"--tfs-batching-parameters-file {path}: no server starts with it: {'; '.join(problems)}"])
    cpus = settings.server_cpus or len(os.sched_getaffinity(0))
    return Setup(parameters, cpus, settings.grpc_max_threads, settings.rest_api_num_threads)


def planned(blueprint: Blueprint, settings: Settings, setup: Setup | None, users: int | None) -> Planned | None:
    """The plan for a class's requests; None without a ``setup``. Raises SettingsError for rows that cannot be sent."""
    rows_known = not brings_rows(blueprint.payload)
    if setup is None:
        if blueprint.rows.choice and rows_known and settings.batching_parameters_file is None:
            raise SettingsError(
                [
                    f"{blueprint.name}: rows {blueprint.rows} are chosen by how the server batches: give its file with "
                    "--tfs-batching-parameters-file"
                ]
            )
        return None
    plan = make_plan(setup, cast("Protocol", blueprint.address.protocol), blueprint.rows, Demand(users))
    if plan.too_large and rows_known and not settings.allow_too_large:
        sizes = ", ".join(f"{rows:,}" for rows in plan.too_large)
        parameters = setup.parameters
        most = 0 if parameters is None else parameters.max_batch_size
        raise SettingsError([f"{blueprint.name}: a request of {too_large(sizes, most)}"])
    return Planned(plan, rows_known)


def handed_out(plans: Mapping[str, Planned], settings: Settings) -> dict[str, Any]:
    """What those that send must know, as msgpack can carry it."""
    limits = [one.plan.setup.parameters.max_batch_size for one in plans.values() if one.plan.setup.parameters]
    return {
        "rows": {name: str(one.plan.rows) for name, one in plans.items() if not one.plan.rows.trace},
        "most_rows": None if settings.allow_too_large or not limits else limits[0],
    }


def settled(blueprint: Blueprint, handed: Mapping[str, Any]) -> Blueprint:
    """The blueprint with nothing left to choose; where the payloads bring their rows, it does not matter which."""
    rows = blueprint.rows
    if rows.choice:
        known = handed["rows"]
        rows = parse_rows(known.get(blueprint.name, "1") if brings_rows(blueprint.payload) else known[blueprint.name])
    return replace(blueprint, rows=rows, most_rows=handed["most_rows"])


def users_of(user_class: type[User], user_classes: Iterable[type[User]], total: int | None) -> int | None:
    """How many of a run's users are of this class, about: fixed counts first, the rest by weight. None: not known."""
    if not total:
        return None
    if user_class.fixed_count:
        return min(int(user_class.fixed_count), total)
    classes = list(user_classes)
    left = max(total - sum(one.fixed_count for one in classes), 0)
    weights = sum(one.weight for one in classes if not one.fixed_count)
    return max(math.ceil(left * user_class.weight / weights), 1) if weights else None


def say(name: str, told: Iterable[Statement]) -> None:
    """Log what is to be expected, and what should be changed."""
    for one in told:
        if one.warning:
            _logger.warning("%s: %s", name, one.sentence)
        elif one.id in {"batching-off", "expected"}:
            _logger.info("%s: %s", name, one.sentence)


def batching_of(plans: Iterable[Planned]) -> Batching | None:
    """How the server batches, for the diagnosis of a run with these plans; None where that is not known.

    What depends on the interface or on the rows is left out where the classes differ in it.
    """
    every = list(plans)
    if not every or (parameters := every[0].plan.setup.parameters) is None:
        return None
    plan = every[0].plan
    same_rows = every[0].rows_known and len({(one.plan.rows.mix, one.rows_known) for one in every}) == 1
    same_calls = len({one.plan.calls_at_once for one in every}) == 1
    return Batching(
        max_batch_size=parameters.max_batch_size,
        largest_batch=parameters.largest_batch,
        batch_timeout_s=parameters.batch_timeout_micros / 1e6,
        max_enqueued_batches=parameters.max_enqueued_batches,
        splits=parameters.enable_large_batch_splitting,
        batch_threads=plan.setup.batch_threads,
        calls_at_once=plan.calls_at_once if same_calls else None,
        calls_wait=all(one.plan.protocol == "rest" for one in every),
        in_flight_to_fill=plan.in_flight_to_fill if same_rows else None,
        fitting_rows=plan.fitting_rows,
    )
