"""Payloads fit the signature, are the same for the same seed, and differ from each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metadata import Tensors, grpc_metadata, signature_def
from tfs_locust.load.corpus import CorpusError, assumed_dims, input_shapes, synthetic_inputs
from tfs_locust.load.sources import open_source
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.signature import Signature, from_grpc
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import DTYPES


def _signature(inputs: Tensors) -> Signature:
    return from_grpc(
        grpc_metadata({"serving_default": signature_def(inputs, {"y": ("float", (-1,))})}), "serving_default"
    )


EVERY_TYPE = _signature({dtype.name: (dtype.name, (-1, 3)) for dtype in DTYPES})


def test_every_type_is_made_and_encoded() -> None:
    """Inputs of every type fit the check of the codec, in the shapes asked for."""
    inputs = synthetic_inputs(EVERY_TYPE, input_shapes(EVERY_TYPE, 2, {}), np.random.default_rng(0))
    codec.check_inputs(EVERY_TYPE, inputs)
    assert {name: array.shape for name, array in inputs.items()} == {dtype.name: (2, 3) for dtype in DTYPES}
    assert {dtype.name: inputs[dtype.name].dtype for dtype in DTYPES} == {dtype.name: dtype.numpy for dtype in DTYPES}


def _corpus(count: int, seed: int) -> tuple[bytes, ...]:
    def encode(inputs: codec.Inputs) -> bytes:
        return codec.encode_grpc(Target("m"), EVERY_TYPE, inputs)

    payloads = tuple(itertools.islice(open_source(None, EVERY_TYPE, 2, seed, encode), count))
    assert all(payload.rows == 2 for payload in payloads)
    return tuple(payload.body for payload in payloads)


def test_a_seed_gives_the_same_bytes_and_payloads_differ() -> None:
    """Two pools of one seed are equal, a larger one begins with the smaller, another seed gives others."""
    assert _corpus(8, seed=1) == _corpus(8, seed=1)
    assert _corpus(8, seed=1)[:3] == _corpus(3, seed=1)
    assert len(set(_corpus(64, seed=1))) == 64
    assert not set(_corpus(8, seed=1)) & set(_corpus(8, seed=2))


def test_open_dimensions_take_rows_and_given_sizes() -> None:
    """The first open dimension is the rows, the others are given one by one, one for all, or are 1."""
    signature = _signature({"x": ("float", (-1, -1, 3, -1)), "k": ("int32", ()), "fixed": ("float", (4, 2))})
    assert input_shapes(signature, 5, {"x": (7, 9)}) == {"x": (5, 7, 3, 9), "k": (), "fixed": (4, 2)}
    assert input_shapes(signature, 5, {"x": (7,)})["x"] == (5, 7, 3, 7)
    assert input_shapes(signature, 5, {})["x"] == (5, 1, 3, 1)
    assert assumed_dims(signature, {}) == ["x"]
    assert assumed_dims(signature, {"x": (7,)}) == []


def test_an_unknown_rank_must_be_given() -> None:
    """Nothing can be guessed for it: the error names the input and the option; 0 stands for rows alone."""
    signature = _signature({"x": ("float", None)})
    with pytest.raises(CorpusError, match=r"input 'x' has an unknown rank; give .* --tfs-dim x=N"):
        input_shapes(signature, 2, {})
    assert input_shapes(signature, 2, {"x": (3, 4)}) == {"x": (2, 3, 4)}
    assert input_shapes(signature, 2, {"x": (0,)}) == {"x": (2,)}


def test_all_faults_of_the_sizes_are_told() -> None:
    """Unknown names and wrong numbers of sizes come in one error."""
    signature = _signature({"x": ("float", (-1, -1, -1)), "z": ("float", (-1, 2))})
    with pytest.raises(CorpusError) as caught:
        input_shapes(signature, 1, {"x": (1, 2, 3), "nope": (1,), "z": (2,)})
    assert str(caught.value) == (
        "--tfs-dim names an input 'nope' that the signature does not have; it has: x, z; "
        "--tfs-dim gives 3 sizes for input x: float [?, ?, ?], which leaves 2 open besides the rows; "
        "--tfs-dim gives 1 size for input z: float [?, 2], which leaves none open besides the rows"
    )


@given(st.integers(1, 9), st.lists(st.one_of(st.just(-1), st.integers(1, 4)), max_size=3), st.integers(0, 99))
def test_payloads_have_the_rows_asked_for(rows: int, inner: list[int], seed: int) -> None:
    """Whatever the inner shape, a batch input carries exactly the rows asked for, and says so."""
    signature = _signature({"x": ("float", (-1, *inner))})
    inputs = synthetic_inputs(signature, input_shapes(signature, rows, {}), np.random.default_rng(seed))
    assert inputs["x"].shape[0] == rows == codec.rows_of(signature, inputs)
