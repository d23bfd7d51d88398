"""The Locust users that call a model: subclass one, or use it as it is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from gevent import getcurrent
from locust import User
from locust.env import Environment
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_WAITING

from tfs_locust.load.arrival import Arrival
from tfs_locust.load.ramp import Ramp
from tfs_locust.load.rows import Rows
from tfs_locust.load.traffic import Traffic
from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.swarm import ending, live_page, measurement, metrics, shapes, wiring  # noqa: F401 - four only listen
from tfs_locust.swarm.lane import Lane
from tfs_locust.swarm.scenario import Ready, Scenario
from tfs_locust.tfserving.codec import Answer, Inputs
from tfs_locust.tfserving.errors import grouped_text
from tfs_locust.tfserving.tensor import Array
from tfs_locust.transport.base import Reply


class PredictError(Exception):
    """A request that failed. Its text is the same for all failures of one kind, so that they are counted together."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        self.outcome = outcome
        text = grouped_text(detail)
        super().__init__(f"{outcome}: {text}" if text else str(outcome))

    def __repr__(self) -> str:  # what Locust's failure table shows
        return str(self)


_sample: Callable[[tuple[Key, int, int, int, int, int, int]], Sample] = partial(tuple.__new__, Sample)  # half the cost


class Prediction:
    """How one request ended. The answer is decoded when it is first asked for."""

    __slots__ = ("_answer", "_reply", "_scenario", "sample")

    def __init__(self, scenario: Scenario, reply: Reply, sample: Sample) -> None:
        self.sample = sample
        self._scenario = scenario
        self._reply = reply
        self._answer: Answer | None = None

    @property
    def ok(self) -> bool:
        return self._reply.outcome is Outcome.OK

    @property
    def outcome(self) -> Outcome:
        return self._reply.outcome

    @property
    def version(self) -> str:
        """The version that answered, in digits; for REST the one asked for, ``@`` and the label, or empty."""
        return self.sample.key.version

    @property
    def outputs(self) -> dict[str, Array]:
        """Output arrays by name. Raises PredictError for a failed request, CodecError for an unreadable answer."""
        if self._reply.outcome is not Outcome.OK:
            raise PredictError(self._reply.outcome, self._reply.detail)
        if self._answer is None:
            self._answer = self._scenario.decode(self._reply.body)
        return self._answer.outputs


_IN_A_ROW = 64


def _predict(user: PredictUser) -> None:
    """One request, or a pair; where no wait is asked for, some: Locust's way from task to task costs as much as one."""
    both = type(user).against is not None
    for _ in range(_IN_A_ROW if type(user).wait_time is User.wait_time else 1):
        if both:
            own, other = user.predict_both()
            ok = own.ok and other.ok
        else:
            prediction = user.predict()
            ok = prediction is not None and prediction.ok
        # what fails at once might never let other greenlets run; Locust's way does
        if user._state != LOCUST_STATE_RUNNING or not ok:  # noqa: SLF001
            return


_predict.__name__ = "predict"  # what Locust's task ratio shows


def _follow_schedule(user: PredictUser) -> None:
    user.follow_schedule()


class PredictUser(User):
    """Sends predict requests, one after the other. What is None here is filled by the ``--tfs-*`` option of that name.

    Without a ``@task`` of its own a subclass sends payloads made from the model's signature.
    """

    abstract = True
    protocol: ClassVar[str]
    own_host: ClassVar[str | None] = None
    """The host as the class has it: Locust puts that of ``--host`` in the place of ``host``."""

    model: str | None = None
    version: int | None = None
    version_label: str | None = None
    traffic: str | Traffic | None = None
    """Weights over several versions or labels, or over models and versions: ``"1:0.95,2:0.05"``,
    ``"model_{0..49}/{1..12}; zipf(s=1.1)"`` (:mod:`tfs_locust.load.traffic`)."""
    canary_ramp: str | Ramp | None = None
    """The share of the traffic that the lesser of two versions has over time: ``"1%:30s,10%:1m,100%"``."""
    signature: str | None = None
    rows: int | str | Rows | None = None
    """Rows (examples) in each request: a number, a mix as text, or :func:`~tfs_locust.rows`."""
    timeout_s: float | None = None
    """Deadline of each request."""
    payloads: int | None = None
    """Distinct payloads in the pool."""
    payload: Any = None
    """Where they come from: the name of a file, a function of rows and a random generator, or an iterable of inputs by
    name (:func:`~tfs_locust.load.sources.open_source`). They are made from the signature where nothing is said."""
    arrival: str | Arrival | None = None
    """When requests are due: ``closed`` (one after the other), or a schedule, such as ``poisson(rate=50)`` for 50 a
    second of each user (:mod:`tfs_locust.load.arrival`)."""
    max_in_flight: int | None = None
    """Requests that a user with a schedule has in flight at most."""
    slo: str | Sequence[str] | None = None
    """Objectives for this class's requests, beside those of ``--tfs-slo``."""
    against: type[PredictUser] | None = None
    """Another class, ``abstract``, to compare with: every payload is sent as this class does and as that one does, one
    after the other (:meth:`predict_both`). Both need a ``host`` of their own; else what it leaves open is as here."""
    expect: Mapping[str, Any] | None = None
    """By output name what answers must be: an :class:`~tfs_locust.Expected`, or golden values."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = [task for task in cls.tasks if task is not _predict]
        cls.tasks = own or [_predict]
        cls.own_host = cls.host

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._killed = False
        self._measurement = measurement.measurement_of(environment)
        self._scenario: Scenario | None = wiring.scenario_of(environment, type(self))
        self.lane: Lane | None = None
        self._due_ns: dict[Any, int] = {}
        """Greenlet -> when its task was due, until it sends."""
        if self._scenario is not None and self._scenario.arrival.is_open:
            self.tasks = [_follow_schedule]

    def stop(self, force: bool = False) -> bool:
        """Locust's, but a user that is killed while it waits sends nothing more.

        Locust kills users that wait between tasks, and gevent does so a turn of its loop later: a user whose wait is
        over in that turn would send a request and be killed with it in flight.
        """
        self._killed = not force and self._state in {None, LOCUST_STATE_WAITING}
        if self.lane is not None and not force:
            self.lane.stop()
        return bool(super().stop(force))

    def follow_schedule(self) -> None:
        """Send what is due until stopped, and return when all of it was answered."""
        open_loop = self._measurement.open_loop
        if open_loop is None or self._scenario is None:  # Locust used as a library, without its events
            raise StopUser
        open_loop.run(self, self._scenario)
        raise StopUser  # also where one of its tasks has said so

    def send_due(self, due_ns: int) -> None:
        """One task of a schedule: its first request was due at this time of ``time.perf_counter_ns``."""
        task = random.choice(type(self).tasks)
        if task is _predict and type(self).against is not None:
            self.predict_both(due_ns=due_ns)
            return
        if task is _predict and type(self).predict is PredictUser.predict:
            self.predict(due_ns=due_ns)
            return
        me = getcurrent()
        self._due_ns[me] = due_ns
        try:
            if task is _predict:  # once, by a `predict` that need not know of due times
                self.predict()
            else:
                task(self)  # type: ignore[operator]  # no TaskSet is let through
        finally:
            self._due_ns.pop(me, None)

    def predict(self, inputs: Inputs | bytes | None = None, *, due_ns: int | None = None) -> Prediction:
        """Send one request, report it to Locust, and say how it ended.

        ``due_ns`` (of ``time.perf_counter_ns``) is when a schedule of your own wanted it sent: response time runs from
        there. Without it a request is due now.

        ``inputs`` are arrays by input name, or a body that is encoded already; without them the next payload of the
        pool is sent. Encoding happens before the clock starts, decoding only when outputs are asked for. A failed
        request does not raise. Raises codec.CodecError for inputs that do not fit the signature.
        """
        scenario = self._scenario
        if scenario is None or self._killed:  # not prepared, which has been reported; or about to end
            raise StopUser
        if scenario.turns is not None:
            scenario = next(scenario.turns)
        return self._send(scenario, next(scenario.pool) if inputs is None else scenario.prepare(inputs), due_ns)

    def predict_both(self, inputs: Inputs | None = None, *, due_ns: int | None = None) -> tuple[Prediction, Prediction]:
        """Send the same inputs as this class does and as the class it is ``against`` does, one after the other.

        Says how each ended, this class's first; by turns it is also sent first. The second is due when the first has
        ended, whether well or not. Else as :meth:`predict`, and both count as requests do; if both end well, their
        service times are compared besides. Raises TypeError where there is nothing to compare with.
        """
        scenario = self._scenario
        if scenario is None or self._killed:
            raise StopUser
        pairing = scenario.pairing
        if pairing is None:
            raise TypeError(f"{type(self).__name__} is not compared with anything: set its `against`")
        ways = (scenario, pairing.other)
        ready = next(pairing.requests) if inputs is None else tuple(way.prepare(inputs) for way in ways)
        first, second = (0, 1) if next(pairing.own_first) else (1, 0)
        recorder = self._measurement.recorder
        ended = {first: self._send(ways[first], ready[first], due_ns)}
        phase = None if recorder is None else recorder.tally.phase_of_second(ended[first].sample)
        ended[second] = self._send(ways[second], ready[second], None, phase)
        if recorder is not None:
            recorder.tally.record_pair(pairing.key, ended[0].sample, ended[1].sample)
        return ended[0], ended[1]

    def _send(self, scenario: Scenario, ready: Ready, due_ns: int | None, phase: str | None = None) -> Prediction:
        """Send a prepared request, count it and report it; in ``phase``, or else in the one that the time says."""
        request, rows, request_bytes = ready
        recorder = self._measurement.recorder
        if recorder is not None:
            recorder.tally.started += 1
        called_ns = time.perf_counter_ns()
        if due_ns is None:
            due_ns = self._due_ns.pop(getcurrent(), called_ns) if self._due_ns else called_ns
        reply, key = scenario.examine(scenario.transport.call(request, scenario.timeout_s))
        sample = _sample((key, due_ns, reply.sent_ns, reply.end_ns, rows, request_bytes, len(reply.body)))
        prediction = Prediction(scenario, reply, sample)
        if recorder is not None:
            told = recorder.tells_locust()
            recorder.tally.record(sample, phase, lag_ns=called_ns - due_ns)
            if told and reply.outcome is Outcome.OK:
                return prediction
        self.environment.events.request.fire(
            request_type=scenario.protocol,
            name=scenario.request_name,
            response_time=(reply.end_ns - reply.sent_ns) / 1e6,
            response_length=len(reply.body),
            response=prediction,
            exception=None if reply.outcome is Outcome.OK else PredictError(reply.outcome, reply.detail),
            context={
                **self.context(),
                "rows": rows,
                "outcome": key.outcome.value,
                "version": key.version,
                "due_ns": due_ns,
                "sent_ns": reply.sent_ns,
                "end_ns": reply.end_ns,
            },
        )
        return prediction


class GrpcPredictUser(PredictUser):
    """Calls PredictionService/Predict. ``host`` is ``grpc://HOST:PORT`` or, with TLS, ``grpcs://HOST:PORT``."""

    abstract = True
    protocol = "grpc"


class RestPredictUser(PredictUser):
    """Calls ``:predict`` over HTTP. ``host`` is ``http://HOST:PORT`` or ``https://HOST:PORT``."""

    abstract = True
    protocol = "rest"
