"""CRC-32C (Castagnoli), the checksum of TFRecord files, fast enough in Python for files of gigabytes.

A CRC register is linear over GF(2): from a register of 0, crc(a + b) = shift(crc(a), len(b)) xor crc(b), where shift
moves a register past zero bytes and is a linear map of 32 bits (as in zlib's crc32_combine). So numpy looks up the
bytes of all chunks at once, and then joins neighbouring chunks, pairs of them, and so on.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reversed bits of 0x1EDC6F41
_ALL_ONES = 0xFFFFFFFF
_SHORT = 512
"""Bytes up to which a plain loop is faster than numpy's calls."""
_BLOCK = 1 << 17
"""Bytes looked up at once: what numpy makes of them, an index of 8 bytes for each, should stay in the cache."""
_CHUNK = 128
_CHUNK_ROWS = np.arange(_CHUNK) * 256

Octets = NDArray[np.uint8]
Registers = NDArray[np.uint32]


def _byte_table() -> tuple[int, ...]:
    table = []
    for register in range(256):
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
        table.append(register)
    return tuple(table)


_TABLE = _byte_table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of ``data``: 0xE3069283 for ``b"123456789"``."""
    register = _ALL_ONES
    if len(data) <= _SHORT:
        return _looped(register, data) ^ _ALL_ONES
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        register = _looped(register, block) if len(block) <= _SHORT else _joined(register, block)
    return register ^ _ALL_ONES


def masked_crc32c(data: bytes) -> int:
    """As TFRecord files store it: rotated and shifted by a constant (tensorflow/core/lib/hash/crc32c.h)."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ALL_ONES


def _looped(register: int, data: bytes) -> int:
    for byte in data:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register


def _joined(register: int, block: bytes) -> int:
    # zero bytes in front change no register, so the first chunk is filled up with them
    chunks: Octets = np.zeros((-(-len(block) // _CHUNK), _CHUNK), dtype=np.uint8)
    octets = chunks.reshape(-1)[-len(block) :]
    octets[:] = np.frombuffer(block, dtype=np.uint8)
    octets[:4] ^= np.array([register], dtype="<u4").view(np.uint8)  # what came before acts like bits of the data
    looked_up = _chunk_table().take(chunks + _CHUNK_ROWS)
    registers: Registers = np.bitwise_xor.reduce(looked_up, axis=1)
    span = _CHUNK  # bytes that each register stands for
    while len(registers) > 1:
        if len(registers) % 2:
            registers = np.concatenate([np.zeros(1, np.uint32), registers])
        registers = _shifted(registers[0::2], span) ^ registers[1::2]
        span *= 2
    return int(registers[0])


@lru_cache(maxsize=1)
def _chunk_table() -> Registers:
    """What a byte at each place of a chunk, of each value, makes of the register past the chunk's end, in one row."""
    rows = [np.array(_TABLE, dtype=np.uint32)]
    for _ in range(_CHUNK - 1):
        rows.append(_past_a_byte(rows[-1]))
    return np.concatenate(rows[::-1])


def _shifted(registers: Registers, span: int) -> Registers:
    tables = _shift_tables(span)
    octets = np.ascontiguousarray(registers).astype("<u4", copy=False).view(np.uint8).reshape(-1, 4)
    shifted: Registers = tables[0][octets[:, 0]]
    for place in range(1, 4):
        shifted ^= tables[place][octets[:, place]]
    return shifted


@lru_cache(maxsize=64)
def _shift_tables(span: int) -> Registers:
    """For each of a register's four bytes and each value of it: what it becomes past ``span`` zero bytes (4 x 256)."""
    if span == 1:
        values = np.arange(256, dtype=np.uint32)
        return np.stack([_past_a_byte(values << np.uint32(8 * place)) for place in range(4)])
    half = span // 2
    return _shifted(_shift_tables(half).reshape(-1), half).reshape(4, 256)


def _past_a_byte(registers: Registers) -> Registers:
    past: Registers = registers >> np.uint32(8) ^ np.array(_TABLE, dtype=np.uint32)[registers & np.uint32(0xFF)]
    return past
