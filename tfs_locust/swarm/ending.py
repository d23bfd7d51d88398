"""How a run ends: requests in flight are waited for, then last reports, then the verdict, the files, the exit code.

However a run ends, Locust fires ``test_stopping`` before it stops users. There the leading process asks every worker to
stop its users, with time for what they have in flight, and waits for the last reports; only then does Locust go on, and
only in ``test_stop`` is anything judged. Importing this module registers the listeners.
"""

from __future__ import annotations

import logging
import sys
import time
from argparse import Namespace
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import (
    STATE_INIT,
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    STATE_STOPPING,
    MasterRunner,
    WorkerRunner,
)

from tfs_locust.judge.verdict import ExitCode
from tfs_locust.swarm.capacity_shape import CapacityShape
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.measurement import Measurement, measurement_of, predict_users, starts_by_itself
from tfs_locust.swarm.offering import end_offering
from tfs_locust.swarm.pairing import with_compared
from tfs_locust.swarm.recording import FINAL

DRAIN = "tfs_drain"
LAST_REPORT_WITHIN_S = 5.0  # after the drain: a dead worker is known as such after about four
_logger = logging.getLogger(__name__)


def _on_init(environment: Environment, runner: Any, **_: Any) -> None:
    if isinstance(runner, MasterRunner):
        runner.register_message(FINAL, _on_final)
    elif isinstance(runner, WorkerRunner):
        runner.register_message(DRAIN, _on_drain, concurrent=True)
        if runner.last_heartbeat_timestamp is None:
            # told to quit in the middle of its greeting, it hears no more, and Locust's minute without a master begins
            # only with a heartbeat: it would stay for ever (Locust 2.47)
            runner.last_heartbeat_timestamp = time.time()
    if runner is not None:
        # `quitting` runs in reverse: added after the runner's own listener, this one comes before it says quit
        environment.events.quitting.add_listener(_stop_before_quitting)
    environment.events.quit.add_listener(_print_verdict(environment))


def _on_final(environment: Environment, msg: Any, **_: Any) -> None:
    measurement_of(environment).intake.put(msg.data)


def _on_drain(environment: Environment, msg: Any, **_: Any) -> None:
    """The master asks this worker to stop its users; Locust's own message to stop comes after and finds nothing."""
    measurement = measurement_of(environment)
    if measurement.open_loop is not None:
        measurement.open_loop.end(msg.data["schedule_ends_ns"])
        if measurement.recorder is not None:
            measurement.recorder.end_load()  # Locust takes a tenth of a second to come to that
    _stop_once(environment)


def _stop_once(environment: Environment) -> None:
    """Stop this process's users, and return when they have. Two stops at a time would cut short each other's wait."""
    measurement, runner = measurement_of(environment), environment.runner
    if runner is None or runner.state in {STATE_INIT, STATE_STOPPED}:
        return
    if measurement.stopper is None or measurement.stopper.ready():
        measurement.stopper = gevent.spawn(runner.stop)
    measurement.stopper.join()


def _stop_before_quitting(environment: Environment, **_: Any) -> None:
    """The process ends while the test runs: by Ctrl-C or SIGTERM, for a test that was to end by itself has stopped."""
    runner, measurement = environment.runner, measurement_of(environment)
    judgement = measurement.judgement
    if isinstance(runner, WorkerRunner):
        measurement.leaving = True
        # the master may share out the users of a worker that went first: they would be nobody's to stop
        runner.last_received_spawn_timestamp = sys.maxsize
    if judgement is not None and judgement.result is None and runner is not None:
        if runner.state in {STATE_SPAWNING, STATE_RUNNING}:
            _note_interruption(environment, judgement)
        elif isinstance(runner, MasterRunner):  # the drain is under way in another greenlet, or was
            _wait_for_last_reports(runner, measurement, judgement)
            _on_test_stop(environment)
            return
    if isinstance(runner, MasterRunner):
        if runner.state not in {STATE_INIT, STATE_STOPPED}:
            runner.quit()  # told to stop first, workers would not hear that they may go
    else:
        _stop_once(environment)


def _note_interruption(environment: Environment, judgement: Judgement) -> None:
    """A run that was to end by itself has not."""
    run_time = getattr(environment.parsed_options, "run_time", None)
    if run_time or environment.shape_class:
        judgement.aborted = "it was interrupted before " + (f"its {run_time} s were over" if run_time else "its end")


def _on_test_stopping(environment: Environment, **_: Any) -> None:
    measurement = measurement_of(environment)
    if measurement.interrupted and measurement.judgement is not None:  # Locust ends shapes of its own accord then
        _note_interruption(environment, measurement.judgement)
    schedule_ends_ns = end_offering(environment)
    if measurement.recorder is not None:
        measurement.recorder.end_load()
    runner = environment.runner
    judgement = measurement.judgement
    if measurement.changing is not None:
        measurement.changing.stop()
    if judgement is not None and judgement.load_ended_s is None:
        judgement.load_ended_s = time.time()
    if judgement is None or judgement.result is not None or not isinstance(runner, MasterRunner):
        return
    if runner.worker_count <= 0 and not judgement.aborted:  # the last of them has gone, which ends a run
        _note_interruption(environment, judgement)
    runner.update_state(STATE_STOPPING)  # Locust does so later, and shares out the users of workers that go until then
    for client in runner.clients.spawning + runner.clients.running:  # also those that came later than the start
        judgement.aggregate.expect(client.id)
    runner.send_message(DRAIN, {"schedule_ends_ns": schedule_ends_ns})
    _wait_for_last_reports(runner, measurement, judgement)


def _wait_for_last_reports(runner: MasterRunner, measurement: Measurement, judgement: Judgement) -> None:
    give_up = time.monotonic() + measurement.drain_s + LAST_REPORT_WITHIN_S
    while _still_expected(runner, judgement) and time.monotonic() < give_up:
        gevent.sleep(0.05)
    measurement.intake.finish()
    _still_expected(runner, judgement)  # notes who is lost, now that all that came has been heard


def _still_expected(runner: MasterRunner, judgement: Judgement) -> bool:
    """Whether a last report may still come. Workers that are gone are noted as lost."""
    there = {client.id for client in runner.clients.all if client.state != STATE_MISSING}
    waiting = judgement.waiting_for()
    for name in waiting:
        if name not in there:
            judgement.aggregate.lose(name)
    return any(name in there for name in waiting)


def _on_test_stop(environment: Environment, **_: Any) -> None:
    measurement = measurement_of(environment)
    judgement, recorder, runner = measurement.judgement, measurement.recorder, environment.runner
    if measurement.open_loop is not None:
        measurement.open_loop.close()
        measurement.open_loop = None
    if recorder is not None:
        last = recorder.end()
        measurement.recorder = None
        if isinstance(runner, WorkerRunner):
            runner.send_message(FINAL, last)
        elif judgement is not None:
            judgement.accept(last)
    if judgement is None or judgement.result is not None:
        return
    if measurement.conductor is not None:
        judgement.aggregate.scheduled = measurement.conductor.scheduled()
        measurement.conductor = None
    if measurement.watcher is not None and measurement.watcher is not gevent.getcurrent():
        measurement.watcher.kill(block=False)
    if judgement.servers is not None:
        judgement.servers.statuses.end()
        judgement.servers.watch.end()
    if isinstance(environment.shape_class, CapacityShape):
        judgement.search = environment.shape_class.end()
    _put_back(measurement, judgement)
    judgement.conclude(*asked_for(environment))
    if _goes_on_afterwards(environment):
        _logger.info("the run has ended:\n%s", judgement.table())


def _put_back(measurement: Measurement, judgement: Judgement) -> None:
    """After the last look at the server's page: what is put back may be its restart."""
    changing = measurement.changing
    if changing is None:
        return
    changing.end()
    judgement.not_put_back = changing.not_put_back
    # what was not tried has not passed; nor would it mend an objective that is surely broken
    if changing.left_out and not judgement.hopeless:
        judgement.aborted = "; ".join(filter(None, [judgement.aborted, changing.left_out]))


def _goes_on_afterwards(environment: Environment) -> bool:
    """Whether the web page stays when the run has ended; else the verdict is printed as the last of all."""
    options = environment.parsed_options
    quits = getattr(options, "autostart", False) and getattr(options, "autoquit", -1) >= 0
    return not (getattr(options, "headless", False) or quits)


def asked_for(environment: Environment) -> tuple[dict[str, Any], list[str], int]:
    """What a report says was asked for: options, hosts and users."""
    options = environment.parsed_options or Namespace()
    hosts = (
        [environment.host] if environment.host else [str(one.host) for one in with_compared(predict_users(environment))]
    )
    return _told(options), hosts, getattr(environment.runner, "target_user_count", 0) or 0


def _told(options: Namespace) -> dict[str, Any]:
    """Options for the report: ours and the load's, those with secrets masked."""
    told = ("num_users", "spawn_rate", "run_time", "processes", "expect_workers", "locustfile", "worker")
    values = {name: value for name, value in vars(options).items() if name.startswith("tfs_") or name in told}
    values.pop("tfs_run_id", None)
    values.pop("tfs_planned", None)
    values.pop("tfs_hosts", None)
    if values.get("tfs_header"):
        values["tfs_header"] = "(given)"
    return {name: value for name, value in values.items() if value not in (None, "", [], False)}


def _on_quitting(environment: Environment, **_: Any) -> None:
    """Last of all listeners, when the run has ended: set the exit code."""
    runner = environment.runner
    if not predict_users(environment):
        return
    if isinstance(runner, WorkerRunner):
        # they are in its last report, for the master to judge; for those of its last seconds Locust would end it with 1
        runner.stats.errors.clear()
        return
    if environment.process_exit_code == ExitCode.USAGE:
        return
    environment.process_exit_code = ExitCode.INVALID  # whatever fails from here on
    judgement = measurement_of(environment).judgement
    if judgement is not None and (judgement.unwritten or judgement.not_put_back):
        return
    if judgement is None or judgement.verdict is None:
        ran = judgement is not None or starts_by_itself(environment)
        environment.process_exit_code = ExitCode.INVALID if ran else None
        return
    code = judgement.verdict.exit_code
    if code is ExitCode.PASS and not judgement.objectives and judgement.search is None:
        # Locust's own rule stands, by our count too: of workers that go by themselves it does not hear all failures
        options = environment.parsed_options or Namespace(exit_code_on_error=1)
        environment.process_exit_code = options.exit_code_on_error if judgement.failures() else None
    else:
        environment.process_exit_code = int(code)


def _print_verdict(environment: Environment) -> Any:
    def on_quit(exit_code: int, **_: Any) -> None:  # noqa: ARG001
        judgement = measurement_of(environment).judgement
        if judgement is not None and not isinstance(environment.runner, WorkerRunner):
            print("\n" + judgement.table(), end="", flush=True)

    return on_quit


events.init.add_listener(_on_init)
events.test_stopping.add_listener(_on_test_stopping)
events.test_stop.add_listener(_on_test_stop)
events.quitting.add_listener(_on_quitting)
