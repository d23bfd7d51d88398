"""Arrays become tensor messages and messages arrays, for every type a request can carry."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfs_locust.tfserving.protos import tensor_pb2, types_pb2
from tfs_locust.tfserving.tensor import DTYPES, DType, TensorError, decode_tensor, dtype_of, encode_tensor

NUMBERS = [dtype for dtype in DTYPES if not dtype.is_string]
BY_NAME = {dtype.name: dtype for dtype in DTYPES}


def test_every_type_that_the_server_accepts_is_known() -> None:
    """float, double, half, bfloat16, all integers, bool and string are there, under TensorFlow's numbers."""
    wanted = [
        "float",
        "double",
        "half",
        "bfloat16",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "string",
    ]
    assert {name: BY_NAME[name].number for name in wanted} == {
        name: types_pb2.DataType.Value(f"DT_{name.upper()}") for name in wanted
    }


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
def test_numbers_travel_as_tensor_content(dtype: DType) -> None:
    """Encoding fills tensor_content with the raw buffer, and decoding gives the same values, type and shape."""
    array = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    proto = encode_tensor(array, dtype)
    assert proto.tensor_content == array.tobytes()
    decoded = decode_tensor(proto)
    assert decoded.dtype == dtype.numpy
    assert decoded.shape == (2, 3)
    assert decoded.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
def test_typed_fields_are_decoded_too(dtype: DType) -> None:
    """An answer in typed fields, the server's default, gives the same array as one in tensor_content."""
    array = np.array([0, 1, 1, 0]).astype(dtype.numpy)
    proto = tensor_pb2.TensorProto(dtype=dtype.number)
    proto.tensor_shape.dim.add(size=4)
    values: Any = array.tolist()
    if dtype.field == "half_val":
        values = array.view(np.uint16).tolist()
    elif dtype.field in {"scomplex_val", "dcomplex_val"}:
        values = [part for value in array for part in (value.real, value.imag)]
    getattr(proto, dtype.field).extend(values)
    assert decode_tensor(proto).tobytes() == array.tobytes()


def test_strings_travel_as_string_val() -> None:
    """Text goes out as UTF-8, bytes as they are, and both come back as bytes in the same shape."""
    array = np.array([["ä", b"\x00\xff"]], dtype=object)
    proto = encode_tensor(array, BY_NAME["string"])
    assert list(proto.string_val) == ["ä".encode(), b"\x00\xff"]
    assert decode_tensor(proto).tolist() == [["ä".encode(), b"\x00\xff"]]


def test_bfloat16_keeps_its_bits() -> None:
    """bfloat16 is neither rounded nor widened on its way."""
    array = np.array([1.5, -0.1, 3e38], dtype=ml_dtypes.bfloat16)
    assert decode_tensor(encode_tensor(array, BY_NAME["bfloat16"])).tobytes() == array.tobytes()


def test_short_lists_repeat_their_last_value_and_empty_ones_are_zeros() -> None:
    """As Tensor::FromProto fills a shape: [5] over three elements is 5, 5, 5; nothing is zeros; no string is empty."""
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT64)
    proto.tensor_shape.dim.add(size=3)
    assert decode_tensor(proto).tolist() == [0, 0, 0]
    proto.int64_val.append(5)
    assert decode_tensor(proto).tolist() == [5, 5, 5]
    text = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    text.tensor_shape.dim.add(size=2)
    assert decode_tensor(text).tolist() == [b"", b""]


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"abc"), "3 bytes of content do not fill 1"),
        (tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1, 2]), "2 values are more than the 1"),
        (tensor_pb2.TensorProto(dtype=types_pb2.DT_VARIANT), "DT_VARIANT is not supported"),
        (tensor_pb2.TensorProto(dtype=4711), "4711 is not supported"),
    ],
)
def test_unreadable_messages_are_named(proto: tensor_pb2.TensorProto, words: str) -> None:
    """A message that is no tensor raises TensorError and says what is wrong."""
    with pytest.raises(TensorError, match=words):
        decode_tensor(proto)


def test_an_unknown_shape_is_no_tensor() -> None:
    """unknown_rank and negative sizes are refused."""
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    proto.tensor_shape.dim.add(size=-1)
    with pytest.raises(TensorError, match="not fully known"):
        decode_tensor(proto)


def test_values_are_cast_within_their_kind_only() -> None:
    """Doubles fit a float tensor and small integers a wide one; floats do not fit an integer tensor."""
    assert encode_tensor(np.array([1.5]), BY_NAME["float"]).tensor_content == np.float32(1.5).tobytes()
    assert encode_tensor(np.array([1.5]), BY_NAME["bfloat16"]).tensor_content == b"\xc0\x3f"
    assert encode_tensor(np.array([7], dtype=np.int8), BY_NAME["int64"]).tensor_content == np.int64(7).tobytes()
    with pytest.raises(TensorError, match="float64 does not fit a tensor of int32"):
        encode_tensor(np.array([1.5]), BY_NAME["int32"])
    with pytest.raises(TensorError, match="takes bytes or str"):
        encode_tensor(np.array([None], dtype=object), BY_NAME["string"])


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
    )
)
def test_any_array_comes_back_as_it_was(array: np.ndarray[Any, Any]) -> None:
    """Scalars, empty arrays and odd shapes keep shape and bytes; arrays that are not contiguous too."""
    dtype = next(dtype for dtype in NUMBERS if dtype.numpy == array.dtype)
    turned = array.T
    assert decode_tensor(encode_tensor(turned, dtype)).tobytes() == turned.tobytes()
    assert decode_tensor(encode_tensor(turned, dtype)).shape == turned.shape


def test_an_unsupported_type_names_the_supported_ones() -> None:
    """The error for a type no request can carry lists those it can."""
    with pytest.raises(TensorError, match=r"DT_RESOURCE is not supported; supported are float, double, half"):
        dtype_of(types_pb2.DT_RESOURCE)


@pytest.mark.parametrize(
    ("values", "name", "told"),
    [
        (np.array([1, 2**31 + 5]), "int32", "2147483653 does not fit a tensor of int32, in row 1 of the request"),
        (np.array([-(2**40)]), "int32", "-1099511627776 does not fit a tensor of int32, in row 0 of the request"),
        (np.array([2**64 - 1], np.uint64), "int64", "18446744073709551615 does not fit a tensor of int64, in row 0"),
        (np.array([[0.0, 1.0], [2.0, 1e300]]), "float", "1e+300 does not fit a tensor of float, in row 1"),
        (np.array(1e300), "float", "1e+300 does not fit a tensor of float"),
        (np.array([70000.0]), "half", "70000.0 does not fit a tensor of half, in row 0"),
        (np.array([70000]), "half", "70000 does not fit a tensor of half, in row 0"),
        (np.array([1e300]), "bfloat16", "1e+300 does not fit a tensor of bfloat16, in row 0"),
        (np.array([300], np.int16), "int8", "300 does not fit a tensor of int8, in row 0"),
        (np.array(["a", "\ud800"], np.object_), "string", "'\\ud800' cannot be sent as UTF-8: surrogates not allowed"),
    ],
)
def test_numbers_that_do_not_fit(values: Any, name: str, told: str) -> None:
    """They are not wrapped around or made infinite, but told with their row."""
    (dtype,) = (one for one in DTYPES if one.name == name)
    with pytest.raises(TensorError) as raised:
        encode_tensor(values, dtype)
    assert told in str(raised.value)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.sampled_from(["int8", "int16", "int32", "int64"]))
def test_integers_are_what_was_given_or_refused(values: list[int], name: str) -> None:
    """Whatever type they come in."""
    (dtype,) = (one for one in DTYPES if one.name == name)
    limits = np.iinfo(dtype.numpy)
    if all(limits.min <= value <= limits.max for value in values):
        assert decode_tensor(encode_tensor(np.array(values, np.int64), dtype)).tolist() == values
    else:
        with pytest.raises(TensorError, match="does not fit a tensor of"):
            encode_tensor(np.array(values, np.int64), dtype)


def test_infinities_and_nan_stay() -> None:
    """They were given."""
    (dtype,) = (one for one in DTYPES if one.name == "half")
    read = decode_tensor(encode_tensor(np.array([np.inf, -np.inf, np.nan, 1.5]), dtype)).tolist()
    assert read[:2] + read[3:] == [np.inf, -np.inf, 1.5]
    assert np.isnan(read[2])
