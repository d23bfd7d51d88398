"""Where Locust's events meet the open loop: who leads its schedule, who follows, and when it begins and ends.

Importing this module registers the listeners. What lives hangs on the environment's measurement.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from tfs_locust.swarm.arrivals import arrival_of, shared_arrival
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.conductor import Conductor
from tfs_locust.swarm.measurement import Measurement, measurement_of, predict_users, starts_by_itself
from tfs_locust.swarm.open_loop import OpenLoop
from tfs_locust.swarm.orders import MESSAGE, Orders
from tfs_locust.swarm.refusal import refuse
from tfs_locust.swarm.scenario import Scenario
from tfs_locust.swarm.settings import Settings, read_settings

_LOCAL = "local"
_LEAVING = "tfs_leaving"


def open_loop(environment: Environment, scenarios: Collection[Scenario], settings: Settings) -> None:
    """Make ready to send by schedules, where any of the scenarios has one."""
    measurement, runner = measurement_of(environment), environment.runner
    if measurement.recorder is not None and any(one.arrival.is_open for one in scenarios):
        worker, index = getattr(runner, "client_id", _LOCAL), getattr(runner, "worker_index", 0)

        def on_fault(fault: str) -> None:
            gevent.spawn(refuse, environment, [fault], began=True)

        tally = measurement.recorder.tally
        measurement.open_loop = OpenLoop(worker, index, settings.seed, tally, scenarios, on_fault)


def conduct(environment: Environment, blueprints: Iterable[Blueprint], settings: Settings) -> None:
    """Make ready to lead the run's schedule, where there is one; it begins when all users are there."""
    measurement = measurement_of(environment)
    plans = [one for one in blueprints if one.arrival.is_open and one.arrival.rate is None]
    arrival = shared_arrival(one.arrival for one in plans)
    if arrival is None:
        return
    names = {one.name for one in plans}
    measurement.conductor = Conductor(
        arrival,
        settings.seed,
        settings.rate or getattr(environment.shape_class, "rate", None),
        lambda: _present(environment, names),
        lambda orders: _tell(environment, measurement, orders),
    )


def end_offering(environment: Environment) -> int | None:
    """The run is about to end: state when its schedule does, and where load is sent return when all of it was sent.

    A worker that ends for itself says so, and sends its part until the others have it.
    """
    measurement, runner = measurement_of(environment), environment.runner
    conductor, sending = measurement.conductor, measurement.open_loop
    ends_ns = conductor.end() if conductor is not None else None
    if sending is not None and isinstance(runner, WorkerRunner) and not sending.ended:
        runner.send_message(_LEAVING)
        sending.leave()
    elif sending is not None:
        sending.end(ends_ns)
    return ends_ns


def _present(environment: Environment, names: set[str]) -> list[str]:
    """Workers that have users who share the schedule, in the order of their numbers."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        return [getattr(runner, "client_id", _LOCAL)] if runner is not None and runner.user_count else []
    there = [
        client.id
        for client in runner.clients.all
        if client.state in {STATE_SPAWNING, STATE_RUNNING}
        and any(client.user_classes_count.get(name) for name in names)
    ]
    return sorted(there, key=runner.get_worker_index)


def _tell(environment: Environment, measurement: Measurement, orders: Orders) -> None:
    if isinstance(environment.runner, MasterRunner):
        environment.runner.send_message(MESSAGE, orders.to_wire())
    else:
        _follow(measurement, orders)


def _follow(measurement: Measurement, orders: Orders) -> None:
    if measurement.open_loop is not None:
        measurement.open_loop.follow(orders)


def _on_orders(environment: Environment, msg: Any, **_: Any) -> None:
    _follow(measurement_of(environment), Orders.from_wire(msg.data))


def _on_leaving(environment: Environment, msg: Any, **_: Any) -> None:
    conductor = measurement_of(environment).conductor
    if conductor is not None:
        conductor.leave(msg.node_id)


def _on_init(environment: Environment, runner: Any, **_: Any) -> None:
    if not predict_users(environment):
        return
    if isinstance(runner, WorkerRunner):
        runner.register_message(MESSAGE, _on_orders)
        return
    if isinstance(runner, MasterRunner):
        runner.register_message(_LEAVING, _on_leaving)
    environment.events.spawning_complete.add_listener(_on_spawning_complete(environment))
    _enough_users(environment)


def _enough_users(environment: Environment) -> None:
    """Where a schedule says how many requests there are, users only send them: one for each process, if not said."""
    options = environment.parsed_options
    if options is None or not starts_by_itself(environment):
        return
    settings = read_settings(options)[0]
    if options.num_users is None and shared_arrival(
        arrival_of(one, settings, []) for one in predict_users(environment)
    ):
        processes = getattr(options, "processes", None) or 0
        forked = processes if processes >= 0 else os.cpu_count() or 1
        options.num_users = max(getattr(options, "expect_workers", None) or 1, forked)
        options.spawn_rate = options.spawn_rate or options.num_users


def _on_spawning_complete(environment: Environment) -> Any:
    """A listener of this environment's, as the event does not say whose it is."""

    def start(**_: Any) -> None:
        conductor = measurement_of(environment).conductor
        if conductor is not None:
            conductor.start()

    return start


events.init.add_listener(_on_init)
