"""Containers of the image: podman with runc, on this machine's network, hardened as a cluster's strictest rules ask."""

from __future__ import annotations

import functools
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.deploy.image import BASE, STORE, not_on_the_path, run, why_not_built
from tests.swarm.processes import ANY_PACE, wait_until

_PODMAN = ("podman", *STORE, "--runtime", "runc", "--cgroup-manager", "cgroupfs")
# podman's own defaults are the highest there are; where this process may not raise limits, they are refused
_LIMITS = ("--ulimit", "nofile=10000:10000", "--ulimit", "nproc=4096:4096")
HARDENED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges")


@functools.cache
def why_not_run() -> str:
    """What keeps this machine from running containers; empty where nothing does. Wants a base in the store."""
    if reason := why_not_built():
        return reason
    if missing := not_on_the_path("podman", "runc"):
        return missing
    command = [*_PODMAN, "run", "--rm", "--network", "host", *_LIMITS, *HARDENED]
    command += ["--pull", "never", os.environ.get("BASE_IMAGE", BASE), "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return f"no container runs here: {tried.stderr.strip()}" if tried.returncode else ""


class Container:
    """One container, started; its output goes to a file."""

    def __init__(
        self,
        image: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        mounts: Mapping[Path, str] | None = None,
        tmpfs: Sequence[str] = (),
    ) -> None:
        self.name = f"tfs-locust-{uuid.uuid4().hex}"
        self._output = folder / f"{self.name}.txt"
        settings = {"TFS_LIMIT": ANY_PACE, "TFS_METRICS_PORT": "off", **(env or {})}
        command = [*_PODMAN, "run", "--name", self.name, "--network", "host", "--pull", "never", *_LIMITS, *HARDENED]
        for name, value in settings.items():
            command += ["--env", f"{name}={value}"]
        for source, target in (mounts or {}).items():
            command += ["--volume", f"{source}:{target}"]
        for folder_in_memory in tmpfs:
            command += ["--tmpfs", folder_in_memory]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, image, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        """Standard output and standard error so far."""
        return self._output.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self, within_s: float = 40) -> int:
        """The exit code."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s} s: {self.output}") from None

    def wait_for(self, text: str, *, within_s: float = 40) -> None:
        """Return when ``text`` has been written."""
        wait_until(lambda: text in self.output, within_s=within_s, saying=lambda: f"{text!r} in {self.output}")

    def stop(self, grace_s: int = 40) -> None:
        """The image's stop signal to the first process; SIGKILL after the grace period. Returns when it has ended."""
        run(*_PODMAN, "stop", "--time", str(grace_s), self.name, within_s=90)

    def end(self) -> None:
        """Remove it, whatever it does."""
        run(*_PODMAN, "rm", "--force", "--time", "0", "--ignore", self.name, within_s=90)
        self._process.wait(20)
