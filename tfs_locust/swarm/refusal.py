"""How a run ends that cannot start, or cannot go on: every process can find that out, the leading one ends it.

A run that was refused ends with exit code 2 where nobody sits at a web page; one that had begun is INVALID.
"""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from tfs_locust.swarm.measurement import measurement_of

EXIT_USAGE = 2
_REFUSED = "tfs_refused"
_WORKERS_CONNECT_WITHIN_S = 5.0
_logger = logging.getLogger(__name__)


def listen(runner: Any) -> None:
    """On a master: hear the workers that refuse."""
    if isinstance(runner, MasterRunner):
        runner.register_message(_REFUSED, _on_worker_refused)


def refuse(environment: Environment, problems: list[str], *, began: bool = False) -> None:
    """End the run for these problems, which keep it from starting, or from going on."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        if measurement_of(environment).leaving:  # its own end cut short what it was about; the run goes on without it
            return
        run = getattr(environment.parsed_options, "tfs_run_id", "")
        runner.send_message(_REFUSED, {"run": run, "problems": problems, "began": began})
        return
    _end(environment, "this process", problems, began=began)


def dismiss_workers(runner: MasterRunner) -> None:
    """Send home the workers that are expected: left alone, they would wait a minute for a master that is gone."""
    options = runner.environment.parsed_options or Namespace()
    give_up = time.monotonic() + _WORKERS_CONNECT_WITHIN_S
    while len(runner.clients.ready) < getattr(options, "expect_workers", 1) and time.monotonic() < give_up:
        gevent.sleep(0.05)
    gevent.sleep(1.0)  # a worker that is told to quit in the middle of its greeting never ends (Locust 2.47)
    runner.quit()


def _on_worker_refused(environment: Environment, msg: Any, **_: Any) -> None:
    judgement = measurement_of(environment).judgement
    if judgement is None or msg.data["run"] == judgement.run_id:  # else the run has been ended for another's word
        _end(environment, f"worker {msg.node_id}", msg.data["problems"], began=msg.data["began"])


def _end(environment: Environment, who: str, problems: list[str], *, began: bool) -> None:
    runner = environment.runner
    cannot, told = ("go on", "the run was ended: ") if began else ("start", "the run was not started: ")
    for problem in problems:
        _logger.error("cannot %s: %s (said by %s)", cannot, problem, who)
        if runner is not None:
            runner.log_exception(who, problem, told + problem)
    if runner is None:
        return
    judgement = measurement_of(environment).judgement
    if judgement is not None:
        if judgement.refused:  # its end is under way; another could fall into the beginning of the next run
            return
        judgement.refused = True
        if began:
            judgement.aborted = "; ".join(problems)
    if getattr(environment.parsed_options, "headless", False):
        if not began:
            environment.process_exit_code = EXIT_USAGE
        gevent.spawn(runner.quit)
    elif isinstance(runner, LocalRunner | MasterRunner):  # the web page stays, and can start a better run
        gevent.spawn(_stop, environment, runner)


def _stop(environment: Environment, runner: LocalRunner | MasterRunner) -> None:
    starter = measurement_of(environment).starter
    if isinstance(runner, MasterRunner) and not runner.spawning_completed and isinstance(starter, gevent.Greenlet):
        # a start that is left to itself would go on and call the stopped run a running one (Locust 2.47)
        starter.kill()
    runner.stop()
