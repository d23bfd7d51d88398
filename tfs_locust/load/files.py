"""Opening payload files, plain or gzip; what stands in the way is told with the file's name."""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tfs_locust.load.corpus import CorpusError


def check_regular(path: Path, known: str) -> None:
    """Raise CorpusError where there is no such file, or none that can be read several times; ``known`` says what is."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if missing else getattr(error, "strerror", None) or error
        raise CorpusError(f"{path}: {reason}; {known}") from error
    if stat.S_ISDIR(mode):
        raise CorpusError(f"{path}: is a directory; {known}")
    if not stat.S_ISREG(mode):
        raise CorpusError(f"{path}: is a pipe or a device, and payload files are read several times: save it as a file")


def first_bytes(path: Path, count: int) -> bytes:
    """The first ``count`` bytes as they are in the file, or fewer where it has no more. Raises CorpusError."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error


def is_gzip(start: bytes) -> bool:
    """Whether a file that starts so is gzip (RFC 1952)."""
    return start.startswith(b"\x1f\x8b\x08")


@contextmanager
def opened(path: Path, *, gzipped: bool) -> Iterator[BinaryIO]:
    """The content of a file; what fails while it is read, such as a damaged gzip, is a CorpusError, too."""
    try:
        with cast("BinaryIO", gzip.open(path)) if gzipped else path.open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CorpusError(f"{path}: cannot be read{' as gzip' * gzipped}: {reason}") from error
