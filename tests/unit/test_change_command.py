"""A command is run to its end, or ended; what it leaves behind keeps nobody waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfs_locust.change.change import ChangeError
from tfs_locust.change.command import Command
from tfs_locust.change.process import run


def _never() -> bool:
    return False


def _lives(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_and_its_undo(tmp_path: Path) -> None:
    """Both are run by a shell; without an undo there is nothing to take back, nor to be told of it."""
    both = Command("restart", f"echo $((6 * 7)) >{tmp_path}/done", f"rm {tmp_path}/done", 10)
    both.prepare(_never)
    both.do()
    assert (tmp_path / "done").read_text() == "42\n"
    both.undo()
    assert not (tmp_path / "done").exists()
    assert both.undoes == both.by_hand == f"run 'rm {tmp_path}/done'"
    one = Command("restart", "true", "", 10)
    one.undo()
    assert one.undoes == ""


def test_a_command_that_fails() -> None:
    """Its exit code, and the end of what it wrote to either output."""
    with pytest.raises(ChangeError) as caught:
        Command("outage", "seq 1000; echo no such host >&2; exit 3", "", 10).do()
    text = str(caught.value)
    assert text.startswith("it ended with exit code 3: ")
    assert text.endswith("1000\nno such host")
    assert len(text) < 600
    with pytest.raises(ChangeError, match=r"^it was ended by SIGKILL$"):
        Command("outage", "kill -9 $$", "", 10).do()
    with pytest.raises(ChangeError, match="no-such-program cannot be started: No such file or directory"):
        run(["no-such-program"])


def test_a_command_that_takes_too_long(tmp_path: Path) -> None:
    """It is ended with all that it started."""
    with pytest.raises(ChangeError, match=r"^it was not over after 0\.3 s: begun$"):
        Command("outage", f"sleep 60 & echo $! >{tmp_path}/pid; echo begun; wait", "", 0.3).do()
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while _lives(pid):
        assert time.monotonic() < deadline


def test_a_command_that_is_not_wanted_any_more() -> None:
    """As soon as that is so, it is ended."""
    begun = time.monotonic()
    with pytest.raises(ChangeError, match="it is not wanted now"):
        run(["sleep", "60"], unwanted=lambda: True)
    assert time.monotonic() - begun < 30


def test_words_are_not_looked_into(tmp_path: Path) -> None:
    """Names with what means something to a shell are names."""
    name = tmp_path / "a $(b) \"c\" 'd' ; e"
    run(["touch", "--", str(name)])
    assert [one.name for one in tmp_path.iterdir()] == [name.name]


_BESIDE_GRPC = """
import gevent.monkey; gevent.monkey.patch_all()
import gevent, os
from tfs_locust.change.process import run
from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.grpc_library import GrpcLibrary, use_gevent

use_gevent()
transport = GrpcLibrary(Endpoint("127.0.0.1", 9))
request = transport.prepare("/a/b", b"")

def ask():
    while True:
        transport.call(request, 1.0)
        gevent.sleep(0.001)

for _ in range(4):
    gevent.spawn(ask)
if not os.fork():  # from then on gevent's loop waits for all children
    os._exit(0)
gevent.sleep(0.05)
for _ in range(15):
    run(["sh", "-c", "exit 0"])
    gevent.sleep(0.01)
"""


def test_beside_grpcio() -> None:
    """A process in which grpcio is at work, and gevent waits for children, can run commands all the same."""
    done = subprocess.run([sys.executable, "-c", _BESIDE_GRPC], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_a_command_leaves_behind(tmp_path: Path) -> None:
    """A server that it starts in the background, with its output open, lives on, and is not waited for."""
    begun = time.monotonic()
    Command("restart", f"sleep 60 & echo $! >{tmp_path}/pid", "", 50).do()
    pid = int((tmp_path / "pid").read_text())
    try:
        assert time.monotonic() - begun < 40
        assert _lives(pid)
    finally:
        os.kill(pid, 9)
