"""The image holds what is needed and nothing else, and its user can change none of it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.image import BASE, Image, opened, why_not_built
from tests.swarm.processes import ROOT

pytestmark = [
    pytest.mark.skipif(bool(why_not_built()), reason=why_not_built()),
    pytest.mark.timeout(400),  # the first of a clean checkout makes the base and the image
]

MB = 1_000_000
APPLICATION = "opt/tfs-locust"


@pytest.fixture(scope="session")
def base(image: Image) -> Iterator[Image]:
    """What it was built on."""
    assert image.name
    with opened(os.environ.get("BASE_IMAGE", BASE)) as base:
        yield base


def size(root: Path) -> int:
    """Bytes of all files, links not followed."""
    return sum(file.lstat().st_size for file in root.rglob("*") if file.is_file() and not file.is_symlink())


def packages(image: Image) -> Path:
    """The folder of its Python packages."""
    (folder,) = (image.root / APPLICATION).glob("lib/python3.*/site-packages")
    return folder


def pinned(lock: Path) -> dict[str, set[str]]:
    """Versions by name; several where they depend on the version of Python."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text().splitlines():
        name, version = re.match(r"([a-z0-9-]+)==([^ ;]+)", line).groups()  # type: ignore[union-attr]
        found.setdefault(name, set()).add(version)
    return found


def test_size(image: Image, base: Image) -> None:
    """Less than 250 MB on top of the base."""
    assert size(image.root) - size(base.root) < 250 * MB


def test_tensorflow_is_messages_only(image: Image) -> None:
    """Of TensorFlow there are the generated messages, compiled, and its licence; under two megabytes."""
    folder = packages(image) / "tensorflow"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    assert {re.sub(r".*_pb2(\.cpython-\d+)?", "*_pb2", file.name) for file in files} == {
        "*_pb2.py",
        "*_pb2.pyc",
        "LICENSE",
    }
    assert size(folder) < 2 * MB


def test_versions_are_the_locks(image: Image) -> None:
    """What is installed is what docker/requirements.lock lists, in the versions of the development lock."""
    lock = pinned(ROOT / "docker" / "requirements.lock")
    whole = pinned(ROOT / "requirements.lock")
    assert {name: versions for name, versions in lock.items() if whole[name] != versions} == {}
    installed = {}
    for record in packages(image).glob("*.dist-info/METADATA"):
        name, version = record.parent.name.removesuffix(".dist-info").rsplit("-", 1)
        installed[re.sub(r"[-_.]+", "-", name).lower()] = version
    assert "tfs-locust" in installed
    unlisted = {name for name, version in installed.items() if version not in lock.get(name, ())}
    assert unlisted == {"tfs-locust"}
    assert {"locust", "grpcio", "numpy", "tensorflow-serving-api"} <= set(installed)


def test_what_builds_stays_behind(image: Image) -> None:
    """No pip, no sources of the build, and nothing of how packages were reached."""
    assert [path.name for path in packages(image).iterdir() if path.name in {"pip", "setuptools", "wheel"}] == []
    left = [
        name for name in ("pip", "build", "messages", "application", "etc/pip.conf") if (image.root / name).exists()
    ]
    assert left == []
    assert not list((image.root / "run").glob("secrets/*"))


def test_every_module_is_compiled(image: Image) -> None:
    """On a root that cannot be written, a module without byte code would be compiled at every start."""
    for name in ("tfs_locust", "locust", "gevent", "tensorflow", "tensorflow_serving"):
        modules = [file for file in (packages(image) / name).rglob("*.py") if "tests" not in file.parts]
        assert modules
        missing = [file for file in modules if not list(file.parent.glob(f"__pycache__/{file.stem}.*.pyc"))]
        assert missing == [], name


def test_config(image: Image) -> None:
    """One fixed user without a name, the ports of the code, SIGTERM, and labels."""
    config = image.config
    assert config["User"] == "10001:10001"
    assert config["WorkingDir"] == "/home/locust"
    assert config["Entrypoint"] == ["/opt/tfs-locust/bin/python", "/opt/entrypoint.py"]
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"5557/tcp", "8089/tcp", "9646/tcp"}
    assert {"title", "description", "licenses", "version", "revision"} <= {
        label.removeprefix("org.opencontainers.image.") for label in config["Labels"]
    }
    assert (
        f'version = "{config["Labels"]["org.opencontainers.image.version"]}"' in (ROOT / "pyproject.toml").read_text()
    )
    assert "TFS_METRICS_ADDRESS=0.0.0.0" in config["Env"]


def test_the_user_owns_two_empty_folders(image: Image, base: Image) -> None:
    """Its home and /results; what it runs is root's, and nobody else can write there."""
    for path in image.root.rglob("*"):
        inside = path.relative_to(image.root)
        if (base.root / inside).exists() or path.is_symlink():
            continue
        status = path.lstat()
        if str(inside) in {"home/locust", "results"}:
            assert (status.st_uid, status.st_gid) == (10001, 10001), inside
            assert not list(path.iterdir()), inside
        else:
            assert (status.st_uid, status.st_gid) == (0, 0), inside
            assert not status.st_mode & stat.S_IWOTH, inside


def test_import_time(image: Image) -> None:
    """A worker's modules are there after 3 s of processor at the most, and none of them is TensorFlow."""
    code = (
        "import json, sys, time, locust.main; from tfs_locust import GrpcPredictUser, RestPredictUser; "
        "print(json.dumps([time.process_time(), 'tensorflow' in sys.modules]))"
    )
    seconds, tensorflow = json.loads(image.python(code))
    assert seconds < 3
    assert not tensorflow


def test_the_context_is_what_is_copied() -> None:
    """.dockerignore lets through exactly what the Dockerfile copies from the checkout."""
    text = (ROOT / "docker" / "Dockerfile").read_text()
    copied = {
        source for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for source in line.split()[:-1]
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")} - {"docker/Dockerfile"}
