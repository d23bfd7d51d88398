"""Header blocks (HPACK, RFC 7541): fields to bytes once before the run, bytes to fields once per distinct block.

What is sent is never indexed, so that a block is the same on every connection. What is received repeats: the server is
asked for no dynamic table (SETTINGS_HEADER_TABLE_SIZE 0), and then equal bytes mean equal fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hpack import Decoder, HPACKError, OversizedHeaderListError

Fields = list[tuple[bytes, bytes]]

MOST_LIST_BYTES = 1 << 16
"""What we say that we take in all, as SETTINGS_MAX_HEADER_LIST_SIZE counts it: name, value and 32 for each field."""

# Names of the static table with their indices (RFC 7541 appendix A), and whole fields that it has.
_NAMES = {":authority": 1, ":path": 4, "accept-encoding": 16, "authorization": 23, "content-type": 31, "user-agent": 58}
_WHOLE = {(":method", "GET"): 2, (":method", "POST"): 3, (":scheme", "http"): 6, (":scheme", "https"): 7}

_KNOWN_MOST = 256
_KNOWN_BYTES_MOST = 1024


def _integer(value: int, prefix_bits: int, pattern: int) -> bytes:
    """RFC 7541 section 5.1."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([pattern | value])
    encoded = bytearray([pattern | most])
    value -= most
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _string(text: str) -> bytes:
    raw = text.encode("latin-1")
    return _integer(len(raw), 7, 0) + raw


def encode_field(name: str, value: str) -> bytes:
    """One field that touches no dynamic table: from the static table, or a literal never indexed (6.2.3)."""
    if index := _WHOLE.get((name, value)):
        return _integer(index, 7, 0x80)
    index = _NAMES.get(name, 0)
    return _integer(index, 4, 0x10) + (b"" if index else _string(name)) + _string(value)


class Block(NamedTuple):
    """A header block that was read."""

    status: int
    """``:status``; 0 in trailers, which have none; -1 where it is not a status or there are other pseudo-fields."""
    meaning: Any
    """What the layer above makes of the fields."""


class UnreadableBlockError(ValueError):
    """The block is not HPACK, and no later one of its connection can be read (RFC 7541 section 2.2)."""


class OversizedBlockError(ValueError):
    """The fields are too many; later blocks can be read if the sender keeps no table."""


class BlockReader:
    """Reads the header blocks of one connection, each of them, in the order in which they came."""

    def __init__(self, meaning: Callable[[Fields], Any]) -> None:
        """``meaning`` is called once for equal blocks and gives the same for equal fields."""
        self._meaning = meaning
        self._decoder = Decoder(MOST_LIST_BYTES)
        self._known: dict[bytes, Block] = {}
        self.known = self._known.get
        """A block that was read before and means the same now, or None. This is the fast way: try it first."""

    @property
    def keeps_no_table(self) -> bool:
        """Whether the sender has said that its dynamic table has no room.

        It may use one of 4096 bytes until it has seen our setting, and then has to say so (RFC 7541 section 4.2).
        """
        return self._decoder.header_table_size == 0

    def read(self, block: bytes) -> Block:
        """Raises UnreadableBlockError, OversizedBlockError."""
        try:
            fields = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise OversizedBlockError(str(error)) from error
        except HPACKError as error:
            raise UnreadableBlockError(str(error)) from error
        pairs = [(bytes(name), bytes(value)) for name, value in fields]
        read = Block(_status_of(pairs), self._meaning(pairs))
        if not self.keeps_no_table:
            self._known.clear()
        elif len(block) <= _KNOWN_BYTES_MOST and not _changes_table(block):
            if len(self._known) >= _KNOWN_MOST:
                self._known.clear()
            self._known[block] = read
        return read


def _changes_table(block: bytes) -> bool:
    """Whether it begins with a change of the table's size (RFC 7541 section 6.3)."""
    return bool(block) and block[0] & 0xE0 == 0x20


def _status_of(fields: Fields) -> int:
    """RFC 9113 section 8.3: pseudo-fields come first, and of these a response has ``:status`` alone."""
    pseudo = [name for name, _ in fields if name.startswith(b":")]
    if not pseudo:
        return 0
    name, value = fields[0]
    return int(value) if pseudo == [name] == [b":status"] and len(value) == 3 and value.isdigit() else -1
