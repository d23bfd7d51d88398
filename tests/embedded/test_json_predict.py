"""Bodies of REST predict requests, rows and columns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded import json_predict
from tfs_locust.embedded.json_predict import Format, predict_request
from tfs_locust.embedded.json_reader import JsonObject
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving.protos import meta_graph_pb2, model_pb2, types_pb2

FLOAT, INT64, STRING = types_pb2.DT_FLOAT, types_pb2.DT_INT64, types_pb2.DT_STRING
ONE = {"x": FLOAT}
THREE = {"a": FLOAT, "b": INT64, "s": STRING}


def request_of(body: str | bytes, inputs: dict[str, int], signature: str = "serving_default") -> Any:
    definition = meta_graph_pb2.SignatureDef()
    for alias, dtype in inputs.items():
        definition.inputs[alias].dtype = dtype
    body = body if isinstance(body, bytes) else body.encode()
    return predict_request(body, model_pb2.ModelSpec(name="m"), lambda _: {signature: definition})


def tensors_of(body: str, inputs: dict[str, int]) -> dict[str, tuple[list[int], list[Any]]]:
    request, _ = request_of(body, inputs)
    return {
        alias: (
            [dim.size for dim in tensor.tensor_shape.dim],
            [*tensor.float_val, *tensor.int64_val, *tensor.string_val],
        )
        for alias, tensor in request.inputs.items()
    }


def error_of(body: str | bytes, inputs: dict[str, int]) -> str:
    with pytest.raises(ServingError) as raised:
        request_of(body, inputs)
    assert raised.value.code is Code.INVALID_ARGUMENT
    return raised.value.message


def test_rows_of_one_input_need_no_name() -> None:
    """Dimension 0 is the row."""
    assert tensors_of('{"instances": [[1, 2], [3, 4], [5, 6]]}', ONE) == {"x": ([3, 2], [1, 2, 3, 4, 5, 6])}
    assert tensors_of('{"instances": [1, 2]}', ONE) == {"x": ([2], [1, 2])}
    assert tensors_of('{"instances": [{"x": 1}, {"x": 2}]}', ONE) == {"x": ([2], [1, 2])}


def test_rows_of_several_inputs_name_them() -> None:
    """Each row is an object; bytes may stand among strings."""
    body = '{"instances": [{"a": [1, 2], "b": 3, "s": "hi"}, {"s": {"b64": "/w=="}, "a": [3, 4.5], "b": -4}]}'
    assert tensors_of(body, THREE) == {
        "a": ([2, 2], [1, 2, 3, 4.5]),
        "b": ([2], [3, -4]),
        "s": ([2], [b"hi", b"\xff"]),
    }


def test_a_row_that_is_base64_is_a_value_not_an_object() -> None:
    """`{"b64": ...}` with nothing beside it is bytes."""
    assert tensors_of('{"instances": [{"b64": "AA=="}, "x"]}', {"s": STRING}) == {"s": ([2], [b"\x00", b"x"])}


def test_columns_may_be_bare_or_named_and_differ_in_size() -> None:
    """Unknown members beside the named ones are ignored; a scalar is a tensor of rank 0."""
    assert tensors_of('{"inputs": [[1], [2]]}', ONE) == {"x": ([2, 1], [1, 2])}
    assert tensors_of('{"inputs": 5}', ONE) == {"x": ([], [5])}
    assert tensors_of('{"inputs": {"b64": "AA=="}}', {"s": STRING}) == {"s": ([], [b"\x00"])}
    body = '{"inputs": {"a": [1, 2], "b": [3], "s": "t", "more": null}}'
    assert tensors_of(body, THREE) == {"a": ([2], [1, 2]), "b": ([1], [3]), "s": ([], [b"t"])}


def test_the_layout_and_the_signature_are_kept() -> None:
    """The answer follows the layout; an empty name is the default signature, sent on as empty."""
    request, layout = request_of('{"inputs": [1], "signature_name": "other"}', ONE, "other")
    assert (layout, request.model_spec.name, request.model_spec.signature_name) == (Format.COLUMNAR, "m", "other")
    request, layout = request_of('{"instances": [1], "signature_name": ""}', ONE)
    assert (layout, request.model_spec.signature_name) == (Format.ROW, "")


def test_a_member_given_twice_counts_by_its_first_value() -> None:
    """At the top the first is found; in a row both are read, and the first fills the tensor."""
    assert tensors_of('{"instances": [1], "instances": [2, 3]}', ONE) == {"x": ([1], [1])}
    assert tensors_of('{"instances": [{"x": 1, "x": 2}]}', ONE) == {"x": ([1], [1])}


ROW_ERRORS = [
    (
        "[[1, 2], [3]]",
        (
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting tensor size: 2 but got: 1"
        ),
    ),
    (
        "[[1, 2], [[3], [4]]]",
        (
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [2] but got: [2,1]"
        ),
    ),
    (
        "[1, [2]]",
        ("Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [] but got: [1]"),
    ),
    ('[1, {"x": 2}]', "Expecting value/list but got object at item 1 of input list"),
    ('[{"x": 1}, 2]', "Expecting object but got list at item 1 of input list"),
    (
        '[{"y": 1}]',
        (
            "Failed to process element: 0 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: y"
        ),
    ),
    ('[{"x": 1}, {}]', "Failed to process element: 1 of 'instances' list. JSON object: {} keys must be equal to: x"),
    (
        '["a"]',
        (
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: float'
        ),
    ),
    (
        "[[1, [2]]]",
        (
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Encountered list at unexpected level: 1 expected < 1"
        ),
    ),
]


@pytest.mark.parametrize(("rows", "error"), ROW_ERRORS)
def test_rows_that_do_not_fit_together(rows: str, error: str) -> None:
    """The row is named by number, a named input by its key, and the inner status is spelt out."""
    assert error_of(f'{{"instances": {rows}}}', ONE) == error


def test_an_unsupported_dtype_in_a_row_is_an_invalid_argument() -> None:
    """The inner UNIMPLEMENTED is only in the text; in a column it is the code."""
    half = {"x": types_pb2.DT_HALF}
    assert error_of('{"instances": [1]}', half) == (
        "Failed to process element: 0 of 'instances' list. "
        "Error: UNIMPLEMENTED: Conversion of JSON Value: 1 to type: half"
    )
    with pytest.raises(ServingError) as raised:
        request_of('{"inputs": [1]}', half)
    assert raised.value.code is Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "JSON Parse error: The document is empty"),
        (" ", "JSON Parse error: The document is empty. at offset: 1"),
        ("[1]", "JSON Value: [1] Is not object"),
        ("null", "JSON Value: null Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        ('{"instances": {}}', "JSON Value: {\n    \"instances\": {}\n} Expecting 'instances' to be an list/array"),
        ('{"instances": NaN}', "JSON Value: {\n    \"instances\":  Expecting 'instances' to be an list/array"),
        (
            '{"instances": [1], "inputs": [1]}',
            (
                'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only '
                "one of 'inputs' or 'instances' keys to exist "
            ),
        ),
        (
            '{"signature_name": 5, "instances": [1]}',
            (
                'JSON Value: {\n    "signature_name": 5,\n    "instances": [1]\n} not formatted correctly. '
                "'signature_name' key must be a string value."
            ),
        ),
        ('{"signature_name": "n", "x": 1}', 'Serving signature name: "n" not found in signature def'),
        ('{"inputs": {}}', "Missing named input: x in 'inputs' object."),
        ('{"inputs": null}', "JSON Value: null Type: Null is not of expected type: float"),
    ],
)
def test_bodies_that_are_no_predict_request(body: str, error: str) -> None:
    """What is wrong with the whole, before any value is looked at."""
    assert error_of(body, ONE) == error


def test_several_inputs_are_not_to_be_guessed() -> None:
    """A plain list fits one input only."""
    assert error_of('{"instances": [[1]]}', THREE) == (
        "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
        "tensorinfo_map"
    )
    assert error_of('{"inputs": [1]}', THREE) == (
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
    )
    assert error_of('{"inputs": [1]}', {}) == "Failed to get input map for signature: DEFAULT"


def test_a_long_body_is_cut_in_the_error() -> None:
    """Writing ends with the token that passes 256 bytes."""
    error = error_of('{"instances": "' + "x" * 300 + '"}', ONE)
    assert error == 'JSON Value: {\n    "instances": "' + "x" * 300 + "\" Expecting 'instances' to be an list/array"


def test_the_model_is_looked_up_after_the_body_is_read() -> None:
    """A body that is no JSON is refused before the model is missed, and a missing model before a missing key."""

    def missing(_: Any) -> Any:
        raise ServingError(Code.NOT_FOUND, "Servable not found for request: Latest(m)")

    with pytest.raises(ServingError) as raised:
        predict_request(b"{}", model_pb2.ModelSpec(name="m"), missing)
    assert raised.value.code is Code.NOT_FOUND
    with pytest.raises(ServingError) as raised:
        predict_request(b"{", model_pb2.ModelSpec(name="m"), missing)
    assert raised.value.code is Code.INVALID_ARGUMENT


values = st.integers(0, 3) | st.floats(0, 1) | st.text(max_size=1) | st.lists(st.integers(0, 3), max_size=2)
objects = st.lists(st.tuples(st.sampled_from(["a", "b", "s", "b64"]), values), max_size=4).map(JsonObject)


@given(
    st.lists(values | objects, min_size=1, max_size=4),
    st.sampled_from([ONE, THREE, {"a": FLOAT, "b": FLOAT}, {"s": STRING}]),
)
def test_the_shortcut_for_rows_agrees_with_the_walk(instances: list[Any], inputs: dict[str, int]) -> None:
    """Where the shortcut answers, row by row gives the same tensors."""
    short = json_predict._dense_rows(instances, inputs)
    if short is not None:
        walked = json_predict._rows(instances, inputs)
        assert {name: repr(tensor) for name, tensor in short.items()} == {
            name: repr(tensor) for name, tensor in walked.items()
        }
