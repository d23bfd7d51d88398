"""Whether what a payload source holds fits a signature: names, types and shapes, every misfit told with both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.tensor import Array, DType


@dataclass(frozen=True, slots=True)
class Given:
    """The type and the whole shape of one input as the source holds it, and whether the type can be sent."""

    dtype: str
    shape: tuple[int, ...]
    type_fits: bool


def given_array(array: Array, spec: TensorSpec | None) -> Given:
    """An array's; a type fits where numpy casts it without changing its kind, as the encoding does."""
    return given_type(array.dtype, array.shape, spec)


def given_type(dtype: np.dtype[Any], shape: tuple[int, ...], spec: TensorSpec | None) -> Given:
    """As :func:`given_array`, of an array that is not there yet."""
    name = {"S": "bytes", "U": "text", "O": "objects"}.get(dtype.kind, dtype.name)
    return Given(name, shape, spec is not None and castable(dtype, spec.dtype))


def castable(dtype: np.dtype[Any], to: DType) -> bool:
    """Whether an array of ``dtype`` can be sent as a tensor of type ``to``."""
    if to.is_string or dtype.kind in "OSU":
        return to.is_string and dtype.kind in "OSU"
    return np.can_cast(dtype, to.numpy, casting="same_kind")


def misfits(signature: Signature, given: Mapping[str, Given]) -> list[str]:
    """A sentence for each input that is missing, unknown, of the wrong type or of the wrong shape."""
    specs = {spec.name: spec for spec in signature.inputs}
    takes = ", ".join(map(str, signature.inputs)) or "none"
    faults = [f"input {name!r} is missing; the signature takes {takes}" for name in specs if name not in given]
    for name, one in given.items():
        if (spec := specs.get(name)) is None:
            faults.append(f"{name!r} is no input; the signature takes {takes}")
        elif not one.type_fits or not _shape_fits(one.shape, spec):
            faults.append(f"input {name!r}: expected {_expected(spec)}, given {one.dtype} {list(one.shape)}")
    return faults


def is_batch(spec: TensorSpec) -> bool:
    """Whether an input's first dimension holds the rows: the signature leaves it open."""
    return spec.shape is None or (bool(spec.shape) and spec.shape[0] is None)


def _shape_fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    if spec.shape is None:
        return True
    return len(shape) == len(spec.shape) and all(w in {None, s} for s, w in zip(shape, spec.shape, strict=True))


def _expected(spec: TensorSpec) -> str:
    return str(spec).removeprefix(f"{spec.name}: ")
