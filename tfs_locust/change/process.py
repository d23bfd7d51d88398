"""A process that is run to its end, or ended with all that it started."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence

from tfs_locust.change.change import ChangeError

_LOOK_S = 0.1
_TOLD = 500
"""Bytes of its output that are told of one that failed."""


def run(words: Sequence[str], timeout_s: float = math.inf, unwanted: Callable[[], bool] = lambda: False) -> None:
    """Run a command and wait for it. Raises ChangeError with the end of its output where it cannot be started, fails,
    takes longer than ``timeout_s``, or is ``unwanted`` meanwhile; it is ended then.

    It has a session of its own: Ctrl-C in a terminal comes to the run, which decides. Its output goes to a file, not a
    pipe, so that a server that it leaves behind does not keep anybody waiting.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - that is what was asked for
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise ChangeError(f"{words[0]} cannot be started: {error.strerror}") from error
        give_up = time.monotonic() + timeout_s
        why = ""
        while not _is_over(process):
            if not why and (unwanted() or time.monotonic() > give_up):
                os.killpg(process.pid, signal.SIGKILL)
                why = f"it was not over after {timeout_s:g} s" if time.monotonic() > give_up else "it is not wanted now"
        if not why and process.returncode:
            why = _ended(process.returncode)
        if why:
            raise ChangeError(why + _end_of(output.fileno()))


def _is_over(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_LOOK_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _ended(code: int) -> str:
    return f"it ended with exit code {code}" if code > 0 else f"it was ended by {signal.Signals(-code).name}"


def _end_of(file: int) -> str:
    size = os.fstat(file).st_size
    # a server left behind shares the file's position
    told = os.pread(file, _TOLD, max(size - _TOLD, 0)).decode(errors="replace").strip()
    return f": {told}" if told else ""
