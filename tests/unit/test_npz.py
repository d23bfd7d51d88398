"""Arrays from files: the rows that were saved, whatever their type, and errors that say what was saved instead."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from tests.unit.signatures import signature_of
from tfs_locust.load import npz
from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.npz import open_arrays
from tfs_locust.tfserving.signature import Signature

ONE = signature_of({"x": ("float", (-1, 3))})
TWO = signature_of({"x": ("float", (-1, 3)), "k": ("int64", (-1,))})


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for all examples of a property."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "a.npz"
    np.savez(path, **arrays)
    return path


def _faults(path: Path, signature: Signature) -> str:
    with pytest.raises(CorpusError) as caught:
        list(open_arrays(path, signature).blocks())
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@given(st.integers(1, 9), st.booleans(), st.sampled_from([1, 40, 100]), st.data())
def test_what_was_saved_is_read(
    folder: Path, rows: int, compressed: bool, block_bytes: int, data: st.DataObject
) -> None:
    """All rows in order, out of stored and compressed files, whatever fits into a block."""
    x = data.draw(arrays_of.arrays(np.float32, (rows, 3), elements=st.floats(width=32)))
    k = data.draw(arrays_of.arrays(np.int64, (rows,)))
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", x=x, k=k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npz, "_BLOCK_BYTES", block_bytes)
        blocks = list(open_arrays(folder / "a.npz", TWO).blocks())
    assert len(blocks) == -(-rows // max(1, block_bytes // 20))
    np.testing.assert_array_equal(np.concatenate([block.inputs["x"] for block in blocks]), x)
    np.testing.assert_array_equal(np.concatenate([block.inputs["k"] for block in blocks]), k)
    assert blocks[-1].place == f"{folder / 'a.npz'}, row {rows - blocks[-1].rows}"


def test_a_single_array(tmp_path: Path) -> None:
    """An npy is the one input of its signature, by whatever name."""
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float64).reshape(2, 3))
    file = open_arrays(tmp_path / "x.npy", ONE)
    assert file.rows == 2
    assert [block.inputs["x"].tolist() for block in file.blocks()] == [[[0, 1, 2], [3, 4, 5]]]
    assert (
        _faults(tmp_path / "x.npy", TWO) == "holds one array, and the signature's inputs are: k, x; save them as .npz"
    )


def test_types_that_numpy_does_not_know(tmp_path: Path) -> None:
    """bfloat16 is saved as bytes without a type, and is what the signature says; text is saved at a fixed width."""
    values = np.array([[1.5], [-2.0]], dtype=ml_dtypes.bfloat16)
    path = _saved(tmp_path, x=values)
    (block,) = open_arrays(path, signature_of({"x": ("bfloat16", (-1, 1))})).blocks()
    assert block.inputs["x"].dtype == ml_dtypes.bfloat16
    assert block.inputs["x"].tolist() == [[1.5], [-2.0]]
    strings = signature_of({"x": ("string", (-1,))})
    for texts in (np.array(["a", "bü"]), np.array([b"a", b"b\xff"])):
        (block,) = open_arrays(_saved(tmp_path, x=texts), strings).blocks()
        assert block.inputs["x"].tolist() == texts.tolist()


def test_fixed_shapes(tmp_path: Path) -> None:
    """Beside a batch a fixed input goes into every request; where no input is a batch the rows are requests."""
    path = _saved(tmp_path, x=np.zeros((4, 3)), k=np.int32(7), m=np.arange(2.0))
    file = open_arrays(path, signature_of({"x": ("float", (-1, 3)), "k": ("int32", ()), "m": ("float", (2,))}))
    assert file.rows == 4
    assert {name: array.tolist() for name, array in file.constants.items()} == {"k": 7, "m": [0, 1]}
    assert {name for block in file.blocks() for name in block.inputs} == {"x"}
    file = open_arrays(_saved(tmp_path, x=np.zeros((5, 1, 3))), signature_of({"x": ("float", (1, 3))}))
    assert (file.rows, file.constants) == (5, {})
    fixed = signature_of({"x": ("float", (1, 3)), "k": ("int32", ())})
    assert _faults(_saved(tmp_path, x=np.zeros((5, 3)), k=np.int32(1)), fixed) == (
        "input 'x': expected float [1, 3], given float64 [3]; input 'k': a single value has no rows"
    )


def test_all_misfits_at_once(tmp_path: Path) -> None:
    """Missing and unknown inputs, types and shapes, with both sides of each."""
    path = _saved(tmp_path, x=np.zeros((4, 2), np.complex64), z=np.zeros(4))
    assert _faults(path, TWO) == (
        "input 'k' is missing; the signature takes k: int64 [?], x: float [?, 3]; "
        "input 'x': expected float [?, 3], given complex64 [4, 2]; "
        "'z' is no input; the signature takes k: int64 [?], x: float [?, 3]"
    )
    path = _saved(tmp_path, x=np.zeros((4, 3)), k=np.zeros(5, np.int32))
    assert _faults(path, TWO) in {
        "numbers of rows differ: 4 in 'x', 5 in 'k'",
        "numbers of rows differ: 5 in 'k', 4 in 'x'",
    }
    assert _faults(_saved(tmp_path, x=np.zeros((0, 3))), ONE) == "holds no row"
    assert _faults(_saved(tmp_path, x=np.zeros((2, 3), "U4")), ONE) == (
        "input 'x': expected float [?, 3], given text [2, 3]"
    )


def test_arrays_that_cannot_be_read_row_by_row(tmp_path: Path) -> None:
    """Pickled objects are never loaded, Fortran order is refused; each with a way out."""
    path = _saved(tmp_path, x=np.array([[b"a", None, 1]], dtype=object))
    assert _faults(path, ONE).startswith("array 'x' holds Python objects, which only pickle can load")
    path = _saved(tmp_path, x=np.asfortranarray(np.zeros((2, 3))))
    assert _faults(path, ONE).endswith("save numpy.ascontiguousarray(array)")


def test_files_that_are_none(tmp_path: Path) -> None:
    """Missing, cut off, or something else."""
    path = _saved(tmp_path, x=np.zeros((9, 3)))
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert _faults(path, ONE) == "cannot be read as .npz: File is not a zip file"
    spoiled = bytearray(whole)
    spoiled[250] ^= 1
    path.write_bytes(spoiled)
    assert _faults(path, ONE) == "cannot be read as .npz: Bad CRC-32 for file 'x.npy'"
    assert _faults(tmp_path / "no.npz", ONE) == "cannot be read as .npz: No such file or directory"
    np.save(tmp_path / "x.npy", np.zeros((9, 3)))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    assert _faults(tmp_path / "x.npy", ONE) == "cannot be read as .npy: the data ends before the last row"
    (tmp_path / "x.npy").write_bytes(b"hello")
    assert _faults(tmp_path / "x.npy", ONE).startswith("cannot be read as .npy: ")


@given(st.integers(0, 127), st.sampled_from(b"()[]{}',\\0#:L\xff"), st.integers(0, 127))
def test_a_damaged_header_is_told(place: int, byte: int, end: int) -> None:
    """Whatever numpy makes of it: one kind of error, which names the file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of headers as Python 2 wrote them
        path = Path(folder) / "a.npy"
        np.save(path, np.zeros((2, 3), np.float32))
        data = bytearray(path.read_bytes())
        data[place] = byte
        path.write_bytes(data if end > 20 else data[:end])
        try:
            list(open_arrays(path, signature_of({"x": ("float", (-1, 3))})).blocks())
        except CorpusError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 - most changes of the padding harm nobody
