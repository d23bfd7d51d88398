"""What is asked and answered in the bench."""

from __future__ import annotations

import json

import pytest

from bench import workload
from tfs_locust.tfserving import codec, signature
from tfs_locust.tfserving.protos import predict_pb2


def test_both_interfaces_tell_the_same_signature() -> None:
    """As TensorFlow Serving's do, so that our users make payloads from it."""
    name = signature.DEFAULT_SIGNATURE
    grpc, rest = (
        signature.from_grpc(workload.grpc_metadata(), name),
        signature.from_rest(workload.rest_metadata(), name),
    )
    assert grpc == rest
    assert [str(spec) for spec in grpc.inputs + grpc.outputs] == ["x: float [?, ?]", "y: float [?, 1]"]


def test_the_answers_can_be_read() -> None:
    """One row; over gRPC with the version."""
    model = signature.from_grpc(workload.grpc_metadata(), signature.DEFAULT_SIGNATURE)
    grpc = codec.decode_grpc(workload.grpc_answer())
    rest = codec.decode_rest(workload.REST_ANSWER.encode(), model)
    assert (grpc.outputs["y"].tolist(), grpc.version) == ([[0.5]], 1)
    assert rest.outputs["y"].tolist() == [[0.5]]


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_payloads_have_their_size(protocol: str) -> None:
    """10 floats, and 256 KiB to a twentieth."""
    assert len(workload.large(protocol).body) == pytest.approx(256 * 1024, rel=0.05)
    body = workload.small(protocol).body
    if protocol == "grpc":
        assert list(predict_pb2.PredictRequest.FromString(body).inputs["x"].tensor_shape.dim)[1].size == 10
    else:
        assert len(json.loads(body)["instances"][0]) == 10
