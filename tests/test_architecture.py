"""The directory is the design: imports run one way, Locust stays in its shell, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tfs_locust"
FILES = sorted(PACKAGE.rglob("*.py"))

# Highest first; a folder may import those of lower ranks, and itself. Folders of one rank are wings that do not know
# each other. Ground may not import ground but for what happened, which all records are made of.
RANKS = {
    "": 5,  # the commands and the public names
    "swarm": 4,
    "report": 3,
    "load": 2,
    "transport": 2,
    "judge": 2,
    "change": 2,
    "embedded": 2,
    "tfserving": 1,
    "measure": 0,
}
PURE = ("measure", "judge")
LONGEST = 320


def _folder(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0] if file.parent != PACKAGE else ""


def _imports(file: Path) -> set[str]:
    """Full names of all modules that a file imports, inside functions too; not those for the type checker alone."""
    tree = ast.parse(file.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ["tfs_locust", *file.relative_to(PACKAGE).parts[: -node.level]]
                base = ".".join([*package, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_downwards(file: Path) -> None:
    """A file imports its own folder and lower ones; a wing never imports a wing."""
    own = _folder(file)
    assert own in RANKS, f"{own} has no place in the design"
    for name in _imports(file):
        parts = name.split(".")
        if parts[0] != "tfs_locust" or len(parts) < 2:
            continue
        other = parts[1] if (PACKAGE / parts[1]).is_dir() else ""
        assert other == own or RANKS[other] < RANKS[own], f"{file.name} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_locust_is_imported_in_the_shell_only(file: Path) -> None:
    """Only swarm/ knows Locust."""
    if _folder(file) != "swarm":
        assert not {name for name in _imports(file) if name.split(".")[0] == "locust"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_the_measuring_core_is_pure(file: Path) -> None:
    """What happened and what it means are computed without Locust, gevent, gRPC or protobuf."""
    if _folder(file) in PURE:
        assert not {
            name for name in _imports(file) if name.split(".")[0] in {"locust", "gevent", "grpc", "google", "requests"}
        }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_changes_know_the_server_alone(file: Path) -> None:
    """What is done to a server stands on what is known of it, and waits by the standard library."""
    if _folder(file) == "change":
        ours = {name.split(".")[1] for name in _imports(file) if name.startswith("tfs_locust.")}
        assert ours <= {"change", "tfserving"}
        assert not {name for name in _imports(file) if name.split(".")[0] in {"gevent", "grpc"}}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_can_be_read_at_one_sitting(file: Path) -> None:
    """No file is longer than a sitting, and each says its one job in its first lines."""
    assert len(file.read_text().splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(file.read_text()))


def test_the_public_names_are_there_and_lazy() -> None:
    """`import tfs_locust` loads none of what it names; each name of __all__ can be imported."""
    code = (
        "import sys, tfs_locust; assert not {'locust', 'gevent', 'grpc', 'numpy'} & set(sys.modules); "
        "from tfs_locust import *; assert all(name in globals() for name in tfs_locust.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    """So that `from tfs_locust import nope` fails as usual."""
    import tfs_locust

    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        tfs_locust.nope  # noqa: B018
