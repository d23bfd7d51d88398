"""The Debian packages that the bench stands on: looked for, and installed where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess

_PACKAGES = {
    "g++": "g++",
    "libgrpc++-dev": "grpc++.pc",
    "nginx": "nginx",
    "nghttp2-client": "h2load",
    "wrk": "wrk",
}
"""Package -> the program in it, or the library's file for pkg-config."""


class Missing(Exception):  # noqa: N818 - it reads as what happened
    """Packages that are not there and could not be installed; the text says what to do."""


def provide() -> None:
    """Install what is missing with apt-get, as root; raise Missing where that cannot be."""
    missing = _missing()
    if not missing:
        return
    by_hand = "apt-get install --no-install-recommends " + " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"the bench needs these Debian packages: {', '.join(missing)}; as root: {by_hand}")
    print(f"installing {', '.join(missing)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], [*by_hand.split(), "--yes"]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"{' '.join(command)} failed: {done.stderr.strip()}")
    if _missing():
        raise Missing(f"still missing after {by_hand}: {', '.join(_missing())}")


def _missing() -> list[str]:
    return [package for package, what in _PACKAGES.items() if not _is_there(what)]


def _is_there(what: str) -> bool:
    if not what.endswith(".pc"):
        # servers are not always on the path of those who may not start them
        return shutil.which(what, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
    if not shutil.which("pkg-config"):
        return False
    return subprocess.run(["pkg-config", "--exists", what[:-3]], check=False).returncode == 0
