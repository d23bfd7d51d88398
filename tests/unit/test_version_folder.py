"""Versions come and go in one rename, and leave nothing behind; what a killed run leaves is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfs_locust.change.change import ChangeError, Wanted
from tfs_locust.change.version_folder import AddedVersion, RemovedVersion, left_over, versions_in


def _never() -> bool:
    return False


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base path with versions 1 and 7, each a file and a folder, and what is no version."""
    for name in ("1", "7"):
        (tmp_path / "m" / name / "variables").mkdir(parents=True)
        (tmp_path / "m" / name / "saved_model.pb").write_text(name)
        (tmp_path / "m" / name / "variables" / "data").write_text("v" * 1000)
    (tmp_path / "m" / "notes").mkdir()
    return tmp_path / "m"


def _held(base: Path) -> list[str]:
    return sorted(one.name for one in base.iterdir())


def _added(base: Path, number: int = 8) -> AddedVersion:
    return AddedVersion("m", base, number, base / "7", 7, 10.0)


def test_versions(base: Path) -> None:
    """Names that are numbers, rising as such; other names are passed over."""
    (base / "0012").mkdir()
    (base / "+3").mkdir()
    (base / "99999999999999999999").mkdir()
    assert {number: path.name for number, path in versions_in(base).items()} == {1: "1", 7: "7", 12: "0012"}


def test_a_version_is_added_and_taken_away(base: Path) -> None:
    """It is whole when it appears, links are followed, and afterwards the folder is as it was."""
    before = _held(base)
    (base / "7" / "link").symlink_to(base / "1" / "saved_model.pb")
    (base / "7" / "variables").chmod(0o555)
    change = _added(base)
    assert (change.wanted, change.wanted_back) == ((Wanted("m", 8),), (Wanted("m", 7),))
    change.prepare(_never)
    assert versions_in(base).keys() == {1, 7}
    change.do()
    assert versions_in(base).keys() == {1, 7, 8}
    assert (base / "8" / "variables" / "data").read_text() == "v" * 1000
    assert (base / "8" / "link").read_text() == "1"
    assert not (base / "8" / "link").is_symlink()
    assert (base / "8" / "variables").stat().st_mode & 0o777 == 0o755
    change.undo()
    assert _held(base) == before
    change.undo()
    assert _held(base) == before


def test_only_a_copy_was_made(base: Path) -> None:
    """It is taken away all the same, and nothing else."""
    before = _held(base)
    change = _added(base)
    change.prepare(_never)
    change.undo()
    assert _held(base) == before


def test_a_version_of_somebody_else(base: Path) -> None:
    """It is neither replaced nor taken away."""
    change = _added(base)
    change.prepare(_never)
    (base / "8").mkdir()
    (base / "8" / "theirs").touch()
    with pytest.raises(ChangeError, match="/8 is there already: somebody else has put it there"):
        change.do()
    change.undo()
    assert _held(base) == ["1", "7", "8", "notes"]
    assert (base / "8" / "theirs").exists()


def test_a_copy_that_fails(base: Path) -> None:
    """It says why; what there is of it is taken away."""
    change = AddedVersion("m", base, 8, base / "nowhere", 7, 10.0)
    with pytest.raises(ChangeError, match=r"exit code 1: cp: .*nowhere"):
        change.prepare(_never)
    change.undo()
    assert _held(base) == ["1", "7", "notes"]


def test_a_version_is_removed_and_put_back(base: Path) -> None:
    """The server goes back to what is left, and comes again."""
    change = RemovedVersion("m", base / "7", 1, 10.0)
    assert (change.wanted, change.wanted_back) == ((Wanted("m", 1),), (Wanted("m", 7),))
    change.undo()  # before it was done there is nothing to take back
    change.do()
    assert versions_in(base).keys() == {1}
    change.undo()
    assert _held(base) == ["1", "7", "notes"]
    assert (base / "7" / "saved_model.pb").read_text() == "7"
    change.do()
    (base / "7").mkdir()
    with pytest.raises(ChangeError, match="/7 is there: somebody else has put it there"):
        change.undo()
    (base / "7").rmdir()
    (base / "1").rename(base / "gone")
    with pytest.raises(ChangeError, match=r"/1: No such file or directory"):
        RemovedVersion("m", base / "1", 1, 10.0).do()


def test_what_a_killed_run_leaves(base: Path) -> None:
    """Each name tells what is to be done; done so, the folder is as it was, and nothing is told any more."""
    assert left_over(base) == []
    _added(base).prepare(_never)
    nine = _added(base, 9)
    nine.prepare(_never)
    nine.do()
    RemovedVersion("m", base / "7", 1, 10.0).do()
    assert left_over(base) == [
        f"delete {base / '9'}, which that run has put there, and then {base / '.tfs_locust-added-9'}",
        f"delete {base / '.tfs_locust-copy-8'}, a copy that was not needed",
        f"rename {base / '.tfs_locust-removed-7'} to {base / '7'}",
    ]
    assert nine.by_hand == (f"delete {base / '9'}, if it is there, and then all that is named {base}/.tfs_locust-*-9")
