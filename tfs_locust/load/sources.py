"""Where payloads come from: made up, files, or a user's own code; all behind :func:`open_source`.

A source is read in passes, from its start to its end, with the memory of a few rows or one record. How many payloads
are held at once is the pool's affair (pool.py), how inputs become bytes the caller's (an ``encode`` function).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfs_locust.load.corpus import CorpusError, Dims, Payload, input_shapes, synthetic_inputs
from tfs_locust.load.files import check_regular
from tfs_locust.load.fitting import given_array, is_batch, misfits
from tfs_locust.load.jsonl import read_blocks
from tfs_locust.load.npz import open_arrays
from tfs_locust.load.prediction_log import LoggedRequest, read_requests
from tfs_locust.load.regrouping import Block, regrouped
from tfs_locust.load.tfrecord import starts_with_record
from tfs_locust.tfserving.codec import CodecError, Inputs, rows_of
from tfs_locust.tfserving.signature import Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import LARGEST_BYTES

SYNTHETIC = "synthetic"
AS_LOGGED = "as-logged:"
_ARRAYS = (".npz", ".npy")
_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_KNOWN = (
    f"payloads are {SYNTHETIC!r}, or a file: {', '.join((*_ARRAYS, *_LINES))}, or of any other name a TFRecord of "
    "PredictionLog, plain or gzip"
)

Encode = Callable[[Inputs], bytes]
Made = Mapping[str, Any] | bytes
"""What a user's code gives for a request: inputs by name (lists and numbers will do), or a body encoded already."""


@dataclass(frozen=True, slots=True)
class Source:
    """Payloads in the order of their source."""

    description: str
    passes: Callable[[], Iterator[Payload]]
    """Starts a pass: every payload once, which may be without end. It raises CorpusError for what cannot be sent."""

    made: bool = False
    """Payloads are made as they are wanted, without end: one pool of them is as good as the next."""
    own_rows: bool = False
    """Requests are as large as they are in the source, whatever rows were wanted."""

    def describe(self) -> str:
        """What the payloads are, for a report."""
        return self.description

    def __iter__(self) -> Iterator[Payload]:
        """Without end: pass after pass. Raises CorpusError where a pass holds nothing."""
        while True:
            payload = None
            for payload in self.passes():
                yield payload
            if payload is None:
                raise CorpusError(f"{self.description}: no payload in it")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the payloads of any source have in common."""

    signature: Signature
    sizes: Iterator[int]
    seed: int
    encode: Encode
    encode_against: Encode | None

    def payload(self, place: str, inputs: Inputs, rows: int | None = None) -> Payload:
        try:
            body = self.encode(inputs)
            against = b"" if self.encode_against is None else self.encode_against(inputs)
            return Payload(body, rows_of(self.signature, inputs) if rows is None else rows, against)
        except CodecError as error:
            raise CorpusError(f"{place}: {error}") from error


def open_source(
    given: str | Path | Callable[[int, np.random.Generator], Made] | Iterable[Made] | None,
    signature: Signature,
    rows: Iterator[int] | int,
    seed: int,
    encode: Encode,
    *,
    dims: Dims | None = None,
    grpc_target: Target | None = None,
    encode_against: Encode | None = None,
) -> Source:
    """Open what ``--tfs-payload`` or a class's ``payload`` names. Raises CorpusError for what cannot be a source.

    - None or ``synthetic``: random values, endless; ``dims`` are the sizes that the signature leaves open;
    - ``FILE.npz``, ``FILE.npy``, ``FILE.jsonl`` or ``.ndjson`` (these two also with ``.gz``): rows, grouped into
      requests of ``rows`` rows, drawn anew for each request where ``rows`` is an iterator;
    - any other file: a TFRecord of PredictionLog, plain or gzip, each record a request of the rows it was logged with.
      ``grpc_target`` takes the place of the model, version and signature in it; None is for REST: inputs are decoded
      and encoded anew;
    - ``as-logged:FILE``: the same with the bytes as they are, for gRPC;
    - a callable: called with rows and a random generator (of ``seed`` and the number of the call), endless;
    - an iterable of requests, taken as they are: a list, say, or a generator without end.

    ``encode`` makes a body of inputs; where it raises CodecError the error gets its place. With ``encode_against`` the
    same inputs are encoded a second time, for whom the requests are compared with. Files are opened and their
    first record is checked here; a later one is checked when it is read, always before it is sent.
    """
    wanted = _Wanted(
        signature, rows if isinstance(rows, Iterator) else itertools.repeat(rows), seed, encode, encode_against
    )
    if given is None or given == SYNTHETIC:
        return _synthetic(wanted, dims or {})
    if isinstance(given, (str, Path)):
        return _file(wanted, str(given), grpc_target)
    if callable(given):
        return _called(wanted, given)
    if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        return _iterated(wanted, given)
    raise CorpusError(
        f"payload {given!r}: expected the name of a file, a function of (rows, rng), or an iterable of inputs by name"
    )


def brings_rows(given: object) -> bool:
    """Whether a source's requests are as large as they are in it, whatever rows are wanted; as far as is told by its
    kind."""
    if isinstance(given, (str, Path)):
        return str(given) != SYNTHETIC and not str(given).lower().endswith((*_ARRAYS, *_LINES))
    return given is not None and not callable(given)


def is_read_once(given: object) -> bool:
    """Whether what is taken from a source is gone from it: of an iterator, such as a generator."""
    return isinstance(given, Iterator)


def _synthetic(wanted: _Wanted, dims: Dims) -> Source:
    input_shapes(wanted.signature, 1, dims)  # tells what is wrong with the sizes before the first payload is wanted

    def one_pass() -> Iterator[Payload]:
        for index, rows in enumerate(wanted.sizes):
            shapes = input_shapes(wanted.signature, rows, dims)
            items = sum(math.prod(shapes[spec.name]) * spec.dtype.numpy.itemsize for spec in wanted.signature.inputs)
            if items > LARGEST_BYTES:
                raise CorpusError(
                    f"a request of {rows:,} rows has {items:,} bytes; at most {LARGEST_BYTES:,} can be sent"
                )
            # a generator per payload: the first payloads stay the same when more are wanted
            inputs = synthetic_inputs(wanted.signature, shapes, np.random.default_rng([wanted.seed, index]))
            yield wanted.payload(f"synthetic payload {index + 1}", inputs)

    return Source(f"synthetic, seed {wanted.seed}", one_pass, made=True)


def _file(wanted: _Wanted, text: str, grpc_target: Target | None) -> Source:
    """By the ending of its name, in letters of any case."""
    if not text.removeprefix(AS_LOGGED):
        raise CorpusError(f"payload {text!r}: no file is named; {_KNOWN}")
    path = Path(text.removeprefix(AS_LOGGED))
    check_regular(path, _KNOWN)
    if not text.startswith(AS_LOGGED):
        if text.lower().endswith(_ARRAYS):
            return _arrays(wanted, path)
        if text.lower().endswith(_LINES):
            return _lines(wanted, path)
    if not starts_with_record(path):
        raise CorpusError(f"{path}: neither its name nor its content is that of payloads; {_KNOWN}")
    return _log(wanted, path, grpc_target, as_logged=text.startswith(AS_LOGGED))


def _arrays(wanted: _Wanted, path: Path) -> Source:
    file = open_arrays(path, wanted.signature)
    in_rows = any(map(is_batch, wanted.signature.inputs))
    requests = partial(regrouped, file.blocks, wanted.sizes) if in_rows else partial(_one_by_one, file.blocks)

    def one_pass() -> Iterator[Payload]:
        for block in requests():
            yield wanted.payload(block.place, {**block.inputs, **file.constants})

    return Source(f"{file.rows} rows of {path}, in order", one_pass, own_rows=not in_rows)


def _one_by_one(open_blocks: Callable[[], Iterator[Block]]) -> Iterator[Block]:
    """Each row a request of its own, without the dimension that counts them."""
    for block in open_blocks():
        for index in range(block.rows):
            yield Block(block.place, {name: array[index] for name, array in block.inputs.items()}, 1)


def _lines(wanted: _Wanted, path: Path) -> Source:
    blocks = partial(read_blocks, path, wanted.signature)
    if next(blocks(), None) is None:
        raise CorpusError(f"{path}: no instance in it")
    in_rows = all(map(is_batch, wanted.signature.inputs))

    def one_pass() -> Iterator[Payload]:
        for block in regrouped(blocks, wanted.sizes) if in_rows else blocks():
            yield wanted.payload(block.place, block.inputs, block.rows)

    how = "" if in_rows else ", a request in each line"
    return Source(f"instances of {path}, in order{how}", one_pass, own_rows=not in_rows)


def _log(wanted: _Wanted, path: Path, grpc_target: Target | None, *, as_logged: bool) -> Source:
    if as_logged and grpc_target is None:
        raise CorpusError(
            f"{AS_LOGGED}{path}: logged bytes are gRPC's; for REST give {path}, whose inputs are then sent as JSON"
        )
    requests = partial(read_requests, path, wanted.signature)
    if next(requests(), None) is None:
        raise CorpusError(f"{path}: no request in it")

    def payload(request: LoggedRequest) -> Payload:
        if grpc_target is None:
            return wanted.payload(request.place, request.inputs(), request.rows)
        body = request.as_logged() if as_logged else request.addressed_to(grpc_target)
        if wanted.encode_against is None:
            return Payload(body, request.rows)
        return replace(wanted.payload(request.place, request.inputs(), request.rows), body=body)

    def one_pass() -> Iterator[Payload]:
        for request in requests():
            yield payload(request)

    how = "as logged" if as_logged else f"for {grpc_target}" if grpc_target else "as JSON"
    return Source(f"logged requests of {path}, in order, {how}", one_pass, own_rows=True)


def _called(wanted: _Wanted, make: Callable[[int, np.random.Generator], Made]) -> Source:
    name = getattr(make, "__name__", type(make).__name__)
    in_rows = any(map(is_batch, wanted.signature.inputs))

    def one_pass() -> Iterator[Payload]:
        for index, rows in enumerate(wanted.sizes):
            place = f"payload function {name}, call {index + 1} for {rows} rows"
            try:
                made = make(rows, np.random.default_rng([wanted.seed, index]))
            except Exception as error:
                raise CorpusError(f"{place}: raised {type(error).__name__}: {error}") from error
            payload = _taken(wanted, place, made, rows)
            if in_rows and payload.rows != rows:
                raise CorpusError(f"{place}: returned {payload.rows} rows")
            yield payload

    return Source(f"made by the function {name}, seed {wanted.seed}", one_pass, made=True)


def _iterated(wanted: _Wanted, items: Iterable[Made]) -> Source:
    def one_pass() -> Iterator[Payload]:
        index = 0
        try:
            for made in items:
                index += 1
                yield _taken(wanted, f"payload {index} of the {type(items).__name__}", made, 1)
        except CorpusError:
            raise
        except Exception as error:  # the user's code
            raise CorpusError(
                f"payload {index + 1} of the {type(items).__name__}: raised {type(error).__name__}: {error}"
            ) from error

    return Source(f"taken from a {type(items).__name__}", one_pass, own_rows=True)


def _taken(wanted: _Wanted, place: str, made: Made, rows: int) -> Payload:
    """What a user's code gave, checked. A body that is encoded already is taken to have ``rows`` rows."""
    if isinstance(made, bytes) and wanted.encode_against is not None:
        raise CorpusError(f"{place}: bytes are encoded for one of the two that are compared: give inputs by name")
    if isinstance(made, bytes):
        if not made:
            raise CorpusError(f"{place}: an empty body is no request")
        return Payload(made, rows)
    if not isinstance(made, Mapping):
        raise CorpusError(f"{place}: expected inputs by name or bytes, given {type(made).__name__}")
    specs = {spec.name: spec for spec in wanted.signature.inputs}
    try:
        inputs = {name: np.asarray(value) for name, value in made.items()}
    except Exception as error:  # an array of the user's own kind may raise anything
        raise CorpusError(f"{place}: raised {type(error).__name__}: {error}") from error
    faults = misfits(wanted.signature, {name: given_array(array, specs.get(name)) for name, array in inputs.items()})
    if faults:
        raise CorpusError(f"{place}: {'; '.join(faults)}")
    payload = wanted.payload(place, inputs)
    if payload.rows < 1:
        raise CorpusError(f"{place}: holds no row")
    return payload
