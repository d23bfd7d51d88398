"""A process that is run to its end, or ended with all that it started.

By ``posix_spawn``, which goes past what is to happen at a fork: gevent's subprocess forks, and where grpcio is in use
its threads are then started in the child as well, and end it with SIGABRT half of the time (grpcio 1.85). Nor is a
large process copied beside the load.
"""

from __future__ import annotations

import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence

from tfs_locust.change.change import ChangeError

_LOOK_S = 0.02
_TOLD = 500
"""Bytes of its output that are told of one that failed."""
_RUN = '"$@"; echo $? >&3'
"""Another's event loop may take the exit status before it can be asked for: so the shell writes it down."""


def run(words: Sequence[str], timeout_s: float = math.inf, unwanted: Callable[[], bool] = lambda: False) -> None:
    """Run a command and wait for it. Raises ChangeError with the end of its output where it fails, takes longer than
    ``timeout_s``, or is ``unwanted`` meanwhile; it is ended then.

    It has a session of its own: Ctrl-C in a terminal comes to the run, which decides. Its output goes to a file, not a
    pipe, so that a server that it leaves behind does not keep anybody waiting.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as ended:
        pid = _start(words, output.fileno(), ended.fileno())
        give_up = time.monotonic() + timeout_s
        why = ""
        while not _is_gone(pid):
            if not why and (unwanted() or time.monotonic() > give_up):
                os.killpg(pid, signal.SIGKILL)
                why = f"it was not over after {timeout_s:g} s" if time.monotonic() > give_up else "it is not wanted now"
            time.sleep(_LOOK_S)
        code = os.pread(ended.fileno(), 9, 0).decode().strip()
        if not why and code != "0":
            why = f"it ended with exit code {code}" if code else "it was killed"
        if why:
            raise ChangeError(why + _end_of(output.fileno()))


def _start(words: Sequence[str], output: int, ended: int) -> int:
    """The process's id."""
    try:
        return os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _RUN, "sh", *words],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                (os.POSIX_SPAWN_DUP2, ended, 3),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
        )
    except OSError as error:
        raise ChangeError(f"/bin/sh cannot be started: {error.strerror}") from error


def _is_gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # somebody else has waited for it
        return True


def _end_of(file: int) -> str:
    size = os.fstat(file).st_size
    # a server left behind shares the file's position
    told = os.pread(file, _TOLD, max(size - _TOLD, 0)).decode(errors="replace").strip()
    return f": {told}" if told else ""
