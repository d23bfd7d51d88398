"""What a run is to do to its server: asked for on the command line alone, planned in the process that leads the run.

Not in the web page: Locust lets whoever can open it set any option, and commands are among what can be asked for here.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from locust.env import Environment

from tfs_locust.change.chaos import plan_of
from tfs_locust.change.plan import Plan, Site
from tfs_locust.change.scenarios import ScenarioError
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.settings import Settings, read_settings
from tfs_locust.tfserving.control import Ask
from tfs_locust.transport.address import Address, AddressError, parse_address
from tfs_locust.transport.base import Endpoint, asking
from tfs_locust.transport.engine import open_transport
from tfs_locust.transport.grpc_library import use_gevent


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    kind: str | None
    params: Mapping[str, str]
    allowed: bool


def asked_of(environment: Environment) -> Asked:
    """What was asked for when this was called first, which is before the web page is there."""
    asked: Asked | None = getattr(environment, "tfs_changes", None)
    if asked is None:
        settings = read_settings(environment.parsed_options or Namespace())[0]
        asked = Asked(settings.scenario, settings.scenario_params, settings.allow_changes)
        environment.tfs_changes = asked  # type: ignore[attr-defined]
    return asked


def planned_changes(
    environment: Environment, blueprints: Iterable[Blueprint], settings: Settings
) -> tuple[Plan | None, list[str]]:
    """The plan, if a scenario is asked for, and all that stands against it."""
    asked = asked_of(environment)
    if asked.kind is None:
        return None, []
    name = f"--tfs-scenario {asked.kind}"
    try:
        plan = plan_of(asked.kind, asked.params, site_of(list(blueprints), settings))
    except ScenarioError as error:
        return None, [f"{name}: {problem}" for problem in error.problems]
    problems = []
    if not asked.allowed:
        problems.append(
            f"{name} changes the server, which needs --tfs-allow-changes; it would, counted from the end of the "
            f"warm-up: {plan.told}; and at the end of the run put back what it has not by then"
        )
    if settings.find_capacity:
        problems.append(f"{name}: --tfs-find-capacity wants a server that stays as it is: leave one of them out")
    run_s, last_s = getattr(environment.parsed_options, "run_time", None), settings.warmup_s + plan.last_s
    if run_s and last_s >= run_s:
        problems.append(f"{name}: its last action is due at {last_s:g} s, and -t ends the run at {run_s:g} s: raise it")
    return plan, problems


def site_of(blueprints: Sequence[Blueprint], settings: Settings) -> Site:
    """What a plan must know of the run."""
    targets = [*blueprints, *(one.against for one in blueprints if one.against is not None)]
    own = list(dict.fromkeys((one.address, one.endpoint) for one in targets if one.address.protocol == "grpc"))

    def asking_of(server: str, timeout_s: float) -> tuple[str, Ask]:
        if not server and len(own) != 1:
            why = "it has several gRPC targets" if own else "it is over REST, and configs are sent over gRPC"
            raise ValueError(f"to which server? The run does not tell, for {why}: give server=grpc://HOST:8500")
        address, endpoint = _server(server, settings) if server else own[0]
        engine = targets[0].engine if targets else "wire"
        return endpoint.authority, _ask(address, endpoint, engine, timeout_s)

    return Site(tuple(dict.fromkeys(one.target.model for one in targets)), asking_of)


def _server(text: str, settings: Settings) -> tuple[Address, Endpoint]:
    try:
        address = parse_address(text, "grpc")
    except AddressError as error:
        raise ValueError(f"server: {error}") from error
    tls = settings.tls if address.secure else None
    return address, Endpoint(address.host, address.port, tls, tuple(settings.headers.items()))


def _ask(address: Address, endpoint: Endpoint, engine: str, timeout_s: float) -> Ask:
    """Over a connection of its own for each question: there are few, and the server may be another by then."""

    def ask(path: str, body: bytes | None) -> bytes:
        use_gevent()
        transport = open_transport(address, endpoint, engine)
        try:
            return asking(transport, timeout_s)(path, body)
        finally:
            transport.close()

    return ask
