"""Load shapes by option, in real processes: levels are reached, and what is in flight at the end is waited for."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.swarm.conftest import Serving
from tests.swarm.open_runs import OpenRun
from tests.swarm.processes import Locust, LocustWeb, wait_until

_LEVELS = re.compile(r"Shape test updating to (\d+) users")


@pytest.fixture
def run(locust: Callable[..., Locust], tmp_path: Path, serving: Serving) -> OpenRun:
    """Against the model that takes 0.2 s for each answer, so that each user has a request in flight."""
    run = OpenRun(locust, tmp_path, serving)
    run.sends(model="slow")
    return run


def _shape(kind: str, *params: str) -> list[str]:
    return ["--tfs-shape", kind, "--tfs-shape-param", " | ".join(params)]


def _levels(one: Locust) -> list[int]:
    """How many users Locust was told to have, one after the other."""
    return [int(users) for users in _LEVELS.findall(one.output)]


def _assert_ended_well(run: OpenRun, one: Locust) -> None:
    """Everything is answered and counted, and nothing else is the matter."""
    assert one.wait() == 0, one.output
    report = run.report()
    assert report["totals"]["ok"] == report["totals"]["requests"] == run.served() > 0
    assert all(worker["missing"] == 0 for worker in report["workers"])
    assert report["verdict"]["reasons"] == []
    assert "Traceback" not in one.output


@pytest.mark.parametrize(
    ("kind", "params", "levels"),
    [
        ("ramp", ["from=0", "to=4", "duration=2s", "hold=1s"], [0, 2, 4]),
        ("spike", ["base=2", "peak=6", "at=1", "duration=1", "recovery=1"], [2, 6, 2]),
        ("trace", ["file=levels.csv"], [3, 0, 5]),
        ("steps", ["levels=1,4", "dwell=1", "spawn_rate=3"], [1, 4]),
    ],
)
def test_users_over_time(run: OpenRun, kind: str, params: list[str], levels: list[int]) -> None:
    """Levels come one after the other, each told to Locust once; the run ends by itself with requests in flight."""
    (run.folder / "levels.csv").write_text("seconds,users\n0,3\n1,0\n2,5\n3,5\n")
    one = run.start(*_shape(kind, *(param.replace("levels.csv", str(run.folder / "levels.csv")) for param in params)))
    _assert_ended_well(run, one)
    assert _levels(one) == levels
    users = run.report()["timeline"]["users"]
    assert max(users) == max(levels)
    assert [cell["phase"] for cell in run.report()["cells"]].count("drain") == 1


def test_rate_in_steps_over_workers(run: OpenRun) -> None:
    """The run's rate over time: the workers' parts are the whole schedule, and each rate is reached."""
    run.sends()
    options = _shape("steps", "levels=0,50,200", "dwell=1.4s", "unit=rate")
    master = run.lead(*options, "--tfs-arrival", "poisson", "-r", "4")
    _assert_ended_well(run, master)
    report = run.assert_exact()
    answered = report["timeline"]["requests"]
    assert answered[0] == 0
    assert max(answered) == pytest.approx(200, abs=60)
    assert any(20 < count < 90 for count in answered)
    assert set(_levels(master)) == {4}
    assert len(report["workers"]) == 2


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("ramp", ["from=0", "to=200", "duration=1.5s", "hold=1s"]),
        ("sine", ["mean=100", "amplitude=100", "period=2s", "duration=2.5s"]),
    ],
)
def test_rate_over_time(run: OpenRun, kind: str, params: list[str]) -> None:
    """A rate that changes every second, in one process: what is offered is the schedule, exactly."""
    run.sends()
    one = run.start(*_shape(kind, *params, "unit=rate"), users=3)
    _assert_ended_well(run, one)
    report = run.assert_exact()
    assert 60 < report["offered"]["requests"] < 500
    assert max(report["timeline"]["users"]) == 3


def test_users_over_time_with_a_rate_for_all(run: OpenRun) -> None:
    """Users that come later share the run's rate, which begins with the first of them: none of it is unsent."""
    run.sends()
    one = run.start(*_shape("ramp", "from=0", "to=3", "duration=2s", "hold=1s"), "--tfs-rate", "100")
    _assert_ended_well(run, one)
    assert run.assert_exact()["offered"]["requests"] > 50


def test_shape_from_the_web_page(run: OpenRun, locust_web: Callable[..., LocustWeb]) -> None:
    """The form's shape is followed and ends the run, over workers; without it the next run has the form's users."""
    web = run.lead(headless=False, start=locust_web)
    web.wait_for_page()
    ready = ["ready"] * 2
    wait_until(lambda: [one["state"] for one in web.json("/stats/requests")["workers"]] == ready)
    form = {**web.form(), "user_count": 1, "spawn_rate": 10}
    shaped = {**form, "tfs_shape": "spike", "tfs_shape_param": "base=2 | peak=6 | at=1 | duration=1 | recovery=1"}
    assert web.post("/swarm", shaped)["success"]
    wait_until((run.results / "report.html").exists, saying=lambda: web.output)
    assert _levels(web) == [2, 6, 2]
    report = run.report()
    assert report["totals"]["ok"] == report["totals"]["requests"] == run.served()
    assert max(report["timeline"]["users"]) == 6
    wait_until(lambda: [one["state"] for one in web.json("/stats/requests")["workers"]] == ready)
    for each in run.results.iterdir():
        each.unlink()
    before = run.served()
    assert web.post("/swarm", form)["success"]
    wait_until(lambda: web.users() == 1, saying=lambda: web.output)
    wait_until(lambda: run.served() > before + 3)
    web.post("/stop")
    wait_until((run.results / "report.html").exists, saying=lambda: web.output)
    assert run.report()["totals"]["ok"] == run.served() - before
    assert _levels(web) == [2, 6, 2]
    assert web.exceptions() == []


def test_wrong_shape_from_the_web_page(run: OpenRun, locust_web: Callable[..., LocustWeb]) -> None:
    """It is told on the page, nothing is sent, and a right one can follow."""
    web = locust_web(*run.arguments())
    web.wait_for_page()
    form = {**web.form(), "user_count": 2, "spawn_rate": 10}
    web.post("/swarm", {**form, "tfs_shape": "spike", "tfs_shape_param": "peek=6"})
    wait_until(lambda: "spike has no 'peek'" in str(web.exceptions()), saying=lambda: web.output)
    wait_until((run.results / "report.html").exists, saying=lambda: web.output)
    wait_until(lambda: web.state() == "stopped", saying=web.state)
    assert run.served() == 0
    for each in run.results.iterdir():
        each.unlink()
    web.post("/swarm", {**form, "tfs_shape": "soak", "tfs_shape_param": "level=3 | ramp=0 | duration=1"})
    wait_until((run.results / "report.html").exists, saying=lambda: web.output)
    assert run.report()["totals"]["ok"] == run.served() > 0
    assert web.exceptions() == []


def test_run_time_cuts_a_shape(run: OpenRun) -> None:
    """``-t`` is an end that was asked for."""
    one = run.start(*_shape("ramp", "from=2", "to=60", "duration=10m"), "-t", "2s")
    _assert_ended_well(run, one)
    assert run.report()["load_s"] < 5


def test_interrupted_shape_is_invalid(run: OpenRun) -> None:
    """Ctrl-C is not."""
    one = run.start(*_shape("soak", "level=3", "ramp=0"))
    run.under_way(5)
    one.process.send_signal(signal.SIGINT)
    assert one.wait() == 3, one.output
    report = run.report()
    assert report["verdict"]["reasons"] == ["aborted: it was interrupted before its end"]
    assert report["totals"]["ok"] == run.served()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            _shape("stairs", "to=3"),
            ["--tfs-shape stairs: 'stairs': expected one of ramp, steps, spike, sine, soak, trace"],
        ),
        (
            _shape("ramp", "too=3", "hold=soon", "unit=requests"),
            [
                "--tfs-shape ramp: ramp has no 'too'; it has from, to, duration, hold, unit, spawn_rate",
                "--tfs-shape ramp: ramp hold='soon': expected a time, as 90, 90s, 5m, 1h or 1h30m",
                "--tfs-shape ramp: ramp unit='requests': expected users or rate",
            ],
        ),
        (_shape("ramp", "to=3", "to=4"), ["--tfs-shape-param 'to=4': 'to' is given twice"]),
        (["--tfs-shape-param", "to=3"], ["--tfs-shape-param: there is no --tfs-shape that it could belong to"]),
        (
            [*_shape("ramp", "unit=rate"), "--tfs-rate", "5"],
            ["--tfs-rate 5: the shape says the rate: leave one of them out"],
        ),
        (
            [*_shape("ramp", "unit=rate"), "--tfs-arrival", "poisson:5"],
            [
                "--tfs-shape with unit=rate: no user class takes the rate: give one an arrival without a rate of its "
                "own, as poisson"
            ],
        ),
    ],
    ids=["unknown", "parameters", "twice", "no shape", "two rates", "nobody takes the rate"],
)
def test_shapes_that_cannot_be(run: OpenRun, options: list[str], expected: list[str]) -> None:
    """Told before any load, all at once."""
    one = run.start(*options)
    assert one.wait() == 2, one.output
    assert re.findall(r"^  - (.*)$", one.output, re.MULTILINE) == expected
    assert run.served() == 0
