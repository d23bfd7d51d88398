"""What to send: a request's body, and inputs that fit a signature.

Knows signatures and rows; how inputs become bytes is the codec's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.tensor import Array

Dims = Mapping[str, Sequence[int]]
"""Sizes for an input's dimensions that its signature leaves open, by the input's name, in order, rows left out."""


class CorpusError(ValueError):
    """Payloads that cannot be made; the text lists every fault."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body, encoded once, and the rows in it."""

    body: bytes
    rows: int
    against: bytes = b""
    """The same inputs for the other of two ways that are compared, if there is one."""


def input_shapes(signature: Signature, rows: int, dims: Dims) -> dict[str, tuple[int, ...]]:
    """The shape of every input for a request of ``rows`` rows.

    A first dimension that the signature leaves open holds the rows; the others take their sizes from ``dims``, else 1.
    Raises CorpusError for an input of unknown rank that ``dims`` does not name, sizes too many, and unknown names.
    """
    faults = [
        f"--tfs-dim names an input {name!r} that the signature does not have; it has: {_names(signature)}"
        for name in dims
        if all(name != spec.name for spec in signature.inputs)
    ]
    shapes: dict[str, tuple[int, ...]] = {}
    for spec in signature.inputs:
        given = dims.get(spec.name)
        if spec.shape is None:
            if given is None:
                faults.append(
                    f"input {spec.name!r} has an unknown rank; give the sizes of one row with --tfs-dim "
                    f"{spec.name}=N[,N...] (0 for none)"
                )
            else:
                shapes[spec.name] = (rows, *(size for size in given if size))
            continue
        inner_open = sum(size is None for size in spec.shape[1:])
        sizes = list(given or [])
        if len(sizes) == 1 and inner_open:
            sizes *= inner_open  # one size for all
        if sizes and len(sizes) != inner_open:
            faults.append(
                f"--tfs-dim gives {len(sizes)} size{'s' * (len(sizes) > 1)} for input {spec}, "
                f"which leaves {inner_open or 'none'} open besides the rows"
            )
            continue
        shapes[spec.name] = _filled(spec.shape, rows, sizes or [1] * inner_open)
    if faults:
        raise CorpusError("; ".join(faults))
    return shapes


def _names(signature: Signature) -> str:
    return ", ".join(spec.name for spec in signature.inputs) or "none"


def _filled(shape: tuple[int | None, ...], rows: int, sizes: Sequence[int]) -> tuple[int, ...]:
    left = iter(sizes)
    return tuple(
        size if size is not None else rows if position == 0 else next(left) for position, size in enumerate(shape)
    )


def assumed_dims(signature: Signature, dims: Dims) -> list[str]:
    """Inputs with open inner dimensions that nobody gave a size, which therefore become 1."""
    return [
        spec.name
        for spec in signature.inputs
        if spec.shape is not None and spec.name not in dims and any(size is None for size in spec.shape[1:])
    ]


def synthetic_inputs(
    signature: Signature, shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator
) -> dict[str, Array]:
    """Random values for every input: floats in [0, 1), small integers, booleans, short strings."""
    return {spec.name: _random(spec, shapes[spec.name], rng) for spec in signature.inputs}


def _random(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    kind = spec.dtype.numpy
    if spec.dtype.is_string:
        strings: Array = np.empty(shape, dtype=np.object_)
        strings.reshape(-1)[:] = [f"text-{number:08x}".encode() for number in rng.integers(1 << 32, size=strings.size)]
        return strings
    if kind == np.bool_:
        return rng.integers(2, size=shape).astype(np.bool_)
    if kind.kind in "iu":
        return rng.integers(100, size=shape).astype(kind)  # fits int8, and rarely overflows a sum
    if kind.kind == "c":
        return (rng.random(shape) + 1j * rng.random(shape)).astype(kind)
    return rng.random(shape).astype(kind)
