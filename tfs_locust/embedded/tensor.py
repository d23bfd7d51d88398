"""TensorProto <-> numpy array, as TensorFlow's ``Tensor::FromProto`` and ``AsProtoField`` do it.

Source: tensorflow/core/framework/tensor.cc. Strings are arrays of ``bytes`` objects; bfloat16, float8 and the 2- and
4-bit integers are ml_dtypes' types. Does not know of models and does not import TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tfs_locust.tfserving import protos

Array = NDArray[Any]

_LARGEST_RANK = 254
_LARGEST_ARRAY_RANK = 64
_LARGEST_SIZE = 2**63 - 1


class TensorParsingError(Exception):
    """A TensorProto that makes no tensor."""


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How one DataType lies in a TensorProto: its numpy type, and the field that lists its values.

    ``stored`` is the type of the listed values where they are not the values themselves: bit patterns, or the parts
    of complex numbers.
    """

    dtype: np.dtype[Any]
    field: str
    stored: np.dtype[Any] | None = None


def _plain(numpy_type: Any, field: str, stored: Any = None) -> _Encoding:
    return _Encoding(np.dtype(numpy_type), field, None if stored is None else np.dtype(stored))


_STRING = np.dtype(object)


def _quantized(name: str, stored: Any) -> _Encoding:
    return _Encoding(np.dtype([(name, stored)]), "int_val", np.dtype(stored))


# by name, because the newer types are unknown to older generated code
_BY_NAME = {
    "DT_FLOAT": _plain(np.float32, "float_val"),
    "DT_DOUBLE": _plain(np.float64, "double_val"),
    "DT_INT32": _plain(np.int32, "int_val"),
    "DT_UINT8": _plain(np.uint8, "int_val"),
    "DT_INT16": _plain(np.int16, "int_val"),
    "DT_INT8": _plain(np.int8, "int_val"),
    "DT_STRING": _plain(_STRING, "string_val"),
    "DT_COMPLEX64": _plain(np.complex64, "scomplex_val", np.float32),
    "DT_INT64": _plain(np.int64, "int64_val"),
    "DT_BOOL": _plain(np.bool_, "bool_val"),
    "DT_QINT8": _quantized("qint8", np.int8),
    "DT_QUINT8": _quantized("quint8", np.uint8),
    "DT_QINT32": _quantized("qint32", np.int32),
    "DT_BFLOAT16": _plain(ml_dtypes.bfloat16, "half_val", np.uint16),
    "DT_QINT16": _quantized("qint16", np.int16),
    "DT_QUINT16": _quantized("quint16", np.uint16),
    "DT_UINT16": _plain(np.uint16, "int_val"),
    "DT_COMPLEX128": _plain(np.complex128, "dcomplex_val", np.float64),
    "DT_HALF": _plain(np.float16, "half_val", np.uint16),
    "DT_UINT32": _plain(np.uint32, "uint32_val"),
    "DT_UINT64": _plain(np.uint64, "uint64_val"),
    "DT_FLOAT8_E5M2": _plain(ml_dtypes.float8_e5m2, "float8_val", np.uint8),
    "DT_FLOAT8_E4M3FN": _plain(ml_dtypes.float8_e4m3fn, "float8_val", np.uint8),
    "DT_FLOAT8_E4M3FNUZ": _plain(ml_dtypes.float8_e4m3fnuz, "float8_val", np.uint8),
    "DT_FLOAT8_E4M3B11FNUZ": _plain(ml_dtypes.float8_e4m3b11fnuz, "float8_val", np.uint8),
    "DT_FLOAT8_E5M2FNUZ": _plain(ml_dtypes.float8_e5m2fnuz, "float8_val", np.uint8),
    "DT_INT4": _plain(ml_dtypes.int4, "int_val"),
    "DT_UINT4": _plain(ml_dtypes.uint4, "int_val"),
}
_DATA_TYPE = protos.types_pb2.DataType
_ENCODINGS = MappingProxyType({_DATA_TYPE.Value(k): v for k, v in _BY_NAME.items() if k in _DATA_TYPE.keys()})  # noqa: SIM118 (an enum wrapper, no dict)
_DATA_TYPES = MappingProxyType({encoding.dtype: data_type for data_type, encoding in _ENCODINGS.items()})


def data_type(array: Array) -> int:
    """The DataType of ``array``, ``types_pb2.DT_FLOAT``."""
    return int(_DATA_TYPES[array.dtype])


def data_type_string(array: Array) -> str:
    """The type as TensorFlow's error texts name it: ``float``, ``double``, ``string`` ..."""
    return str(_DATA_TYPE.Name(data_type(array))).removeprefix("DT_").lower()


def tensor_from_proto(proto: protos.tensor_pb2.TensorProto) -> Array:
    """Decode ``proto``.

    A value list shorter than the shape repeats its last value (an empty one means zeros), a longer one is cut;
    ``tensor_content`` must have exactly the shape's size. An unknown rank is taken for the dimensions that are given.
    Of more dimensions than numpy has, 64, those at the end become one.
    Raises TensorParsingError: negative or too many dimensions, contents of the wrong size, no or an unknown dtype.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    encoding = _ENCODINGS.get(proto.dtype)
    if encoding is None or len(shape) > _LARGEST_RANK or (shape and min(shape) < 0):
        raise TensorParsingError
    size = 1
    for dim in shape:
        size *= dim
        if size > _LARGEST_SIZE:
            raise TensorParsingError
    if len(shape) > _LARGEST_ARRAY_RANK:
        last = _LARGEST_ARRAY_RANK - 1
        shape[last:] = [math.prod(shape[last:])]
    try:
        if size == 0:
            return np.empty(shape, encoding.dtype)
        content = proto.tensor_content
        values = _from_content(content, encoding, size) if content else _from_list(proto, encoding, size)
        return values.reshape(shape)
    except (MemoryError, ValueError) as error:  # more than there is memory for
        raise TensorParsingError from error


def _from_content(content: bytes, encoding: _Encoding, size: int) -> Array:
    if encoding.dtype == _STRING:
        return _string_array(_decoded_strings(content, size))
    if len(content) != size * encoding.dtype.itemsize:
        raise TensorParsingError
    if encoding.dtype == np.bool_ and max(content) > 1:
        raise TensorParsingError
    return np.frombuffer(content, encoding.dtype)


def _from_list(proto: protos.tensor_pb2.TensorProto, encoding: _Encoding, size: int) -> Array:
    listed: Sequence[Any] = getattr(proto, encoding.field)
    if encoding.dtype == _STRING:
        values = _string_array(listed)
    elif encoding.field == "float8_val":
        values = np.frombuffer(bytes(listed), encoding.dtype)
    elif encoding.stored is None:
        # integers are cut to their width as a C++ cast does, hence the detour over int64
        wide = np.int64 if encoding.field == "int_val" else encoding.dtype
        values = np.array(listed, wide).astype(encoding.dtype, copy=False)
    elif encoding.dtype.kind == "c":
        values = np.array(listed[: len(listed) // 2 * 2], encoding.stored).view(encoding.dtype)
    else:
        values = np.array(listed, np.int64).astype(encoding.stored).view(encoding.dtype)
    if len(values) == size:
        return values
    if len(values) > size:
        return values[:size]
    if len(values) == 0:
        return np.full(size, b"", _STRING) if encoding.dtype == _STRING else np.zeros(size, encoding.dtype)
    return np.concatenate([values, np.full(size - len(values), values[-1], encoding.dtype)])


def tensor_to_proto(array: Array, proto: protos.tensor_pb2.TensorProto, *, as_content: bool = False) -> None:
    """Encode ``array`` into the empty ``proto``: all values in the type's list, or ``as_content`` in one buffer."""
    kind = data_type(array)
    encoding = _ENCODINGS[kind]
    proto.dtype = kind
    shape = proto.tensor_shape
    shape.SetInParent()
    for size in array.shape:
        shape.dim.add(size=size)
    if array.size == 0:
        return
    flat = array.reshape(-1)
    if as_content:
        proto.tensor_content = _encoded_strings(flat) if encoding.dtype == _STRING else flat.tobytes()
    elif encoding.field == "float8_val":
        proto.float8_val = flat.tobytes()
    else:
        if encoding.stored is not None:
            flat = flat.view(encoding.stored)
        elif encoding.field == "int_val":
            flat = flat.astype(np.int32)
        getattr(proto, encoding.field).extend(flat.tolist())


def _string_array(values: Sequence[bytes]) -> Array:
    array = np.empty(len(values), _STRING)
    array[:] = values
    return array


def _encoded_strings(values: Array) -> bytes:
    """All lengths as varints, then all bytes (tensorflow/core/platform/tensor_coding.cc)."""
    lengths = bytearray()
    for value in values:
        rest = len(value)
        while rest > 0x7F:
            lengths.append(rest & 0x7F | 0x80)
            rest >>= 7
        lengths.append(rest)
    return bytes(lengths) + b"".join(values)


def _decoded_strings(content: bytes, size: int) -> list[bytes]:
    bytes_left = iter(content)
    lengths = [_varint(bytes_left) for _ in range(size)]
    text = bytes(bytes_left)
    if sum(lengths) != len(text):
        raise TensorParsingError
    ends = np.cumsum(lengths).tolist()
    return [text[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _varint(content: Iterator[int]) -> int:
    value = 0
    for shift in range(0, 35, 7):  # lengths are 32 bits
        byte = next(content, None)
        if byte is None:
            raise TensorParsingError
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise TensorParsingError


def data_type_name(array: Array) -> str:
    """``DT_FLOAT``: the type as the serving code's error texts name it."""
    return str(_DATA_TYPE.Name(data_type(array)))


def shape_string(shape: Sequence[int]) -> str:
    """``[2,3]``: a shape as TensorFlow's error texts show it."""
    return "[" + ",".join(map(str, shape)) + "]"
