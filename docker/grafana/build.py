"""Writes the dashboards: ``python docker/grafana/build.py``, after a change of what is in them. A test asks for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from load import load_test
from server import model_server

_FOLDER = Path(__file__).with_name("dashboards")
_WIDTH = 120


def main(folder: Path = _FOLDER) -> None:
    """Write both into the folder."""
    for name, made in (("tfs_locust", load_test()), ("tf_serving", model_server())):
        (folder / f"{name}.json").write_text(_text(made) + "\n")


def _text(value: Any, indent: str = "", before: int = 0) -> str:
    """JSON with what fits on a line on one, so that it can be read, and its changes."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(flat) < _WIDTH or not isinstance(value, (dict, list)):
        return flat
    inner = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _text(one, inner) for one in value) + f"\n{indent}]"
    named = ((json.dumps(name) + ": ", one) for name, one in value.items())
    return "{\n" + ",\n".join(inner + name + _text(one, inner, len(name)) for name, one in named) + f"\n{indent}}}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
