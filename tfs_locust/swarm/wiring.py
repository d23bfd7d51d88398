"""Where Locust's events meet ours: options in, targets checked before any load, scenarios opened and closed.

Importing this module registers the listeners, on Locust's own event hooks. What lives during a run hangs on Locust's
environment, so that two environments in one process do not know each other.

A run is prepared twice. The process that leads it (a single one, or the master) asks the server when Locust starts, so
that a mistake ends it with exit code 2 before anything is spawned. Each process that sends load asks again when the
test starts: the web form may have changed the options, and a worker may see another network.
"""

from __future__ import annotations

import gc
import inspect
import signal
import sys
from argparse import Namespace
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import STATE_INIT, MasterRunner, WorkerRunner

from tfs_locust.judge.slo import ObjectiveError
from tfs_locust.report import files
from tfs_locust.swarm import refusal
from tfs_locust.swarm.announcing import announce
from tfs_locust.swarm.batching import say
from tfs_locust.swarm.blueprint import Blueprint, objectives_of
from tfs_locust.swarm.changes import asked_of
from tfs_locust.swarm.changing import change
from tfs_locust.swarm.diverting import follow, steer
from tfs_locust.swarm.measurement import measurement_of, predict_users, starts_by_itself
from tfs_locust.swarm.offering import conduct, open_loop
from tfs_locust.swarm.options import add_options
from tfs_locust.swarm.pairing import check_pair, open_pair, with_compared
from tfs_locust.swarm.preparation import Preparation, Servers, prepare
from tfs_locust.swarm.refilling import keep_filled
from tfs_locust.swarm.scenario import Scenario
from tfs_locust.swarm.settings import Settings, SettingsError, read_settings, told
from tfs_locust.transport.base import Endpoint, Transport
from tfs_locust.transport.engine import open_transport
from tfs_locust.transport.grpc_library import use_gevent

if TYPE_CHECKING:
    from locust import User

    from tfs_locust.swarm.users import PredictUser


@dataclass(slots=True)
class _Run:
    """What this process holds for the run at hand."""

    scenarios: dict[type[User], Scenario] = field(default_factory=dict)
    transports: dict[Endpoint, Transport[Any]] = field(default_factory=dict)
    refused: bool = False
    refiller: gevent.Greenlet[..., None] | None = None

    def close(self) -> None:
        if self.refiller is not None:
            self.refiller.kill(block=False)
            self.refiller = None
        for transport in self.transports.values():
            transport.close()
        self.transports.clear()
        self.scenarios.clear()
        self.refused = False


def _run_of(environment: Environment) -> _Run:
    run: _Run | None = getattr(environment, "tfs_run", None)
    if run is None:
        run = _Run()
        environment.tfs_run = run  # type: ignore[attr-defined]
    return run


def scenario_of(environment: Environment, user_class: type[PredictUser]) -> Scenario | None:
    """The scenario of a user class in this run; None where it could not be prepared, which has been said."""
    run = _run_of(environment)
    if user_class not in run.scenarios and not run.refused:
        # Locust used as a library may spawn users without its events having fired
        _open_all(environment, [user_class])
    return run.scenarios.get(user_class)


def _declare_options(parser: Any, **_: Any) -> None:
    add_options(parser)


def _take_interrupts_in_the_main_greenlet(environment: Environment, **_: Any) -> None:
    """Let Ctrl-C come upon the greenlet that waits for the run's end, not upon the one that happens to run.

    In the middle of a call it would keep grpcio from giving back a lock, which closing the channel then waits for: the
    process would never end (grpcio 1.85).
    """

    def interrupt() -> None:
        measurement_of(environment).interrupted = True
        gevent.get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        gevent.signal_handler(signal.SIGINT, interrupt)


def _check_before_load(environment: Environment, runner: Any, **_: Any) -> None:
    """End with exit code 2 where options are wrong, or where a run that starts by itself has no target to load."""
    refusal.listen(runner)
    asked_of(environment)
    user_classes = predict_users(environment)
    if not user_classes or isinstance(runner, WorkerRunner):  # a worker learns host and options from its master
        return
    if starts_by_itself(environment):
        problems = _problems_before_load(environment, user_classes)
    else:  # the web form can still be filled in
        settings, problems = read_settings(_options(environment))
        problems += _problems_of_objectives(user_classes, settings)
    problems += _problems_of_the_report(environment)
    if problems:
        sys.stderr.write("tfs_locust cannot start this run:\n")
        sys.stderr.writelines(f"  - {problem}\n" for problem in problems)
        if isinstance(runner, MasterRunner):
            refusal.dismiss_workers(runner)
        sys.exit(refusal.EXIT_USAGE)


def _open_on_test_start(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        measurement_of(environment).starter = gevent.getcurrent()
        settings, problems = read_settings(_options(environment))
        preparation = prepare(environment, predict_users(environment), settings, environment.host)
        if preparation.problems:
            refusal.refuse(environment, list(dict.fromkeys(problems + preparation.problems)))
        else:
            conduct(environment, preparation.blueprints.values(), settings)
            steer(environment, preparation.blueprints.values(), settings)
            _begin_to_watch(environment, preparation, settings)
        return
    run = _run_of(environment)
    run.close()
    if isinstance(environment.runner, WorkerRunner):
        # a worker still counts as stopped here, and would pass over a stop that comes before its users (Locust 2.47)
        environment.runner.update_state(STATE_INIT)
    measurement = measurement_of(environment)
    measurement.preparing = True
    try:
        _open_all(environment, predict_users(environment))
    finally:
        measurement.preparing = False
    recorder = measurement.recorder
    if recorder is not None:
        recorder.watch(run.scenarios.values(), run.transports.values())
    pools = (scenario.stock for scenario in run.scenarios.values())
    run.refiller = keep_filled(pools, lambda fault: refusal.refuse(environment, [fault], began=True))
    # Locust does so before it says that it stops: the first time takes tens of milliseconds, in which requests are due
    inspect.stack()
    # what is there now stays for the whole run: a collection that looked through it would hold up all requests for it
    gc.collect()
    gc.freeze()


def _close_on_test_stop(environment: Environment, **_: Any) -> None:
    _run_of(environment).close()
    gc.unfreeze()


def _options(environment: Environment) -> Namespace:
    return environment.parsed_options or Namespace()


def _problems_before_load(environment: Environment, user_classes: list[type[PredictUser]]) -> list[str]:
    """All that stands against this run: options, hosts, and what the servers say, asked with one payload each."""
    settings, problems = read_settings(_options(environment))
    problems += _problems_of_objectives(user_classes, settings)
    can_ask = _can_ask(problems)
    preparation = prepare(environment, user_classes, settings, environment.host)
    problems += preparation.problems
    transports: dict[Endpoint, Transport[Any]] = {}
    try:
        for plan in preparation.blueprints.values() if can_ask else ():
            try:
                check_pair(plan, partial(_transport, transports))
            except SettingsError as error:
                problems += error.problems
    finally:
        for transport in transports.values():
            transport.close()
    return list(dict.fromkeys(problems))


def _problems_of_objectives(user_classes: list[type[PredictUser]], settings: Settings) -> list[str]:
    problems = []
    for user_class in with_compared(user_classes):
        try:
            objectives_of([user_class], settings)
        except ObjectiveError as error:
            problems += [f"{user_class.__name__}: `slo` {told(fault)}" for fault in error.faults]
        except TypeError:
            given = user_class.slo
            problems.append(f"{user_class.__name__}: `slo` is {given!r}: expected an objective, or a list of them")
    return problems


def _problems_of_the_report(environment: Environment) -> list[str]:
    """A folder that cannot be written to is told before the run, not when its result has nowhere to go."""
    folder = read_settings(_options(environment))[0].report
    reason = "" if folder is None else files.unwritable(folder)
    return [f"--tfs-report '{folder}': nothing can be written there: {reason}"] if reason else []


def _can_ask(problems: list[str]) -> bool:
    """Whether a server can be asked at all with the options that have these problems."""
    return not any(problem.startswith(("--tfs-tls", "--tfs-header")) for problem in problems)


def _open_all(environment: Environment, user_classes: list[type[PredictUser]]) -> None:
    run = _run_of(environment)
    offset = getattr(environment.runner, "worker_index", 0) * 17
    settings, problems = read_settings(_options(environment))
    can_ask = _can_ask(problems)
    preparation = prepare(environment, user_classes, settings, environment.host)
    problems += preparation.problems
    for user_class, plan in preparation.blueprints.items() if can_ask else ():
        try:
            run.scenarios[user_class] = open_pair(
                plan, partial(_transport, run.transports), offset=offset, pause=lambda: gevent.sleep(0)
            )
            announce(plan, run.scenarios[user_class])
        except SettingsError as error:
            problems += error.problems
    if problems:
        run.scenarios.clear()
        run.refused = True
        refusal.refuse(environment, list(dict.fromkeys(problems)))
        return
    open_loop(environment, run.scenarios.values(), settings)
    leads = not isinstance(environment.runner, WorkerRunner)
    if leads:
        conduct(environment, preparation.blueprints.values(), settings)
        steer(environment, preparation.blueprints.values(), settings)
    follow(environment, run.scenarios.values())
    if leads:
        _begin_to_watch(environment, preparation, settings)


def _begin_to_watch(environment: Environment, preparation: Preparation, settings: Settings) -> None:
    """Say what is to be expected of the servers, and begin to look at pages and versions; where the run is led."""
    for name, one in preparation.plans.items():
        say(name, one.told)
    measurement = measurement_of(environment)
    judgement, recorder = measurement.judgement, measurement.recorder
    if judgement is None or judgement.servers is not None:  # Locust used as a library, without its events
        return
    judgement.servers = Servers(preparation, settings)
    judgement.servers.statuses.begin(judgement.heard_of)
    if recorder is not None:
        tally = recorder.tally
        judgement.servers.watch.begin(lambda: tally.run_from_ns / 1e9 if settings.warmup_s else 0.0, wait=True)
    else:
        judgement.servers.watch.begin(lambda: judgement.warm_at_s if settings.warmup_s else 0.0, wait=False)
    if preparation.changes is not None:
        change(environment, preparation.changes, list(preparation.blueprints.values()))


def _transport(transports: dict[Endpoint, Transport[Any]], plan: Blueprint) -> Transport[Any]:
    if plan.endpoint not in transports:
        if plan.address.protocol == "grpc":
            use_gevent()
        transports[plan.endpoint] = open_transport(plan.address, plan.endpoint, plan.engine, plan.connections)
    return transports[plan.endpoint]


events.init_command_line_parser.add_listener(_declare_options)
events.init.add_listener(_take_interrupts_in_the_main_greenlet)
events.init.add_listener(_check_before_load)
events.test_start.add_listener(_open_on_test_start)
events.test_stop.add_listener(_close_on_test_stop)
