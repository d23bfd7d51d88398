"""Arrays in ``.npz`` and ``.npy`` files, read row by row.

Format: numpy.lib.format; an npz is a zip of them, compressed or not. Read as a stream, never mapped or loaded whole: a
file of any size takes the memory of one block, and compressed files are read as others are. Byte strings (``S``) lose
zero bytes at their ends, as numpy has it: for binary data take JSON lines with b64, or TFRecord.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.fitting import given_type, is_batch, misfits
from tfs_locust.load.regrouping import Block
from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.tensor import Array

_BLOCK_BYTES = 1 << 20

Open = Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True, slots=True)
class _Stored:
    """One array in a file: its header, and how to come to its data."""

    open: Open
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """A checked file: ``rows`` rows of the inputs that are batches, and the inputs that every request gets."""

    path: Path
    rows: int
    constants: Mapping[str, Array]
    _stored: Mapping[str, _Stored]

    def blocks(self) -> Iterator[Block]:
        """All rows once, in order. Raises CorpusError where the file is damaged, or has changed."""
        row_bytes = sum(stored.row_bytes for stored in self._stored.values())
        most = max(1, _BLOCK_BYTES // max(1, row_bytes))
        with ExitStack() as files, _told(self.path):
            streams = {name: files.enter_context(stored.open()) for name, stored in self._stored.items()}
            for stream in streams.values():
                _read_header(stream)
            for start in range(0, self.rows, most):
                rows = min(most, self.rows - start)
                inputs = {name: _read(streams[name], stored, rows) for name, stored in self._stored.items()}
                yield Block(f"{self.path}, row {start}", inputs, rows)


def open_arrays(path: Path, signature: Signature) -> ArrayFile:
    """Check a file's arrays against ``signature``. Raises CorpusError with every misfit.

    A ``.npy`` file is the one input of its signature; an ``.npz`` holds an array for each input, by name. The first
    dimension of each counts the rows. Of inputs whose shape the signature fixes beside others that are batches, the
    array is that shape, and goes into every request; where it fixes all, the first dimension counts the requests.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    with _told(path):
        stored = {name: _stored(path, name, opener) for name, opener in _members(path, signature).items()}
    stored = {name: _named_type(one, specs.get(name)) for name, one in stored.items()}
    counts_requests = not any(map(is_batch, signature.inputs))
    given = {
        name: given_type(one.dtype, one.shape[1:] if counts_requests else one.shape, specs.get(name))
        for name, one in stored.items()
    }
    faults = misfits(signature, given)
    batches = {
        name: one for name, one in stored.items() if counts_requests or (name in specs and is_batch(specs[name]))
    }
    faults += [f"input {name!r}: a single value has no rows" for name, one in batches.items() if not one.shape]
    sizes = {name: one.shape[0] for name, one in batches.items() if one.shape}
    if len(set(sizes.values())) > 1:
        faults.append("numbers of rows differ: " + ", ".join(f"{size} in {name!r}" for name, size in sizes.items()))
    if not faults and not all(sizes.values()):
        faults.append("holds no row")
    if faults:
        raise CorpusError(f"{path}: {'; '.join(faults)}")
    with _told(path):
        constants = {name: _read_whole(one) for name, one in stored.items() if name not in batches}
    return ArrayFile(path, next(iter(sizes.values())), constants, batches)


def _members(path: Path, signature: Signature) -> dict[str, Open]:
    """How to open each array's stream, by the array's name."""
    if path.suffix.lower() == ".npy":
        if len(signature.inputs) != 1:
            takes = ", ".join(spec.name for spec in signature.inputs) or "none"
            raise CorpusError(f"{path}: holds one array, and the signature's inputs are: {takes}; save them as .npz")
        return {signature.inputs[0].name: lambda: path.open("rb")}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return {name.removesuffix(".npy"): partial(_opened_member, path, name) for name in names}


@contextmanager
def _opened_member(path: Path, name: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive, archive.open(name) as member:
        yield member


def _stored(path: Path, name: str, opener: Open) -> _Stored:
    with opener() as stream:
        shape, fortran_order, dtype = _read_header(stream)
    if dtype.hasobject:
        raise CorpusError(
            f"{path}: array {name!r} holds Python objects, which only pickle can load, and pickle runs code; "
            "save text as array.astype('U'), binary data as JSON lines with b64 or as TFRecord"
        )
    if fortran_order and len(shape) > 1:
        raise CorpusError(
            f"{path}: array {name!r} is in Fortran order, column by column, and cannot be read row by row; "
            "save numpy.ascontiguousarray(array)"
        )
    return _Stored(opener, shape, dtype)


def _named_type(stored: _Stored, spec: TensorSpec | None) -> _Stored:
    """With the type that numpy has no name for and saves as bytes, such as bfloat16, where the signature wants it."""
    if spec and stored.dtype.kind == "V" and spec.dtype.name == "bfloat16" and stored.dtype.itemsize == 2:
        return replace(stored, dtype=spec.dtype.numpy)
    return stored


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the npy format is not supported")


def _read(stream: IO[bytes], stored: _Stored, rows: int) -> Array:
    data = stream.read(rows * stored.row_bytes)
    if len(data) < rows * stored.row_bytes:
        raise EOFError("the data ends before the last row")
    return np.frombuffer(data, dtype=stored.dtype).reshape(rows, *stored.shape[1:])


def _read_whole(stored: _Stored) -> Array:
    with stored.open() as stream:
        _read_header(stream)
        size = math.prod(stored.shape) * stored.dtype.itemsize
        return np.frombuffer(stream.read(size), dtype=stored.dtype).reshape(stored.shape)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What fails while the file is read, as a CorpusError with its name."""
    try:
        yield
    except CorpusError:
        raise
    except Exception as error:  # numpy and zipfile fail in many ways on damaged files, a tokenizer's among them
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise CorpusError(f"{path}: cannot be read as {path.suffix or 'npz'}: {reason}") from error
