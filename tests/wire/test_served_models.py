"""Real models on the embedded server: what is sent arrives, what is refused is told apart, what is counted agrees."""

from __future__ import annotations

from collections import Counter
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.embedded.conftest import RunningServer
from tests.wire.conftest import Connect
from tests.wire.engines import LONG_S, SHORT_S, Engine
from tests.wire.playing import outcome, playing
from tests.wire.serving import Served, encoded, port_of, request_counts, signature_of
from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.protos import PREDICT
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.base import Reply


@pytest.fixture
def served(engine: Engine, connect: Connect, server: RunningServer) -> Served:
    """A transport to it."""
    return engine, connect(port_of(engine, server))


def _echoed(served: Served, target: Target, inputs: codec.Inputs) -> codec.Answer:
    engine, transport = served
    signature = signature_of(served, target)
    reply = transport.call(transport.prepare(*encoded(engine, target, signature, inputs)), LONG_S)
    assert (reply.outcome, reply.detail) == (Outcome.OK, "")
    answer = codec.decode_grpc(reply.body) if engine.protocol == "grpc" else codec.decode_rest(reply.body, signature)
    assert set(answer.outputs) == set(inputs)
    for name, array in inputs.items():
        assert answer.outputs[name].dtype == array.dtype
        np.testing.assert_array_equal(answer.outputs[name], array)
    return answer


def _strings(*values: bytes) -> Any:
    return np.array(values, dtype=np.object_)


_ARRAYS = {
    "float": np.array([0.1, -3.4e38, 1e-45, np.inf, np.nan], np.float32),
    "double": np.array([0.1, 1.7976931348623157e308, 5e-324, -np.inf, -0.0], np.float64),
    "half": np.array([0.1, 65504, -np.inf], np.float16),
    "bfloat16": np.array([0.1, 3e38, -1], ml_dtypes.bfloat16),
    "int8": np.array([-128, 127], np.int8),
    "int16": np.array([-32768, 32767], np.int16),
    "int32": np.array([-(2**31), 2**31 - 1], np.int32),
    "int64": np.array([-(2**63), 2**63 - 1], np.int64),
    "uint8": np.array([0, 255], np.uint8),
    "uint16": np.array([0, 65535], np.uint16),
    "uint32": np.array([0, 2**32 - 1], np.uint32),
    "uint64": np.array([0, 2**64 - 1], np.uint64),
    "bool": np.array([True, False, True]),
    "string": _strings(b"", b"two\nlines", "größe ☃".encode(), b'"\\', b"\xff\x00"),
}
_NOT_IN_JSON = {"half", "bfloat16", "uint16"}


@pytest.mark.parametrize("dtype", _ARRAYS)
def test_types(dtype: str, served: Served) -> None:
    """Every type's extremes come back as they went, from the newest version; REST's refusals come before sending."""
    inputs = {"x": _ARRAYS[dtype]}
    if served[0].protocol == "rest" and dtype in _NOT_IN_JSON:
        with pytest.raises(codec.CodecError, match=f"is {dtype}, which TensorFlow Serving's REST interface does not"):
            _echoed(served, Target("echo", signature=dtype), inputs)
        return
    answer = _echoed(served, Target("echo", signature=dtype), inputs)
    assert answer.version == (2 if served[0].protocol == "grpc" else None)


_SEVERAL = {
    "a": np.arange(6, dtype=np.float32).reshape(3, 2),
    "b": np.array([1, 2, 3]),
    "c": _strings(b"x", b"y", b"z"),
}


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("several", _SEVERAL),
        ("several", {name: array[:1] for name, array in _SEVERAL.items()}),
        ("columns", {"a": np.array([1, 2], np.float32), "b": np.array([3])}),
        ("one", {"x": np.array(1.5, np.float32)}),
        ("float", {"x": np.array([1.5], np.float32)}),
        ("float", {"x": np.array([], np.float32)}),
    ],
    ids=["rows", "one row", "columns", "scalar", "batch of one scalar", "no row"],
)
def test_forms(signature: str, inputs: codec.Inputs, served: Served) -> None:
    """Several inputs, batches of scalars, a scalar that is none, and no row at all, without batching."""
    _echoed(served, Target("echo", signature=signature), inputs)


@pytest.mark.parametrize("megabytes", [4, 16])
def test_sizes(megabytes: int, served: Served) -> None:
    """Payloads beyond the libraries' usual limits go out and come back: one long string."""
    text = bytes(range(32, 127)).replace(b'"', b"").replace(b"\\", b"") * (megabytes << 20 >> 6)
    assert len(text) > megabytes << 20
    _echoed(served, Target("echo", signature="string"), {"x": _strings(text)})


def test_many_numbers(served: Served) -> None:
    """16 MB of tensor content; less in JSON, which the embedded server reads in Python."""
    count = 1 << 22 if served[0].protocol == "grpc" else 1 << 16
    numbers = np.random.default_rng(1).random(count, np.float32)
    _echoed(served, Target("echo"), {"x": numbers})


@pytest.mark.parametrize(
    ("target", "version"),
    [
        (Target("echo"), 2),
        (Target("echo", 1), 1),
        (Target("echo", 2), 2),
        (Target("echo", label="stable"), 1),
        (Target("echo", label="canary"), 2),
    ],
    ids=str,
)
def test_versions(target: Target, version: int, served: Served) -> None:
    """The newest, a numbered and a labelled version answer; gRPC tells which it was."""
    answer = _echoed(served, target, {"x": np.ones(2, np.float32)})
    assert answer.version == (version if served[0].protocol == "grpc" else None)


_FLOATS = {"x": np.ones(2, np.float32)}
_REFUSED = {
    "unknown model": (Target("nobody"), "float", _FLOATS, Outcome.NOT_FOUND, Outcome.NOT_FOUND),
    "unknown version": (Target("echo", 9), "float", _FLOATS, Outcome.NOT_FOUND, Outcome.NOT_FOUND),
    "unknown label": (
        Target("echo", label="beta"),
        "float",
        _FLOATS,
        Outcome.INVALID_ARGUMENT,
        Outcome.INVALID_ARGUMENT,
    ),
    "unknown signature": (
        Target("echo", signature="nothing"),
        "float",
        _FLOATS,
        Outcome.FAILED_PRECONDITION,
        Outcome.INVALID_ARGUMENT,
    ),
    "wrong type": (
        Target("echo"),
        "string",
        {"x": _strings(b"a")},
        Outcome.INVALID_ARGUMENT,
        Outcome.INVALID_ARGUMENT,
    ),
    "wrong names": (Target("echo"), "several", _SEVERAL, Outcome.INVALID_ARGUMENT, Outcome.INVALID_ARGUMENT),
    "batch too large": (
        Target("queue"),
        "float",
        {"x": np.ones(3, np.float32)},
        Outcome.BATCH_TOO_LARGE,
        Outcome.BATCH_TOO_LARGE,
    ),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_refusals(case: str, served: Served) -> None:
    """What the server refuses has its Outcome, its words and no body; the next call is answered."""
    engine, transport = served
    target, written_for, inputs, over_grpc, over_rest = _REFUSED[case]
    signature = signature_of(served, Target("echo", signature=written_for))
    reply = transport.call(transport.prepare(*encoded(engine, target, signature, inputs)), LONG_S)
    assert reply.outcome is (over_grpc if engine.protocol == "grpc" else over_rest)
    assert reply.body == b""
    assert reply.detail
    _echoed(served, Target("echo"), _FLOATS)


_NO_REQUESTS = {
    "grpc": {
        (PREDICT, b"\xff\xff"): (Outcome.INTERNAL, ""),
        ("/tensorflow.serving.PredictionService/Nothing", b""): (Outcome.UNIMPLEMENTED, ""),
    },
    "rest": {
        ("/v1/models/echo:nothing", b"{}"): (
            Outcome.INVALID_ARGUMENT,
            "Malformed request: POST /v1/models/echo:nothing",
        ),
        ("/v1/models/echo:predict", b'{"signature_name": "half", "inputs": [1.0]}'): (
            Outcome.UNIMPLEMENTED,
            "Conversion of JSON Value: 1.0 to type: half",
        ),
        ("/nowhere", b"{}"): (Outcome.NOT_FOUND, "HTTP 404"),
    },
}


def test_what_is_no_request(served: Served) -> None:
    """Bytes that are no message, methods and paths that do not exist, a type that JSON does not have."""
    engine, transport = served
    for request, refusal in _NO_REQUESTS[engine.protocol].items():
        reply = transport.call(transport.prepare(*request), LONG_S)
        assert (reply.outcome, reply.detail) == refusal


def test_deadline(served: Served) -> None:
    """A model that takes longer than the call may ends it at its timeout, not when it is done."""
    engine, transport = served
    request = encoded(engine, Target("slow"), signature_of(served, Target("slow")), _FLOATS)
    reply: Reply = transport.call(transport.prepare(*request), SHORT_S)
    assert (reply.outcome, reply.body) == (Outcome.DEADLINE_EXCEEDED, b"")
    assert reply.end_ns - reply.sent_ns < 1.4e9  # it takes 1.5 s


def test_conservation(engine_name: str, served: Served, server: RunningServer) -> None:
    """Of 200 calls by 50 greenlets each is answered once and counted once, successes and failures apart."""
    engine, _ = served
    signature = signature_of(served, Target("echo"))
    ok, unknown, wrong = (
        encoded(engine, target, signature, _FLOATS)
        for target in (Target("echo"), Target("echo", 9), Target("echo", label="beta"))
    )
    before = request_counts(server, "echo")
    with playing("together", engine_name, port_of(engine, server), [ok, unknown, ok, wrong] * 50) as process:
        told = outcome(process)
    assert Counter(reply["outcome"] for reply in told["replies"]) == {
        "ok": 100,
        "not_found": 50,
        "invalid_argument": 50,
    }
    after = request_counts(server, "echo")
    assert after - before == {"OK": 100, "NOT_FOUND": 50, "INVALID_ARGUMENT": 50}
