"""Inputs become request bytes and answers outputs, over gRPC and REST."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metadata import Tensors, grpc_metadata, signature_def
from tests.unit.signatures import signature_of
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.protos import predict_pb2
from tfs_locust.tfserving.signature import Signature, from_grpc
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import decode_tensor, encode_tensor

TARGET = Target("m")


def signature(inputs: Tensors, outputs: Tensors | None = None) -> Signature:
    """A signature as a server's metadata gives it."""
    metadata = grpc_metadata({"serving_default": signature_def(inputs, outputs or {"y": ("float", (-1,))})})
    return from_grpc(metadata, "serving_default")


MULTI = signature(
    {"a": ("float", (-1, 2)), "b": ("int64", (-1,)), "s": ("string", (-1,))},
    {"sum": ("float", (-1,)), "echo_bytes": ("string", (-1,))},
)
MULTI_INPUTS = {
    "a": np.array([[1, 2], [3, 0.1]], dtype=np.float32),
    "b": np.array([3, -4]),
    "s": np.array([b"hi", b"\x00\xff"], dtype=object),
}


def test_a_grpc_request_names_model_version_label_and_signature() -> None:
    """The model_spec holds what the target says, and nothing it does not."""
    body = codec.encode_grpc(Target("m", version=7, signature="other"), MULTI, MULTI_INPUTS)
    request = predict_pb2.PredictRequest.FromString(body)
    assert (request.model_spec.name, request.model_spec.version.value) == ("m", 7)
    assert request.model_spec.signature_name == "other"
    labelled = predict_pb2.PredictRequest.FromString(
        codec.encode_grpc(Target("m", label="canary"), MULTI, MULTI_INPUTS)
    )
    assert labelled.model_spec.WhichOneof("version_choice") == "version_label"
    assert labelled.model_spec.signature_name == ""
    assert {name: decode_tensor(tensor).tolist() for name, tensor in request.inputs.items()} == {
        name: array.tolist() for name, array in MULTI_INPUTS.items()
    }


def test_the_same_inputs_give_the_same_bytes() -> None:
    """Encoding is deterministic, so a run can be repeated byte for byte."""
    assert codec.encode_grpc(TARGET, MULTI, MULTI_INPUTS) == codec.encode_grpc(TARGET, MULTI, MULTI_INPUTS)


def test_a_grpc_answer_is_decoded_with_the_version_that_served_it() -> None:
    """Typed fields and tensor_content both come out, with the version."""
    response = predict_pb2.PredictResponse()
    response.outputs["typed"].dtype = 1
    response.outputs["typed"].tensor_shape.dim.add(size=2)
    response.outputs["typed"].float_val.extend([1.5, 2.5])
    response.outputs["content"].CopyFrom(encode_tensor(np.array([7]), MULTI.inputs[1].dtype))
    response.model_spec.version.value = 9
    answer = codec.decode_grpc(response.SerializeToString())
    assert answer.version == 9
    assert {name: array.tolist() for name, array in answer.outputs.items()} == {"typed": [1.5, 2.5], "content": [7]}


def test_an_unreadable_answer_raises() -> None:
    """Bytes that are no PredictResponse, and JSON that is no answer, are told as such."""
    with pytest.raises(codec.CodecError, match="no readable PredictResponse"):
        codec.decode_grpc(b"\xff\xff")
    for body in (b"hello", b"[1]", b'{"error": "x"}', b'{"predictions": [{"sum": 1.0}]}', b'{"predictions": 3}'):
        with pytest.raises(codec.CodecError):
            codec.decode_rest(body, MULTI)


@given(st.integers(1, 2**62), st.integers(0, 300), st.booleans())
def test_the_served_version_is_found_without_parsing(version: int, output_bytes: int, spec_first: bool) -> None:
    """Wherever model_spec stands among the fields, its version is the one a full parse gives."""
    outputs = predict_pb2.PredictResponse()
    outputs.outputs["y"].tensor_content = b"x" * output_bytes
    spec = predict_pb2.PredictResponse()
    spec.model_spec.name = "m"
    spec.model_spec.version.value = version
    parts = [outputs.SerializeToString(), spec.SerializeToString()]
    body = b"".join(reversed(parts) if spec_first else parts)
    known: dict[bytes, str] = {}
    assert codec.served_version(body, known) == str(version)
    assert codec.served_version(body, known) == str(version)
    assert list(known.values()) == [str(version)]


@given(st.binary(max_size=40))
def test_looking_for_the_version_never_raises(body: bytes) -> None:
    """Whatever bytes came, the answer is digits or nothing."""
    found = codec.served_version(body, {})
    assert found == "" or found.lstrip("-").isdigit()


def test_a_rest_request_is_rows_where_all_inputs_are_batches() -> None:
    """One input: bare values; several: an object a row; bytes that are no text as b64; short digits."""
    assert json.loads(codec.encode_rest(TARGET, MULTI, MULTI_INPUTS)) == {
        "instances": [
            {"a": [1.0, 2.0], "b": 3, "s": "hi"},
            {"a": [3.0, 0.1], "b": -4, "s": {"b64": "AP8="}},
        ]
    }
    single = signature({"x": ("float", (-1,))})
    assert codec.encode_rest(TARGET, single, {"x": np.array([0.5, np.nan, np.inf])}) == (
        b'{"instances":[0.5,NaN,Infinity]}'
    )


def test_a_rest_request_is_columns_where_an_input_is_no_batch() -> None:
    """Scalars, fixed first dimensions and batches of different sizes go as columns, with the signature's name."""
    scalar = signature({"x": ("float", (-1,)), "k": ("int32", ())})
    body = codec.encode_rest(
        Target("m", signature="other"), scalar, {"x": np.array([1.0]), "k": np.array(3, dtype=np.int32)}
    )
    assert json.loads(body) == {"signature_name": "other", "inputs": {"x": [1.0], "k": 3}}
    uneven = signature({"x": ("float", (-1,)), "k": ("int32", (-1,))})
    body = codec.encode_rest(TARGET, uneven, {"x": np.array([1.0, 2.0]), "k": np.array([3], dtype=np.int32)})
    assert json.loads(body) == {"inputs": {"x": [1.0, 2.0], "k": [3]}}


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "uint16", "complex64"])
def test_types_that_rest_does_not_accept_are_refused_with_the_way_out(dtype: str) -> None:
    """The error names the input, its type, and gRPC."""
    single = signature({"x": (dtype, (-1,))})
    with pytest.raises(codec.CodecError, match=f"'x' is {dtype}, which .* does not accept; use gRPC"):
        codec.encode_rest(TARGET, single, {"x": np.zeros(1)})


def test_rest_answers_come_in_rows_and_columns() -> None:
    """Both forms give the same arrays with the signature's types; strings are bytes, b64 or raw."""
    rows = codec.decode_rest(
        b'{"predictions": [{"sum": 1.5, "echo_bytes": {"b64": "AP8="}}, {"sum": NaN, "echo_bytes": "hi"}]}', MULTI
    )
    columns = codec.decode_rest(b'{"outputs": {"sum": [1.5, NaN], "echo_bytes": [{"b64": "AP8="}, "hi"]}}', MULTI)
    for answer in (rows, columns):
        assert answer.version is None
        assert answer.outputs["sum"].dtype == np.float32
        np.testing.assert_array_equal(answer.outputs["sum"], np.array([1.5, np.nan], dtype=np.float32))
        assert answer.outputs["echo_bytes"].tolist() == [b"\x00\xff", b"hi"]
    single = signature({"x": ("float", (-1,))})
    assert codec.decode_rest(b'{"predictions": [2.5]}', single).outputs["y"].tolist() == [2.5]
    assert codec.decode_rest(b'{"outputs": [2.5]}', single).outputs["y"].tolist() == [2.5]


def test_raw_bytes_in_a_rest_answer_are_kept() -> None:
    """The server writes string outputs raw, even where they are no UTF-8 (only names in _bytes are wrapped)."""
    single = signature({"x": ("float", (-1,))}, {"echo": ("string", (-1,))})
    answer = codec.decode_rest(b'{"predictions": ["\\u0000\xff"]}', single)
    assert answer.outputs["echo"].tolist() == [b"\x00\xff"]


def test_every_fault_of_the_inputs_is_listed() -> None:
    """Missing, unknown, wrong type and wrong shape come in one error."""
    with pytest.raises(codec.CodecError) as caught:
        codec.encode_grpc(TARGET, MULTI, {"a": np.zeros((1, 3)), "b": np.array(["x"], dtype=object), "c": np.zeros(1)})
    assert str(caught.value) == (
        "input 's' is missing; input a: float [?, 2]: an array of shape [1, 3] does not fit; "
        "input 'b' takes int64, not an array of object; "
        "input 'c' is not in the signature, which takes: a, b, s"
    )


def test_rows_are_counted_from_an_open_first_dimension() -> None:
    """A batch has as many rows as its first dimension; a signature without an open one counts one."""
    assert codec.rows_of(MULTI, MULTI_INPUTS) == 2
    fixed = signature({"x": ("float", (4, 2))})
    assert codec.rows_of(fixed, {"x": np.zeros((4, 2))}) == 1


@given(st.lists(st.floats(width=32), min_size=1, max_size=8))
def test_float32_keeps_its_value_through_json(values: list[float]) -> None:
    """The digits sent are enough to give back the same float32, and no more than its own."""
    single = signature({"x": ("float", (-1,))})
    array = np.array(values, dtype=np.float32)
    sent = json.loads(codec.encode_rest(TARGET, single, {"x": array}))["instances"]
    np.testing.assert_array_equal(np.array(sent, dtype=np.float32), array)


def test_float32_is_written_in_its_own_digits() -> None:
    """0.1 is sent as 0.1, not as the double 0.10000000149011612."""
    single = signature({"x": ("float", (-1,))})
    assert codec.encode_rest(TARGET, single, {"x": np.array([0.1], dtype=np.float32)}) == b'{"instances":[0.1]}'


def test_bfloat16_goes_out_as_its_own_type() -> None:
    """A bfloat16 input is cast from floats and its bits are sent."""
    single = signature({"x": ("bfloat16", (-1,))})
    request = predict_pb2.PredictRequest.FromString(codec.encode_grpc(TARGET, single, {"x": np.array([1.5])}))
    assert decode_tensor(request.inputs["x"]).tolist() == np.array([1.5], dtype=ml_dtypes.bfloat16).tolist()


@pytest.mark.parametrize(
    ("dtype", "value", "told"),
    [
        ("int32", np.array([2**31 + 5]), "input 'x': 2147483653 does not fit a tensor of int32, in row 0"),
        ("string", np.array(["\ud800"], np.object_), "input 'x': '\\ud800' is no text: surrogates not allowed"),
    ],
)
def test_what_json_would_change_is_refused(dtype: str, value: Any, told: str) -> None:
    """As over gRPC: nothing else is sent than was given."""
    signature = signature_of({"x": (dtype, (-1,))})
    with pytest.raises(codec.CodecError) as raised:
        codec.encode_rest(Target("m"), signature, {"x": value})
    assert told in str(raised.value)
