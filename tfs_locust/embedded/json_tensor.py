"""JSON values -> one tensor: its shape, its values by dtype, and the error that comes first where they do not fit.

A walk over the values, one by one, says what is accepted. Before it a shortcut takes the common case, dense lists of
the right type, a level at a time; where it cannot, the walk decides. Source: tensorflow_serving/util/json_tensor.cc
(AddValueToTensor, GetDenseTensorShape, FillTensorProto).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tfs_locust.tfserving.protos import tensor_pb2, types_pb2

from .json_reader import Json, JsonObject
from .json_request import decode_base64_object, format_error, invalid_argument, raw_bytes, type_name
from .json_writer import debug_text
from .status import Code, ServingError


@dataclass(slots=True)
class Tensor:
    """A tensor while it is filled; values as the typed field of its TensorProto takes them."""

    dtype: int
    shape: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What one dtype takes: types of JSON values, a range for integers, the field of TensorProto they go to."""

    field: str
    types: frozenset[type]
    lowest: int | None = None
    highest: int | None = None

    def takes_all(self, values: list[Any]) -> bool:
        if not set(map(type, values)) <= self.types:
            return False
        if self.lowest is None or self.highest is None or not values:
            return True
        return bool(self.lowest <= min(values) and max(values) <= self.highest)


_NUMBERS, _INTEGERS = frozenset({int, float}), frozenset({int})
# int8, int16 and uint8 take any int32: the server narrows them without a word
_INT32 = _Leaf("int_val", _INTEGERS, -(2**31), 2**31 - 1)
_LEAVES: dict[int, _Leaf] = {
    types_pb2.DT_FLOAT: _Leaf("float_val", _NUMBERS),
    types_pb2.DT_DOUBLE: _Leaf("double_val", _NUMBERS),
    types_pb2.DT_INT32: _INT32,
    types_pb2.DT_INT16: _INT32,
    types_pb2.DT_INT8: _INT32,
    types_pb2.DT_UINT8: _INT32,
    types_pb2.DT_STRING: _Leaf("string_val", frozenset({str})),
    types_pb2.DT_INT64: _Leaf("int64_val", _INTEGERS, -(2**63), 2**63 - 1),
    types_pb2.DT_BOOL: _Leaf("bool_val", frozenset({bool})),
    types_pb2.DT_UINT32: _Leaf("uint32_val", _INTEGERS, 0, 2**32 - 1),
    types_pb2.DT_UINT64: _Leaf("uint64_val", _INTEGERS, 0, 2**64 - 1),
}


def dtype_name(dtype: int) -> str:
    """TensorFlow's name of a dtype: ``float``, ``half``, ``int64``."""
    name: str = types_pb2.DataType.Name(dtype).removeprefix("DT_")
    return name if name == "INVALID" else name.lower()


def _type_error(value: Json, dtype: int) -> ServingError:
    return format_error(value, f"Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}")


def _leaf(value: Json, dtype: int) -> Any:
    """A value that is no list, as its TensorProto takes it. Raises ServingError."""
    if isinstance(value, JsonObject):
        if dtype != types_pb2.DT_STRING:
            raise _type_error(value, dtype)
        return decode_base64_object(value)
    if dtype not in _LEAVES:
        text = f"Conversion of JSON Value: {debug_text(value)} to type: {dtype_name(dtype)}"
        raise ServingError(Code.UNIMPLEMENTED, text)
    if not _LEAVES[dtype].takes_all([value]):
        raise _type_error(value, dtype)
    return raw_bytes(value) if isinstance(value, str) else value


def shape_of(value: Json) -> list[int]:
    """The shape the first element of each level promises."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def fill(value: Json, tensor: Tensor) -> int:
    """Add the values of a list of ``tensor.shape``; returns how many there were. Raises ServingError."""
    rank = len(tensor.shape)
    count = 0
    # a stack of its own, since lists may be nested deeper than Python's
    levels = [iter([value])]
    while levels:
        level = len(levels) - 1
        for element in levels[-1]:
            if isinstance(element, list):
                if level >= rank:
                    raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
                if len(element) != tensor.shape[level]:
                    raise invalid_argument(
                        f"Encountered list at unexpected size: {len(element)} at level: {level} "
                        f"expected size: {tensor.shape[level]}"
                    )
                levels.append(iter(element))
                break
            if level != rank:
                text = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}"
                raise format_error(element, text)
            tensor.values.append(_leaf(element, tensor.dtype))
            count += 1
        else:
            levels.pop()
    return count


def dense(elements: list[Json], dtype: int) -> Tensor | None:
    """The tensor a list of equally shaped lists of the right type is; None where it is anything else."""
    shape, level = [len(elements)], elements
    while level and isinstance(level[0], list):
        size = len(level[0])
        if any(type(element) is not list or len(element) != size for element in level):
            return None
        shape.append(size)
        level = list(chain.from_iterable(level))  # type: ignore[arg-type]  # lists all of them
    leaf = _LEAVES.get(dtype)
    if leaf is None or not leaf.takes_all(level):
        return None
    values: list[Any] = list(map(raw_bytes, level)) if dtype == types_pb2.DT_STRING else level  # type: ignore[arg-type]
    return Tensor(dtype, shape, values)


def column(value: Json, dtype: int) -> Tensor:
    """The tensor a value is, whatever its shape. Raises ServingError."""
    if isinstance(value, list) and (tensor := dense(value, dtype)) is not None:
        return tensor
    tensor = Tensor(dtype, shape_of(value))
    fill(value, tensor)
    return tensor


def write_proto(proto: tensor_pb2.TensorProto, tensor: Tensor) -> None:
    """Put ``tensor`` into an empty ``proto``, values in the typed field of their dtype."""
    proto.dtype = tensor.dtype
    for size in tensor.shape:
        proto.tensor_shape.dim.add().size = size
    if tensor.values:
        # a member given twice leaves more values than the shape has room for; the server reads the first of them
        getattr(proto, _LEAVES[tensor.dtype].field).extend(tensor.values[: math.prod(tensor.shape)])
