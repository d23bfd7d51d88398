"""Predict on a servable whose graph is a Python function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.predict import predict
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import tensor_from_proto, tensor_to_proto
from tfs_locust.tfserving import protos

_SIGNATURE = """
inputs { key: "a" value { name: "feed_a:0" dtype: DT_FLOAT } }
inputs { key: "b" value { name: "feed_b:0" dtype: DT_FLOAT } }
outputs { key: "sum" value { name: "sum:0" } }
outputs { key: "difference" value { name: "difference:0" } }
"""
_DEFAULT = 'defaults { key: "b" value { dtype: DT_FLOAT tensor_shape {} float_val: 10 } }'


def _run(feeds: Mapping[str, Any], fetches: Sequence[str], _: float | None) -> list[Any]:
    a, b = feeds["feed_a:0"], feeds["feed_b:0"]
    return [{"sum:0": a + b, "difference:0": a - b}[name] for name in fetches]


def _servable(extra: str = "") -> Servable:
    signature = text_format.Parse(_SIGNATURE + extra, protos.meta_graph_pb2.SignatureDef())
    return Servable("m", 7, {"serving_default": signature, "same": signature}, _run, lambda: None)


def _request(signature_name: str = "", output_filter: Sequence[str] = (), **inputs: Any) -> Any:
    request = protos.predict_pb2.PredictRequest(output_filter=output_filter)
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature_name
    for alias, value in inputs.items():
        tensor_to_proto(np.array(value, np.float32), request.inputs[alias])
    return request


def _outputs(response: Any) -> dict[str, Any]:
    return {alias: tensor_from_proto(proto).tolist() for alias, proto in response.outputs.items()}


def test_all_outputs() -> None:
    """Without a filter all outputs come, by alias, with what was served."""
    response = predict(_servable(), _request(a=[1, 2], b=[3, 4]), None, Metrics())
    assert _outputs(response) == {"sum": [4, 6], "difference": [-2, -2]}
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 7, "serving_default")


def test_named_signature_is_echoed() -> None:
    """The signature asked for is the one that is run."""
    response = predict(_servable(), _request("same", a=[1], b=[2]), None, Metrics())
    assert response.model_spec.signature_name == "same"


def test_output_filter() -> None:
    """Only the outputs asked for are computed and answered."""
    response = predict(_servable(), _request(output_filter=["sum"], a=[1], b=[2]), None, Metrics())
    assert _outputs(response) == {"sum": [3]}


def test_default_of_the_signature() -> None:
    """An input left out takes the signature's default, where there is one."""
    response = predict(_servable(_DEFAULT), _request(output_filter=["sum"], a=[1]), None, Metrics())
    assert _outputs(response) == {"sum": [11]}


def test_tensor_content() -> None:
    """On request values come as one buffer."""
    response = predict(_servable(), _request(a=[1], b=[2]), None, Metrics(), as_content=True)
    assert response.outputs["sum"].tensor_content == np.float32(3).tobytes()
    assert not response.outputs["sum"].float_val


def test_runtime_is_measured_only_when_it_succeeds() -> None:
    """The session's time is recorded under the name asked for."""
    metrics = Metrics()
    predict(_servable(), _request(a=[1], b=[2]), None, metrics)
    series = ':tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="TF1"} 1'
    assert series in metrics.page().splitlines()


@pytest.mark.parametrize(
    ("request_", "extra", "code", "text"),
    [
        (_request("nope"), "", Code.FAILED_PRECONDITION, 'Serving signature key "nope" not found.'),
        (
            _request(),
            "",
            Code.INVALID_ARGUMENT,
            (
                "input size does not match signature: 0!=2 len({}) != len({a,b}). Sent extra: {}. Missing but "
                "required: {a,b}."
            ),
        ),
        (
            _request(a=[1], b=[1], c=[1]),
            "",
            Code.INVALID_ARGUMENT,
            (
                "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). Sent extra: {c}. Missing but "
                "required: {}."
            ),
        ),
        (
            _request(a=[1], x=[1]),
            "",
            Code.INVALID_ARGUMENT,
            (
                "Signature input alias: b(feed name: feed_b:0) not found in request and no default value provided. "
                "Inputs expected to be in the request {a,x}, or default input alias set: "
            ),
        ),
        (
            _request(b=[1]),
            _DEFAULT,
            Code.INVALID_ARGUMENT,
            (
                "Signature input alias: a(feed name: feed_a:0) not found in request and no default value provided. "
                "Inputs expected to be in the request {b}, or default input alias set: b"
            ),
        ),
        (
            _request(output_filter=["sum", "x"], a=[1], b=[1]),
            "",
            Code.INVALID_ARGUMENT,
            "output tensor alias not found in signature: x Outputs expected to be in the set {difference,sum}.",
        ),
        (
            _request(output_filter=["sum", "sum"], a=[1], b=[1]),
            "",
            Code.INVALID_ARGUMENT,
            "duplicate output tensor alias: sum",
        ),
    ],
)
def test_wrong_requests(request_: Any, extra: str, code: Code, text: str) -> None:
    """Each mistake has the server's code and text."""
    with pytest.raises(ServingError) as error:
        predict(_servable(extra), request_, None, Metrics())
    assert (error.value.code, error.value.message) == (code, text)


def test_unparsable_tensor_is_named() -> None:
    """A TensorProto that is none is reported by its alias."""
    request = _request(a=[1], b=[1])
    request.inputs["b"].tensor_shape.dim[0].size = -1
    with pytest.raises(ServingError, match=r"^tensor parsing error: b$"):
        predict(_servable(), request, None, Metrics())
