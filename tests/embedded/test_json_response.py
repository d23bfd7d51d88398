"""Answers as JSON text: layouts, names, types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tfs_locust.embedded.json_predict import Format
from tfs_locust.embedded.json_response import classification_text, error_text, regression_text, tensors_text
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving.protos import classification_pb2, regression_pb2, tensor_pb2, types_pb2


def tensor(dtype: int, shape: list[int], **values: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return proto


def floats(shape: list[int], *values: float) -> tensor_pb2.TensorProto:
    return tensor(types_pb2.DT_FLOAT, shape, float_val=values)


def test_rows_of_one_output_have_no_name() -> None:
    """A row on one line, a line break only before the last bracket."""
    text = tensors_text({"y": floats([2, 2], 1, 2.5, math.nan, math.inf)}, Format.ROW)
    assert text == '{\n    "predictions": [[1.0, 2.5], [NaN, Infinity]\n    ]\n}'
    assert tensors_text({"y": floats([2], 1, 2)}, Format.ROW) == '{\n    "predictions": [1.0, 2.0\n    ]\n}'


def test_rows_of_several_outputs_are_objects() -> None:
    """Each object over several lines, its lists on one."""
    outputs = {"y": floats([2, 2], 1, 2, 3, 4), "n": tensor(types_pb2.DT_INT64, [2], int64_val=[5, -6])}
    assert tensors_text(outputs, Format.ROW) == (
        '{\n    "predictions": [\n'
        '        {\n            "y": [1.0, 2.0],\n            "n": 5\n        },\n'
        '        {\n            "y": [3.0, 4.0],\n            "n": -6\n        }\n    ]\n}'
    )


def test_columns_have_one_value_a_line() -> None:
    """A single output bare, several by name; a scalar without brackets."""
    text = tensors_text({"y": floats([2, 1], 1, 2)}, Format.COLUMNAR)
    nested = "[\n        [\n            1.0\n        ],\n        [\n            2.0\n        ]\n    ]"
    assert text == f'{{\n    "outputs": {nested}\n}}'
    outputs = {"y": floats([], 1), "n": tensor(types_pb2.DT_INT32, [0])}
    assert tensors_text(outputs, Format.COLUMNAR) == (
        '{\n    "outputs": {\n        "y": 1.0,\n        "n": []\n    }\n}'
    )


@pytest.mark.parametrize(
    ("proto", "text"),
    [
        (tensor(types_pb2.DT_DOUBLE, [1], double_val=[1 / 3]), "0.33333333333333331"),
        (tensor(types_pb2.DT_INT8, [1], int_val=[-1]), "-1"),
        (tensor(types_pb2.DT_UINT32, [1], uint32_val=[2**32 - 1]), "4294967295"),
        (tensor(types_pb2.DT_UINT64, [1], uint64_val=[2**64 - 1]), "18446744073709551615"),
        (tensor(types_pb2.DT_BOOL, [1], bool_val=[True]), "true"),
        (tensor(types_pb2.DT_STRING, [1], string_val=[b'a"\xff\x00']), '"a\\"\udcff\\u0000"'),
        (tensor(types_pb2.DT_FLOAT, [1], tensor_content=np.array([0.1], "<f4").tobytes()), "0.1"),
        (tensor(types_pb2.DT_FLOAT, [1]), "0.0"),
    ],
)
def test_every_dtype_has_its_notation(proto: tensor_pb2.TensorProto, text: str) -> None:
    """Integers in full, floats shortest, strings raw; also from raw content and from the zeros that are left out."""
    assert tensors_text({"y": proto}, Format.ROW) == f'{{\n    "predictions": [{text}\n    ]\n}}'


def test_only_the_name_of_an_output_makes_its_strings_base64() -> None:
    """`..._bytes` is wrapped, another name is not."""
    strings = tensor(types_pb2.DT_STRING, [1], string_val=[b"\x00\xff"])
    assert tensors_text({"image_bytes": strings}, Format.ROW) == (
        '{\n    "predictions": [{\n            "b64": "AP8="\n        }\n    ]\n}'
    )
    assert "b64" not in tensors_text({"bytes_image": strings}, Format.ROW)


def test_no_rows_are_an_empty_list() -> None:
    """Brackets without a line break."""
    assert tensors_text({"y": floats([0, 3])}, Format.ROW) == '{\n    "predictions": []\n}'


@pytest.mark.parametrize(
    ("outputs", "error"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": floats([], 1)}, "Tensor name: y has no shape information "),
        (
            {"a": floats([1], 1), "b": floats([2], 1, 2)},
            "Tensor name: b has inconsistent batch size: 2 expecting: 1",
        ),
        ({"y": tensor(types_pb2.DT_HALF, [1])}, "Failed to write JSON value for tensor type: half"),
    ],
)
def test_outputs_that_have_no_json(outputs: dict[str, Any], error: str) -> None:
    """The texts of json_tensor.cc."""
    with pytest.raises(ServingError) as raised:
        tensors_text(outputs, Format.ROW)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, error)


def test_classifications_are_lists_of_pairs() -> None:
    """Label and score, one list for each example."""
    result = classification_pb2.ClassificationResult()
    for scored in ([("cat", 0.25), ("dog", 0.75)], []):
        classifications = result.classifications.add()
        for label, score in scored:
            classifications.classes.add(label=label, score=score)
    assert classification_text(result) == '{\n    "results": [[["cat", 0.25], ["dog", 0.75]], []\n    ]\n}'
    with pytest.raises(ServingError, match=r"^Cannot convert empty ClassificationResults to JSON$"):
        classification_text(classification_pb2.ClassificationResult())


def test_regressions_are_numbers_on_one_line() -> None:
    """Even the last bracket."""
    result = regression_pb2.RegressionResult()
    for value in (1, 2.5):
        result.regressions.add(value=value)
    assert regression_text(result) == '{\n    "results": [1.0, 2.5]\n}'
    with pytest.raises(ServingError, match=r"^Cannot convert empty RegressionResults to JSON$"):
        regression_text(regression_pb2.RegressionResult())


def test_an_error_is_one_member() -> None:
    """Escaped as a string."""
    assert error_text('a "b"\n\udcff') == '{\n    "error": "a \\"b\\"\\n\udcff"\n}'
