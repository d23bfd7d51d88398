"""The bench's own programs in C++, compiled when they are first asked for."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

_SOURCES = Path(__file__).parent
_BUILT = _SOURCES.parent.parent / "build" / "bench"


class NotBuilt(Exception):  # noqa: N818 - it reads as what happened
    """A program could not be compiled; the text says why, or what to install."""


def binary(name: str) -> Path:
    """The program compiled from ``name.cc``, anew if a source has changed. Safe in several processes at a time.

    Raises NotBuilt.
    """
    source, program = _SOURCES / f"{name}.cc", _BUILT / name
    newest = max(file.stat().st_mtime for file in (source, *_SOURCES.glob("*.h")))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    if not shutil.which("g++") or not shutil.which("pkg-config"):
        raise NotBuilt("g++ and pkg-config are missing; on Debian: apt-get install g++ libgrpc++-dev")
    _BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_BUILT) as folder:
        fresh = Path(folder) / name
        libraries = shlex.split(_output(["pkg-config", "--cflags", "--libs", "grpc++"]))
        _output(["g++", "-std=c++17", "-O2", "-o", str(fresh), str(source), *libraries])
        fresh.replace(program)
    return program


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotBuilt(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout
