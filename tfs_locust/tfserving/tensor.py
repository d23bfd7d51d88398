"""Arrays and TensorProto messages, one into the other, without TensorFlow.

Rules of the message: tensorflow/core/framework/tensor.proto, tensor.cc. Numbers go out as ``tensor_content`` (the raw
buffer, row-major, little-endian), strings as ``string_val``. Answers come in either form: TensorFlow Serving fills the
typed fields by default and ``tensor_content`` with ``--enable_serialization_as_tensor_content``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tfs_locust.tfserving.protos import tensor_pb2, types_pb2

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class DType:
    """A TensorFlow data type: its name as users say it, its number on the wire, numpy's type, its typed field."""

    name: str
    number: int
    numpy: np.dtype[Any]
    field: str
    in_json: bool
    """Whether TensorFlow Serving's REST side accepts it (tensorflow_serving/util/json_tensor.cc)."""

    @property
    def is_string(self) -> bool:
        return self.name == "string"

    @property
    def is_float(self) -> bool:
        return self.field in {"float_val", "double_val", "half_val"}


def _dtype(name: str, numpy: Any, field: str, *, in_json: bool = True) -> DType:
    return DType(name, types_pb2.DataType.Value(f"DT_{name.upper()}"), np.dtype(numpy), field, in_json)


DTYPES: tuple[DType, ...] = (
    _dtype("float", np.float32, "float_val"),
    _dtype("double", np.float64, "double_val"),
    _dtype("half", np.float16, "half_val", in_json=False),
    _dtype("bfloat16", ml_dtypes.bfloat16, "half_val", in_json=False),
    _dtype("int8", np.int8, "int_val"),
    _dtype("int16", np.int16, "int_val"),
    _dtype("int32", np.int32, "int_val"),
    _dtype("int64", np.int64, "int64_val"),
    _dtype("uint8", np.uint8, "int_val"),
    _dtype("uint16", np.uint16, "int_val", in_json=False),
    _dtype("uint32", np.uint32, "uint32_val"),
    _dtype("uint64", np.uint64, "uint64_val"),
    _dtype("bool", np.bool_, "bool_val"),
    _dtype("string", np.object_, "string_val"),
    _dtype("complex64", np.complex64, "scomplex_val", in_json=False),
    _dtype("complex128", np.complex128, "dcomplex_val", in_json=False),
)

_BY_NUMBER = {dtype.number: dtype for dtype in DTYPES}


LARGEST_BYTES = (1 << 31) - 1
"""Of the largest message that protobuf and gRPC carry."""


class TensorError(ValueError):
    """A message that is no readable tensor, or an array that fits no message."""


def dtype_of(number: int) -> DType:
    """The type with this number on the wire. Raises TensorError for one that no request can carry."""
    if number not in _BY_NUMBER:
        known = types_pb2.DataType.Name(number) if number in types_pb2.DataType.values() else str(number)
        raise TensorError(f"data type {known} is not supported; supported are {', '.join(d.name for d in DTYPES)}")
    return _BY_NUMBER[number]


def encode_tensor(array: Array, dtype: DType) -> tensor_pb2.TensorProto:
    """``array`` of any shape as a message of type ``dtype``.

    Strings are an object array of ``bytes`` or ``str`` (sent as UTF-8). Raises TensorError where the array's type
    cannot be cast to ``dtype`` without changing its kind (a float for an int), and where a number is too large for it.
    """
    proto = tensor_pb2.TensorProto(dtype=dtype.number)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype.is_string:
        try:
            proto.string_val.extend(
                item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel().tolist()
            )
        except TypeError as error:
            raise TensorError(f"a string tensor takes bytes or str, not {array.dtype}") from error
        except UnicodeEncodeError as error:
            raise TensorError(f"{error.object!r} cannot be sent as UTF-8: {error.reason}") from error
        return proto
    if array.dtype != dtype.numpy:
        if not np.can_cast(array.dtype, dtype.numpy, casting="same_kind"):
            raise TensorError(f"an array of {array.dtype} does not fit a tensor of {dtype.name}")
        array = cast(array, dtype)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False) if array.dtype.kind != "V" else array
    proto.tensor_content = np.ascontiguousarray(little).tobytes()
    return proto


def cast(array: Array, dtype: DType) -> Array:
    """``array`` as ``dtype``, of whose kind it is. Raises TensorError for a number that does not fit, with its row.

    (numpy lets integers wrap around and makes infinities of large numbers.)
    """
    if np.can_cast(array.dtype, dtype.numpy, casting="safe"):
        return array.astype(dtype.numpy)
    with np.errstate(over="ignore", invalid="ignore"):
        made = array.astype(dtype.numpy)
        if array.dtype.kind in "iu" and dtype.numpy.kind in "iu":
            wrong = made.astype(array.dtype) != array
            if array.dtype.kind != dtype.numpy.kind:
                wrong |= (made < 0) != (array < 0)
        else:
            wrong = np.isfinite(array) & ~np.isfinite(made)
    if wrong.any():
        first = tuple(int(place) for place in np.argwhere(wrong)[0])
        row = f", in row {first[0]} of the request" if first else ""
        raise TensorError(f"{array[first]} does not fit a tensor of {dtype.name}{row}")
    return made


def decode_tensor(proto: tensor_pb2.TensorProto) -> Array:
    """The message's values with its shape; strings as an object array of ``bytes``.

    Typed fields shorter than the shape repeat their last value, and empty ones mean zeros (tensor.cc). Raises
    TensorError for an unknown type, an unknown shape, or content that does not fill the shape.
    """
    dtype = dtype_of(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise TensorError("the tensor's shape is not fully known")
    count = int(np.prod(shape, dtype=np.int64))
    if proto.tensor_content and not dtype.is_string:
        if len(proto.tensor_content) != count * dtype.numpy.itemsize:
            raise TensorError(
                f"{len(proto.tensor_content)} bytes of content do not fill {count} elements of {dtype.name}"
            )
        return np.frombuffer(proto.tensor_content, dtype=dtype.numpy).reshape(shape)
    values = _typed_values(proto, dtype)
    if len(values) > count:
        raise TensorError(f"{len(values)} values are more than the {count} of the shape")
    if len(values) < count:
        missing: Array = np.zeros(count - len(values), dtype=values.dtype)
        if dtype.is_string:
            missing[:] = b""
        if len(values):
            missing[:] = values[-1]
        values = np.concatenate([values, missing])
    return values.reshape(shape)


def tensor_fault(proto: tensor_pb2.TensorProto) -> str:
    """What keeps a server from reading a message of a known type; empty where nothing does. Decodes nothing."""
    if proto.tensor_shape.unknown_rank or any(dim.size < 0 for dim in proto.tensor_shape.dim):
        return f"its shape {[dim.size for dim in proto.tensor_shape.dim]} is not fully known"
    dtype = dtype_of(proto.dtype)
    count = math.prod(dim.size for dim in proto.tensor_shape.dim)
    size = count * dtype.numpy.itemsize
    if size > LARGEST_BYTES:
        shape = [dim.size for dim in proto.tensor_shape.dim]
        return f"its shape {shape} makes {size:,} bytes, more than a request may have"
    if proto.tensor_content and not dtype.is_string:
        held = len(proto.tensor_content)
        return "" if held == size else f"{held} bytes of content do not fill {count} elements of {dtype.name}"
    per_element = 2 if dtype.field in {"scomplex_val", "dcomplex_val"} else 1
    values = len(getattr(proto, dtype.field)) // per_element
    return f"{values} values are more than the {count} of the shape" if values > count else ""


def _typed_values(proto: tensor_pb2.TensorProto, dtype: DType) -> Array:
    field = getattr(proto, dtype.field)
    if dtype.is_string:
        strings: Array = np.empty(len(field), dtype=np.object_)
        strings[:] = list(field)
        return strings
    if dtype.field == "half_val":  # 16-bit patterns, in 32-bit integers
        return np.asarray(field, dtype=np.uint16).view(dtype.numpy)
    if dtype.field in {"scomplex_val", "dcomplex_val"}:  # real and imaginary parts in turn
        parts = np.asarray(field, dtype=np.float32 if dtype.field == "scomplex_val" else np.float64)
        return parts.view(dtype.numpy)
    return np.asarray(field, dtype=dtype.numpy)
