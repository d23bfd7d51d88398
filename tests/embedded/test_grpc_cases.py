"""More requests than were recorded, with the answers the real server's code gives, over a real connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import text_format

from tfs_locust.embedded.tensor import tensor_from_proto
from tfs_locust.tfserving import protos

_REQUESTS: dict[str, tuple[str, Any, Any]] = {
    "Predict": ("Prediction", protos.predict_pb2.PredictRequest, protos.predict_pb2.PredictResponse),
    "Classify": (
        "Prediction",
        protos.classification_pb2.ClassificationRequest,
        protos.classification_pb2.ClassificationResponse,
    ),
    "Regress": ("Prediction", protos.regression_pb2.RegressionRequest, protos.regression_pb2.RegressionResponse),
    "MultiInference": (
        "Prediction",
        protos.inference_pb2.MultiInferenceRequest,
        protos.inference_pb2.MultiInferenceResponse,
    ),
    "GetModelMetadata": (
        "Prediction",
        protos.get_model_metadata_pb2.GetModelMetadataRequest,
        protos.get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    "GetModelStatus": (
        "Model",
        protos.get_model_status_pb2.GetModelStatusRequest,
        protos.get_model_status_pb2.GetModelStatusResponse,
    ),
    "HandleReloadConfigRequest": (
        "Model",
        protos.model_management_pb2.ReloadConfigRequest,
        protos.model_management_pb2.ReloadConfigResponse,
    ),
}
Ask = Callable[[str, str], Any]


@pytest.fixture
def ask(transcript_server: SimpleNamespace) -> Iterator[Ask]:
    """Send a request written in text format; returns the response."""
    with grpc.insecure_channel(transcript_server.grpc_address) as channel:

        def send(method: str, text: str) -> Any:
            service, request, response = _REQUESTS[method]
            call = channel.unary_unary(f"/tensorflow.serving.{service}Service/{method}")
            return response.FromString(call(text_format.Parse(text, request()).SerializeToString(), timeout=30))

        yield send


def _x(*shape: int, dtype: str = "DT_FLOAT", values: str = "") -> str:
    dims = " ".join(f"dim {{ size: {size} }}" for size in shape)
    return f"{{ dtype: {dtype} tensor_shape {{ {dims} }} {values} }}"


def _predict(model: str, *inputs: str, rest: str = "", spec: str = "") -> str:
    given = " ".join(inputs)
    return f'model_spec {{ name: "{model}" {spec} }} {given} {rest}'


def _input(alias: str, tensor: str) -> str:
    return f'inputs {{ key: "{alias}" value {tensor} }}'


_DENSE = _input("input", _x(1, 10))
_MULTI = (
    _input("a", _x(2, 2, values="float_val: 1 float_val: 2 float_val: 3 float_val: 4")),
    _input("b", _x(2, dtype="DT_INT64", values="int64_val: 3 int64_val: -4")),
    _input("s", _x(2, dtype="DT_STRING", values='string_val: "hi" string_val: "\\377"')),
)
_HALF = _input("x", _x(3, values="float_val: 1 float_val: 2 float_val: 5"))
_NODE = "\n\t [[{{node StatefulPartitionedCall/StatefulPartitionedCall/Relu}}]]"


@pytest.mark.parametrize(
    ("request_", "outputs", "version", "signature"),
    [
        (_predict("half_plus_two", _HALF), {"y": [2.5, 3, 4.5]}, 1, "serving_default"),
        (_predict("half_plus_two", _input("x", _x(3, values="float_val: 4"))), {"y": [4] * 3}, 1, "serving_default"),
        (_predict("half_plus_two", _input("x", _x(2))), {"y": [2, 2]}, 1, "serving_default"),
        (
            _predict("half_plus_two", _HALF, spec='signature_name: "serving_default"'),
            {"y": [2.5, 3, 4.5]},
            1,
            "serving_default",
        ),
        (
            _predict("multi", *_MULTI, rest='output_filter: "echo" output_filter: "b2"'),
            {"b2": [6, -8], "echo": [b"hi", b"\xff"]},
            1,
            "serving_default",
        ),
        (
            _predict(
                "multi", _input("x", _x(1, 3, values="float_val: 1 float_val: 2")), spec='signature_name: "other"'
            ),
            {"z": [[2, 4, 4]], "mx": [2]},
            1,
            "other",
        ),
    ],
)
def test_predict(request_: str, outputs: dict[str, Any], version: int, signature: str, ask: Ask) -> None:
    """Outputs, version and signature are answered; values are repeated and zeros filled in."""
    response = ask("Predict", request_)
    assert {alias: tensor_from_proto(proto).tolist() for alias, proto in response.outputs.items()} == outputs
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (version, signature)


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("", 2),
        ("version { value: 1 }", 1),
        ("version { value: 2 }", 2),
        ('version_label: "stable"', 1),
        ('version_label: "canary"', 2),
    ],
)
def test_version_served(spec: str, version: int, ask: Ask) -> None:
    """Pinned, labelled and latest versions differ by exactly 1.0 in what they answer."""
    response = ask("Predict", _predict("dense", _DENSE, spec=spec))
    first = ask("Predict", _predict("dense", _DENSE, spec="version { value: 1 }"))
    assert response.model_spec.version.value == version
    difference = response.outputs["output"].float_val[0] - first.outputs["output"].float_val[0]
    assert difference == pytest.approx(version - 1, abs=1e-6)


def test_a_full_batch(ask: Ask) -> None:
    """As many rows as max_batch_size, and 3 that are padded to 4, come back as sent."""
    for rows in (32, 3):
        response = ask("Predict", _predict("half_plus_two", _input("x", _x(rows))))
        assert list(response.outputs["y"].float_val) == [2.0] * rows


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [
        ("Predict", "", "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("Predict", "model_spec {}", "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ("Predict", _predict("nope"), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (
            "Predict",
            _predict("dense", spec="version { value: 99 }"),
            "NOT_FOUND",
            "Servable not found for request: Specific(dense, 99)",
        ),
        (
            "Predict",
            _predict("dense", _DENSE, spec='signature_name: "nope"'),
            "FAILED_PRECONDITION",
            'Serving signature key "nope" not found.',
        ),
        (
            "Predict",
            _predict("dense"),
            "INVALID_ARGUMENT",
            (
                "input size does not match signature: 0!=1 len({}) != len({input}). Sent extra: {}. Missing but "
                "required: {input}."
            ),
        ),
        (
            "Predict",
            _predict("multi", *_MULTI[:2]),
            "INVALID_ARGUMENT",
            (
                "input size does not match signature: 2!=3 len({a,b}) != len({a,b,s}). Sent extra: {}. Missing but "
                "required: {s}."
            ),
        ),
        (
            "Predict",
            _predict("dense", _DENSE, rest='output_filter: "output" output_filter: "output"'),
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: output",
        ),
        (
            "Predict",
            _predict("dense", _DENSE, rest='output_filter: ""'),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature:  Outputs expected to be in the set {output}.",
        ),
        (
            "Predict",
            _predict("dense", _input("input", "{}")),
            "INVALID_ARGUMENT",
            "tensor parsing error: input",
        ),
        (
            "Predict",
            _predict("dense", _input("input", _x(1, 10, values='tensor_content: "abc"'))),
            "INVALID_ARGUMENT",
            "tensor parsing error: input",
        ),
        (
            "Predict",
            _predict("dense", _input("input", _x())),
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            "Predict",
            _predict("dense", _input("input", _x(1, 10, dtype="DT_INT32"))),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int32 is provided",
        ),
        (
            "Predict",
            _predict("dense", _input("input", _x(1, 10, dtype="DT_BFLOAT16"))),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but bfloat16 is provided",
        ),
        (
            "Predict",
            _predict("multi", _MULTI[0], _input("b", _x(2, dtype="DT_INT32")), _MULTI[2]),
            "INVALID_ARGUMENT",
            "Expects arg[1] to be int64 but int32 is provided",
        ),
        (
            "Predict",
            _predict("dense", _input("input", _x(1, 9))),
            "INVALID_ARGUMENT",
            "Matrix size-incompatible: In[0]: [1,9], In[1]: [10,64]" + _NODE,
        ),
        ("Predict", _predict("dense", _input("input", _x(1))), "INVALID_ARGUMENT", "In[0] is not a matrix" + _NODE),
        (
            "Predict",
            _predict("half_plus_two", _input("x", _x(33))),
            "INVALID_ARGUMENT",
            "Task size 33 is larger than maximum input batch size 32",
        ),
        (
            "Predict",
            _predict("dense", spec='signature_name: "__saved_model_init_op"'),
            "INVALID_ARGUMENT",
            "Batching Run() must have at least one input tensor",
        ),
        ("Classify", "", "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("Classify", _predict("nope"), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (
            "Classify",
            _predict("dense", spec='signature_name: "nope"'),
            "INVALID_ARGUMENT",
            "No signature was found with the name: nope",
        ),
        ("Classify", _predict("multi"), "INVALID_ARGUMENT", "Expected one input Tensor."),
        ("Regress", _predict("multi"), "INVALID_ARGUMENT", "Expected one input Tensor."),
        (
            "Regress",
            _predict("multi", spec='signature_name: "other"'),
            "INVALID_ARGUMENT",
            "Expected one output Tensor.",
        ),
        (
            "Classify",
            _predict("half_plus_two"),
            "INVALID_ARGUMENT",
            (
                "No classification inputs found in SignatureDef: "
                'inputs {\n  key: "x"\n  value {\n    name: "serving_default_x:0"\n    dtype: DT_FLOAT\n'
                "    tensor_shape {\n      dim {\n        size: -1\n      }\n    }\n  }\n}\n"
                'outputs {\n  key: "y"\n  value {\n    name: "StatefulPartitionedCall:0"\n    dtype: DT_FLOAT\n'
                "    tensor_shape {\n      dim {\n        size: -1\n      }\n    }\n  }\n}\n"
                'method_name: "tensorflow/serving/predict"\n'
            ),
        ),
        ("MultiInference", "", "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            "MultiInference",
            'tasks { model_spec { name: "dense" } method_name: "tensorflow/serving/predict" }',
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            "MultiInference",
            'tasks { model_spec { name: "multi" } method_name: "tensorflow/serving/regress" }',
            "INVALID_ARGUMENT",
            "Expected one input Tensor.",
        ),
        ("GetModelMetadata", "", "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            "GetModelMetadata",
            'model_spec { name: "dense" } metadata_field: "weights"',
            "INVALID_ARGUMENT",
            "Metadata field weights is not supported",
        ),
        ("GetModelStatus", "", "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            "HandleReloadConfigRequest",
            "",
            "INVALID_ARGUMENT",
            (
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            ),
        ),
        (
            "HandleReloadConfigRequest",
            'config { model_config_list { config { name: "m" base_path: "m" model_platform: "tensorflow" } } }',
            "INVALID_ARGUMENT",
            "Expected model m to have an absolute path or URI; got base_path()=m",
        ),
    ],
)
def test_refusals(method: str, request_: str, code: str, text: str, ask: Ask) -> None:
    """Each mistake has the server's code and text."""
    with pytest.raises(grpc.RpcError) as error:
        ask(method, request_)
    assert (error.value.code().name, error.value.details()) == (code, text)


def test_unknown_rank_is_taken_for_a_scalar(ask: Ask) -> None:
    """A shape of unknown rank parses as one without dimensions, which batching refuses."""
    tensor = "{ dtype: DT_FLOAT tensor_shape { unknown_rank: true } float_val: 1 }"
    with pytest.raises(grpc.RpcError) as error:
        ask("Predict", _predict("dense", _input("input", tensor)))
    assert error.value.details() == "Batching Run() input tensors must have at least one dimension"


def test_long_text_is_cut(ask: Ask) -> None:
    """A text of more than 1024 bytes ends in a mark."""
    with pytest.raises(grpc.RpcError) as error:
        ask("Classify", _predict("multi", spec='signature_name: "other"', rest=""))
    assert error.value.details().startswith("No classification inputs found in SignatureDef: inputs {")
    with pytest.raises(grpc.RpcError) as error:
        ask("Predict", _predict("x" * 2000))
    assert error.value.details() == ("Servable not found for request: Latest(" + "x" * 2000)[:1024] + "...TRUNCATED"


def test_metadata(ask: Ask) -> None:
    """All signatures come, the loader's own among them; a label is resolved to its version."""
    response = ask(
        "GetModelMetadata", 'model_spec { name: "dense" version_label: "stable" } metadata_field: "signature_def"'
    )
    signatures = protos.get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {"serving_default", "__saved_model_init_op"}
    assert signatures.signature_def["serving_default"].inputs["input"].name == "serving_default_input:0"
    assert response.model_spec == protos.model_pb2.ModelSpec(name="dense", version={"value": 1})


@pytest.mark.parametrize(
    ("spec", "versions"),
    [("", [2, 1]), ("version { value: 1 }", [1]), ('version_label: "stable"', [2, 1]), ('version_label: "x"', [2, 1])],
)
def test_status(spec: str, versions: list[int], ask: Ask) -> None:
    """Versions newest first, AVAILABLE and without error; labels make no difference."""
    response = ask("GetModelStatus", f'model_spec {{ name: "dense" {spec} }}')
    assert [(v.version, v.state, v.status.error_code) for v in response.model_version_status] == [
        (version, 30, 0) for version in versions
    ]
    assert all(v.HasField("status") for v in response.model_version_status)


def test_request_without_rows_waits_for_another(ask: Ask) -> None:
    """It is answered, with nothing, when its batch runs for someone else's sake."""
    with ThreadPoolExecutor(1) as pool:
        empty = pool.submit(ask, "Predict", _predict("half_plus_two", _input("x", _x(0)), rest='output_filter: "y"'))
        while not empty.done():  # the other's batch may have left before the empty one came
            ask("Predict", _predict("half_plus_two", _HALF, rest='output_filter: "y"'))
    assert tensor_from_proto(empty.result().outputs["y"]).shape == (0,)


def test_calls_that_share_batches_get_their_own_rows(ask: Ask) -> None:
    """A hundred calls at once, of 1 to 3 rows, each answered with half its values plus two."""

    def call(number: int) -> list[float]:
        values = " ".join(f"float_val: {number + row}" for row in range(number % 3 + 1))
        response = ask("Predict", _predict("half_plus_two", _input("x", _x(number % 3 + 1, values=values))))
        return list(response.outputs["y"].float_val)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(call, range(100)))
    expected = [[np.float32(number + row) / 2 + 2 for row in range(number % 3 + 1)] for number in range(100)]
    assert answers == expected
