"""Status and metadata answers, whole texts as recorded."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tfs_locust.embedded.proto_json import metadata_text, status_text
from tfs_locust.embedded.status import ServingError
from tfs_locust.tfserving.protos import get_model_metadata_pb2, get_model_status_pb2, types_pb2

RECORDED = {
    case["id"]: base64.b64decode(case["response_b64"]).decode("latin-1")
    for case in map(
        json.loads, (Path(__file__).parents[1] / "data" / "transcripts" / "rest.jsonl").read_text().splitlines()
    )
}


def dense_metadata() -> get_model_metadata_pb2.GetModelMetadataResponse:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    nothing = signatures.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"]
    nothing.name = "NoOp"
    nothing.tensor_shape.unknown_rank = True
    serving = signatures.signature_def["serving_default"]
    serving.method_name = "tensorflow/serving/predict"
    for info, name, width in (
        (serving.inputs["input"], "serving_default_input:0", 10),
        (serving.outputs["output"], "StatefulPartitionedCall:0", 1),
    ):
        info.name = name
        info.dtype = types_pb2.DT_FLOAT
        info.tensor_shape.dim.add().size = -1
        info.tensor_shape.dim.add().size = width
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = "dense"
    response.model_spec.version.value = 1
    response.metadata["signature_def"].Pack(signatures)
    return response


def test_metadata_is_the_recorded_text() -> None:
    """Fields by number, absent ones where they have no presence, two messages glued together."""
    assert metadata_text(dense_metadata()) == RECORDED["rest-019"]


def test_status_is_the_recorded_text() -> None:
    """Versions are strings, an empty status is spelt out."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in (2, 1):
        entry = response.model_version_status.add(version=version)
        entry.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        entry.status.SetInParent()
    assert status_text(response) == RECORDED["rest-023"]


def test_an_error_in_a_status_is_escaped_as_cpp_escapes_it() -> None:
    """Angle brackets by number, letters beyond ASCII as they are."""
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=3).status.error_message = 'no <file> "é"'
    assert '"error_message": "no \\u003cfile\\u003e \\"é\\""' in status_text(response)


def test_metadata_without_signatures_is_an_internal_error() -> None:
    """As in http_rest_api_util.cc."""
    with pytest.raises(ServingError, match=r"^Failed to find 'signature_def' key"):
        metadata_text(get_model_metadata_pb2.GetModelMetadataResponse())
