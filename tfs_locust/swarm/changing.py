"""Changes the server as a plan says, beside the load, and puts it back as it was. Lives where the run is led.

Whatever ends the run, what was changed is taken back, the newest change first and each once; also when the process is
about to end in another way, as by a second Ctrl-C. Only a process that is killed outright takes nothing back.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Callable, Sequence

import gevent
from gevent.event import Event
from google.protobuf.message import DecodeError
from locust.env import Environment

from tfs_locust.change.change import ChangeError, Wanted
from tfs_locust.change.ledger import Ledger
from tfs_locust.change.plan import Plan, Step
from tfs_locust.judge.moments import AVAILABLE, END, SWITCH
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.measurement import measurement_of
from tfs_locust.swarm.refusal import refuse
from tfs_locust.swarm.scenario import control_over
from tfs_locust.tfserving.control import CallFailed, Control, VersionStatus
from tfs_locust.transport.engine import open_transport
from tfs_locust.transport.grpc_library import use_gevent

_TICK_S = 0.1
_BEFORE_S = 0.5
"""Before a switch is triggered the server is asked what is there."""
_logger = logging.getLogger(__name__)


class Changing:
    """Of one run, from :meth:`begin` to :meth:`end`."""

    def __init__(
        self, plan: Plan, targets: Sequence[Blueprint], judgement: Judgement, on_fault: Callable[[str], None]
    ) -> None:
        """``on_fault`` is told of an action that did not come off; no further one is taken then."""
        self._plan, self._targets, self._judgement, self._on_fault = plan, targets, judgement, on_fault
        self._ledger = Ledger()
        self._taken = 0
        self._stopping = Event()
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._ending: gevent.Greenlet[..., None] | None = None

    def begin(self, when: Callable[[], float | None]) -> None:
        """Take the actions from the time ``when()`` on, of ``time.perf_counter``. None: that is not known yet."""
        atexit.register(self.end)
        self._greenlet = gevent.spawn(self._take_all, when)

    def stop(self) -> None:
        """Begin no further action: the load has ended. One that is under way comes to its end."""
        self._stopping.set()

    def end(self) -> None:
        """Put everything back, and return when that is done, or was."""
        if self._ending is None:
            # in a greenlet of its own, which Ctrl-C in the meantime does not end
            self._ending = gevent.spawn(self._put_back)
        self._ending.join()

    @property
    def not_put_back(self) -> list[str]:
        """Sentences, with what is to be done by hand."""
        return self._ledger.not_put_back

    @property
    def left_out(self) -> str:
        """What of the plan was not done; empty where all was."""
        count = len(self._plan.steps)
        return "" if self._taken == count else f"{count - self._taken} of {count} actions on the server were not taken"

    def _take_all(self, when: Callable[[], float | None]) -> None:
        while (begins := when()) is None:
            if self._stopping.wait(_TICK_S):
                return
        for step in self._plan.steps:
            try:
                if not step.back:
                    self._ledger.enter(step.change)
                    step.change.prepare(self._stopping.is_set)
                if self._stopping.wait(max(begins + step.at_s - _BEFORE_S - time.perf_counter(), 0)):
                    return
                for wanted in step.wanted:  # what comes can be told from what was there
                    self._follow(wanted, give_up=0.0)
                if self._stopping.wait(max(begins + step.at_s - time.perf_counter(), 0)):
                    return
                self._take(step)
            except ChangeError as error:
                if not self._stopping.is_set():
                    self._on_fault(f"could not {step.told}: {error}")
                return
            self._taken += 1
            self._wait_for(step)

    def _take(self, step: Step) -> None:
        _logger.info("to the server: %s", step.told)
        self._mark(step)
        if step.back:
            self._ledger.take_back(step.change)
        else:
            step.change.do()

    def _mark(self, step: Step) -> None:
        for one in step.wanted:
            timeout_s = step.change.timeout_s
            self._judgement.mark(SWITCH, step.told, model=one.model, version=str(one.version), timeout_s=timeout_s)
        if not step.wanted:
            self._judgement.mark("undo" if step.back else step.change.kind, step.told)

    def _wait_for(self, step: Step) -> None:
        """Return when the server has followed, or will not any more, or has had its time for it."""
        give_up = time.perf_counter() + step.change.timeout_s
        for wanted in step.wanted:
            self._follow(wanted, give_up)

    def _follow(self, wanted: Wanted, give_up: float) -> None:
        """Ask the server for its versions, once and then until this one is there, or it is too late."""
        target = next((one for one in self._targets if one.target.model == wanted.model), self._targets[0])
        if target.address.protocol == "grpc":
            use_gevent()
        transport = open_transport(target.address, target.endpoint, target.engine)
        try:
            control = control_over(transport, target.address)
            while not self._has_followed(control, wanted) and time.perf_counter() < give_up:
                if self._stopping.wait(_TICK_S):
                    return
        finally:
            transport.close()

    def _has_followed(self, control: Control, wanted: Wanted) -> bool:
        try:
            versions = control.status(wanted.model)
        except (CallFailed, DecodeError, ValueError, KeyError, TypeError):  # it is down, or another answers for it
            return False
        self._judgement.heard_of(
            wanted.model,
            {str(one.version): one.state for one in versions},
            {str(one.version): one.error for one in versions if one.error},
        )
        return any(one.version == wanted.version and _is_settled(one) for one in versions)

    def _put_back(self) -> None:
        self.stop()
        if self._greenlet is not None:
            self._greenlet.join()
        self._ledger.take_all_back(lambda told: _logger.info("to the server, at the end: %s", told))
        for problem in self.not_put_back:
            _logger.error("NOT PUT BACK: %s", problem)
        atexit.unregister(self.end)


def _is_settled(status: VersionStatus) -> bool:
    return status.state == AVAILABLE or (status.state == END and bool(status.error))


def change(environment: Environment, plan: Plan, targets: Sequence[Blueprint]) -> None:
    """Begin with the actions of the run that has just begun; their times count from the end of its warm-up."""
    measurement = measurement_of(environment)
    judgement, recorder = measurement.judgement, measurement.recorder
    if judgement is None:
        return

    def on_fault(fault: str) -> None:
        gevent.spawn(refuse, environment, [fault], began=True)

    tally = None if recorder is None else recorder.tally
    measurement.changing = Changing(plan, targets, judgement, on_fault)
    measurement.changing.begin(lambda: judgement.warm_at_s if tally is None else tally.run_from_ns / 1e9)
