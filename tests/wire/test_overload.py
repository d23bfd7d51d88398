"""A server that has enough: its refusals are told apart, and what it did not refuse it has counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest

from tests.embedded.conftest import RunningServer
from tests.wire.conftest import Connect
from tests.wire.engines import LONG_S, Engine, wait_until
from tests.wire.playing import outcome, playing
from tests.wire.serving import counts, encoded, port_of, request_counts, signature_of
from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.protos import GET_MODEL_STATUS, PREDICT, get_model_status_pb2, predict_pb2
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.base import Reply

_ROWS = {"x": np.ones(2, np.float32)}
_THREADS = 63

Send = Callable[[], Reply]
Prepare = Callable[[RunningServer, str], Send]


@pytest.fixture
def prepare(engine: Engine, connect: Connect) -> Prepare:
    """A call of a model, ready to be sent: to ask for its signature would need what the tests take away."""

    def prepare(server: RunningServer, model: str) -> Send:
        transport = connect(port_of(engine, server))
        signature = signature_of((engine, transport), Target(model))
        request = transport.prepare(*encoded(engine, Target(model), signature, _ROWS))
        return partial(transport.call, request, LONG_S)

    return prepare


class _Occupant:
    """Calls by a client of its own, to keep the server busy."""

    def __init__(self, channel: grpc.Channel, model: str) -> None:
        self._call = channel.unary_unary(PREDICT)
        self._request = predict_pb2.PredictRequest(model_spec={"name": model})
        self._request.inputs["x"].dtype = 1
        self._request.inputs["x"].tensor_shape.dim.add(size=2)
        self.waiting: list[Any] = []

    def send(self) -> Any:
        """One more call; returns its future."""
        self.waiting.append(self._call.future(self._request.SerializeToString(), timeout=LONG_S))
        return self.waiting[-1]

    def keep(self, calls: int) -> None:
        """Send as many more as it takes to have so many under way."""
        for _ in range(calls - sum(not future.done() for future in self.waiting)):
            self.send()


@contextmanager
def _occupied(server: RunningServer, model: str) -> Iterator[_Occupant]:
    """Leaves when all that was sent is answered."""
    with grpc.insecure_channel(server.grpc_address) as channel:
        occupant = _Occupant(channel, model)
        yield occupant
        for future in occupant.waiting:
            future.exception(timeout=LONG_S)


def _refuses_status(server: RunningServer) -> bool:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "echo"}).SerializeToString()
    with grpc.insecure_channel(server.grpc_address) as channel:
        future = channel.unary_unary(GET_MODEL_STATUS).future(request, timeout=LONG_S)
        error = future.exception(timeout=LONG_S)
        return error is not None and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def _tasks_begun(server: RunningServer) -> int:
    return sum(counts(server, ":tensorflow:serving:batching_session:queuing_latency_count").values())


def _occupy_batch_thread(server: RunningServer, occupant: _Occupant) -> None:
    """Wait until a batch is being executed, by the only thread."""
    before = _tasks_begun(server)
    occupant.send()
    wait_until(lambda: _tasks_begun(server) > before)


def test_server_threads(prepare: Prepare, engine: Engine, server: RunningServer) -> None:
    """With all threads at work a call over gRPC is refused at once; REST has threads of its own."""
    send = prepare(server, "echo")
    with _occupied(server, "slow") as occupant:
        replies: list[Reply] = []

        def is_refused() -> bool:
            occupant.keep(_THREADS)  # on a slow machine the first are done before the last have come
            if engine.protocol == "rest":
                return _refuses_status(server)
            replies.append(send())
            return replies[-1].outcome is not Outcome.OK

        wait_until(is_refused)
        if engine.protocol == "rest":
            assert send().outcome is Outcome.OK
        else:
            assert replies[-1][2:] == (Outcome.SERVER_THREADS_EXHAUSTED, b"", "Server Threadpool Exhausted")


def test_full_queue(prepare: Prepare, server: RunningServer) -> None:
    """With one batch executing and one waiting the next is refused at once."""
    send = prepare(server, "queue")
    with _occupied(server, "queue") as occupant:
        _occupy_batch_thread(server, occupant)
        rivals = [occupant.send(), occupant.send()]  # one waits, the other is refused
        wait_until(lambda: any(rival.done() for rival in rivals))
        reply = send()
    assert (reply.outcome, reply.body) == (Outcome.BATCH_QUEUE_FULL, b"")


def test_time_in_the_queue(prepare: Prepare, engine: Engine, server: RunningServer) -> None:
    """A call whose time is over when its batch begins; over gRPC its caller has given it up before."""
    send = prepare(server, "queue")
    if engine.protocol == "rest":
        with _occupied(server, "queue") as occupant:
            _occupy_batch_thread(server, occupant)
            reply = send()
        assert (reply.outcome, reply.body) == (Outcome.BATCH_QUEUE_TIMEOUT, b"")


def test_servers_own_deadline(prepare: Prepare, engine: Engine, server: RunningServer) -> None:
    """A model that takes longer than REST's timeout allows; gRPC has none but the caller's."""
    reply = prepare(server, "slow")()
    assert reply.outcome is (Outcome.OK if engine.protocol == "grpc" else Outcome.DEADLINE_EXCEEDED)


def test_conservation(engine_name: str, engine: Engine, connect: Connect, server: RunningServer) -> None:
    """What was not refused for want of a thread has been counted, each call once."""
    port = port_of(engine, server)
    signature = signature_of((engine, connect(port)), Target("echo"))
    request = encoded(engine, Target("echo"), signature, _ROWS)
    before = request_counts(server, "echo")
    with playing("together", engine_name, port, [request] * 300, at_once=150) as process:
        outcomes = Counter(reply["outcome"] for reply in outcome(process)["replies"])
    assert request_counts(server, "echo") - before == {"OK": outcomes["ok"]}
    assert outcomes["ok"] + outcomes["server_threads_exhausted"] == 300
    assert engine.protocol == "grpc" or outcomes["ok"] == 300
