"""Where Locust's events meet the measurement: tallies in, drain before the end, verdict and exit code out.

Importing this module registers the listeners. However a run ends, Locust fires ``test_stopping`` before it stops users.
There the leading process asks every worker to stop its users, with time for what they have in flight, and waits for the
last reports; only then does Locust go on, and only in ``test_stop`` is anything judged.
"""

from __future__ import annotations

import logging
import time
import uuid
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import (
    STATE_INIT,
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    MasterRunner,
    WorkerRunner,
)

from tfs_locust.judge.slo import Objective, ObjectiveError, parse_objectives
from tfs_locust.judge.verdict import ExitCode
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.options import Settings, read_settings
from tfs_locust.swarm.recording import FINAL, REPORT, Recorder

if TYPE_CHECKING:
    from tfs_locust.measure.tally import Tally
    from tfs_locust.swarm.users import PredictUser

DEFAULT_DRAIN_S = 10.0
_DRAIN = "tfs_drain"
_LAST_REPORT_WITHIN_S = 5.0  # after the drain: a dead worker is known as such after about four
_logger = logging.getLogger(__name__)


class _Measurement:
    """What hangs on an environment: this process's part in the run at hand, or in the last one."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.judgement: Judgement | None = None
        self.drain_s = DEFAULT_DRAIN_S
        self.watcher: gevent.Greenlet[..., None] | None = None


def tally_of(environment: Environment) -> Tally | None:
    """Where this process counts requests; None before a test has started."""
    recorder = _of(environment).recorder
    return None if recorder is None else recorder.tally


def objectives_of(user_classes: Iterable[type[PredictUser]], settings: Settings) -> tuple[Objective, ...]:
    """The options' objectives, then those of the classes, each for its own requests. Raises ObjectiveError."""
    found, faults = list(settings.objectives), []
    for user_class in user_classes:
        given = user_class.slo or ()
        for text in [given] if isinstance(given, str) else given:
            scoped = text if ":" in text else f"scenario={user_class.__name__}: {text}"
            try:
                found += parse_objectives([scoped])
            except ObjectiveError as error:
                faults += error.faults
    if faults:
        raise ObjectiveError(faults)
    return tuple(found)


def _of(environment: Environment) -> _Measurement:
    measurement: _Measurement | None = getattr(environment, "tfs_measurement", None)
    if measurement is None:
        measurement = _Measurement()
        environment.tfs_measurement = measurement  # type: ignore[attr-defined]
    return measurement


def _predict_users(environment: Environment) -> list[type[PredictUser]]:
    from tfs_locust.swarm.users import PredictUser  # users import this module

    return [user_class for user_class in environment.user_classes if issubclass(user_class, PredictUser)]


def _on_init(environment: Environment, runner: Any, **_: Any) -> None:
    if isinstance(runner, MasterRunner):
        runner.register_message(FINAL, _on_final)
    elif isinstance(runner, WorkerRunner):
        runner.register_message(_DRAIN, _on_drain, concurrent=True)
    if runner is not None:
        # `quitting` runs in reverse: added after the runner's own listener, this one comes before it says quit
        environment.events.quitting.add_listener(_stop_before_quitting)


def _on_test_start(environment: Environment, **_: Any) -> None:
    user_classes = _predict_users(environment)
    if not user_classes:
        return
    measurement = _of(environment)
    runner = environment.runner
    options = environment.parsed_options or Namespace()
    settings = read_settings(options)[0]
    timeouts = [user_class.timeout_s or settings.timeout_s or DEFAULT_DRAIN_S for user_class in user_classes]
    measurement.drain_s = settings.drain_s or max(timeouts)
    if not isinstance(runner, WorkerRunner):
        options.tfs_run_id = uuid.uuid4().hex  # travels to the workers with the options
        try:
            objectives = objectives_of(user_classes, settings)
        except ObjectiveError:
            objectives = ()  # refused by the check before load
        measurement.judgement = Judgement(options.tfs_run_id, settings, objectives)
    if isinstance(runner, MasterRunner):
        for client in runner.clients.all:
            measurement.judgement.aggregate.expect(client.id)  # type: ignore[union-attr]
        environment.stop_timeout = max(environment.stop_timeout or 0.0, measurement.drain_s)
    else:
        measurement.recorder = Recorder(
            environment,
            getattr(options, "tfs_run_id", ""),
            warmup_s=settings.warmup_s,
            drain_s=measurement.drain_s,
        )
    if measurement.judgement is not None and settings.abort_on_fail:
        measurement.watcher = gevent.spawn(_abort_when_hopeless, environment, measurement)


def _on_request(
    environment: Environment,
) -> Any:
    """A listener for requests of plain Locust users; ours are counted where they are sent."""

    def on_request(
        request_type: str,
        name: str,
        response_time: float | None,
        response_length: int | None,
        context: dict[str, Any] | None = None,
        exception: BaseException | None = None,
        **_: Any,
    ) -> None:
        recorder = _of(environment).recorder
        if recorder is not None and "due_ns" not in (context or {}):
            recorder.record_foreign(
                request_type, name, response_time or 0.0, exception is not None, response_length or 0
            )

    return on_request


def _on_report_to_master(environment: Environment) -> Any:
    def on_report(client_id: str, data: dict[str, Any], **_: Any) -> None:  # noqa: ARG001
        recorder = _of(environment).recorder
        if recorder is not None:
            recorder.add_to(environment.runner, data)

    return on_report


def _on_worker_report(environment: Environment) -> Any:
    def on_report(client_id: str, data: dict[str, Any], **_: Any) -> None:  # noqa: ARG001
        judgement = _of(environment).judgement
        if judgement is not None and REPORT in data:
            judgement.accept(data[REPORT])

    return on_report


def _listen_to_requests(environment: Environment, **_: Any) -> None:
    """These events do not say whose they are, so each environment has listeners of its own."""
    environment.events.request.add_listener(_on_request(environment))
    environment.events.report_to_master.add_listener(_on_report_to_master(environment))
    environment.events.worker_report.add_listener(_on_worker_report(environment))


def _on_final(environment: Environment, msg: Any, **_: Any) -> None:
    judgement = _of(environment).judgement
    if judgement is not None:
        judgement.accept(msg.data)


def _on_drain(environment: Environment, **_: Any) -> None:
    """The master asks this worker to stop its users; Locust's own message to stop comes after and finds nothing."""
    if environment.runner is not None:
        environment.runner.stop()


def _stop_before_quitting(environment: Environment, **_: Any) -> None:
    """The process ends while the test runs: by Ctrl-C or SIGTERM, for a test that was to end by itself has stopped."""
    runner = environment.runner
    if runner is None or runner.state in {STATE_INIT, STATE_STOPPED}:
        return
    measurement = _of(environment)
    judgement = measurement.judgement
    run_time = getattr(environment.parsed_options, "run_time", None)
    if judgement is not None and runner.state in {STATE_SPAWNING, STATE_RUNNING}:
        if run_time or environment.shape_class:
            judgement.aborted = "it was interrupted before " + (
                f"its {run_time} s were over" if run_time else "its end"
            )
    elif judgement is not None and isinstance(runner, MasterRunner):  # the drain is under way in another greenlet
        give_up = time.monotonic() + measurement.drain_s + _LAST_REPORT_WITHIN_S
        while judgement.result is None and time.monotonic() < give_up:
            gevent.sleep(0.05)
        return
    if isinstance(runner, MasterRunner):
        runner.quit()  # told to stop first, workers would not hear that they may go
    else:
        runner.stop()


def _on_test_stopping(environment: Environment, **_: Any) -> None:
    measurement = _of(environment)
    if measurement.recorder is not None:
        measurement.recorder.end_load()
    runner = environment.runner
    judgement = measurement.judgement
    if judgement is None or judgement.result is not None or not isinstance(runner, MasterRunner):
        return
    runner.send_message(_DRAIN)
    give_up = time.monotonic() + measurement.drain_s + _LAST_REPORT_WITHIN_S
    while _still_expected(runner, judgement) and time.monotonic() < give_up:
        gevent.sleep(0.05)


def _still_expected(runner: MasterRunner, judgement: Judgement) -> bool:
    """Whether a last report may still come. Workers that are gone are noted as lost."""
    there = {client.id for client in runner.clients.all if client.state != STATE_MISSING}
    waiting = judgement.waiting_for()
    for name in waiting:
        if name not in there:
            judgement.aggregate.lose(name)
    return any(name in there for name in waiting)


def _on_test_stop(environment: Environment, **_: Any) -> None:
    measurement = _of(environment)
    judgement, recorder, runner = measurement.judgement, measurement.recorder, environment.runner
    if recorder is not None:
        last = recorder.end()
        measurement.recorder = None
        if isinstance(runner, WorkerRunner):
            runner.send_message(FINAL, last)
        elif judgement is not None:
            judgement.accept(last)
    if judgement is None or judgement.result is not None:
        return
    if measurement.watcher is not None and measurement.watcher is not gevent.getcurrent():
        measurement.watcher.kill(block=False)
    options = environment.parsed_options or Namespace()
    hosts = [environment.host] if environment.host else [str(one.host) for one in _predict_users(environment)]
    judgement.conclude(_told(options), hosts, getattr(runner, "target_user_count", 0) or 0)
    if not _starts_by_itself(options):
        _logger.info("the run has ended:\n%s", judgement.table())


def _told(options: Namespace) -> dict[str, Any]:
    """Options for the report: ours and the load's, those with secrets masked."""
    told = ("num_users", "spawn_rate", "run_time", "processes", "expect_workers", "locustfile", "worker")
    values = {name: value for name, value in vars(options).items() if name.startswith("tfs_") or name in told}
    values.pop("tfs_run_id", None)
    if values.get("tfs_header"):
        values["tfs_header"] = "(given)"
    return {name: value for name, value in values.items() if value not in (None, "", [], False)}


def _starts_by_itself(options: Namespace) -> bool:
    return bool(getattr(options, "headless", False) or getattr(options, "autostart", False))


def _abort_when_hopeless(environment: Environment, measurement: _Measurement) -> None:
    judgement, runner = measurement.judgement, environment.runner
    while judgement is not None and judgement.result is None and runner is not None:
        gevent.sleep(1.0)
        if measurement.recorder is not None:
            judgement.accept(measurement.recorder.report())
        broken = judgement.surely_broken()
        if broken:
            _logger.error("ending the run: surely broken: %s", "; ".join(broken))
            if _starts_by_itself(environment.parsed_options or Namespace()):
                runner.quit()
            else:
                runner.stop()
            return


def _on_quitting(environment: Environment, **_: Any) -> None:
    """Last of all listeners, when the run has ended: set the exit code."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner) or not _predict_users(environment):
        return
    if environment.process_exit_code == ExitCode.USAGE:
        return
    environment.process_exit_code = ExitCode.INVALID  # whatever fails from here on
    judgement = _of(environment).judgement
    if judgement is None or judgement.verdict is None:
        ran = judgement is not None or _starts_by_itself(environment.parsed_options or Namespace())
        environment.process_exit_code = ExitCode.INVALID if ran else None
        return
    code = judgement.verdict.exit_code
    # without objectives Locust's own rule for failed requests stands (--exit-code-on-error)
    environment.process_exit_code = None if code is ExitCode.PASS and not judgement.objectives else int(code)


def _print_verdict(environment: Environment) -> Any:
    def on_quit(exit_code: int, **_: Any) -> None:  # noqa: ARG001
        judgement = _of(environment).judgement
        if judgement is not None and not isinstance(environment.runner, WorkerRunner):
            print("\n" + judgement.table(), end="", flush=True)

    return on_quit


def _print_at_the_end(environment: Environment, **_: Any) -> None:
    environment.events.quit.add_listener(_print_verdict(environment))


events.init.add_listener(_on_init)
events.init.add_listener(_listen_to_requests)
events.init.add_listener(_print_at_the_end)
events.test_start.add_listener(_on_test_start)
events.test_stopping.add_listener(_on_test_stopping)
events.test_stop.add_listener(_on_test_stop)
events.quitting.add_listener(_on_quitting)
