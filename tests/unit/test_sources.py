"""One door to all sources: the payloads they give, in order and in the wanted rows, and what cannot be a source."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.signatures import signature_of
from tfs_locust.load.corpus import CorpusError, Payload, input_shapes, synthetic_inputs
from tfs_locust.load.pool import Pool
from tfs_locust.load.prediction_log import log_record
from tfs_locust.load.sources import Source, brings_rows, is_read_once, open_source
from tfs_locust.load.tfrecord import write_records
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.protos import predict_pb2, prediction_log_pb2
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import decode_tensor

SIGNATURE = signature_of({"x": ("float", (-1, 2))})
TARGET = Target("m", version=3)


def _encode(inputs: codec.Inputs) -> bytes:
    return codec.encode_grpc(TARGET, SIGNATURE, inputs)


def _open(given: Any, rows: int | Iterator[int] = 2, **more: Any) -> Source:
    return open_source(given, SIGNATURE, rows, 7, _encode, grpc_target=TARGET, **more)


def _first(source: Source, count: int) -> list[Payload]:
    return list(itertools.islice(source, count))


def _request(payload: Payload) -> predict_pb2.PredictRequest:
    return predict_pb2.PredictRequest.FromString(payload.body)


def _x(payloads: Iterable[Payload]) -> list[list[list[float]]]:
    return [decode_tensor(_request(payload).inputs["x"]).tolist() for payload in payloads]


def _numbered(rows: int) -> np.ndarray[Any, Any]:
    return np.stack([np.arange(rows), -np.arange(rows)], axis=1).astype(np.float32)


def test_synthetic_payloads_are_those_of_their_seed() -> None:
    """The payload of a number comes from the seed and that number alone, and sizes that vary are kept to."""
    shapes = input_shapes(SIGNATURE, 2, {})
    inputs = [synthetic_inputs(SIGNATURE, shapes, np.random.default_rng([7, index])) for index in range(5)]
    for given in (None, "synthetic"):
        source = _open(given)
        assert _first(source, 5) == [Payload(_encode(one), 2) for one in inputs]
        assert source.describe() == "synthetic, seed 7"
    assert [payload.rows for payload in _first(_open(None, itertools.cycle([1, 4, 2])), 4)] == [1, 4, 2, 1]
    with pytest.raises(CorpusError, match="--tfs-dim names an input 'nope'"):
        _open(None, dims={"nope": (1,)})


@pytest.mark.parametrize("form", ["npz", "npy", "jsonl", "ndjson"])
def test_rows_of_files_are_grouped(form: str, tmp_path: Path) -> None:
    """In order, in the wanted rows, filled up from the start at the end of a pass; then from the start again."""
    x, path = _numbered(5), tmp_path / f"a.{form}"
    if form == "npz":
        np.savez(path, x=x)
    elif form == "npy":
        np.save(path, x)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in x.tolist()))
    source = _open(str(path))
    taken = _first(source, 6)
    assert [payload.rows for payload in taken] == [2] * 6
    rows = [int(row[0]) for request in _x(taken) for row in request]
    assert rows == [0, 1, 2, 3, 4, 0] * 2
    assert len(list(source.passes())) == 3
    assert str(path) in source.describe()
    assert [payload.rows for payload in _first(_open(path, itertools.cycle([1, 7])), 3)] == [1, 7, 1]


def test_constants_go_into_every_request(tmp_path: Path) -> None:
    """Inputs of fixed shape beside a batch; and requests one by one where nothing is a batch."""
    signature = signature_of({"x": ("float", (-1, 2)), "k": ("float", ())})
    np.savez(tmp_path / "a.npz", x=_numbered(3), k=np.float32(9))

    def encode(inputs: codec.Inputs) -> bytes:
        return json.dumps({name: array.tolist() for name, array in sorted(inputs.items())}).encode()

    taken = _first(open_source(tmp_path / "a.npz", signature, 3, 0, encode), 1)
    assert json.loads(taken[0].body) == {"k": 9, "x": [[0, 0], [1, -1], [2, -2]]}
    fixed = signature_of({"x": ("float", (2,))})
    np.savez(tmp_path / "b.npz", x=_numbered(3))
    payloads = _first(open_source(tmp_path / "b.npz", fixed, 8, 0, encode), 4)
    assert [json.loads(payload.body)["x"] for payload in payloads] == [[0, 0], [1, -1], [2, -2], [0, 0]]
    assert [payload.rows for payload in payloads] == [1] * 4


def _log(path: Path, *, model: str = "logged", rows: Iterable[int] = (1, 3)) -> list[bytes]:
    """A log of requests of so many rows; returns the requests' bytes."""
    requests = []
    for count in rows:
        request = predict_pb2.PredictRequest.FromString(_encode({"x": _numbered(count)}))
        request.model_spec.Clear()
        request.model_spec.name = model
        request.model_spec.version_label = "old"
        request.model_spec.signature_name = "other"
        request.output_filter.append("y")
        requests.append(request.SerializeToString())
    write_records(path, map(log_record, requests))
    return requests


def test_logged_requests_are_addressed_anew(tmp_path: Path) -> None:
    """Model, version and signature are the target's; inputs, filter and rows as logged; wanted rows mean nothing."""
    _log(tmp_path / "log")
    source = _open(tmp_path / "log", rows=99)
    taken = _first(source, 3)
    assert [payload.rows for payload in taken] == [1, 3, 1]
    for payload in taken:
        request = _request(payload)
        assert request.model_spec == TARGET.model_spec()
        assert list(request.output_filter) == ["y"]
    assert _x(taken[:2]) == [[[0, 0]], [[0, 0], [1, -1], [2, -2]]]
    assert source.describe() == f"logged requests of {tmp_path / 'log'}, in order, for model 'm' version 3"


def test_logged_requests_as_they_were(tmp_path: Path) -> None:
    """The bytes in the log, even where encoding them anew would give others."""
    requests = _log(tmp_path / "log", rows=[2])
    odd = requests[0][: -len(requests[0]) or None] + requests[0]
    spec = predict_pb2.PredictRequest.FromString(odd).model_spec.SerializeToString()
    unsorted = b"\x1a\x01y" + odd.replace(b"\x1a\x01y", b"", 1) + b"\xa8\x1f\x05"  # filter first; an unknown field
    assert spec in unsorted
    inner = b"\x0a" + _varint(len(unsorted)) + unsorted
    write_records(tmp_path / "odd", [b"\x32" + _varint(len(inner)) + inner])
    (payload,) = _first(_open(f"as-logged:{tmp_path / 'odd'}"), 1)
    assert payload == Payload(unsorted, 2)
    assert prediction_log_pb2.PredictionLog.FromString(b"\x32" + _varint(len(inner)) + inner).HasField("predict_log")
    with pytest.raises(CorpusError, match=r"as-logged:.*/odd: logged bytes are gRPC's; for REST give .*/odd, whose"):
        open_source(f"as-logged:{tmp_path / 'odd'}", SIGNATURE, 1, 0, _encode)


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


def test_logged_requests_over_rest(tmp_path: Path) -> None:
    """Inputs are decoded and encoded as JSON."""
    _log(tmp_path / "log")

    def encode(inputs: codec.Inputs) -> bytes:
        return codec.encode_rest(TARGET, SIGNATURE, inputs)

    payloads = _first(open_source(tmp_path / "log", SIGNATURE, 1, 0, encode), 2)
    assert [payload.rows for payload in payloads] == [1, 3]
    assert json.loads(payloads[1].body) == {"instances": [[0, 0], [1, -1], [2, -2]]}


def test_logs_that_cannot_be_sent(tmp_path: Path) -> None:
    """Another kind of log, no log, a request that does not fit: file, record, and both sides of the misfit."""
    path = tmp_path / "log"
    log = prediction_log_pb2.PredictionLog()
    log.classify_log.SetInParent()
    request = predict_pb2.PredictRequest()
    request.inputs["x"].dtype = 2
    request.inputs["x"].tensor_shape.dim.add(size=4)
    request.inputs["z"].dtype = 99
    for record, reason in (
        (log.SerializeToString(), "is classify_log; only requests of predict_log can be sent"),
        (b"", "is empty; only requests of predict_log can be sent"),
        (b"\xff", "its 1 bytes are no PredictionLog"),
        (
            log_record(request.SerializeToString()),
            "input 'x': expected float [?, 2], given double [4]; 'z' is no input; the signature takes x: float [?, 2]",
        ),
    ):
        write_records(path, [record])
        with pytest.raises(CorpusError, match=re.escape(f"{path}, record 1: {reason}")):
            _open(path)
    broken = predict_pb2.PredictRequest.FromString(_encode({"x": _numbered(1)}))
    broken.inputs["x"].tensor_content = b"short"
    write_records(path, [log_record(broken.SerializeToString())])
    with pytest.raises(CorpusError, match=re.escape(f"{path}, record 1: input 'x': 5 bytes of content")):
        _first(open_source(path, SIGNATURE, 1, 0, _encode), 1)
    write_records(path, [])
    with pytest.raises(CorpusError, match="/log: no request in it"):
        _open(path)


def test_a_users_function() -> None:
    """Called with rows and a generator of the seed and the call; lists will do; the same seed gives the same."""

    def make(rows: int, rng: np.random.Generator) -> dict[str, Any]:
        return {"x": rng.random((rows, 2)).tolist()}

    source = _open(make, itertools.cycle([1, 3]))
    taken = _first(source, 4)
    assert [payload.rows for payload in taken] == [1, 3, 1, 3]
    assert taken == _first(_open(make, itertools.cycle([1, 3])), 4)
    assert len({payload.body for payload in taken}) == 4
    assert source.describe() == "made by the function make, seed 7"
    assert _first(_open(lambda rows, _rng: b"?" * rows), 1) == [Payload(b"??", 2)]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _rows, _rng: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda _rows, _rng: [1], "expected inputs by name or bytes, given list"),
        (lambda _rows, _rng: {"x": np.zeros((3, 2))}, "returned 3 rows"),
        (lambda rows, _rng: {"x": np.zeros((rows, 3))}, "input 'x': expected float [?, 2], given float64 [2, 3]"),
        (lambda _rows, _rng: {"x": [[1], [1, 2]]}, "raised ValueError: setting an array element with a sequence."),
        (
            lambda rows, _rng: {"y": np.zeros(rows)},
            "input 'x' is missing; the signature takes x: float [?, 2]; 'y' is no",
        ),
    ],
)
def test_what_a_users_function_may_do_wrong(make: Any, reason: str) -> None:
    """Which function, which call, and what."""
    with pytest.raises(CorpusError) as caught:
        _first(_open(make), 1)
    assert str(caught.value).startswith(f"payload function <lambda>, call 1 for 2 rows: {reason}")


def test_a_users_requests() -> None:
    """A list goes round, a generator goes on; each request is as it is given."""
    given = [{"x": _numbered(1)}, {"x": _numbered(4)}, b"body"]
    assert [payload.rows for payload in _first(_open(given), 4)] == [1, 4, 1, 1]
    endless = ({"x": _numbered(rows)} for rows in itertools.count(1))
    assert [payload.rows for payload in _first(_open(endless), 3)] == [1, 2, 3]
    with pytest.raises(
        CorpusError, match=r"^payload 1 of the list: input 'x': expected float \[\?, 2\], given int64 \[1\]$"
    ):
        _first(_open([{"x": [1]}]), 1)
    with pytest.raises(CorpusError, match=r"^taken from a list: no payload in it$"):
        _first(_open([]), 1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            "nowhere",
            "nowhere: there is no such file; payloads are 'synthetic', or a file: .npz, .npy, .jsonl, .ndjson,",
        ),
        ("nowhere.jsonl", "nowhere.jsonl: there is no such file; payloads are 'synthetic', or a file: "),
        ("nowhere.npz", "nowhere.npz: there is no such file; payloads are 'synthetic', or a file: "),
        (5, "payload 5: expected the name of a file, a function of (rows, rng), or an iterable of inputs by name"),
        (b"body", "payload b'body': expected the name of a file"),
        ({"x": [1]}, "payload {'x': [1]}: expected the name of a file"),
        ("", "payload '': no file is named; payloads are 'synthetic', or a file: "),
        ("as-logged:", "payload 'as-logged:': no file is named; payloads are 'synthetic', or a file: "),
        (".", ".: is a directory; payloads are 'synthetic', or a file: "),
        ("pipe.jsonl", "pipe.jsonl: is a pipe or a device, and payload files are read several times: save it as a"),
        ("pipe.npz", "pipe.npz: is a pipe or a device"),
        ("pipe", "pipe: is a pipe or a device"),
        ("a.json", "a.json: neither its name nor its content is that of payloads; payloads are 'synthetic', or a"),
        ("a.npy.gz", "a.npy.gz: neither its name nor its content is that of payloads; payloads are 'synthetic', or"),
    ],
)
def test_what_cannot_be_a_source(given: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says what was given and what can be."""
    monkeypatch.chdir(tmp_path)
    for name in ("pipe", "pipe.jsonl", "pipe.npz"):
        os.mkfifo(name)
    Path("a.json").write_text("[1, 2]\n")
    np.save("a.npy", _numbered(1))
    Path("a.npy.gz").write_bytes(gzip.compress(Path("a.npy").read_bytes()))
    with pytest.raises(CorpusError) as caught:
        _open(given)
    assert str(caught.value).startswith(reason)


def test_endings_in_capitals(tmp_path: Path) -> None:
    """Mean the same."""
    (tmp_path / "A.JSONL").write_text("[1, 2]\n")
    np.save(tmp_path / "a.npy", _numbered(1))
    (tmp_path / "a.npy").rename(tmp_path / "A.NPY")
    assert not brings_rows(tmp_path / "A.NPY")
    assert _x(_first(_open(tmp_path / "A.JSONL", 1), 1)) == [[[1, 2]]]
    assert _x(_first(_open(tmp_path / "A.NPY", 1), 1)) == [[[0, 0]]]


def test_a_log_whose_tensors_no_server_reads(tmp_path: Path) -> None:
    """Shapes that are open, empty, absurd or differ, and content that does not fill them: told with the record."""
    signature = signature_of({"x": ("float", (-1,)), "y": ("float", (-1,))})
    for dims, content, reason in (
        ((-1, 1), b"\0" * 4, "input 'x': its shape [-1] is not fully known"),
        ((0, 0), b"", "holds no row"),
        ((3, 2), b"", "numbers of rows differ: 3 in 'x', 2 in 'y'"),
        ((2, 2), b"\0" * 4, "input 'x': 4 bytes of content do not fill 2 elements of float; input 'y': 4 bytes"),
        ((10**12, 1), b"", "input 'x': its shape [1000000000000] makes 4,000,000,000,000 bytes, more than a request"),
    ):
        request = predict_pb2.PredictRequest()
        for name, size in zip("xy", dims, strict=True):
            request.inputs[name].dtype = 1
            request.inputs[name].tensor_shape.dim.add(size=size)
            request.inputs[name].tensor_content = content
        write_records(tmp_path / "log", [log_record(request.SerializeToString())])
        for target in (TARGET, None):
            with pytest.raises(CorpusError) as caught:
                open_source(tmp_path / "log", signature, 1, 0, lambda _: b"", grpc_target=target)
            assert str(caught.value).startswith(f"{tmp_path / 'log'}, record 1: {reason}")
    request = predict_pb2.PredictRequest()
    for name in "xy":
        request.inputs[name].dtype = 1
        request.inputs[name].tensor_shape.dim.add(size=2)
        request.inputs[name].float_val.extend([1.0, 2.0, 3.0])
    write_records(tmp_path / "log", [log_record(request.SerializeToString())])
    with pytest.raises(CorpusError, match="3 values are more than the 2 of the shape"):
        open_source(tmp_path / "log", signature, 1, 0, lambda _: b"", grpc_target=TARGET)


class _Odd:
    """An array of a user's own kind, that cannot be read."""

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        raise RuntimeError("lost")


def test_requests_of_a_user_that_fail_later() -> None:
    """Whatever their code raises is told with its place, wherever it is raised."""

    def failing() -> Iterator[Any]:
        yield {"x": _numbered(1)}
        raise LookupError("no table")

    with pytest.raises(CorpusError, match=r"^payload 2 of the generator: raised LookupError: no table$"):
        _first(_open(failing()), 2)
    for given, reason in (
        ({"x": _Odd()}, "raised RuntimeError: lost"),
        ({"x": np.zeros((0, 2))}, "holds no row"),
        (b"", "an empty body is no request"),
    ):
        with pytest.raises(CorpusError, match=f"^payload 1 of the list: {reason}$"):
            _first(_open([given]), 1)


def test_what_can_be_read_once() -> None:
    """A generator, and any other iterator; a second reader of one that is at its end is told."""
    assert is_read_once(iter([b"body"]))
    assert not any(map(is_read_once, (None, "file", Path("file"), [b"body"], len)))
    once = iter([b"body"])
    assert [payload.body for payload in _open(once).passes()] == [b"body"]
    pool: Pool[Payload] = Pool(_open(once), lambda payload: payload)
    with pytest.raises(CorpusError, match="can be read once only, and was, maybe by an earlier run; give one that"):
        pool.fill()


def test_requests_that_are_too_large_to_be_made() -> None:
    """They are told before gigabytes are filled."""
    with pytest.raises(
        CorpusError, match="a request of 999,999,999 rows has 7,999,999,992 bytes; at most 2,147,483,647"
    ):
        _first(_open(None, 999_999_999), 1)


def test_empty_files_and_errors_of_encoding(tmp_path: Path) -> None:
    """A file without instances is told at once; what encoding refuses is told with its place."""
    (tmp_path / "a.jsonl").write_text("\n\n")
    with pytest.raises(CorpusError, match=r"/a\.jsonl: no instance in it$"):
        _open(tmp_path / "a.jsonl")

    def refuse(_: codec.Inputs) -> bytes:
        raise codec.CodecError("not over REST")

    np.save(tmp_path / "a.npy", _numbered(2))
    with pytest.raises(CorpusError, match=r"/a\.npy, row 0: not over REST$"):
        next(iter(open_source(tmp_path / "a.npy", SIGNATURE, 1, 0, refuse)))
