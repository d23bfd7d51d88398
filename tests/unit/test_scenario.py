"""A reply is counted under the version that served it, and as a failure where it is not what was asked for."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tfs_locust.load.pool import Pool
from tfs_locust.load.sources import Source
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.swarm.scenario import Scenario
from tfs_locust.tfserving.expectation import Expected
from tfs_locust.tfserving.protos import predict_pb2
from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import dtype_of, encode_tensor
from tfs_locust.transport.base import Reply
from tfs_locust.transport.scripted import Scripted

SIGNATURE = Signature(
    "m", 1, "serving_default", "tensorflow/serving/predict", (), (TensorSpec("y", dtype_of(1), (None, 1)),)
)


def scenario(protocol: str = "grpc", version: int | None = None, **more: Any) -> Scenario:
    """One that asks for model m, or a version of it."""
    return Scenario(
        name="S",
        protocol=protocol,
        target=Target("m", version, None, "serving_default"),
        signature=SIGNATURE,
        transport=Scripted([]),
        path="",
        timeout_s=1.0,
        request_name="",
        pool=itertools.repeat((b"", 1, 0)),
        stock=Pool(Source("", lambda: iter(())), lambda payload: (payload.body, payload.rows, 0)),
        source="",
        assumed=[],
        **more,
    )


def answer(version: int | None, value: float = 1.0) -> Reply:
    """A good one over gRPC."""
    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(encode_tensor(np.array([[value]], np.float32), dtype_of(1)))
    if version is not None:
        response.model_spec.name = "m"
        response.model_spec.version.value = version
    return Reply(1, 2, Outcome.OK, response.SerializeToString(), "")


def test_versions_are_told_apart() -> None:
    """Whichever version answered before, an answer is counted under its own."""
    one = scenario()
    for version in (1, 1, 2, 1, 2, 2, 22, 2, None, 1, None):
        reply, key = one.examine(answer(version, value=float(version or 0)))
        assert reply.outcome is Outcome.OK
        assert key == Key("S", "grpc", "m", "" if version is None else str(version), Outcome.OK)


def test_a_version_that_was_not_asked_for() -> None:
    """An answer by another version than the one asked for has failed."""
    one = scenario(version=1)
    assert one.examine(answer(1))[1] == Key("S", "grpc", "m", "1", Outcome.OK)
    for _ in range(2):
        reply, key = one.examine(answer(2))
        assert (reply.outcome, reply.detail) == (Outcome.BAD_ANSWER, "version 2 answered where 1 was asked")
        assert key == Key("S", "grpc", "m", "1", Outcome.BAD_ANSWER)
    assert one.examine(answer(1))[0].outcome is Outcome.OK


@pytest.mark.parametrize(("version", "told"), [(None, ""), (3, "3")])
def test_rest_counts_under_what_was_asked(version: int | None, told: str) -> None:
    """Its answers name no version."""
    one = scenario("rest", version)
    for outcome in (Outcome.OK, Outcome.NOT_FOUND, Outcome.OK):
        reply = Reply(1, 2, outcome, b'{"predictions": [[1.0]]}' if outcome is Outcome.OK else b"", "")
        assert one.examine(reply) == (reply, Key("S", "rest", "m", told, outcome))


def test_every_answer_is_checked_where_all_are_to_be() -> None:
    """A fault in an answer makes it a failure that says what is wrong; failures are not looked at."""
    one = scenario(check_share=1.0, expected={"y": Expected([[1.0]])})
    assert one.examine(answer(1))[0].outcome is Outcome.OK
    reply, key = one.examine(answer(1, value=2.0))
    assert (reply.outcome, reply.detail) == (Outcome.BAD_ANSWER, "output 'y' differs from the expected values")
    assert key.outcome is Outcome.BAD_ANSWER
    reply, _ = one.examine(Reply(1, 2, Outcome.OK, b"\xff", ""))
    assert reply.detail.startswith("the answer is no readable PredictResponse")
    assert one.checked == 3
    failed = Reply(1, 2, Outcome.UNAVAILABLE, b"", "gone")
    assert one.examine(failed)[0] is failed
    assert one.checked == 3
    assert one.examine(answer(1))[0].outcome is Outcome.OK


def test_a_share_is_checked() -> None:
    """About as many as asked for, the same ones for the same seed; none where none are asked for."""
    one = scenario(check_share=0.1)
    for _ in range(2000):
        one.examine(answer(1))
    assert 140 <= one.checked <= 260
    none = scenario(check_share=0.0)
    none.examine(answer(1, value=2.0))
    assert none.checked == 0
