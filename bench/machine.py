"""Where and with what a bench was run."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from bench.process import ROOT, cores
from bench.table import markdown_list

_PACKAGES = ("locust", "gevent", "grpcio", "geventhttpclient", "protobuf")
_TOOLS = {
    "h2load": ("h2load", "--version"),
    "wrk": ("wrk", "--version"),
    "nginx": ("nginx", "-v"),
    "grpc++": ("pkg-config", "--modversion", "grpc++"),
    "g++": ("g++", "-dumpfullversion"),
}


def facts() -> str:
    """A list in Markdown."""
    server_core, client_core = cores()
    pinned = (
        "all on the one core" if server_core is None else f"servers on core {server_core}, clients on {client_core}"
    )
    tools = [f"{name} {_tool(*command)}" for name, command in _TOOLS.items()]
    packages = [f"{name} {version(name)}" for name in _PACKAGES]
    lines = [
        f"date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC; tfs_locust {version('tfs-locust')}{_commit()}",
        f"machine: {_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB; {pinned}",
        f"system: {platform.system()} {platform.release()}, Python {platform.python_version()}",
        f"packages: {', '.join(packages)}",
        f"tools: {', '.join(tools)}",
        f"load average before: {os.getloadavg()[0]:.2f}",
    ]
    return markdown_list(lines)


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _tool(*command: str) -> str:
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return "?"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+\S*", done.stdout + done.stderr)
    return found[0] if found else "?"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return f" at {done.stdout.strip()}" if done.returncode == 0 else ""
