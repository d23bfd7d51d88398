"""JSON lines: what the REST interface takes is read to the same arrays, and every misfit is told with its line."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from tests.unit.metadata import Tensors
from tests.unit.signatures import signature_of
from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.jsonl import read_blocks
from tfs_locust.load.regrouping import Block
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.signature import Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import DTYPES, DType

ONE: Tensors = {"x": ("float", (-1, 2))}
TWO: Tensors = {"x": ("float", (-1, 2)), "s": ("string", (-1,))}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for all examples of a property."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _read(folder: Path, signature: Signature, *lines: str) -> list[Block]:
    path = folder / "a.jsonl"
    path.write_text("\n".join(lines))
    return list(read_blocks(path, signature))


def _listed(block: Block) -> dict[str, object]:
    return {name: array.tolist() for name, array in block.inputs.items()}


@given(st.sampled_from([dtype for dtype in DTYPES if dtype.in_json]), st.integers(1, 4), st.booleans(), st.data())
def test_rest_bodies_are_read_back(folder: Path, dtype: DType, rows: int, alone: bool, data: st.DataObject) -> None:
    """A line that is a body our own REST codec made gives the arrays it was made of, for every type REST takes."""
    inputs: Tensors = {"x": (dtype.name, (-1, 2))} if alone else {"x": (dtype.name, (-1, 2)), "k": ("int64", (-1,))}
    signature = signature_of(inputs)
    if dtype.is_string:
        x = np.empty((rows, 2), dtype=np.object_)
        x.reshape(-1)[:] = data.draw(st.lists(st.binary(max_size=9), min_size=2 * rows, max_size=2 * rows))
    else:
        finite = {"allow_nan": False, "allow_infinity": False} if dtype.is_float else {}
        x = data.draw(arrays_of.arrays(dtype.numpy, (rows, 2), elements=finite))
    arrays = {"x": x} if alone else {"x": x, "k": np.arange(rows)}
    body = codec.encode_rest(Target("m", signature="other"), signature, arrays)
    (block,) = _read(folder, signature, body.decode())
    assert block.rows == rows
    for name, array in block.inputs.items():
        expected = arrays[name]
        if dtype.is_string and name == "x":  # plain text comes back as text
            read = [item.encode() if isinstance(item, str) else item for item in array.ravel()]
            assert read == expected.ravel().tolist()
        else:
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)


def test_the_forms_of_a_line(tmp_path: Path) -> None:
    """An instance bare, one by name, several, columns; empty lines and the mark before UTF-8 are nothing."""
    signature = signature_of(ONE)
    blocks = _read(
        tmp_path,
        signature,
        "\ufeff[1, 2]",
        "",
        '{"x": [3, 4.5]}',
        '{"instances": [[5, 6], {"x": [7, 8]}], "signature_name": "any"}',
        '{"inputs": [[9, 10]]}',
        '{"inputs": {"x": [[11, NaN]]}}',
        "  ",
    )
    assert [block.rows for block in blocks] == [1, 1, 2, 1, 1]
    rows = np.concatenate([block.inputs["x"] for block in blocks])
    np.testing.assert_array_equal(rows.ravel(), [1, 2, 3, 4.5, 5, 6, 7, 8, 9, 10, 11, np.nan])
    assert {block.inputs["x"].dtype for block in blocks} == {np.dtype(np.float32)}
    assert [block.place.rpartition(", ")[2] for block in blocks] == ["line 1", "line 3", "line 4", "line 5", "line 6"]


def test_several_inputs_and_binary_strings(tmp_path: Path) -> None:
    """Objects by name, with text and b64 side by side."""
    (one, two) = _read(
        tmp_path,
        signature_of(TWO),
        '{"x": [1, 2], "s": "text"}',
        '{"inputs": {"s": [{"b64": "/w=="}, "ü"], "x": [[1, 2], [3, 4]]}}',
    )
    assert _listed(one) == {"x": [[1, 2]], "s": ["text"]}
    assert _listed(two) == {"s": [b"\xff", "ü"], "x": [[1, 2], [3, 4]]}


def test_inputs_with_the_names_of_forms(tmp_path: Path) -> None:
    """Where an input is called inputs, instances or b64, an object with it is an instance."""
    for name in ("inputs", "instances"):
        (block,) = _read(tmp_path, signature_of({name: ("float", (-1, 2))}), json.dumps({name: [1, 2]}))
        assert _listed(block) == {name: [[1, 2]]}
    (block,) = _read(tmp_path, signature_of({"s": ("string", (-1,))}), '{"b64": "YQ=="}')
    assert _listed(block) == {"s": [b"a"]}
    (block,) = _read(tmp_path, signature_of({"b64": ("string", (-1,))}), '{"b64": "YQ=="}')
    assert _listed(block) == {"b64": ["YQ=="]}


def test_inputs_that_are_no_batch(tmp_path: Path) -> None:
    """A line is then a whole request, with whole tensors."""
    signature = signature_of({"x": ("float", (-1, 2)), "k": ("int32", ())})
    blocks = _read(tmp_path, signature, '{"x": [[1, 2], [3, 4]], "k": 5}', '{"inputs": {"x": [[1, 2]], "k": 6}}')
    assert [block.rows for block in blocks] == [2, 1]
    assert _listed(blocks[0]) == {"x": [[1, 2], [3, 4]], "k": 5}
    with pytest.raises(CorpusError, match="line 1: 2 instances, but not every input is a batch"):
        _read(tmp_path, signature, '{"instances": [{"x": [[1, 2]], "k": 5}, {"x": [[1, 2]], "k": 5}]}')


def test_gzip(tmp_path: Path) -> None:
    """A compressed file is read as it is, whatever its name."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(b"[1, 2]\n[3, 4]\n"))
    assert [_listed(block) for block in read_blocks(path, signature_of(ONE))] == [{"x": [[1, 2]]}, {"x": [[3, 4]]}]


@pytest.mark.parametrize(
    ("inputs", "line", "reason"),
    [
        (ONE, "[1, 2", "is no JSON: Expecting ',' delimiter: line 1 column 6 (char 5)"),
        (ONE, "[1, 2, 3]", "input 'x': expected float [?, 2], given float32 [1, 3]"),
        (ONE, "7", "input 'x': expected float [?, 2], given float32 [1]"),
        (ONE, '["a", "b"]', 'input \'x\': expected float, given [["a", "b"]]'),
        (ONE, "[true, false]", "input 'x': expected float, given [[true, false]]"),
        (ONE, "[1, null]", "input 'x': expected float, given [[1, null]]"),
        (ONE, "[1, [2]]", "input 'x': the lists in it are of different lengths"),
        (ONE, "[1, 1e39]", "input 'x': a number in it is too large for float"),
        (ONE, '{"instances": []}', "'instances' is no list of at least one instance"),
        (ONE, '{"inputs": []}', "input 'x': expected float [?, 2], given float32 [0]"),
        (
            ONE,
            '{"y": [1, 2]}',
            "input 'x' is missing; the signature takes x: float [?, 2]; 'y' is no input; the signature",
        ),
        (TWO, "[1, 2]", "is no object of values by input name; the inputs are: s, x"),
        (
            TWO,
            '{"x": [1], "s": 5}',
            'input \'s\': expected text or {"b64": "..."}, given 5',
        ),
        (
            TWO,
            '{"x": [1], "z": 5}',
            "input 's' is missing; the signature takes s: string [?], x: float [?, 2]; input 'x': "
            "expected float [?, 2], given float32 [1, 1]; 'z' is no input",
        ),
        (TWO, '{"x": [1, 2], "s": {"b64": "?"}}', "input 's': no base64: "),
        (TWO, '{"inputs": {"x": [[1, 2]], "s": []}}', "numbers of rows differ: 0 in 's', 1 in 'x'"),
        (TWO, '{"instances": [{"x": [1, 2], "s": "a"}, {"x": [1, 2]}]}', "instance 2 holds x, the first one x, s"),
        ({"s": ("string", (-1,))}, '{"inputs": []}', "holds no row"),
        ({"x": ("int32", (-1,))}, "1.0", "input 'x': expected int32, given [1.0]"),
        ({"x": ("int8", (-1,))}, "128", "input 'x': a number in it does not fit int8: [128]"),
        ({"x": ("uint8", (-1,))}, "-1", "input 'x': a number in it does not fit uint8: [-1]"),
        ({"x": ("int64", (-1,))}, "9223372036854775808", "input 'x': a number in it does not fit int64: [92233720"),
        ({"x": ("float", (-1, 2))}, "[true, 1.5]", "input 'x': expected float, given [[true, 1.5]]"),
        ({"s": ("string", (-1, 2))}, '["a", ["b"]]', "input 's': the lists in it are of different lengths"),
        ({"x": ("double", (-1,))}, "1" + 400 * "0", "input 'x': a number in it is too large for double"),
        ({"x": ("int64", (-1,))}, "99999999999999999999", "input 'x': a number in it does not fit int64: [99999"),
        ({"x": ("bool", (-1,))}, "1", "input 'x': expected bool, given [1]"),
        ({"x": ("complex64", (-1,))}, "1", "input 'x': expected complex64, given [1]"),
    ],
)
def test_misfits(tmp_path: Path, inputs: Tensors, line: str, reason: str) -> None:
    """What was expected and what is there, with file and line."""
    with pytest.raises(CorpusError) as caught:
        _read(tmp_path, signature_of(inputs), "", line)
    assert str(caught.value).startswith(f"{tmp_path / 'a.jsonl'}, line 2: {reason}")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["x", "s", "inputs", "instances", "b64"]), inner, max_size=3)
        ),
    ),
    st.sampled_from(
        [ONE, TWO, {"x": ("int32", (-1, -1))}, {"s": ("string", None)}, {"x": ("bool", ()), "s": ("string", (-1,))}]
    ),
)
def test_no_line_raises_anything_else(folder: Path, document: object, inputs: Tensors) -> None:
    """Whatever JSON a line holds: arrays that fit, or a CorpusError."""
    signature = signature_of(inputs)
    try:
        blocks = _read(folder, signature, json.dumps(document))
    except CorpusError:
        return
    for block in blocks:
        codec.check_inputs(signature, block.inputs)
