"""JSON lines: instances as TensorFlow Serving's REST interface takes them, one or several in each line.

A line is an instance (an object of values by input name, or the value itself where there is one input), or an object
with ``instances`` (a list of them) or ``inputs`` (columns), as in the body of a REST request; where the signature has
an input of such a name, an object with it is an instance. Binary strings are ``{"b64": "..."}``. Empty lines are passed
over. Plain or gzip, read line by line.

Source: tensorflow_serving/g3doc/api_rest.md, util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.files import first_bytes, is_gzip, opened
from tfs_locust.load.fitting import given_array, is_batch, misfits
from tfs_locust.load.regrouping import Block
from tfs_locust.tfserving.codec import rows_of
from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.tensor import Array


def read_blocks(path: Path, signature: Signature) -> Iterator[Block]:
    """The rows of each line, in order. Raises CorpusError with file, line number and every misfit of the line.

    Where the signature has an input that is no batch, a line is a whole request, with whole tensors as its values.
    """
    with opened(path, gzipped=is_gzip(first_bytes(path, 3))) as file:
        for number, line in enumerate(file, 1):
            if not (line := line.strip()):
                continue
            place = f"{path}, line {number}"
            try:
                inputs = _inputs(_parsed(line), signature)
            except ValueError as error:
                raise CorpusError(f"{place}: {error}") from error
            yield Block(place, inputs, rows_of(signature, inputs))


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.removeprefix(b"\xef\xbb\xbf"))  # some editors put this mark in front of UTF-8
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error


def _inputs(document: Any, signature: Signature) -> dict[str, Array]:
    """A line's arrays, checked. Raises ValueError with every misfit."""
    specs = {spec.name: spec for spec in signature.inputs}
    inputs, faults = {}, []
    for name, value in _values(document, signature).items():
        try:
            inputs[name] = _array(value, specs[name]) if name in specs else np.empty(0)
        except ValueError as error:
            faults.append(f"input {name!r}: {error}")
    faults = faults or misfits(signature, {name: given_array(array, specs.get(name)) for name, array in inputs.items()})
    sizes = {name: len(inputs[name]) for name, spec in specs.items() if not faults and is_batch(spec)}
    if len(set(sizes.values())) > 1:
        faults.append("numbers of rows differ: " + ", ".join(f"{size} in {name!r}" for name, size in sizes.items()))
    if 0 in sizes.values():
        faults.append("holds no row")
    if faults:
        raise ValueError("; ".join(faults))
    return inputs


def _values(document: Any, signature: Signature) -> dict[str, Any]:
    """Each input's value in the line, rows first."""
    names = [spec.name for spec in signature.inputs]
    if _is_document(document, "inputs", names):
        return _by_name(document["inputs"], names)
    instances = [document]
    if _is_document(document, "instances", names):
        instances = document["instances"]
        if not isinstance(instances, list) or not instances:
            raise ValueError("'instances' is no list of at least one instance")
    rows = [_by_name(instance, names) for instance in instances]
    if not all(map(is_batch, signature.inputs)):
        if len(rows) > 1:
            raise ValueError(f"{len(rows)} instances, but not every input is a batch: give one request in a line")
        return rows[0]
    for number, row in enumerate(rows, 1):
        if row.keys() != rows[0].keys():
            raise ValueError(f"instance {number} holds {', '.join(row)}, the first one {', '.join(rows[0])}")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _is_document(value: Any, form: str, names: list[str]) -> bool:
    return isinstance(value, dict) and form in value and form not in names and value.keys() <= {form, "signature_name"}


def _by_name(value: Any, names: list[str]) -> dict[str, Any]:
    if isinstance(value, dict) and (value.keys() != {"b64"} or "b64" in names):
        return value
    if len(names) != 1:
        raise ValueError(f"is no object of values by input name; the inputs are: {', '.join(names) or 'none'}")
    return {names[0]: value}  # the name may be left out where there is but one


def _array(value: Any, spec: TensorSpec) -> Array:
    """``value`` as an array of the input's type. Raises ValueError where it holds anything else."""
    objects = np.array(value, dtype=np.object_)  # numpy's own guess makes floats of large integers, numbers of booleans
    items = objects.reshape(-1).tolist()
    kinds = set(map(type, items))
    if list in kinds:
        raise ValueError("the lists in it are of different lengths")  # numpy leaves only such as they are
    if spec.dtype.is_string:
        objects.reshape(-1)[:] = list(map(_string, items))
        return objects
    to = spec.dtype.numpy
    if not kinds <= ({float, int} if spec.dtype.is_float else _FITTING.get(to.kind, set())):
        raise ValueError(f"expected {spec.dtype.name}, given {_shortened(value)}")
    if to.kind in "iu" and items and not (np.iinfo(to).min <= min(items) and max(items) <= np.iinfo(to).max):
        raise ValueError(f"a number in it does not fit {spec.dtype.name}: {_shortened(value)}")
    try:
        with np.errstate(over="raise"):
            numbers = np.array(items, dtype=np.float64 if spec.dtype.is_float else to)
            return numbers.astype(to).reshape(objects.shape)
    except (FloatingPointError, OverflowError) as error:
        raise ValueError(f"a number in it is too large for {spec.dtype.name}") from error


_FITTING: dict[str, set[type]] = {"i": {int}, "u": {int}, "b": {bool}}
"""What fits a kind of tensor, as the server has it: no 1.0 for an integer, no true for a number."""


def _string(value: Any) -> str | bytes:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValueError(f"no base64: {error}") from error
    raise ValueError(f'expected text or {{"b64": "..."}}, given {_shortened(value)}')


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
