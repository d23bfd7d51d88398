"""What an answer must be: what the signature says of every output, and what a user expects of some.

Answers are checked after their times are taken, and only a share of them: decoding costs what the load should have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.tensor import Array


class ExpectationError(ValueError):
    """An expectation that cannot be read; the text says what was given and what is expected."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What one output must be. What is None is not looked at."""

    values: Any = None
    """Golden values: an array, a nested list or a number, compared as numpy broadcasts them."""
    shape: Sequence[int | None] | None = None
    """Rows first; None for a size that may be any."""
    finite: bool = False
    """Neither NaN nor infinite."""
    rtol: float = 1e-5
    atol: float = 1e-6
    """Numbers may differ from the golden ones by ``atol + rtol * abs(golden)``, as in numpy.isclose."""


def expectations(given: Any) -> dict[str, Expected]:
    """Expectations by output name; a bare value stands for golden values. Raises ExpectationError."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ExpectationError(
            f"{given!r}: expected a mapping from the name of an output to Expected, or to its values"
        )
    found = {}
    for name, one in given.items():
        expected = one if isinstance(one, Expected) else Expected(values=one)
        try:
            np.asarray(expected.values)
        except ValueError as error:
            raise ExpectationError(f"the values for output {name!r} are no array: {error}") from error
        found[name] = expected
    return found


def unknown_outputs(signature: Signature, expected: Mapping[str, Expected]) -> list[str]:
    """A sentence for each expected output that the signature does not have."""
    there = [spec.name for spec in signature.outputs]
    return [
        f"`expect` names an output {name!r} that the signature does not have; it has: {', '.join(there) or 'none'}"
        for name in expected
        if name not in there
    ]


def fault_in(outputs: Mapping[str, Array], signature: Signature, expected: Mapping[str, Expected]) -> str:
    """What is wrong with an answer's outputs, in one line that is the same for faults of one kind; else empty."""
    for spec in signature.outputs:
        output = outputs.get(spec.name)
        if output is None:
            return f"output {spec.name!r} is missing"
        fault = _against_signature(output, spec)
        if not fault and spec.name in expected:
            fault = _against_expected(output, expected[spec.name])
        if fault:
            return f"output {spec.name!r} {fault}"
    for name in outputs:
        if all(name != spec.name for spec in signature.outputs):
            return f"output {name!r} is not in the signature"
    return ""


def _against_signature(output: Array, spec: TensorSpec) -> str:
    is_string = output.dtype.kind in "OSU"
    if is_string != spec.dtype.is_string or (not is_string and output.dtype != spec.dtype.numpy):
        return f"is {output.dtype}, not {spec.dtype.name}"
    if spec.shape is not None and not _fits(output.shape, spec.shape):
        return f"has the shape {list(output.shape)}, not {_shown(spec.shape)}"
    return ""


def _against_expected(output: Array, expected: Expected) -> str:
    if expected.shape is not None and not _fits(output.shape, expected.shape):
        return f"has the shape {list(output.shape)}, not the expected {_shown(expected.shape)}"
    is_number = output.dtype.kind not in "OSU"
    if expected.finite and is_number and not np.isfinite(output.astype(np.complex128)).all():
        return "is not finite"
    if expected.values is None:
        return ""
    golden = np.asarray(expected.values)
    try:
        golden = np.broadcast_to(golden, output.shape)
    except ValueError:
        return f"has the shape {list(output.shape)}, which the expected values of shape {list(golden.shape)} do not fit"
    if is_number:
        near = np.isclose(
            output.astype(np.complex128), golden.astype(np.complex128), expected.rtol, expected.atol, equal_nan=True
        )
    else:
        near = np.array([_as_bytes(a) == _as_bytes(b) for a, b in zip(output.flat, golden.flat, strict=True)])
    return "" if near.all() else "differs from the expected values"


def _as_bytes(text: Any) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w is None or w == s for s, w in zip(shape, wanted, strict=True))


def _shown(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
