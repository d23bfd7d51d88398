"""The reader against recorded answers of RapidJSON itself, and against Python's reader."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded import json_reader
from tfs_locust.embedded.json_reader import Json, JsonError, JsonObject, read

# documents, sound and broken, with what RapidJSON 1.1.0 makes of them under TensorFlow Serving's parse flags
RECORDED = [
    json.loads(line) for line in (Path(__file__).parent.parent / "data" / "rapidjson.jsonl").read_text().splitlines()
]


def read_slowly(text: bytes) -> Json:
    """The module's own reader, without Python's before it."""
    return json_reader._Reader(text).document()


def dumped(value: Json) -> str:
    """The notation of the recorded values: types, bytes of strings, bits of doubles."""
    if value is None or isinstance(value, bool):
        return {None: "n", True: "t", False: "f"}[value]
    if isinstance(value, str):
        return f"s{value.encode('utf-8', 'surrogateescape').hex()};"
    if isinstance(value, int):
        return f"i{value};"
    if isinstance(value, float):
        return f"d{struct.pack('>d', value).hex()};"
    if isinstance(value, list):
        return f"[{''.join(map(dumped, value))}]"
    return "{" + "".join(dumped(name) + dumped(member) for name, member in value.members) + "}"


@pytest.mark.parametrize("reader", [read, read_slowly])
def test_every_recorded_document_gives_what_rapidjson_gives(reader: Any) -> None:
    """Values bit by bit, errors with sentence and offset, with and without Python's reader in front."""
    wrong = []
    for case in RECORDED:
        text = bytes.fromhex(case["text_hex"])
        try:
            got = {"value": dumped(reader(text))}
        except JsonError as error:
            got = {"error": str(error)}
        expected = {key: case[key] for key in ("value", "error") if key in case}
        if got != expected:
            wrong.append((text, expected, got))
    assert not wrong
    assert len(RECORDED) > 700


def test_members_keep_their_order_and_the_first_of_two_is_found() -> None:
    """A name that comes twice stays twice; looking it up finds the first."""
    value = read(b'{"b": 1, "a": 2, "b": 3}')
    assert isinstance(value, JsonObject)
    assert value.members == [("b", 1), ("a", 2), ("b", 3)]
    assert value["b"] == 1
    assert "c" not in value


def test_what_follows_the_first_value_is_ignored() -> None:
    """Reading stops with the closing bracket."""
    assert read(b'{"a": 1}}garbage') == JsonObject([("a", 1)])


def test_stray_bytes_in_a_string_come_through() -> None:
    """Encoding is not validated: the bytes are there again when the string is encoded."""
    value = read(b'{"a": "\xff\xc3"}')
    assert isinstance(value, JsonObject)
    assert value["a"] == b"\xff\xc3".decode("utf-8", "surrogateescape")


def test_nesting_has_no_limit() -> None:
    """A hundred thousand open arrays are read, or their missing end is reported; no stack overflows."""
    depth = 100_000
    value = read(b'{"a":' + b"[" * depth + b"]" * depth + b"}")
    assert isinstance(value, JsonObject)
    inner, levels = value["a"], 0
    while isinstance(inner, list) and inner:
        inner, levels = inner[0], levels + 1
    assert levels == depth - 1
    with pytest.raises(JsonError, match=rf"^Invalid value\. at offset: {depth}$"):
        read(b"[" * depth)


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=30,
)


def plain(value: Json) -> Any:
    """The value in Python's own types."""
    if isinstance(value, JsonObject):
        return {name: plain(member) for name, member in value.members}
    return [plain(element) for element in value] if isinstance(value, list) else value


@given(documents, st.booleans())
def test_python_agrees_on_valid_documents(document: Any, escaped: bool) -> None:
    """What json.dumps writes is read as json.loads reads it, but for the last bits of long decimals."""
    text = json.dumps({"a": document}, ensure_ascii=escaped)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8
    try:
        value = read_slowly(encoded)
    except JsonError:
        assert "\\ud" in text  # a lone surrogate escape, which Python takes
        return
    if "\\ud" not in text:
        assert plain(value) == json.loads(text, parse_float=json_reader._float)
    assert dumped(value) == dumped(read(encoded))
