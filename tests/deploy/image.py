"""The image, really built: by buildah, on a base that debootstrap makes, in a store of the tests' own.

The store stays in ``build/`` from one run to the next, so that only what has changed is built again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.swarm.processes import ROOT

FOLDER = ROOT / "build" / "containers"
BASE, IMAGE = "localhost/tfs-locust-base", "localhost/tfs-locust"
# the layers and what is mounted, for buildah and podman alike
STORE = ("--root", str(FOLDER / "store"), "--runroot", str(FOLDER / "run"))

_BASE_PACKAGES = "python3,python3-venv"
_BUILD_WITHIN_S = 400
# of pip's configuration, what tells where packages come from
_PIP_SETTINGS = {"index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries"}


def why_not_built() -> str:
    """What keeps this machine from building the image; empty where nothing does."""
    if os.geteuid() != 0:
        return "the image is built by root only"
    needed = ["buildah", *(["debootstrap"] if "BASE_IMAGE" not in os.environ else [])]
    return not_on_the_path(*needed)


def not_on_the_path(*commands: str, package: str = "") -> str:
    """Which of the commands are not there, and what to do; empty where all are. Each is in a Debian package of its
    name, or in the one given."""
    missing = [name for name in commands if not shutil.which(name)]
    install = package or " ".join(missing)
    return f"not on the path: {', '.join(missing)} (Debian: apt-get install {install})" if missing else ""


def run(*command: str | Path, within_s: float = 60) -> str:
    """Standard output of a command that ends well; fails with what it said otherwise."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=within_s, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def buildah(command: str, *arguments: str | Path, within_s: float = 60) -> str:
    """buildah on the tests' store."""
    return run("buildah", *STORE, command, *arguments, within_s=within_s)


@dataclass(frozen=True)
class Image:
    """An image in the store, and its files."""

    name: str
    root: Path
    """Where they can be read."""
    container: str
    """buildah's, to run commands in."""

    @property
    def config(self) -> dict[str, Any]:
        """User, Env, Entrypoint and others, as the OCI has them."""
        config: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", self.name))["OCIv1"]["config"]
        return config

    def python(self, code: str) -> str:
        """What the image's Python prints, run as the image's user."""
        return buildah("run", "--isolation", "chroot", self.container, "--", "python", "-c", code)


@contextmanager
def opened(name: str) -> Iterator[Image]:
    """An image of the store, with its files mounted."""
    container = buildah("from", "--pull-never", name).strip()
    try:
        yield Image(name, Path(buildah("mount", container).strip()), container)
    finally:
        buildah("rm", container)


def built(target: str = "runtime") -> str:
    """Build a target. Returns the image's name. One process builds, the others of a test run wait."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        name = f"{IMAGE}:{target}"
        arguments = ["--isolation", "chroot", "--network", "host", "--layers", "--pull-never", "--target", target]
        arguments += ["--build-arg", f"BASE_IMAGE={_base()}", *_secrets(), "--tag", name]
        buildah("build", *arguments, "--file", ROOT / "docker" / "Dockerfile", ROOT, within_s=_BUILD_WITHIN_S)
        return name


def _base() -> str:
    """The name of an image with Python in the store."""
    if given := os.environ.get("BASE_IMAGE"):
        buildah("pull", "--policy", "missing", given, within_s=_BUILD_WITHIN_S)
        return given
    if not buildah("images", "--quiet", "--filter", f"reference={BASE}").strip():
        root = FOLDER / "base"
        shutil.rmtree(root, ignore_errors=True)
        release, mirror = _debian()
        debootstrap = ["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", release, str(root), mirror]
        run(*debootstrap, within_s=_BUILD_WITHIN_S)
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / leftover)
        (FOLDER / "Base").write_text("FROM scratch\nADD . /\nENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n")
        buildah("build", "--file", FOLDER / "Base", "--tag", BASE, root, within_s=_BUILD_WITHIN_S)
        shutil.rmtree(root)
    return BASE


def _debian() -> tuple[str, str]:
    """This machine's release, and where its packages come from."""
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)["VERSION_CODENAME"].strip('"')
    targets = run("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages").splitlines()
    return release, next(uri for name, uri in map(str.split, targets) if name == release)


def _secrets() -> Sequence[str]:
    """pip's configuration here, for the build. Nothing of it may be found in the image."""
    settings, given = ["[global]"], {}
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        given[name.rpartition(".")[2]] = value.strip("'\"")
    for name in sorted(_PIP_SETTINGS & set(given)):
        values = [value for value in given[name].split() if not value.startswith("file:")]
        settings += [f"{name} = {' '.join(values)}"] * bool(values)
    authorities = given.get("cert") or ssl.get_default_verify_paths().cafile
    secrets = []
    if authorities:
        settings.append("cert = /run/secrets/ca")
        secrets = ["--secret", f"id=ca,src={authorities}"]
    file = FOLDER / "pip.conf"
    file.write_text("\n".join([*settings, ""]))
    return [*secrets, "--secret", f"id=pip.conf,src={file}"]
