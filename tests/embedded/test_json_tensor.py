"""JSON values as tensors: shapes, dtypes, ranges, and the error that comes first."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded.json_reader import JsonObject, read
from tfs_locust.embedded.json_tensor import Tensor, column, dense, dtype_name, fill, shape_of, write_proto
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving.protos import tensor_pb2, types_pb2

FLOAT, DOUBLE, INT32, UINT8 = types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, types_pb2.DT_INT32, types_pb2.DT_UINT8
INT64, STRING, BOOL = types_pb2.DT_INT64, types_pb2.DT_STRING, types_pb2.DT_BOOL
UINT32, UINT64, HALF = types_pb2.DT_UINT32, types_pb2.DT_UINT64, types_pb2.DT_HALF


def tensor_of(text: str, dtype: int) -> tensor_pb2.TensorProto:
    value = read(f'{{"v": {text}}}'.encode())
    assert isinstance(value, JsonObject)
    proto = tensor_pb2.TensorProto()
    write_proto(proto, column(value["v"], dtype))
    return proto


def error_of(text: str, dtype: int) -> str:
    with pytest.raises(ServingError) as raised:
        tensor_of(text, dtype)
    return f"{raised.value.code.name}: {raised.value.message}"


@pytest.mark.parametrize(
    ("text", "dtype", "shape", "field", "values"),
    [
        ("[[1, 2.5], [3, -4]]", FLOAT, [2, 2], "float_val", [1, 2.5, 3, -4]),
        ("7", FLOAT, [], "float_val", [7]),
        ("1e40", FLOAT, [], "float_val", [math.inf]),
        ("[18446744073709551615]", DOUBLE, [1], "double_val", [18446744073709551615.0]),
        ("[0.9424502837770503]", DOUBLE, [1], "double_val", [0.9424502837770504]),
        ("[-2147483648, 2147483647]", INT32, [2], "int_val", [-(2**31), 2**31 - 1]),
        ("[300, -1]", UINT8, [2], "int_val", [300, -1]),
        ("9223372036854775807", INT64, [], "int64_val", [2**63 - 1]),
        ("[4294967295]", UINT32, [1], "uint32_val", [2**32 - 1]),
        ("[18446744073709551615]", UINT64, [1], "uint64_val", [2**64 - 1]),
        ("[true, false]", BOOL, [2], "bool_val", [True, False]),
        ('["a", {"b64": "AP8="}]', STRING, [2], "string_val", [b"a", b"\x00\xff"]),
        ('["\\u00e9"]', STRING, [1], "string_val", [b"\xc3\xa9"]),
        ("[]", FLOAT, [0], "float_val", []),
        ("[[], []]", FLOAT, [2, 0], "float_val", []),
        ("[[[]]]", HALF, [1, 1, 0], "half_val", []),
    ],
)
def test_values_go_to_the_typed_field_of_their_dtype(
    text: str, dtype: int, shape: list[int], field: str, values: list[Any]
) -> None:
    """Shape by nesting, integers where floats are wanted, bytes in base64, no narrowing here."""
    proto = tensor_of(text, dtype)
    assert [dim.size for dim in proto.tensor_shape.dim] == shape
    assert proto.dtype == dtype
    assert list(getattr(proto, field)) == values


@pytest.mark.parametrize(
    ("text", "dtype", "error"),
    [
        ("1.0", INT32, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ("[2147483648]", INT32, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ("2147483648", UINT8, "JSON Value: 2147483648 Type: Number is not of expected type: uint8"),
        ("9223372036854775808", INT64, "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64"),
        ("-1", UINT32, "JSON Value: -1 Type: Number is not of expected type: uint32"),
        ("-1", UINT64, "JSON Value: -1 Type: Number is not of expected type: uint64"),
        ("1", BOOL, "JSON Value: 1 Type: Number is not of expected type: bool"),
        ("true", FLOAT, "JSON Value: true Type: True is not of expected type: float"),
        ("false", INT64, "JSON Value: false Type: False is not of expected type: int64"),
        ("null", DOUBLE, "JSON Value: null Type: Null is not of expected type: double"),
        ("1", STRING, "JSON Value: 1 Type: Number is not of expected type: string"),
        ('"1"', FLOAT, 'JSON Value: "1" Type: String is not of expected type: float'),
        ('[{"a": 1}]', FLOAT, 'JSON Value: {\n    "a": 1\n} Type: Object is not of expected type: float'),
        ('[{"a": 1}]', STRING, 'JSON Value: {\n    "a": 1\n} not formatted correctly for base64 data'),
        ('[{"b64": 1}]', STRING, 'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data'),
        ('[{"b64": "?"}]', STRING, "Unable to base64 decode"),
        ("[[1, 2], [3]]", FLOAT, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("[[1], [2, 3]]", FLOAT, "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ("[1, [2]]", FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        ("[[1], 2]", FLOAT, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ('[1, "a", [2]]', FLOAT, 'JSON Value: "a" Type: String is not of expected type: float'),
    ],
)
def test_the_first_value_that_does_not_fit_is_named(text: str, dtype: int, error: str) -> None:
    """The texts of json_tensor.cc, with the value as RapidJSON writes it."""
    assert error_of(text, dtype) == f"INVALID_ARGUMENT: {error}"


def test_dtypes_json_has_no_values_for_are_unimplemented() -> None:
    """half, complex and the like: a code of its own."""
    assert error_of("[1]", HALF) == "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: half"
    assert error_of("[1]", types_pb2.DT_UINT16) == "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: uint16"


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        ("", b""),
        ("AAEC/w==", b"\x00\x01\x02\xff"),
        ("AAEC/w", b"\x00\x01\x02\xff"),
        ("AAEC/w..", b"\x00\x01\x02\xff"),
        ("AA EC\\n/w = =", b"\x00\x01\x02\xff"),
        ("YWI=", b"ab"),
        ("YWJ=", b"ab"),
        ("AAEC/w=", None),
        ("A", None),
        ("YWJj=", None),
        ("AA=A", None),
        ("AA-_", None),
    ],
)
def test_base64_is_abseils(encoded: str, decoded: bytes | None) -> None:
    """Padding all or nothing, dots for it too, spaces anywhere, spare bits ignored, no URL alphabet."""
    text = f'{{"b64": "{encoded}"}}'
    if decoded is None:
        assert error_of(text, STRING) == "INVALID_ARGUMENT: Unable to base64 decode"
    else:
        assert list(tensor_of(text, STRING).string_val) == [decoded]


def test_names_of_dtypes() -> None:
    """As DataTypeString gives them."""
    names = [dtype_name(dtype) for dtype in (FLOAT, HALF, types_pb2.DT_BFLOAT16, types_pb2.DT_INVALID)]
    assert names == ["float", "half", "bfloat16", "INVALID"]


leaves = st.integers(-(2**33), 2**65) | st.floats() | st.text(max_size=3) | st.booleans() | st.none()
lists = st.recursive(leaves, lambda children: st.lists(children, max_size=3), max_leaves=12)


@given(st.lists(lists, max_size=3), st.sampled_from([FLOAT, INT32, INT64, STRING, BOOL, UINT32, UINT64, HALF]))
def test_the_shortcut_agrees_with_the_walk(elements: list[Any], dtype: int) -> None:
    """Where the shortcut answers, the walk gives the same tensor; where the walk refuses, the shortcut does."""
    walked: Tensor | None = Tensor(dtype, shape_of(elements))
    assert walked is not None
    try:
        fill(elements, walked)
    except ServingError:
        walked = None
    short = dense(elements, dtype)
    if short is not None:
        assert walked is not None
        assert short.shape == walked.shape
        assert repr(short.values) == repr(walked.values)


def test_unimplemented_has_its_own_code() -> None:
    """501 on the REST side."""
    with pytest.raises(ServingError) as raised:
        tensor_of("1", HALF)
    assert raised.value.code is Code.UNIMPLEMENTED
