"""An answer is what its signature says and what the user expects, or the first fault is told in a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfs_locust.tfserving.expectation import ExpectationError, Expected, expectations, fault_in, unknown_outputs
from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.tensor import dtype_of

SIGNATURE = Signature(
    model="m",
    version=1,
    name="serving_default",
    method="tensorflow/serving/predict",
    inputs=(),
    outputs=(
        TensorSpec("scores", dtype_of(1), (None, 3)),
        TensorSpec("words", dtype_of(7), None),
    ),
)
SCORES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
WORDS = np.array([b"a", b"b"], np.object_)


def fault(expected: Any = None, **changed: Any) -> str:
    """Of the answer above, with outputs changed or, by None, left out."""
    outputs = {"scores": SCORES, "words": WORDS, **changed}
    outputs = {name: output for name, output in outputs.items() if output is not None}
    return fault_in(outputs, SIGNATURE, expectations(expected))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ""),
        ({"scores": None}, "output 'scores' is missing"),
        ({"more": SCORES}, "output 'more' is not in the signature"),
        ({"scores": SCORES.astype(np.float64)}, "output 'scores' is float64, not float"),
        ({"scores": WORDS}, "output 'scores' is object, not float"),
        ({"words": SCORES}, "output 'words' is float32, not string"),
        ({"scores": SCORES[:, :2]}, "output 'scores' has the shape [2, 2], not [?, 3]"),
        ({"scores": SCORES[0]}, "output 'scores' has the shape [3], not [?, 3]"),
        ({"scores": SCORES[:0]}, ""),
        ({"words": WORDS.reshape(2, 1)}, ""),
    ],
)
def test_every_output_is_what_the_signature_says(changed: dict[str, Any], told: str) -> None:
    """Name, type and shape; sizes that the signature leaves open may be any."""
    assert fault(**changed) == told


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ({"scores": SCORES}, ""),
        ({"scores": (SCORES * (1 + 1e-6)).tolist()}, ""),
        ({"scores": SCORES * 1.01}, "output 'scores' differs from the expected values"),
        ({"scores": Expected(SCORES * 1.01, rtol=0.1)}, ""),
        ({"scores": Expected(SCORES + 0.5, atol=1)}, ""),
        ({"scores": [1, 2, 3]}, "output 'scores' differs from the expected values"),
        ({"scores": Expected(2, atol=9)}, ""),
        ({"scores": [1, 2]}, "output 'scores' has the shape [2, 3], which the expected values of shape [2] do not fit"),
        ({"scores": Expected(shape=(2, None))}, ""),
        ({"scores": Expected(shape=(1, 3))}, "output 'scores' has the shape [2, 3], not the expected [1, 3]"),
        ({"scores": Expected(finite=True)}, ""),
        ({"words": ["a", b"b"]}, ""),
        ({"words": ["a", "c"]}, "output 'words' differs from the expected values"),
        ({"words": Expected(finite=True)}, ""),
    ],
)
def test_an_output_is_what_the_user_expects(expected: Any, told: str) -> None:
    """Golden values within tolerance, a shape of its own, finite numbers."""
    assert fault(expected) == told


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_finite(value: float) -> None:
    """A number that is not finite is a fault where the user says so, and else is not."""
    scores = SCORES.copy()
    scores[1, 1] = value
    assert fault(scores=scores) == ""
    assert fault({"scores": Expected(finite=True)}, scores=scores) == "output 'scores' is not finite"
    assert fault({"scores": Expected(scores)}, scores=scores) == ""


@pytest.mark.parametrize("given", ["x", [1], {1: 2}])
def test_what_is_no_expectation(given: Any) -> None:
    """Only a mapping by output name can be read."""
    with pytest.raises(ExpectationError, match="expected a mapping"):
        expectations(given)


def test_values_that_are_no_array() -> None:
    """Ragged lists are told with the output's name."""
    with pytest.raises(ExpectationError, match="the values for output 'scores' are no array"):
        expectations({"scores": [[1], [2, 3]]})


def test_outputs_that_the_signature_does_not_have() -> None:
    """Each is told, with those there are."""
    assert unknown_outputs(SIGNATURE, expectations({"scores": 1, "score": 1})) == [
        "`expect` names an output 'score' that the signature does not have; it has: scores, words"
    ]
