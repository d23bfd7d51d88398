"""What scenarios make of their parameters: steps in time, versions known beforehand, and all faults at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfs_locust.change.chaos import plan_of
from tfs_locust.change.plan import Plan, Site
from tfs_locust.change.scenarios import ScenarioError
from tfs_locust.tfserving.control import Ask


def _asking(server: str, _: float) -> tuple[str, Ask]:
    if server == "nowhere":
        raise ValueError("server: there is none")
    return server or "host:8500", lambda _, __: b""


ONE_MODEL = Site(("m",), _asking)
CONFIG = 'model_config_list { config { name: "m" base_path: "/m" version_labels { key: "stable" value: VERSION } } }'


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base path with versions 1 and 7."""
    for name in ("1", "7"):
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "saved_model.pb").touch()
    return tmp_path / "m"


def _told(plan: Plan, base: Path) -> list[tuple[float, str, list[int]]]:
    """When, what, and the versions wanted by it."""
    return [
        (one.at_s, one.told.replace(f"{base}/", "").replace(str(base), "m"), [each.version for each in one.wanted])
        for one in plan.steps
    ]


def _problems(kind: str, params: dict[str, str], site: Site = ONE_MODEL) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        plan_of(kind, params, site)
    return caught.value.problems


def test_a_switch(base: Path) -> None:
    """By default once, after five seconds, to a copy of the newest version."""
    plan = plan_of("version_switch", {"folder": str(base)}, ONE_MODEL)
    assert _told(plan, base) == [(5.0, "put a copy of 7 into m as version 8", [8])]
    assert plan.steps[0].change.timeout_s == 10


def test_switches_there_and_back(base: Path) -> None:
    """Each version has a number of its own, so that the switches of a run can be told from each other."""
    params = {"folder": str(base), "times": "2", "every": "4s", "at": "500ms", "rollback": "true"}
    assert _told(plan_of("version_switch", params, ONE_MODEL), base) == [
        (0.5, "put a copy of 7 into m as version 8", [8]),
        (4.5, "take version 8 out of m", [7]),
        (8.5, "put a copy of 7 into m as version 9", [9]),
        (12.5, "take version 9 out of m", [7]),
    ]


def test_switches_in_a_row(base: Path, tmp_path: Path) -> None:
    """A prepared version has its own number if that is above all others, and those after it count on."""
    for name, numbers in (("20", [20, 21, 22]), ("6", [8, 9, 10]), ("resnet", [8, 9, 10])):
        (tmp_path / "staged" / name).mkdir(parents=True)
        (tmp_path / "staged" / name / "saved_model.pb").touch()
        params = {"folder": str(base), "source": str(tmp_path / "staged" / name), "times": "3"}
        plan = plan_of("version_switch", params, ONE_MODEL)
        assert [version for _, _, (version,) in _told(plan, base)] == numbers


def test_rollback(base: Path) -> None:
    """The newest version goes, and comes back after a while, or at the end."""
    assert _told(plan_of("rollback", {"folder": str(base), "for": "9s"}, ONE_MODEL), base) == [
        (5.0, "take version 7 out of m", [1]),
        (14.0, "put version 7 back into m", [7]),
    ]
    assert _told(plan_of("rollback", {"folder": str(base)}, ONE_MODEL), base) == [(5.0, "take version 7 out of m", [1])]
    (base / "7").rename(base / "seven")
    assert _problems("rollback", {"folder": str(base)}) == [
        f"rollback: {base} would be left without a version: it needs two"
    ]


def test_another_config(tmp_path: Path) -> None:
    """It is sent, and with ``rollback`` the old one again; the label says which versions are wanted."""
    for version in "12":
        (tmp_path / f"{version}.config").write_text(CONFIG.replace("VERSION", version))
    params = {"config": str(tmp_path / "2.config"), "original": str(tmp_path / "1.config")}
    plan = plan_of("version_switch", {**params, "times": "2", "rollback": "true", "server": "other:1"}, ONE_MODEL)
    assert [(one.at_s, one.told, [each.version for each in one.wanted]) for one in plan.steps] == [
        (5.0, f"send {tmp_path}/2.config to other:1", [2]),
        (15.0, f"send {tmp_path}/1.config to other:1", [1]),
        (25.0, f"send {tmp_path}/2.config to other:1", [2]),
        (35.0, f"send {tmp_path}/1.config to other:1", [1]),
    ]
    assert _problems("version_switch", {**params, "server": "nowhere"}) == ["version_switch: server: there is none"]
    assert _problems("version_switch", {**params, "times": "2"}) == [
        "version_switch: times=2: sent again the config changes nothing: give rollback=true as well"
    ]
    assert _problems("version_switch", {**params, "config": params["original"]}) == [
        "version_switch: config and original say the same: nothing would change"
    ]
    assert _problems("version_switch", {"config": params["config"], "model": "m"}) == [
        "version_switch: original is missing: give original=FILE, the model config that the server has: it cannot be "
        "asked for it, and is to get it back",
        "version_switch: model belongs to folder, which is not given",
    ]


def test_commands() -> None:
    """The undo of an outage comes after ten seconds, of a restart at the end, or when it is said."""

    def told(kind: str, **params: str) -> list[tuple[float, str]]:
        return [(one.at_s, one.told) for one in plan_of(kind, params, ONE_MODEL).steps]

    assert told("outage", command="a", undo="b") == [(5, "run 'a'"), (15, "run 'b'")]
    assert told("restart", command="a", undo="b", at="1m") == [(60, "run 'a'")]
    assert told("restart", command="a", times="3") == [(5, "run 'a'"), (35, "run 'a'"), (65, "run 'a'")]
    params = {"command": "a", "undo": "b", "for": "2s", "times": "2", "every": "5s"}
    assert told("command", **params) == [(5, "run 'a'"), (7, "run 'b'"), (10, "run 'a'"), (12, "run 'b'")]
    assert _problems("restart", {}) == ["restart: command is missing: give command=COMMAND"]
    assert _problems("restart", {"command": "a", "for": "1s"}) == [
        "restart: for is given, and no undo that could be run after it: give undo=COMMAND"
    ]
    assert _problems("restart", {"command": "a", "undo": "b", "times": "2"}) == [
        "restart: times=2: give for=TIME as well, after which undo is run each time"
    ]
    assert _problems("outage", {"command": "a", "undo": "b", "times": "2", "every": "10s"}) == [
        "outage: every=10s: expected more than the 10 s until undo is run"
    ]


def test_faults_of_a_switch(base: Path, tmp_path: Path) -> None:
    """What is missing, what is too much, what is not there: told with what to do."""
    assert _problems("version_swap", {}) == [
        "expected one of version_switch, rollback, restart, outage, command, chaos"
    ]
    assert _problems("version_switch", {}) == [
        "version_switch: folder is missing: give folder=BASE_PATH, the model's base path as this process sees it; or "
        "two model configs, config=NEW and original=OLD"
    ]
    (tmp_path / "empty").mkdir()
    assert _problems("version_switch", {"folder": str(tmp_path / "empty"), "source": str(tmp_path), "times": "0"}) == [
        f"version_switch folder='{tmp_path}/empty': has no version: expected folders whose names are numbers",
        f"version_switch source='{tmp_path}': is no model: expected one of saved_model.pb, saved_model.pbtxt, "
        "model.tflite in it",
        "version_switch times='0': expected a whole number from 1 to 9999",
    ]
    assert _problems("version_switch", {"folder": str(base)}, Site(("m", "n"), _asking)) == [
        "version_switch: which model is it? The run asks for m, n: give model=NAME"
    ]
    plan = plan_of("version_switch", {"folder": str(base), "model": "n"}, Site(("m", "n"), _asking))
    assert [one.model for one in plan.steps[0].wanted] == ["n"]
    assert _problems("version_switch", {"folder": str(base), "server": "host:1"}) == [
        "version_switch: server belongs to config, which is not given"
    ]


def test_what_a_killed_run_has_left(base: Path) -> None:
    """Nothing is changed before somebody has seen to it."""
    (base / ".tfs_locust-removed-9").mkdir()
    assert _problems("version_switch", {"folder": str(base)}) == [
        f"{base}: a run that was killed has not put it back, or one is under way: rename {base}/.tfs_locust-removed-9 "
        f"to {base}/9"
    ]


def test_actions_of_a_file(base: Path, tmp_path: Path) -> None:
    """By their times, whatever the order of the lines; each knows which versions those before it leave."""
    file = tmp_path / "actions"
    file.write_text(
        f"""
        # later
        60s  rollback        folder={base}
        70s  rollback        folder={base}
        10s  version_switch  folder={base} times=2 every=20s   # two
        15   restart         command="echo '#1' | cat"
        """
    )
    assert _told(plan_of("chaos", {"file": str(file)}, ONE_MODEL), base) == [
        (10, "put a copy of 7 into m as version 8", [8]),
        (15, '''run "echo '#1' | cat"''', []),
        (30, "put a copy of 7 into m as version 9", [9]),
        (60, "take version 9 out of m", [8]),
        (70, "take version 8 out of m", [7]),
    ]


def test_actions_that_meet(base: Path, tmp_path: Path) -> None:
    """Two that change one folder at the same time would spoil each other."""
    file = tmp_path / "actions"
    file.write_text(f"10s version_switch folder={base} times=2 every=20s\n20s rollback folder={base}\n")
    assert _problems("chaos", {"file": str(file)}) == [f"{file}, line 2: {base} is still changed until 30 s, by line 1"]
    file.write_text(f"10s version_switch folder={base}\n20s rollback folder={base} for=5s\n")
    assert _problems("chaos", {"file": str(file)}) == [
        f"{file}, line 2: rollback: for=5s: the newest version is then one of this run's own: leave it out"
    ]


def test_files_that_cannot_be(tmp_path: Path) -> None:
    """None, not there, empty, and one with more faults than anybody reads."""
    file = tmp_path / "actions"
    assert _problems("chaos", {"files": "a"}) == [
        "chaos has no 'files'; it has file",
        "chaos: file is missing: give file=FILE, with a line for each action",
    ]
    assert _problems("chaos", {"file": str(file)}) == [
        f"chaos file='{file}': cannot be read: No such file or directory"
    ]
    file.write_text("# none\n\n")
    assert _problems("chaos", {"file": str(file)}) == [
        f"{file}: has no action: expected lines of a time, a scenario and its parameters"
    ]
    file.write_text("5s restart command=a at=3s command=b\n" + "5s chaos file=b\n" * 30)
    problems = _problems("chaos", {"file": str(file)})
    assert problems[:3] == [
        f"{file}, line 1: at is what the line begins with: leave it out",
        f"{file}, line 1: 'command' is given twice",
        f"{file}, line 2: 'chaos' is no scenario: expected one of version_switch, rollback, restart, outage, command",
    ]
    assert (len(problems), problems[-1]) == (21, f"{file}: and 12 more faults")
