"""Answers -> the JSON text of the REST side: predictions, outputs, results, errors.

Source: tensorflow_serving/util/json_tensor.cc (MakeJsonFromTensors, MakeJsonFromClassificationResult,
MakeJsonFromRegressionResult, MakeJsonFromStatus).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tfs_locust.tfserving.protos import classification_pb2, regression_pb2, tensor_pb2, types_pb2

from .json_predict import Format
from .json_request import BASE64_KEY, invalid_argument
from .json_tensor import dtype_name
from .json_writer import PrettyWriter, double_text, float_text, quoted

_BYTES_SUFFIX = "_bytes"


def _string_text(value: bytes) -> str:
    return quoted(value.decode("utf-8", "surrogateescape"))


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


# the field of TensorProto that holds a dtype's values, and how one of them is written
_TEXT: dict[int, tuple[str, Callable[[Any], str]]] = {
    types_pb2.DT_FLOAT: ("float_val", float_text),
    types_pb2.DT_DOUBLE: ("double_val", double_text),
    types_pb2.DT_INT32: ("int_val", str),
    types_pb2.DT_INT16: ("int_val", str),
    types_pb2.DT_INT8: ("int_val", str),
    types_pb2.DT_UINT8: ("int_val", str),
    types_pb2.DT_STRING: ("string_val", _string_text),
    types_pb2.DT_INT64: ("int64_val", str),
    types_pb2.DT_BOOL: ("bool_val", _bool_text),
    types_pb2.DT_UINT32: ("uint32_val", str),
    types_pb2.DT_UINT64: ("uint64_val", str),
}
_RAW_DTYPES = {
    types_pb2.DT_FLOAT: "<f4",
    types_pb2.DT_DOUBLE: "<f8",
    types_pb2.DT_INT32: "<i4",
    types_pb2.DT_INT16: "<i2",
    types_pb2.DT_INT8: "i1",
    types_pb2.DT_UINT8: "u1",
    types_pb2.DT_INT64: "<i8",
    types_pb2.DT_BOOL: "?",
    types_pb2.DT_UINT32: "<u4",
    types_pb2.DT_UINT64: "<u8",
}


class _Output:
    """One output tensor, written front to back."""

    def __init__(self, name: str, tensor: tensor_pb2.TensorProto) -> None:
        self.name = name
        self.shape = [dim.size for dim in tensor.tensor_shape.dim]
        self._dtype: int = tensor.dtype
        self._as_bytes = tensor.dtype == types_pb2.DT_STRING and name.endswith(_BYTES_SUFFIX)
        self._values = self._values_of(tensor)

    def write(self, writer: PrettyWriter, dimension: int) -> None:
        """Write the values from ``dimension`` on, following those written before. Raises ServingError."""
        if dimension >= len(self.shape):
            self._write_value(writer)
            return
        writer.start_array()
        for _ in range(self.shape[dimension]):
            self.write(writer, dimension + 1)
        writer.end_array()

    def _values_of(self, tensor: tensor_pb2.TensorProto) -> Iterator[Any]:
        if self._dtype not in _TEXT:
            return iter(())
        values = getattr(tensor, _TEXT[self._dtype][0])
        if not values and tensor.tensor_content and self._dtype in _RAW_DTYPES:
            return iter(np.frombuffer(tensor.tensor_content, _RAW_DTYPES[self._dtype]).tolist())
        # a list shorter than the shape repeats its last value, or zero where there is none (tensor.proto)
        missing = math.prod(self.shape) - len(values)
        if missing > 0:
            last = values[-1] if values else (b"" if self._dtype == types_pb2.DT_STRING else 0)
            return iter([*values, *[last] * missing])
        return iter(values)

    def _write_value(self, writer: PrettyWriter) -> None:
        if self._dtype not in _TEXT:
            raise invalid_argument(f"Failed to write JSON value for tensor type: {dtype_name(self._dtype)}")
        value = next(self._values)
        if self._as_bytes:
            writer.start_object()
            writer.string(BASE64_KEY)
            writer.string(base64.b64encode(value).decode())
            writer.end_object()
        else:
            writer.raw(_TEXT[self._dtype][1](value))


def tensors_text(outputs: Mapping[str, tensor_pb2.TensorProto], layout: Format) -> str:
    """All outputs, in the layout of the request; a single one without its name. Raises ServingError."""
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    tensors = [_Output(name, outputs[name]) for name in outputs]
    return _rows_text(tensors) if layout is Format.ROW else _columns_text(tensors)


def _rows_text(tensors: list[_Output]) -> str:
    rows: int | None = None
    for tensor in tensors:
        if not tensor.shape:
            raise invalid_argument(f"Tensor name: {tensor.name} has no shape information ")
        if rows not in (None, tensor.shape[0]):
            raise invalid_argument(
                f"Tensor name: {tensor.name} has inconsistent batch size: {tensor.shape[0]} expecting: {rows}"
            )
        rows = tensor.shape[0]
    writer = PrettyWriter()
    writer.start_object()
    writer.string("predictions")
    writer.start_array()
    for _ in range(rows or 0):
        if len(tensors) > 1:
            writer.start_object()
        writer.single_line_arrays = True
        for tensor in tensors:
            if len(tensors) > 1:
                writer.string(tensor.name)
            tensor.write(writer, 1)
        writer.single_line_arrays = False
        if len(tensors) > 1:
            writer.end_object()
    writer.end_array()
    writer.end_object()
    return writer.text()


def _columns_text(tensors: list[_Output]) -> str:
    writer = PrettyWriter()
    writer.start_object()
    writer.string("outputs")
    if len(tensors) > 1:
        writer.start_object()
    for tensor in tensors:
        if len(tensors) > 1:
            writer.string(tensor.name)
        tensor.write(writer, 0)
    if len(tensors) > 1:
        writer.end_object()
    writer.end_object()
    return writer.text()


def classification_text(result: classification_pb2.ClassificationResult) -> str:
    """For each example a list of pairs, label and score. Raises ServingError."""
    if not result.classifications:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    writer = PrettyWriter()
    writer.start_object()
    writer.string("results")
    writer.start_array()
    for classifications in result.classifications:
        writer.single_line_arrays = True
        writer.start_array()
        for scored in classifications.classes:
            writer.start_array()
            writer.string(scored.label)
            writer.raw(float_text(scored.score))
            writer.end_array()
        writer.end_array()
        writer.single_line_arrays = False
    writer.end_array()
    writer.end_object()
    return writer.text()


def regression_text(result: regression_pb2.RegressionResult) -> str:
    """For each example its value. Raises ServingError."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    writer = PrettyWriter()
    writer.start_object()
    writer.string("results")
    writer.single_line_arrays = True
    writer.start_array()
    for regression in result.regressions:
        writer.raw(float_text(regression.value))
    writer.end_array()
    writer.end_object()
    return writer.text()


def error_text(message: str) -> str:
    """The body of an answer that is an error."""
    writer = PrettyWriter()
    writer.start_object()
    writer.string("error")
    writer.string(message)
    writer.end_object()
    return writer.text()
