"""Actions on the server during a run: they are taken, measured, and taken back whatever becomes of the run."""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.swarm.conftest import Serving
from tests.swarm.open_runs import OpenRun
from tests.swarm.processes import ROOT, Locust, LocustWeb, wait_until

LABELLED = """
from tfs_locust import GrpcPredictUser

class Hit(GrpcPredictUser):
    model, version_label = "MODEL", "stable"
"""


@pytest.fixture
def run(locust: Callable[..., Locust], tmp_path: Path, serving: Serving) -> OpenRun:
    """Nothing is started yet."""
    return OpenRun(locust, tmp_path, serving)


def _scenario(kind: str, *params: str) -> list[str]:
    return ["--tfs-allow-changes", "--tfs-scenario", kind, "--tfs-scenario-param", " | ".join(params)]


def _chaos(folder: Path, *lines: str) -> list[str]:
    (folder / "chaos.txt").write_text("\n".join(lines))
    return _scenario("chaos", f"file={folder / 'chaos.txt'}")


def _held(base: Path) -> list[str]:
    return sorted(one.name for one in base.iterdir())


def _versions(serving: Serving, model: str) -> dict[str, str]:
    """State by version."""
    with urllib.request.urlopen(f"{serving.rest}/v1/models/{model}", timeout=10) as answer:
        return {row["version"]: row["state"] for row in json.load(answer)["model_version_status"]}


def _problems(one: Locust) -> list[str]:
    return re.findall(r"^  - (.*)$", one.output, re.MULTILINE)


def _end_after(run: OpenRun, one: Locust, requests: int) -> Any:
    """End the run when the server has answered so many more of its requests; what it reports."""
    run.under_way(run.served() + requests)
    one.process.send_signal(signal.SIGTERM)
    assert one.wait(60) == 0, one.output
    return run.report()


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("rest", marks=pytest.mark.long)])
def test_switch_under_load(run: OpenRun, serving: Serving, protocol: str) -> None:
    """A version is copied in under 500 requests a second, and taken away again: two switches, each with its time; no
    request is lost, and the server has counted what the report has."""
    run.sends(model="switched", protocol=protocol)
    base = serving.folder / "switched"
    before = time.time()
    params = [f"folder={base}", "at=1s", "every=4s", "timeout=60s", "rollback=true"]
    one = run.start(*_scenario("version_switch", *params), "--tfs-rate", "500")
    wait_until((base / "2").exists, saying=lambda: one.output)
    there_s = time.time() - before
    for state, other in (("AVAILABLE", "END"), ("END", "AVAILABLE")):
        wait_until(
            lambda state=state, other=other: (  # type: ignore[misc]
                _versions(serving, "switched").items() >= {"2": state, "1": other}.items()
            ),
            saying=lambda: one.output,
        )
    _end_after(run, one, 1000)
    took_s = time.time() - before
    report = run.assert_exact()
    assert report["verdict"]["reasons"] == []
    assert [mark["kind"] for mark in report["lifecycle"]["marks"]] == ["switch", "switch"]
    first, second = report["lifecycle"]["switches"]
    assert (first["to_version"], second["to_version"]) == ("2", "1")
    for switch in (first, second):
        assert (switch["found_by"], switch["success"], switch["errors"]) == ("mark", True, 0)
        assert 0 < switch["available_s"] < took_s
        if protocol == "grpc":
            assert switch["settled_s"] == max(switch["first_answer_s"], switch["last_old_answer_s"]) < took_s
        else:  # whose answers tell no version
            assert switch["settled_s"] == switch["available_s"]
    assert 1 <= first["trigger_s"] <= there_s
    assert second["trigger_s"] >= first["trigger_s"] + first["available_s"]
    assert _held(base) == ["1"]


@pytest.mark.parametrize("stop", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_what_was_changed_is_put_back(run: OpenRun, serving: Serving, tmp_path: Path, stop: signal.Signals) -> None:
    """However the run is ended: the newest change first, each once, and a run whose plan was cut short is INVALID."""
    run.sends(model="held")
    base, log = serving.folder / "held", tmp_path / "log.txt"
    one = run.start(
        *_chaos(
            tmp_path,
            f"0s  version_switch  folder={base} timeout=60s",
            f"""1s  restart  command="echo done >>{log}" undo="sleep 1; ls {base} >>{log}" """,
            f"10m version_switch folder={base}",
        )
    )
    wait_until(lambda: log.exists() and "done" in log.read_text(), saying=lambda: one.output)
    assert "2" in _held(base)
    one.process.send_signal(stop)
    assert one.wait() == 3, one.output
    assert log.read_text().split() == ["done", "1", "2"]
    assert _held(base) == ["1"]
    report = run.report()
    assert report["verdict"]["reasons"] == ["aborted: 1 of 3 actions on the server were not taken"]
    assert run.served() == report["totals"]["ok"]
    one.assert_nothing_left()


def test_second_ctrl_c(run: OpenRun, serving: Serving, tmp_path: Path) -> None:
    """It ends the process early, but not before everything is put back."""
    run.sends(model="held")
    base, log = serving.folder / "held", tmp_path / "log.txt"
    undo = f"echo begun >>{log}; sleep 2; echo undone >>{log}"
    one = run.start(
        *_chaos(
            tmp_path,
            f"0s  version_switch  folder={base} timeout=60s",
            f"""0s  restart  command="echo done >>{log}" undo="{undo}" """,
        )
    )
    for word in ("done", "begun"):
        wait_until(lambda word=word: log.exists() and word in log.read_text(), saying=lambda: one.output)  # type: ignore[misc]
        one.process.send_signal(signal.SIGINT)
    assert one.wait() != 0, one.output
    assert log.read_text().split() == ["done", "begun", "undone"]
    assert _held(base) == ["1"]


def test_action_that_fails(run: OpenRun, serving: Serving, tmp_path: Path) -> None:
    """It ends the run, which is INVALID and says why; what was done before is put back, and what could not be is told
    with what to do by hand."""
    run.sends(model="failing")
    base = serving.folder / "failing"
    one = run.start(
        *_chaos(
            tmp_path,
            f"0s  version_switch  folder={base} timeout=60s",
            """1s  restart  command="true" undo="echo no way back; exit 8" """,
            """2s  restart  command="echo no server; exit 7" """,
            f"10m version_switch folder={base}",
        )
    )
    assert one.wait() == 3, one.output
    (reason,) = run.report()["verdict"]["reasons"]
    assert reason == (
        "aborted: could not run 'echo no server; exit 7': it ended with exit code 7: no server; "
        "2 of 4 actions on the server were not taken"
    )
    told = "could not run 'echo no way back; exit 8': it ended with exit code 8: no way back; by hand: "
    assert one.output.endswith(f"NOT PUT BACK: {told}run 'echo no way back; exit 8': exit code 3\n")
    assert "Traceback" not in one.output
    assert _held(base) == ["1"]


def test_label_is_moved(run: OpenRun, serving: Serving, tmp_path: Path) -> None:
    """By another model config over gRPC: the pinned label's answers change version, and the old config comes back."""
    run.sends(LABELLED, model="dense")
    original, moved = serving.folder / "models.config", tmp_path / "moved.config"
    moved.write_text(original.read_text().replace('key: "stable" value: 1', 'key: "stable" value: 2'))
    params = [f"config={moved}", f"original={original}", "at=1s", "timeout=60s"]
    one = run.start(*_scenario("version_switch", *params), "--tfs-rate", "200")
    wait_until(lambda: _labelled(serving) == "2", saying=lambda: one.output)
    _end_after(run, one, 200)
    report = run.assert_exact()
    (switch,) = report["lifecycle"]["switches"]
    assert (switch["from_version"], switch["to_version"], switch["success"]) == ("1", "2", True)
    assert switch["first_answer_s"] < report["load_s"]
    answers = {row["version"]: row["answers"] for row in report["lifecycle"]["versions"]}
    assert sum(answers.values()) == report["totals"]["ok"]
    assert min(answers["1"], answers["2"]) > 0
    assert _labelled(serving) == "1"


def _labelled(serving: Serving) -> str:
    """The version that the label stands for."""
    with urllib.request.urlopen(f"{serving.rest}/v1/models/dense/labels/stable/metadata", timeout=10) as answer:
        return str(json.load(answer)["model_spec"]["version"])


def test_outage(run: OpenRun, serving: Serving) -> None:
    """The server stands still from one command to the other: found as an outage, with its time; no user hangs. By the
    locustfile for it, as it is."""
    run.sends((ROOT / "locustfiles" / "outage.py").read_text(), model="half_plus_two")
    pid = serving.running.process.pid
    params = ["--tfs-scenario-param", f"command=kill -STOP {pid} | undo=kill -CONT {pid} | at=1s | for=3s"]
    # by which a server has recovered however fast this machine is just now
    rate = ["--tfs-rate", "100", "--tfs-timeout", "1s", "--tfs-slo", "p10<5s"]
    try:
        one = run.start("--tfs-model", "half_plus_two", "--tfs-allow-changes", *params, *rate)
        one.wait_for(f"run 'kill -CONT {pid}'")
        report = _end_after(run, one, 400)
    finally:
        serving.running.process.send_signal(signal.SIGCONT)
    stopped, resumed = report["lifecycle"]["marks"]
    assert (stopped["kind"], resumed["kind"]) == ("outage", "undo")
    outage = max(report["lifecycle"]["outages"], key=lambda one: one["failures"])
    # what failed was not on its way for longer than its deadline
    assert stopped["second"] - 1 <= outage["start_s"] <= resumed["second"]
    assert resumed["second"] <= outage["first_success_s"] <= outage["recovered_s"]
    assert outage["recovery_s"] >= resumed["second"] - stopped["second"] - 1
    assert report["totals"]["requests"] == report["totals"]["ok"] + report["totals"]["failed"]
    assert all(worker["missing"] == 0 for worker in report["workers"])


def test_nothing_is_changed_unless_allowed(run: OpenRun, serving: Serving) -> None:
    """Without ``--tfs-allow-changes`` the run is refused, and says what it would have done."""
    run.sends(model="held")
    base = serving.folder / "held"
    params = f"folder={base} | at=2s | every=4s | rollback=true"
    one = run.start("--tfs-scenario", "version_switch", "--tfs-scenario-param", params, "-t", "6s")
    assert one.wait() == 2, one.output
    assert _problems(one) == [
        "--tfs-scenario version_switch changes the server, which needs --tfs-allow-changes; it would, counted from the "
        f"end of the warm-up: put a copy of {base}/1 into {base} as version 2 after 2 s; take version 2 out of {base} "
        "after 6 s; and at the end of the run put back what it has not by then",
        "--tfs-scenario version_switch: its last action is due at 6 s, and -t ends the run at 6 s: raise it",
    ]
    assert _held(base) == ["1"]
    assert run.served() == 0


def test_scenarios_that_cannot_be(run: OpenRun, serving: Serving, tmp_path: Path) -> None:
    """All faults of a file are told before any load, each with its line."""
    base = shlex.quote(str(serving.folder / "held"))
    one = run.start(
        *_chaos(
            tmp_path,
            "# nothing here",
            f"soon version_switch folder={base}",
            "5s outrage command=true",
            f"6s version_switch folder={tmp_path / 'none'} tims=3 every=0s",
            f"7s rollback folder={base}",
            '8s restart command="true',
            "9s restart true",
        )
    )
    assert one.wait() == 2, one.output
    begin = f"--tfs-scenario chaos: {tmp_path / 'chaos.txt'}, line "
    kinds = "version_switch, rollback, restart, outage, command"
    assert _problems(one) == [
        f"{begin}2: 'soon' is no time: expected a line to begin with one, as 10s",
        f"{begin}3: 'outrage' is no scenario: expected one of {kinds}",
        f"{begin}4: version_switch has no 'tims'; it has folder, source, model, config, original, server, at, times, "
        "every, timeout, rollback",
        f"{begin}4: version_switch folder='{tmp_path / 'none'}': cannot be read: No such file or directory",
        f"{begin}4: version_switch every='0s': expected a time above zero",
        f"{begin}6: no closing quotation",
        f"{begin}7: 'true': expected NAME=VALUE, between quotes where there is a space in it",
    ]
    assert run.served() == 0


def test_web_page_cannot_ask_for_changes(
    locust_web: Callable[..., LocustWeb], tmp_path: Path, serving: Serving
) -> None:
    """Whoever can open the page could have commands run: there is no such field, and a made-up one is not heard."""
    run = OpenRun(locust_web, tmp_path, serving)
    web: Any = locust_web(*run.arguments())
    web.wait_for_page()
    assert not {name for name in web.form() if "scenario" in name or "changes" in name}
    asked = {"tfs_scenario": "command", "tfs_scenario_param": f"command=touch {tmp_path / 'done'} | at=0"}
    web.post("/swarm", {**web.form(), **asked, "tfs_allow_changes": "true", "user_count": 1, "spawn_rate": 1})
    wait_until(lambda: run.served() > 100, saying=lambda: web.output)
    web.post("/stop")
    wait_until((run.results / "report.json").exists, saying=lambda: web.output)
    assert run.report()["lifecycle"]["marks"] == []
    assert not (tmp_path / "done").exists()
