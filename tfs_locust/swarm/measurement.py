"""The measurement of a run, in each process: a tally where load is sent, a judgement where the run is led.

What lives hangs on Locust's environment. Importing this module registers the listeners that begin a measurement and
feed it; how it ends stands in ending.py.
"""

from __future__ import annotations

import logging
import uuid
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import (
    MasterRunner,
    WorkerRunner,
)

from tfs_locust.judge.slo import Objective, ObjectiveError
from tfs_locust.measure.coarse import FINE_S
from tfs_locust.measure.view import View
from tfs_locust.swarm.blueprint import objectives_of
from tfs_locust.swarm.conductor import Conductor
from tfs_locust.swarm.intake import Intake
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.open_loop import OpenLoop
from tfs_locust.swarm.pairing import with_compared
from tfs_locust.swarm.recording import REPORT, Recorder
from tfs_locust.swarm.settings import Settings, read_settings

if TYPE_CHECKING:
    from tfs_locust.swarm.changing import Changing
    from tfs_locust.swarm.spreading import Turns
    from tfs_locust.swarm.steering import Steering
    from tfs_locust.swarm.users import PredictUser

DEFAULT_DRAIN_S = 10.0
_SOAK_FINE_S = 300
"""How long a soak's timeline keeps each second: memory must not grow for an hour before it stays as it is."""
_logger = logging.getLogger(__name__)


class Measurement:
    """What hangs on an environment: this process's part in the run at hand, or in the last one."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        """As long as this process sends load."""
        self.last_recorder: Recorder | None = None
        """The same, kept to be shown until the next run."""
        self.judgement: Judgement | None = None
        self.intake = Intake(self._accept)
        """Of workers' reports, where they are led."""
        self.objectives: tuple[Objective, ...] = ()
        """Of the run at hand, or of the last."""
        self.open_loop: OpenLoop | None = None
        """Where load is sent by schedules."""
        self.conductor: Conductor | None = None
        """Where a run is led that has one schedule for all."""
        self.steering: Steering | None = None
        """Where a run is led whose traffic goes to several targets."""
        self.turns: dict[str, Turns] = {}
        """Where load is sent, of the user classes with several targets."""
        self.changing: Changing | None = None
        """Where a run is led that changes its server."""
        self.drain_s = DEFAULT_DRAIN_S
        self.watcher: gevent.Greenlet[..., None] | None = None
        self.stopper: gevent.Greenlet[..., None] | None = None
        self.starter: Any = None
        """On a master: the greenlet in which the run's ``start`` is under way."""
        self.interrupted = False
        """By Ctrl-C."""
        self.preparing = False
        """On a worker: it makes ready for the run that it was told of."""
        self.leaving = False
        """On a worker: it is told to end, and what it cannot do any more is nobody's concern."""
        self.listening = False
        """Locust has set this process up, and requests and reports reach us."""

    def _accept(self, report: dict[str, Any]) -> None:
        if self.judgement is not None:
            self.judgement.accept(report)

    def view(self) -> View | None:
        """How the run stands where it is led, or how it ended; without a timeline. None before the first."""
        if self.judgement is None:
            return None
        if self.recorder is not None:  # a single process: all there is, and sooner had than by a report
            return self.recorder.view()
        return self.judgement.view(timeline=False)

    def heard(self) -> Judgement | None:
        """The judgement, told of all that this process has measured itself, its timeline too."""
        if self.judgement is not None and self.recorder is not None:
            self.judgement.accept(self.recorder.report())
        return self.judgement


def measurement_of(environment: Environment) -> Measurement:
    measurement: Measurement | None = getattr(environment, "tfs_measurement", None)
    if measurement is None:
        measurement = Measurement()
        environment.tfs_measurement = measurement  # type: ignore[attr-defined]
    return measurement


def _on_test_start(environment: Environment, **_: Any) -> None:
    user_classes = predict_users(environment)
    if not user_classes:
        return
    measurement = measurement_of(environment)
    options = environment.parsed_options or Namespace()
    # a worker that joins a run under way is told to start while Locust still makes its runner
    while getattr(options, "worker", False) and not measurement.listening:
        gevent.sleep(0.01)
    runner = environment.runner
    settings = read_settings(options)[0]
    longest_s = max(_longest_task_s(user_class, settings) for user_class in user_classes)
    measurement.changing = None
    measurement.drain_s = longest_s if settings.drain_s is None else settings.drain_s
    try:
        measurement.objectives = objectives_of(with_compared(user_classes), settings)
    except ObjectiveError:
        measurement.objectives = ()  # refused by the check before load
    if not isinstance(runner, WorkerRunner):
        options.tfs_run_id = uuid.uuid4().hex  # travels to the workers with the options
        measurement.judgement = Judgement(options.tfs_run_id, settings, measurement.objectives)
    if isinstance(runner, MasterRunner):
        for client in runner.clients.all:
            measurement.judgement.aggregate.expect(client.id)  # type: ignore[union-attr]
        environment.stop_timeout = max(environment.stop_timeout or 0.0, measurement.drain_s)
    else:
        measurement.recorder = measurement.last_recorder = Recorder(
            environment,
            getattr(options, "tfs_run_id", ""),
            warmup_s=settings.warmup_s,
            drain_s=measurement.drain_s,
            fine_s=_SOAK_FINE_S if settings.profile is not None and settings.profile.is_soak else FINE_S,
        )
        if measurement.judgement is not None:
            measurement.judgement.zero_ns = measurement.recorder.tally.origin_ns
    if measurement.judgement is not None and settings.abort_on_fail and not settings.find_capacity:
        measurement.watcher = gevent.spawn(_abort_when_hopeless, environment, measurement)


def _longest_task_s(user_class: type[PredictUser], settings: Settings) -> float:
    """How long what a user has begun may take: a request, or the two of a pair, one after the other."""
    given = user_class.timeout_s or settings.timeout_s or DEFAULT_DRAIN_S
    return sum(one.timeout_s or given for one in with_compared([user_class]))


def _on_request(
    environment: Environment,
) -> Any:
    """A listener for requests of plain Locust users; ours are counted where they are sent."""

    def on_request(context: dict[str, Any] | None = None, **request: Any) -> None:
        if context and "due_ns" in context:
            return
        recorder = measurement_of(environment).recorder
        if recorder is not None:
            recorder.record_foreign(**request)

    return on_request


def _on_report_to_master(environment: Environment) -> Any:
    def on_report(client_id: str, data: dict[str, Any], **_: Any) -> None:  # noqa: ARG001
        recorder = measurement_of(environment).recorder
        if recorder is not None:
            recorder.add_to(environment.runner, data)

    return on_report


def _on_worker_report(environment: Environment) -> Any:
    def on_report(client_id: str, data: dict[str, Any], **_: Any) -> None:  # noqa: ARG001
        if REPORT in data:
            measurement_of(environment).intake.put(data[REPORT])

    return on_report


def _listen_to_requests(environment: Environment, **_: Any) -> None:
    """These events do not say whose they are, so each environment has listeners of its own."""
    measurement_of(environment).listening = True
    environment.events.request.add_listener(_on_request(environment))
    environment.events.report_to_master.add_listener(_on_report_to_master(environment))
    environment.events.worker_report.add_listener(_on_worker_report(environment))


def _abort_when_hopeless(environment: Environment, measurement: Measurement) -> None:
    judgement, runner = measurement.judgement, environment.runner
    while judgement is not None and judgement.result is None and runner is not None:
        gevent.sleep(1.0)
        view = measurement.view()
        broken = [] if view is None else judgement.surely_broken(view)
        if broken:
            end_run(environment, f"surely broken: {'; '.join(broken)}")
            return


def end_run(environment: Environment, why: str) -> None:
    """End a run whose verdict is decided."""
    runner, judgement = environment.runner, measurement_of(environment).judgement
    _logger.error("ending the run: %s", why)
    if judgement is not None:
        judgement.hopeless = True
    if runner is not None and getattr(environment.parsed_options, "headless", False):
        runner.quit()
    elif runner is not None:
        runner.stop()


def predict_users(environment: Environment) -> list[type[PredictUser]]:
    """This environment's user classes that are ours."""
    from tfs_locust.swarm.users import PredictUser  # users import this module

    return [user_class for user_class in environment.user_classes if issubclass(user_class, PredictUser)]


def starts_by_itself(environment: Environment) -> bool:
    """Whether the run is started, and ended, by the command line rather than in the web page."""
    options = environment.parsed_options
    return bool(getattr(options, "headless", False) or getattr(options, "autostart", False))


events.init.add_listener(_listen_to_requests)
events.test_start.add_listener(_on_test_start)
