"""Starts greenlets.py and talks with it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

AT_ONCE = 50


@contextmanager
def playing(
    scene: str,
    engine_name: str,
    port: int,
    requests: Sequence[tuple[str, bytes]],
    at_once: int = AT_ONCE,
    *,
    host: str = "127.0.0.1",
    ca_file: str | None = None,
    names: Mapping[str, list[str]] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A process that plays a scene of greenlets.py; it is killed in the end if it still runs.

    ``names`` are what it knows beyond what the machine does: name -> addresses.
    """
    load = {
        "scene": scene,
        "engine": engine_name,
        "host": host,
        "port": port,
        "ca_file": ca_file,
        "names": dict(names or {}),
        "requests": [(path, base64.b64encode(body).decode()) for path, body in requests],
        "at_once": at_once,
    }
    command = [sys.executable, "-m", "tests.wire.greenlets"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            tell(process, json.dumps(load))
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Give the process a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert process.stdout is not None
    return process.stdout.readline()


def enough(process: subprocess.Popen[str]) -> dict[str, Any]:
    """End the scene ``steady``; what it says."""
    tell(process, "enough")
    told = outcome(process)
    assert told["wrong"] == []
    return told


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it says in the end."""
    told: dict[str, Any] = json.loads(hear(process))
    assert process.wait(timeout=30) == 0
    return told
