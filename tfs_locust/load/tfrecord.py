"""TFRecord files, plain or gzip: records of bytes, each with its length and checksums.

Format: tensorflow/core/lib/io/record_writer.cc: length (uint64), masked CRC-32C of the length (uint32), the data,
masked CRC-32C of the data; little-endian. Read record by record: a file of any size takes the memory of one record.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.crc32c import masked_crc32c
from tfs_locust.load.files import first_bytes, is_gzip, opened

_HEAD = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_LARGEST = (1 << 31) - 1
"""Bytes of the largest message that protobuf and gRPC carry."""


def read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each record. Raises CorpusError with file, record and offset."""
    start = first_bytes(path, _HEAD.size)
    plain = _is_head(start)  # asked first: the length of a record may look like the start of a gzip file
    if start and not plain and not is_gzip(start):
        raise CorpusError(f"{path}: is no TFRecord file, plain or gzip: it starts with {start.hex(' ')}")
    number, offset = 1, 0
    with opened(path, gzipped=is_gzip(start) and not plain) as file:
        while head := file.read(_HEAD.size):
            place = f"{path}, record {number} at byte {offset}"
            if len(head) < _HEAD.size:
                raise CorpusError(f"{place}: is cut off after {len(head)} bytes")
            if not _is_head(head):
                raise CorpusError(f"{place}: is damaged: its length does not have the checksum beside it")
            length = _HEAD.unpack(head)[0]
            if length > _LARGEST:
                raise CorpusError(f"{place}: holds {length} bytes, more than any request may have ({_LARGEST})")
            data, stored = file.read(length), file.read(_CRC.size)
            if len(stored) < _CRC.size:
                raise CorpusError(f"{place}: is cut off: of its {length} bytes {len(data)} are there")
            if _CRC.unpack(stored)[0] != masked_crc32c(data):
                raise CorpusError(f"{place}: is damaged: its {length} bytes do not have the checksum beside them")
            yield number, data
            number, offset = number + 1, offset + _HEAD.size + length + _CRC.size


def starts_with_record(path: Path) -> bool:
    """Whether a file begins as a TFRecord does, plain or gzip; or is empty. Raises CorpusError."""
    start = first_bytes(path, _HEAD.size)
    if is_gzip(start) and not _is_head(start):
        with opened(path, gzipped=True) as file:
            start = file.read(_HEAD.size)
    return not start or _is_head(start)


def _is_head(start: bytes) -> bool:
    return len(start) == _HEAD.size and _HEAD.unpack(start)[1] == masked_crc32c(start[:8])


def write_records(path: Path, records: Iterable[bytes]) -> int:
    """Write a plain file, whole or not at all; returns the number of records. Raises OSError.

    A link stays, and what it points to is replaced; what is there and no regular file is left alone.
    """
    count = 0
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is there, and no regular file", str(path))
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            for data in records:
                length = len(data).to_bytes(8, "little")
                file.write(_HEAD.pack(len(data), masked_crc32c(length)))
                file.write(data)
                file.write(_CRC.pack(masked_crc32c(data)))
                count += 1
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count
