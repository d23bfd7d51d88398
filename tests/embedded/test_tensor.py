"""TensorProtos decoded and encoded as TensorFlow does it."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded.tensor import TensorParsingError, data_type_string, tensor_from_proto, tensor_to_proto
from tfs_locust.tfserving import protos

_T = protos.types_pb2
TensorProto = protos.tensor_pb2.TensorProto


def _proto(dtype: int, shape: list[int], **values: Any) -> Any:
    proto = TensorProto(dtype=dtype, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (_proto(_T.DT_FLOAT, [3], float_val=[1, 2, 3]), np.array([1, 2, 3], np.float32)),
        (_proto(_T.DT_FLOAT, [3], float_val=[1, 2]), np.array([1, 2, 2], np.float32)),
        (_proto(_T.DT_FLOAT, [2], float_val=[1, 2, 3]), np.array([1, 2], np.float32)),
        (_proto(_T.DT_FLOAT, [2]), np.zeros(2, np.float32)),
        (_proto(_T.DT_FLOAT, [2], double_val=[1, 2]), np.zeros(2, np.float32)),
        (_proto(_T.DT_FLOAT, [0, 3], float_val=[1]), np.empty((0, 3), np.float32)),
        (_proto(_T.DT_FLOAT, [], float_val=[1.5]), np.float32(1.5)),
        (_proto(_T.DT_FLOAT, [0], tensor_content=b"odd"), np.empty(0, np.float32)),
        (_proto(_T.DT_FLOAT, [1, 1], tensor_content=b"\0\0\x80?"), np.ones((1, 1), np.float32)),
        (_proto(_T.DT_DOUBLE, [1], double_val=[0.1]), np.array([0.1])),
        (_proto(_T.DT_INT8, [2], int_val=[300, -129]), np.array([44, 127], np.int8)),
        (_proto(_T.DT_UINT8, [2], int_val=[300, -1]), np.array([44, 255], np.uint8)),
        (_proto(_T.DT_INT16, [1], int_val=[-2]), np.array([-2], np.int16)),
        (_proto(_T.DT_UINT16, [2], int_val=[70000, -1]), np.array([4464, 65535], np.uint16)),
        (_proto(_T.DT_INT32, [1], int_val=[-(2**31)]), np.array([-(2**31)], np.int32)),
        (_proto(_T.DT_INT64, [1], int64_val=[2**62]), np.array([2**62])),
        (_proto(_T.DT_UINT32, [1], uint32_val=[2**32 - 1]), np.array([2**32 - 1], np.uint32)),
        (_proto(_T.DT_UINT64, [1], uint64_val=[2**64 - 1]), np.array([2**64 - 1], np.uint64)),
        (_proto(_T.DT_BOOL, [2], bool_val=[True]), np.array([True, True])),
        (_proto(_T.DT_HALF, [2], half_val=[0x3C00, 0xC000]), np.array([1, -2], np.float16)),
        (_proto(_T.DT_BFLOAT16, [2], half_val=[0x3F80]), np.array([1, 1], ml_dtypes.bfloat16)),
        (_proto(_T.DT_COMPLEX64, [2], scomplex_val=[1, 2, 3]), np.array([1 + 2j, 1 + 2j], np.complex64)),
        (_proto(_T.DT_COMPLEX128, [1], dcomplex_val=[1, 2]), np.array([1 + 2j])),
        (_proto(_T.DT_STRING, [3], string_val=[b"a", b"\xff"]), np.array([b"a", b"\xff", b"\xff"], object)),
        (_proto(_T.DT_STRING, [2]), np.array([b"", b""], object)),
        (_proto(_T.DT_STRING, [2], tensor_content=b"\x01\x02abb"), np.array([b"a", b"bb"], object)),
        (_proto(_T.DT_FLOAT8_E5M2, [2], float8_val=b"\x38"), np.array([0.5, 0.5], ml_dtypes.float8_e5m2)),
    ],
)
def test_decoding(proto: Any, expected: np.ndarray[Any, Any]) -> None:
    """Values come from the type's list, cut or repeated to the shape, or from tensor_content."""
    decoded = tensor_from_proto(proto)
    assert decoded.dtype == expected.dtype
    assert decoded.shape == expected.shape
    assert decoded.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "proto",
    [
        _proto(_T.DT_INVALID, [1], float_val=[1]),
        _proto(_T.DT_FLOAT_REF, [1], float_val=[1]),
        _proto(_T.DT_FLOAT, [-1], float_val=[1]),
        _proto(_T.DT_FLOAT, [2, -1], float_val=[1]),
        _proto(_T.DT_FLOAT, [2], tensor_content=b"1234"),
        _proto(_T.DT_FLOAT, [1], tensor_content=b"12345"),
        _proto(_T.DT_BOOL, [2], tensor_content=b"\x02\x00"),
        _proto(_T.DT_STRING, [2], tensor_content=b"\x01\x02ab"),
        _proto(_T.DT_STRING, [2], tensor_content=b"\x01\x02abbc"),
        _proto(_T.DT_STRING, [2], tensor_content=b"\x81"),
        _proto(_T.DT_FLOAT, [2**40, 2**40]),
        _proto(_T.DT_FLOAT, [2**40, 2**40, 0]),
        _proto(_T.DT_FLOAT, [1] * 255, float_val=[1]),
    ],
)
def test_what_makes_no_tensor(proto: Any) -> None:
    """No type, a reference type, negative dimensions, contents of another size, more elements than can be counted."""
    with pytest.raises(TensorParsingError):
        tensor_from_proto(proto)


def test_unknown_rank_counts_as_the_dimensions_given() -> None:
    """TensorFlow ignores unknown_rank where it parses a full shape: no dimensions make a scalar."""
    proto = TensorProto(dtype=_T.DT_FLOAT, float_val=[3])
    proto.tensor_shape.unknown_rank = True
    assert tensor_from_proto(proto).shape == ()


def test_many_dimensions() -> None:
    """254 are allowed, as in TensorFlow; those that numpy has no room for become one."""
    proto = _proto(_T.DT_FLOAT, [*[1] * 252, 2, 2], float_val=[1, 2, 3, 4])
    assert tensor_from_proto(proto).shape == (*[1] * 63, 4)
    proto.tensor_shape.dim.add(size=1)
    with pytest.raises(TensorParsingError):
        tensor_from_proto(proto)


_ARRAYS = [
    np.array([[1.5, -2]], np.float32),
    np.array([0.1]),
    np.array([-3], np.int8),
    np.array([200], np.uint8),
    np.array([-300], np.int16),
    np.array([65535], np.uint16),
    np.array([-70000], np.int32),
    np.array([2**40]),
    np.array([2**32 - 1], np.uint32),
    np.array([2**63], np.uint64),
    np.array([True, False]),
    np.array([1, -2], np.float16),
    np.array([1, -2], ml_dtypes.bfloat16),
    np.array([1 + 2j, 3], np.complex64),
    np.array([1 + 2j, 3]),
    np.array([b"a", b"", b"x" * 300], object),
    np.array(b"scalar", object),
    np.array([1, 2], ml_dtypes.float8_e4m3fn),
    np.array([-8, 7], ml_dtypes.int4),
    np.empty((0, 2), np.float32),
]


@pytest.mark.parametrize("array", _ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
@pytest.mark.parametrize("as_content", [False, True])
def test_encoding_is_undone_by_decoding(array: np.ndarray[Any, Any], as_content: bool) -> None:
    """Every type comes back from either encoding."""
    proto = TensorProto()
    tensor_to_proto(array, proto, as_content=as_content)
    assert bool(proto.tensor_content) == (as_content and array.size > 0)
    decoded = tensor_from_proto(proto)
    assert (decoded.dtype, decoded.shape, decoded.tolist()) == (array.dtype, array.shape, array.tolist())


def test_encoding_writes_every_value() -> None:
    """Equal values are not folded into one, as TensorFlow's AsProtoField does not."""
    proto = TensorProto()
    tensor_to_proto(np.ones((2, 2), np.float32), proto)
    assert list(proto.float_val) == [1, 1, 1, 1]
    assert [dim.size for dim in proto.tensor_shape.dim] == [2, 2]


def test_scalar_has_a_shape_without_dimensions() -> None:
    """The shape field is present for a scalar, too."""
    proto = TensorProto()
    tensor_to_proto(np.array(1, np.int64), proto)
    assert proto.HasField("tensor_shape")
    assert list(proto.int64_val) == [1]


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.float32, "float"), (np.float64, "double"), (object, "string"), (np.float16, "half")]
)
def test_type_names(dtype: Any, name: str) -> None:
    """Types are called what TensorFlow's error texts call them."""
    assert data_type_string(np.empty(0, dtype)) == name


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_string_content_round_trip(values: list[bytes]) -> None:
    """Any strings survive tensor_content: lengths as varints, then the bytes."""
    array = np.empty(len(values), object)
    array[:] = values
    proto = TensorProto()
    tensor_to_proto(array, proto, as_content=True)
    assert tensor_from_proto(proto).tolist() == values
