"""A target that does not exist is told with what does."""

from __future__ import annotations

import json

import pytest

from tests.unit.metadata import grpc_metadata, rest_metadata, signature_def
from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.control import (
    METRICS_PATH,
    Ask,
    CallFailed,
    GrpcControl,
    RestControl,
    TargetError,
    resolve,
)
from tfs_locust.tfserving.protos import GET_MODEL_METADATA, GET_MODEL_STATUS, get_model_status_pb2
from tfs_locust.tfserving.target import Target

SIGNATURES = {"serving_default": signature_def({"x": ("float", (-1,))}, {"y": ("float", (-1,))})}
STATES = [(1, 30, ""), (2, 20, ""), (3, 50, "no such file")]


def _status() -> bytes:
    answer = get_model_status_pb2.GetModelStatusResponse()
    for version, state, error in STATES:
        answer.model_version_status.add(version=version, state=state).status.error_message = error
    return bytes(answer.SerializeToString())


def _ask(answers: dict[str, bytes | CallFailed]) -> Ask:
    def ask(path: str, _: bytes | None) -> bytes:
        answer = answers.get(path, CallFailed(Outcome.NOT_FOUND, f"nothing at {path}"))
        if isinstance(answer, CallFailed):
            raise answer
        return answer

    return ask


def test_a_target_resolves_over_both_interfaces() -> None:
    """The signature of the version that answers comes back."""
    over_grpc = resolve(GrpcControl(_ask({GET_MODEL_METADATA: grpc_metadata(SIGNATURES)})), Target("m"))
    over_rest = resolve(RestControl(_ask({"/v1/models/m/metadata": rest_metadata(SIGNATURES)})), Target("m"))
    assert over_grpc == over_rest
    assert over_grpc.version == 3


def test_states_are_listed_newest_first() -> None:
    """Versions come with the server's own words, an error among them, over gRPC and REST."""
    rows = [
        {"version": str(v), "state": s, "status": {"error_code": "OK", "error_message": e}}
        for v, s, e in ((1, "AVAILABLE", ""), (2, "LOADING", ""), (3, "END", "no such file"))
    ]
    rest = RestControl(_ask({"/v1/models/m": json.dumps({"model_version_status": rows}).encode()}))
    grpc = GrpcControl(_ask({GET_MODEL_STATUS: _status()}))
    assert rest.status("m") == grpc.status("m")
    assert [str(row) for row in grpc.status("m")] == ["3 (END: no such file)", "2 (LOADING)", "1 (AVAILABLE)"]


NOT_FOUND = CallFailed(Outcome.NOT_FOUND, "Servable not found for request: Latest(m)")
BAD_LABEL = CallFailed(Outcome.INVALID_ARGUMENT, "Unrecognized servable version label: canary")
VERSIONS = "3 (END: no such file), 2 (LOADING), 1 (AVAILABLE)"

NO_LABEL = (
    "model 'm' has no version label 'canary' (the server's model config sets them); its versions are: "
    f"{VERSIONS}; choose with --tfs-version-label or --tfs-version"
)


@pytest.mark.parametrize(
    ("target", "failure", "text"),
    [
        (
            Target("m", version=9),
            NOT_FOUND,
            f"model 'm' has no version 9; it has: {VERSIONS}; choose one with --tfs-version",
        ),
        (
            Target("m", version=2),
            NOT_FOUND,
            f"model 'm' version 2 is not AVAILABLE; its versions are: {VERSIONS}; wait until one is, or choose another",
        ),
        (
            Target("m"),
            NOT_FOUND,
            f"model 'm' is not AVAILABLE; its versions are: {VERSIONS}; wait until one is, or choose another",
        ),
        (
            Target("m", label="canary"),
            BAD_LABEL,
            NO_LABEL,
        ),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(target: Target, failure: CallFailed, text: str) -> None:
    """Unknown version, version not loaded, no version loaded, unknown label: each with the versions there are."""
    control = GrpcControl(_ask({GET_MODEL_METADATA: failure, GET_MODEL_STATUS: _status()}))
    with pytest.raises(TargetError) as caught:
        resolve(control, target)
    assert str(caught.value) == text


def test_an_unknown_model_is_told_with_the_models_that_the_metrics_name() -> None:
    """REST's metrics page shows which models were loaded; gRPC has nothing like it, which is said."""
    page = b':tensorflow:cc:saved_model:load_attempt_count{model_path="/models/dense/1",status="success"} 1\n'
    with pytest.raises(TargetError, match="model 'm' is not known to the server; it serves: dense; choose one"):
        resolve(RestControl(_ask({METRICS_PATH: page})), Target("m"))
    with pytest.raises(TargetError, match="does not list the names it serves"):
        resolve(GrpcControl(_ask({})), Target("m"))


def test_an_unknown_signature_is_told_with_those_that_exist() -> None:
    """The option to choose one with is named."""
    control = GrpcControl(_ask({GET_MODEL_METADATA: grpc_metadata(SIGNATURES)}))
    with pytest.raises(TargetError, match="no signature 'x'; it has: serving_default; choose one with --tfs-signature"):
        resolve(control, Target("m", signature="x"))


def test_something_else_behind_the_port_is_told() -> None:
    """A page that is no metadata, and bytes that are no message, are not TensorFlow Serving's."""
    for control in (
        RestControl(_ask({"/v1/models/m/metadata": b"<html>"})),
        RestControl(_ask({"/v1/models/m/metadata": b"[]"})),
        GrpcControl(_ask({GET_MODEL_METADATA: b"\xff\xff"})),
    ):
        with pytest.raises(TargetError, match="is not TensorFlow Serving"):
            resolve(control, Target("m"))


def test_a_server_that_cannot_be_asked_is_not_a_wrong_target() -> None:
    """An unreachable server raises what happened, not a TargetError."""
    control = GrpcControl(_ask({GET_MODEL_METADATA: CallFailed(Outcome.UNREACHABLE, "refused")}))
    with pytest.raises(CallFailed) as caught:
        resolve(control, Target("m"))
    assert caught.value.outcome is Outcome.UNREACHABLE
