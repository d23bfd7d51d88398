"""Header blocks: encoded, they mean the same to any decoder and leave no trace in it; equal ones are read once."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.http2_peer import encoded, fields_of
from tfs_locust.transport.http2_fields import (
    BlockReader,
    Fields,
    OversizedBlockError,
    UnreadableBlockError,
    encode_field,
)

_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)


@settings(deadline=None)
@given(st.lists(st.tuples(_TEXT.filter(bool), _TEXT), max_size=8))
def test_encoded_fields(fields: list[tuple[str, str]]) -> None:
    """Names and values of any length come out as they went in, and enter no table."""
    decoder = Decoder()
    expected = [(name.encode(), value.encode()) for name, value in fields]
    assert [(bytes(n), bytes(v)) for n, v in decoder.decode(encoded(fields), raw=True)] == expected
    assert not decoder.header_table.dynamic_entries


@pytest.mark.parametrize(
    ("name", "value", "first"),
    [
        (":method", "POST", 0x83),
        (":scheme", "http", 0x86),
        (":scheme", "https", 0x87),
        (":authority", "a", 0x11),
        (":path", "/p", 0x14),
        ("authorization", "Bearer x", 0x1F),
        ("te", "trailers", 0x10),
    ],
)
def test_static_table(name: str, value: str, first: int) -> None:
    """What the static table has is not spelt out; what is spelt out is marked as never to be indexed."""
    assert encode_field(name, value)[0] == first
    assert fields_of(encode_field(name, value)) == [(name.encode(), value.encode())]


class _Counted:
    def __init__(self) -> None:
        self.calls = 0
        self.reader = BlockReader(self._meaning)

    def _meaning(self, fields: Fields) -> Fields:
        self.calls += 1
        return fields

    def read(self, block: bytes) -> Fields:
        """As the connection does it."""
        fields: Fields = (self.reader.known(block) or self.reader.read(block)).meaning
        return fields


def test_equal_blocks_are_read_once() -> None:
    """When the sender has said that it keeps no table, and not before."""
    counted = _Counted()
    for _ in range(3):
        assert counted.read(encoded([("a", "b")])) == [(b"a", b"b")]
    assert counted.calls == 3
    counted.read(b"\x20" + encoded([("a", "b")]))
    for _ in range(3):
        assert counted.read(encoded([("a", "b")])) == [(b"a", b"b")]
    assert counted.calls == 5


def test_table_that_is_taken_up_again() -> None:
    """Equal bytes may then mean something else."""
    counted, encoder = _Counted(), Encoder()
    encoder.header_table_size = 0
    counted.read(encoder.encode([("a", "b")]))
    counted.read(encoded([("a", "b")]))
    assert counted.reader.known(encoded([("a", "b")]))
    encoder.header_table_size = 4096
    for value in ("1", "2", "1", "2"):
        assert counted.read(encoder.encode([("x-value", value)])) == [(b"x-value", value.encode())]
    assert not counted.reader.known(encoded([("a", "b")]))


def test_memory_is_bounded() -> None:
    """A peer whose blocks are all different, or large, is read all the same."""
    counted = _Counted()
    counted.read(b"\x20")
    for number in range(1000):
        assert counted.read(encoded([("n", str(number))])) == [(b"n", str(number).encode())]
    assert len(counted.reader._known) <= 256
    large = encoded([("n", "x" * 2000)])
    counted.read(large)
    assert not counted.reader.known(large)


def test_oversized() -> None:
    """More than was agreed on is refused, however little it takes to write; the next block can be read."""
    reader = BlockReader(lambda fields: fields)
    reader.read(b"\x20")
    with pytest.raises(OversizedBlockError):
        reader.read(b"\x82" * 2000)
    assert reader.read(encoded([(":status", "200")])).status == 200


@pytest.mark.parametrize("block", [b"\x80", b"\xbe", b"\x00", b"\x00\x01", b"\x40\x85\xff\xff\xff\xff\xff\x00"])
def test_unreadable(block: bytes) -> None:
    """What is no header block is told from one."""
    with pytest.raises(UnreadableBlockError):
        BlockReader(lambda fields: fields).read(block)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(":status", "200"), ("a", "b")], 200),
        ([("a", "b")], 0),
        ([], 0),
        ([(":status", "20")], -1),
        ([(":status", "2x0")], -1),
        ([("a", "b"), (":status", "200")], -1),
        ([(":status", "200"), (":status", "200")], -1),
        ([(":path", "/")], -1),
    ],
)
def test_status(fields: list[tuple[str, str]], status: int) -> None:
    """RFC 9113 section 8.3: one, and before all other fields."""
    assert BlockReader(lambda fields: fields).read(encoded(fields)).status == status
