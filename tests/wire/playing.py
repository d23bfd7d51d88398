"""Starts greenlets.py and talks with it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

AT_ONCE = 50


@contextmanager
def playing(
    scene: str, engine_name: str, port: int, requests: Sequence[tuple[str, bytes]], at_once: int = AT_ONCE
) -> Iterator[subprocess.Popen[str]]:
    """A process that plays a scene of greenlets.py; it is killed in the end if it still runs."""
    encoded = [(path, base64.b64encode(body).decode()) for path, body in requests]
    load = {"scene": scene, "engine": engine_name, "port": port, "requests": encoded, "at_once": at_once}
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


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it says in the end."""
    told: dict[str, Any] = json.loads(hear(process))
    assert process.wait(timeout=30) == 0
    return told
