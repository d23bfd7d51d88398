"""A process that is run to its end, or ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence

from tfs_locust.change.change import ChangeError

_TOLD = 500
"""Bytes of its output that are told of one that failed."""


def run(words: Sequence[str], timeout_s: float | None = None) -> None:
    """Run a command and wait for it. Raises ChangeError with the end of its output where it cannot be started, fails,
    or takes longer than ``timeout_s``.

    It has a session of its own: Ctrl-C in a terminal comes to the run, which decides. Its output goes to a file, not a
    pipe, so that a server that it leaves behind does not keep anybody waiting. Whatever ends the waiting early also
    ends the command.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - that is what was asked for
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise ChangeError(f"{words[0]} cannot be started: {error.strerror}") from error
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChangeError(f"it was not over after {timeout_s:g} s{_end_of(output.fileno())}") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            raise ChangeError(f"{_ended(process.returncode)}{_end_of(output.fileno())}")


def _ended(code: int) -> str:
    return f"it ended with exit code {code}" if code > 0 else f"it was ended by {signal.Signals(-code).name}"


def _end_of(file: int) -> str:
    size = os.fstat(file).st_size
    # a server left behind shares the file's position
    told = os.pread(file, _TOLD, max(size - _TOLD, 0)).decode(errors="replace").strip()
    return f": {told}" if told else ""
