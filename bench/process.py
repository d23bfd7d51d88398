"""A process of the bench's own: kept on one core where there are two, and what it costs, read from /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int | None, int | None]:
    """The core for servers and the core for clients; None and None where there is but one."""
    there = sorted(os.sched_getaffinity(0))
    return (there[0], there[1]) if len(there) > 1 else (None, None)


def machine_cpu_s() -> float:
    """Processor time that everything on this machine has used so far, and what its host took away."""
    # proc(5), line "cpu": user, nice, system, idle, iowait, irq, softirq, steal
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS_PER_S


class Process:
    """A process that is started at once; see :func:`started`, which also ends it."""

    def __init__(
        self, command: Sequence[str], core: int | None, folder: Path, environment: Mapping[str, str], piped: bool
    ) -> None:
        pin = [] if core is None else ["taskset", "--cpu-list", str(core)]
        self._output = folder / "output.txt"
        self.started = time.monotonic()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*pin, *command],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._output.read_text(errors="replace")

    @property
    def pipe(self) -> IO[bytes]:
        """Its standard output, where that is piped."""
        assert self._process.stdout is not None
        return self._process.stdout

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended by itself in time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """Ask it to end, and see to it."""
        if self.running:
            self._process.terminate()
            if not self.wait(5):
                self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def cpu_s(self) -> float:
        """Processor time of all its threads so far, user and system. Raises FileNotFoundError when it has ended."""
        # fields 14 and 15 of proc(5); the second field is a name in brackets, which may hold anything
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def peak_mb(self) -> float:
        """The most memory it has held so far (its resident set), in megabytes."""
        return self._status_kb("VmHWM") / 1000

    def memory_mb(self) -> float:
        """The memory it holds now, in megabytes."""
        return self._status_kb("VmRSS") / 1000

    def _status_kb(self, field: str) -> int:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise FileNotFoundError(f"{field} of a process that has ended")


@contextmanager
def started(
    command: Sequence[str],
    *,
    core: int | None,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    piped: bool = False,
) -> Iterator[Process]:
    """A process that does not outlive the ``with`` block.

    ``folder`` is where it runs and where ``output.txt`` is written; ``piped``: its standard output is read by us.
    """
    process = Process(command, core, folder, environment or {}, piped)
    try:
        yield process
    finally:
        process.end()
