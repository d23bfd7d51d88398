"""The JSON body of a REST predict -> a PredictRequest: rows under ``instances``, or columns under ``inputs``.

Source: tensorflow_serving/util/json_tensor.cc (FillPredictRequestFromJson, FillTensorMapFromInstancesList,
FillTensorMapFromInputsMap), model_servers/http_rest_api_handler.cc (GetInfoMap).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeGuard

from tfs_locust.tfserving.protos import meta_graph_pb2, model_pb2, predict_pb2

from .json_reader import Json, JsonObject
from .json_request import format_error, invalid_argument, is_base64_object, parse, signature_name
from .json_tensor import Tensor, column, dense, fill, shape_of, write_proto
from .json_writer import debug_text
from .status import ServingError

DEFAULT_SIGNATURE = "serving_default"


class Format(Enum):
    """How a request lays its tensors out; the answer follows it."""

    ROW = "instances"
    COLUMNAR = "inputs"


def predict_request(
    body: bytes,
    spec: model_pb2.ModelSpec,
    signatures: Callable[[model_pb2.ModelSpec], Mapping[str, meta_graph_pb2.SignatureDef]],
) -> tuple[predict_pb2.PredictRequest, Format]:
    """The request to the model ``spec`` names, and its layout. Raises ServingError, of ``signatures`` too."""
    document = parse(body)
    name = signature_name(document)
    found = dict(signatures(spec)).get(name or DEFAULT_SIGNATURE)
    if found is None:
        raise invalid_argument(f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def')
    dtypes = {alias: found.inputs[alias].dtype for alias in sorted(found.inputs)}
    if not dtypes:
        raise invalid_argument(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    layout = _layout(document)
    value = document[layout.value]
    if layout is Format.ROW:
        assert isinstance(value, list)
        tensors = _dense_rows(value, dtypes) or _rows(value, dtypes)
    else:
        tensors = _columns(value, dtypes)
    request = predict_pb2.PredictRequest()
    request.model_spec.CopyFrom(spec)
    request.model_spec.signature_name = name
    for alias, tensor in tensors.items():
        write_proto(request.inputs[alias], tensor)
    return request, layout


def _layout(document: JsonObject) -> Format:
    if "instances" not in document:
        if "inputs" not in document:
            raise invalid_argument("Missing 'inputs' or 'instances' key")
        return Format.COLUMNAR
    if "inputs" in document:
        text = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        raise format_error(document, text)
    instances = document["instances"]
    if not isinstance(instances, list):
        raise format_error(document, "Expecting 'instances' to be an list/array")
    if not instances:
        raise format_error(document, "No values in 'instances' array")
    return Format.ROW


def _dense_rows(instances: list[Json], dtypes: Mapping[str, int]) -> dict[str, Tensor] | None:
    """The tensors of rows that are all as they should be; None otherwise."""
    columns: dict[str, list[Json]] = {alias: [] for alias in dtypes}
    if _is_row_object(instances[0]):
        for row in instances:
            if not _is_row_object(row):
                return None
            members = dict(row.members)
            if members.keys() != dtypes.keys() or len(members) != len(row.members):
                return None
            for alias, value in members.items():
                columns[alias].append(value)
    elif len(dtypes) == 1:
        columns[next(iter(dtypes))] = instances
    else:
        return None
    tensors: dict[str, Tensor] = {}
    for alias, values in columns.items():
        tensor = dense(values, dtypes[alias])
        if tensor is None:
            return None
        tensors[alias] = tensor
    return tensors


def _is_row_object(value: Json) -> TypeGuard[JsonObject]:
    return isinstance(value, JsonObject) and not is_base64_object(value)


@dataclass(slots=True)
class _Rows:
    """One input over all rows: what is gathered, and what the first row has set."""

    tensor: Tensor
    first_size: int | None = None
    first_shape: list[int] = field(default_factory=list)

    def add(self, item: Json) -> None:
        """One row's value. Raises ServingError."""
        self.tensor.shape = shape_of(item)
        size = fill(item, self.tensor)
        if self.first_size is None:
            self.first_size, self.first_shape = size, self.tensor.shape
        elif self.first_size != size:
            raise invalid_argument(f"Expecting tensor size: {self.first_size} but got: {size}")
        elif self.first_shape != self.tensor.shape:
            raise invalid_argument(
                f"Expecting shape {_shape_text(self.first_shape)} but got: {_shape_text(self.tensor.shape)}"
            )


def _shape_text(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _rows(instances: list[Json], dtypes: Mapping[str, int]) -> dict[str, Tensor]:
    """The tensors of ``instances``, row by row; dimension 0 is the row. Raises ServingError."""
    if not isinstance(instances[0], JsonObject) and len(dtypes) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    objects = _is_row_object(instances[0])
    rows: dict[str, _Rows] = {}
    for number, row in enumerate(instances):
        if objects and not _is_row_object(row):
            raise invalid_argument(f"Expecting object but got list at item {number} of input list")
        if not objects and _is_row_object(row):
            raise invalid_argument(f"Expecting value/list but got object at item {number} of input list")
        if isinstance(row, JsonObject) and objects:
            _add_members(row, number, dtypes, rows)
        else:
            _add(row, next(iter(dtypes)), dtypes, rows, f"Failed to process element: {number} of 'instances' list.")
    for gathered in rows.values():
        gathered.tensor.shape = [len(instances), *gathered.first_shape]
    return {alias: gathered.tensor for alias, gathered in rows.items()}


def _add_members(row: JsonObject, number: int, dtypes: Mapping[str, int], rows: dict[str, _Rows]) -> None:
    names = set()
    for key, value in row.members:
        name = key.partition("\0")[0]  # the server holds names in C strings
        names.add(name)
        _add(value, name, dtypes, rows, f"Failed to process element: {number} key: {name} of 'instances' list.")
    if names != dtypes.keys():
        raise invalid_argument(
            f"Failed to process element: {number} of 'instances' list. JSON object: {debug_text(row)} "
            f"keys must be equal to: {','.join(dtypes)}"
        )


def _add(value: Json, alias: str, dtypes: Mapping[str, int], rows: dict[str, _Rows], failure: str) -> None:
    try:
        if alias not in dtypes:
            raise invalid_argument(f"JSON object: does not have named input: {alias}")
        if alias not in rows:
            rows[alias] = _Rows(Tensor(dtypes[alias]))
        rows[alias].add(value)
    except ServingError as error:
        raise invalid_argument(f"{failure} Error: {error.code.name}: {error.message}") from error


def _columns(value: Json, dtypes: Mapping[str, int]) -> dict[str, Tensor]:
    """The tensors of ``inputs``: one bare, or each under its name; others are ignored. Raises ServingError."""
    if not isinstance(value, JsonObject) or is_base64_object(value):
        if len(dtypes) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        return {alias: column(value, dtype) for alias, dtype in dtypes.items()}
    tensors: dict[str, Tensor] = {}
    for alias, dtype in dtypes.items():
        if alias not in value:
            raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
        tensors[alias] = column(value[alias], dtype)
    return tensors
