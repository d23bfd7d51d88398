"""TFRecord files: what is written is read, what TensorFlow wrote is read, and no damage goes unnoticed."""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.tfrecord import read_records, write_records

_BY_TENSORFLOW = bytes.fromhex("0300000000000000b099490e6162636e57f121")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for all examples of a property."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _written(folder: Path, records: list[bytes], *, gzipped: bool = False) -> Path:
    path = folder / "records"
    assert write_records(path, records) == len(records)
    if gzipped:
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    return path


@given(st.lists(st.binary(max_size=700), max_size=5), st.booleans())
def test_what_is_written_is_read(folder: Path, records: list[bytes], gzipped: bool) -> None:
    """Records come back in order, numbered from 1, out of plain and gzip files."""
    path = _written(folder, records, gzipped=gzipped)
    assert list(read_records(path)) == list(enumerate(records, 1))


def test_the_bytes_are_tensorflows(tmp_path: Path) -> None:
    """Byte for byte what tf.io.TFRecordWriter wrote."""
    assert _written(tmp_path, [b"abc"]).read_bytes() == _BY_TENSORFLOW
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=3), st.data())
def test_no_damage_goes_unnoticed(folder: Path, records: list[bytes], data: st.DataObject) -> None:
    """A flipped bit or a lost end anywhere is told with the file and, after its start, record and offset."""
    path = _written(folder, records)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
    else:
        path.write_bytes(content[: max(1, place)])
        if place in _ends(records):
            assert len(list(read_records(path))) < len(records)  # nobody can tell that more was there
            return
    with pytest.raises(CorpusError) as caught:
        list(read_records(path))
    if place < 12:
        assert str(caught.value).startswith(f"{path}: is no TFRecord file, plain or gzip: it starts with ")
    else:
        number = 1 + sum(end <= place for end in _ends(records))
        offset = max([0, *(end for end in _ends(records) if end <= place)])
        assert re.match(
            rf"{re.escape(str(path))}, record {number} at byte {offset}: is (damaged|cut off)", str(caught.value)
        )


def _ends(records: list[bytes]) -> list[int]:
    ends, end = [], 0
    for record in records:
        end += 16 + len(record)
        ends.append(end)
    return ends


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_BY_TENSORFLOW + _BY_TENSORFLOW[:5], ", record 2 at byte 19: is cut off after 5 bytes"),
        (_BY_TENSORFLOW[:-2], ", record 1 at byte 0: is cut off: of its 3 bytes 3 are there"),
        (_BY_TENSORFLOW[:-6], ", record 1 at byte 0: is cut off: of its 3 bytes 1 are there"),
        (_BY_TENSORFLOW[:-1] + b"\0", ", record 1 at byte 0: is damaged: its 3 bytes do not have the checksum"),
        (_BY_TENSORFLOW + bytes(12), ", record 2 at byte 19: is damaged: its length does not have the checksum"),
        (b"{}", ": is no TFRecord file, plain or gzip: it starts with 7b 7d"),
        (gzip.compress(_BY_TENSORFLOW)[:-9], ": cannot be read as gzip: Compressed file ended before"),
        (gzip.compress(_BY_TENSORFLOW)[:10] + b"\xff" * 30, ": cannot be read as gzip: Error -3"),
    ],
    ids=["length-cut", "checksum-cut", "data-cut", "data-damaged", "length-damaged", "other", "gzip-cut", "gzip-bad"],
)
def test_damage(tmp_path: Path, content: bytes, reason: str) -> None:
    """Each kind in its own words."""
    path = tmp_path / "records"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        list(read_records(path))
    assert str(caught.value).startswith(f"{path}{reason}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The system's words, with the name; nothing is left of a file that could not be written whole."""
    with pytest.raises(CorpusError, match=r"/nowhere: cannot be read: No such file or directory$"):
        list(read_records(tmp_path / "nowhere"))

    def failing() -> Iterator[bytes]:
        yield b"abc"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_records(tmp_path / "records", failing())
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_looks_like_gzip(tmp_path: Path) -> None:
    """A record of 0x088b1f bytes begins a plain file with gzip's mark; its checksum tells."""
    records = [bytes(0x088B1F), b"abc"]
    path = _written(tmp_path, records)
    assert path.read_bytes().startswith(b"\x1f\x8b\x08")
    assert [data for _, data in read_records(path)] == records


def test_links_stay_and_pipes_are_left_alone(tmp_path: Path) -> None:
    """What a link points to is replaced; what is no regular file is neither opened nor replaced."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert write_records(tmp_path / "link", [b"new"]) == 1
    assert (tmp_path / "link").is_symlink()
    assert [data for _, data in read_records(tmp_path / "real")] == [b"new"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="it is there, and no regular file"):
        write_records(tmp_path / "pipe", [b"new"])
    assert (tmp_path / "pipe").is_fifo()
