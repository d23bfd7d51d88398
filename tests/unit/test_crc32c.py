"""The checksum of TFRecord files, short and long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.crc32c import crc32c, masked_crc32c


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, crc: int) -> None:
    """Of the check string, and of RFC 3720's appendix B.4."""
    assert crc32c(data) == crc


def _bit_by_bit(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@given(st.integers(0, 3000), st.integers(0, 99))
def test_any_length(length: int, seed: int) -> None:
    """Every length, through the loop and through numpy, has the CRC of its definition."""
    data = np.random.default_rng(seed).bytes(length)
    assert crc32c(data) == _bit_by_bit(data)


@pytest.mark.parametrize("length", [(1 << 17) - 1, 1 << 17, (1 << 17) + 3, (1 << 17) + 600, 400_001])
def test_long_data_in_blocks(length: int) -> None:
    """A register is carried from block to block, a short last one too: extending by zero bits keeps them in step."""
    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data) == _bit_by_bit(data)


def test_the_mask() -> None:
    """What TensorFlow wrote beside a record ``abc`` and its length."""
    assert masked_crc32c((3).to_bytes(8, "little")) == 0x0E4999B0
    assert masked_crc32c(b"abc") == 0x21F1576E
