"""Where Locust's events meet the division of traffic: who leads it, who follows, and when it ends.

Importing this module registers the listeners. What lives hangs on the environment's measurement.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from tfs_locust.judge.canary import Pair
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.measurement import Measurement, end_run, measurement_of, predict_users
from tfs_locust.swarm.scenario import Scenario
from tfs_locust.swarm.settings import Settings
from tfs_locust.swarm.spreading import pairs_of, settled
from tfs_locust.swarm.steering import Courses, Steering
from tfs_locust.transport.engine import open_transport
from tfs_locust.transport.grpc_library import use_gevent

MESSAGE = "tfs_traffic"


def steer(environment: Environment, blueprints: Iterable[Blueprint], settings: Settings) -> None:
    """Begin to lead the traffic of the classes that have several targets."""
    measurement, options = measurement_of(environment), _options(environment)
    options.tfs_found_traffic, options.tfs_courses = {}, {}  # travel to workers that come later with the options
    _stop(measurement)
    plans = [one for one in blueprints if one.traffic is not None]
    if not plans or measurement.judgement is None:
        return
    measurement.steering = Steering(
        plans,
        settings,
        measurement.judgement,
        find=lambda plan: _find(environment, plan),
        began_s=lambda: _began_s(measurement),
        look=measurement.view,
        tell=lambda courses: _tell(environment, measurement, courses),
        end=lambda why: gevent.spawn(end_run, environment, why),  # which ends the steering, too
    )


def follow(environment: Environment, scenarios: Iterable[Scenario]) -> None:
    """Divide the requests of these as the run's leader says, from where it has come."""
    measurement = measurement_of(environment)
    measurement.turns = {one.name: one.turns for one in scenarios if one.turns is not None}
    _divide(measurement, getattr(_options(environment), "tfs_courses", {}))


def _find(environment: Environment, plan: Blueprint) -> tuple[Blueprint, list[Pair]]:
    """The plan with its targets known, and which of them are compared. Raises SettingsError."""
    if plan.address.protocol == "grpc":
        use_gevent()
    transport = open_transport(plan.address, plan.endpoint, plan.engine, plan.connections)
    try:
        plan = settled(plan, transport)
        _options(environment).tfs_found_traffic[plan.name] = str(plan.traffic)
        return plan, pairs_of(plan, transport)
    finally:
        transport.close()


def _began_s(measurement: Measurement) -> float | None:
    """When the warm-up was over, by ``time.perf_counter``."""
    if measurement.recorder is not None:
        return measurement.recorder.tally.run_from_ns / 1e9
    return None if measurement.judgement is None else measurement.judgement.first_warm_at_s


def _tell(environment: Environment, measurement: Measurement, courses: Courses) -> None:
    _options(environment).tfs_courses = courses
    if isinstance(environment.runner, MasterRunner):
        run = _options(environment).tfs_run_id
        environment.runner.send_message(MESSAGE, {"run": run, "courses": courses})
    else:
        _divide(measurement, courses)


def _on_courses(environment: Environment, msg: Any, **_: Any) -> None:
    if msg.data["run"] == getattr(_options(environment), "tfs_run_id", ""):
        _divide(measurement_of(environment), msg.data["courses"])


def _divide(measurement: Measurement, courses: Mapping[str, Sequence[Any]]) -> None:
    for name, (stage, given_up) in courses.items():
        if name in measurement.turns:
            measurement.turns[name].follow(stage, given_up=given_up)


def _stop(measurement: Measurement) -> None:
    if measurement.steering is not None:
        measurement.steering.stop()
        measurement.steering = None


def _options(environment: Environment) -> Namespace:
    options: Namespace = environment.parsed_options or Namespace()
    return options


def _on_init(environment: Environment, runner: Any, **_: Any) -> None:
    if isinstance(runner, WorkerRunner) and predict_users(environment):
        runner.register_message(MESSAGE, _on_courses)


def _on_test_stopping(environment: Environment, **_: Any) -> None:
    _stop(measurement_of(environment))


events.init.add_listener(_on_init)
events.test_stopping.add_listener(_on_test_stopping)
