"""A server process that notes each request's name before it answers, so that the notes outlive it.

``python -m tests.wire.counting`` reads how it is to be as JSON, its only argument, and writes its port to standard
output. SIGTERM ends it gracefully. Names are what stands before the first space of a body.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.wire.peers import Asked, Said, echo, running_peer

_GRACE_S = 20.0


def name_of(body: bytes) -> str:
    """The name of a request of the scene ``steady``."""
    return body[:40].split(b" ")[0].decode()


@dataclass(frozen=True)
class CountingServer:
    """A running one."""

    process: subprocess.Popen[str]
    port: int

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=_GRACE_S)


def counted(notes: Path) -> Counter[str]:
    """How often each name came."""
    return Counter(line.split("\t")[0] for line in notes.read_text().splitlines())


def clients(notes: Path) -> set[str]:
    """The connections by which they came."""
    return {line.split("\t")[1] for line in notes.read_text().splitlines()}


@contextmanager
def running_counting(
    protocol: str,
    notes: Path,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    delay_s: float = 0.0,
    options: Mapping[str, int] | None = None,
) -> Iterator[CountingServer]:
    """A server that echoes after ``delay_s`` and adds to ``notes``; it is killed in the end if it still runs."""
    load = {
        "protocol": protocol,
        "notes": str(notes),
        "host": host,
        "port": port,
        "delay_s": delay_s,
        "options": dict(options or {}),
    }
    command = [sys.executable, "-m", "tests.wire.counting", json.dumps(load)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield CountingServer(process, int(process.stdout.readline()))
        finally:
            process.kill()


def main() -> None:
    """Serve until told to end."""
    load = json.loads(sys.argv[1])
    notes = os.open(load["notes"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def script(asked: Asked) -> Said:
        os.write(notes, f"{name_of(asked.body)}\t{asked.client}\n".encode())
        if load["delay_s"]:
            time.sleep(load["delay_s"])
        return echo(asked)

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # before threads are made, which inherit it
    where = {"host": load["host"], "port": load["port"]}
    with running_peer(load["protocol"], **where, script=script, options=load["options"]) as peer:
        peer.patience_s = _GRACE_S
        print(peer.port, flush=True)
        signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    main()
