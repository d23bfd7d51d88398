"""Values of a scenario's parameters, from their text. What cannot be read raises ValueError, with what was expected."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tfs_locust.change.reload import ModelConfig, read_config
from tfs_locust.change.version_folder import versions_in
from tfs_locust.tfserving.text_proto import TextProtoError

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
LONGEST_S = 30 * 86_400.0
_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "model.tflite")


def seconds(text: str) -> float:
    """Seconds in ``10``, ``10s``, ``500ms``, ``2m`` or ``1h``; 0 is one."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("expected a time, as 10, 10s, 500ms or 2m")
    found = float(match[1]) * _UNIT_S[match[2]]
    if found > LONGEST_S:
        raise ValueError(f"expected {LONGEST_S / 86_400:.0f} days at most")
    return found


def some_seconds(text: str) -> float:
    """The same, above zero."""
    found = seconds(text)
    if not found:
        raise ValueError("expected a time above zero")
    return found


def times(text: str) -> int:
    """How often."""
    if not re.fullmatch(r"\d{1,4}", text) or not int(text):
        raise ValueError("expected a whole number from 1 to 9999")
    return int(text)


def yes_or_no(text: str) -> bool:
    """``true`` or ``false``."""
    if text.lower() not in {"true", "false"}:
        raise ValueError("expected true or false")
    return text.lower() == "true"


def words(text: str) -> str:
    """Anything but nothing."""
    if not text:
        raise ValueError("is empty")
    return text


def base_path(text: str) -> Path:
    """A folder that has versions, and can be changed."""
    folder = _folder(text)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError("cannot be written to by this process")
    if not versions_in(folder):
        raise ValueError("has no version: expected folders whose names are numbers")
    return folder


def version(text: str) -> Path:
    """A folder with a model."""
    folder = _folder(text)
    if not any((folder / name).exists() for name in _MODEL_FILES):
        raise ValueError(f"is no model: expected one of {', '.join(_MODEL_FILES)} in it")
    return folder


def _folder(text: str) -> Path:
    folder = Path(text).absolute()
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return folder


def model_config(text: str) -> ModelConfig:
    """A file with a model config."""
    try:
        return read_config(text)
    except TextProtoError as error:
        raise ValueError(str(error).removeprefix(f"{text}: ")) from None


def lines(text: str) -> tuple[str, ...]:
    """The lines of a text file."""
    try:
        return tuple(Path(text).read_text(encoding="utf-8-sig").splitlines())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start}: is not plain text") from None
