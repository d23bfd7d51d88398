"""How each user class's requests arrive: what the class and the options say, and whether it goes together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from tfs_locust.judge.capacity import CapacityError, SearchSettings
from tfs_locust.judge.level import Unit
from tfs_locust.judge.trial import Pace
from tfs_locust.load.arrival import Arrival, ArrivalError, closed, constant, parse_arrival
from tfs_locust.swarm.settings import Settings

if TYPE_CHECKING:
    from tfs_locust.swarm.users import PredictUser


def arrival_of(user_class: type[PredictUser], settings: Settings, problems: list[str]) -> Arrival:
    """The class's own arrival goes first, then the options'; what is wrong is added to ``problems``."""
    name, given = user_class.__name__, user_class.arrival
    arrival = settings.arrival or (constant() if settings.rate is not None or by_rate(settings) else closed())
    if given is not None:
        try:
            arrival = given if isinstance(given, Arrival) else parse_arrival(str(given))
        except ArrivalError as error:
            problems.append(f"{name}: `arrival`: {error}")
            return arrival
    if arrival.is_open and any(isinstance(task, type) for task in user_class.tasks):
        problems.append(
            f"{name}: a TaskSet cannot be sent by a schedule: make its tasks the class's own, or use closed"
        )
    return arrival


def by_rate(settings: Settings) -> bool:
    """Whether a shape says how fast the whole run goes."""
    return settings.profile is not None and settings.profile.unit == "rate"


def search_settings(settings: Settings, arrivals: Iterable[Arrival], run_time_s: float | None) -> SearchSettings:
    """How capacity is searched: by the rate where user classes share one, else by users. Raises CapacityError."""
    given = dict(settings.search)
    if run_time_s:
        given.setdefault("total_s", float(run_time_s))
    pace = {name: given.pop(name) for name in Pace.__dataclass_fields__ if name in given}
    unit = Unit.USERS if shared_arrival(arrivals) is None else Unit.RATE
    return SearchSettings(unit=unit, pace=replace(Pace(), **pace), **given)  # type: ignore[arg-type]


def shared_arrival(arrivals: Iterable[Arrival]) -> Arrival | None:
    """The arrival of the one schedule of the run, of those that have no rate of their own; None where there is none."""
    return next((one for one in arrivals if one.is_open and one.rate is None), None)


def problems_of(arrivals: Collection[Arrival], settings: Settings, run_time_s: float | None) -> list[str]:
    """What does not go together in a run."""
    if not arrivals:
        return []
    return _problems_of_rates(arrivals, settings) + _problems_of_search(arrivals, settings, run_time_s)


def _problems_of_search(arrivals: Iterable[Arrival], settings: Settings, run_time_s: float | None) -> list[str]:
    if not settings.find_capacity:
        return ["--tfs-capacity-param: there is no --tfs-find-capacity that it could belong to"] * bool(settings.search)
    problems = []
    if settings.profile is not None:
        problems.append("--tfs-find-capacity and --tfs-shape exclude each other: leave one of them out")
    if settings.warmup_s:
        problems.append("--tfs-warmup: in a search each level has its own; say --tfs-capacity-param warmup=5s")
    try:
        search_settings(settings, arrivals, run_time_s)
    except CapacityError as error:
        problems += [f"--tfs-capacity-param: {problem}" for problem in error.problems]
    return problems


def _problems_of_rates(arrivals: Iterable[Arrival], settings: Settings) -> list[str]:
    shared = shared_arrival(arrivals)
    problems = []
    comes = by_rate(settings) or settings.find_capacity
    if any(one != shared for one in arrivals if one.is_open and one.rate is None):
        problems.append("user classes without a rate of their own share one schedule: give them the same arrival")
    if shared is None and settings.rate is not None:
        problems.append(
            f"--tfs-rate {settings.rate:g}: no user class takes it, as all are closed or have a rate of their own; "
            "leave it out, or say --tfs-arrival constant or poisson"
        )
    elif shared is not None and shared.kind == "trace" and settings.rate is not None:
        problems.append(f"--tfs-rate {settings.rate:g}: a trace has times of its own: leave one of them out")
    elif settings.rate is not None and comes:
        who = "search" if settings.find_capacity else "shape"
        problems.append(f"--tfs-rate {settings.rate:g}: the {who} says the rate: leave one of them out")
    elif by_rate(settings) and (shared is None or shared.kind == "trace"):
        problems.append(
            "--tfs-shape with unit=rate: no user class takes the rate: give one an arrival without a rate of its "
            "own, as poisson"
        )
    elif shared is not None and shared.kind != "trace" and settings.rate is None and not comes:
        problems.append(
            f"arrival {shared} has no rate: say {shared}:50 for 50 requests per second of each user, or give the whole "
            "run's with --tfs-rate"
        )
    return problems
