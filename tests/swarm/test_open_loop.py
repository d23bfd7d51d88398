"""Requests by schedules, in real processes: offered is what was due, exactly, and what is not sent is told."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.swarm.conftest import Serving
from tests.swarm.open_runs import ONE_CLASS, OpenRun, assert_follows
from tests.swarm.processes import Locust, LocustWeb, in_processes, wait_until
from tfs_locust.load.arrival import constant, poisson, trace
from tfs_locust.load.schedule import ALL, Schedule

SLOW_S = 0.2
"""How long the server takes for the model ``slow``."""


@pytest.fixture
def run(locust: Callable[..., Locust], tmp_path: Path, serving: Serving) -> OpenRun:
    """Nothing is started yet."""
    return OpenRun(locust, tmp_path, serving)


@pytest.mark.parametrize("way", ["one process", "workers", "processes"])
def test_what_is_offered_is_the_schedule(run: OpenRun, way: str) -> None:
    """All of the schedule is sent, to the nanosecond; schedule, workers, outcomes and the server's count are equal.

    With workers, forty requests are in flight when the run's time is over.
    """
    arrival, seed = (constant(), 0) if way == "one process" else (poisson(), 7)
    options = ["--tfs-rate", "200", "--tfs-arrival", str(arrival), "--tfs-seed", str(seed), "-t", "2s"]
    if way == "workers":
        run.sends(model="slow")
        one = run.lead(*options)
    else:
        one = run.start(*options, *(in_processes(2) if way == "processes" else []))
    assert one.wait() == 0, one.output
    report = run.assert_exact()
    schedule, end_ns = Schedule(arrival, seed, ((0, 200.0),)), int(report["load_s"] * 1e9)
    scheduled = report["offered"]["scheduled"]
    assert schedule.count(end_ns - 150_000_000) <= scheduled <= schedule.count(end_ns)
    assert len(run.gaps()) == len(report["workers"]) == (1 if way == "one process" else 2)
    assert_follows(run.gaps(), schedule, report)
    assert report["verdict"]["state"] == "PASS"
    assert report["verdict"]["reasons"] == []
    assert f"offered by schedule: {scheduled} requests, of these 0 unsent" in one.output


@pytest.mark.parametrize("stop", ["SIGTERM", "Ctrl-C in a terminal"])
def test_endings_lose_nothing(run: OpenRun, stop: str) -> None:
    """Forty requests are in flight when the run is ended, and all of them are in its report."""
    run.sends(model="slow")
    master = run.lead("--tfs-rate", "200", "--tfs-arrival", "poisson")
    run.under_way(100)
    for process in [master] if stop == "SIGTERM" else [*run.workers, master]:
        process.process.send_signal(signal.SIGTERM if stop == "SIGTERM" else signal.SIGINT)
    assert master.wait() == 0, master.output
    report = run.assert_exact()
    assert report["verdict"]["reasons"] == []
    assert sum(cell["requests"] for cell in report["cells"] if cell["phase"] == "drain") > 10
    assert all(worker["offered"] > 0 for worker in report["workers"])
    for worker in run.workers:
        worker.assert_nothing_left(10)


def test_interrupted_run_is_invalid_and_exact(run: OpenRun) -> None:
    """In one process, over REST, long before its time: all is there, and it is not to be believed."""
    run.sends(model="slow", protocol="rest")
    one = run.start("--tfs-rate", "100", "-t", "60s")
    run.under_way(50)
    one.process.send_signal(signal.SIGINT)
    assert one.wait() == 3, one.output
    report = run.assert_exact()
    assert report["verdict"]["reasons"] == ["aborted: it was interrupted before its 60 s were over"]


def test_stop_in_the_web_page_twice(run: OpenRun, locust_web: Callable[..., LocustWeb]) -> None:
    """Two runs of the same workers: each has a schedule of its own, as the form says, and all of it."""
    run.sends(model="slow")
    master = run.lead("--tfs-arrival", "poisson", "--tfs-rate", "150", headless=False, start=locust_web)
    master.wait_for_page()
    form = {**master.form(), "user_count": "4", "spawn_rate": "100"}
    for seed, rate in ((0, 150.0), (1, 90.0)):
        wait_until(lambda: [one["state"] for one in master.json("/stats/requests")["workers"]] == ["ready"] * 2)
        before = run.served()
        assert master.post("/swarm", {**form, "tfs_rate": rate, "tfs_seed": seed})["success"]
        wait_until(lambda before=before: run.served() - before >= 60)
        master.post("/stop")
        wait_until((run.results / "report.html").exists, saying=lambda: master.output)
        run._before += before
        report = run.assert_exact()
        run._before -= before
        assert_follows(run.gaps(), Schedule(poisson(), seed, ((0, rate),)), report)
        for file in (*run.results.iterdir(), *run.folder.glob("due-*.json")):
            file.unlink()


# Reports, and the news that a worker is gone, come in a second or two instead of four.
QUICK = """
import locust.runners
locust.runners.HEARTBEAT_LIVENESS = 1
locust.runners.WORKER_REPORT_INTERVAL = 0.5
"""


def test_killed_worker(run: OpenRun) -> None:
    """kill -9: the run is INVALID and names it; the other sends the whole schedule from the new division on."""
    run.sends(ONE_CLASS + QUICK)
    master = run.lead("--tfs-rate", "100", "--tfs-arrival", "poisson", "-t", "7s")
    run.under_way(70)
    os.kill(run.workers[0].process.pid, signal.SIGKILL)
    assert master.wait() == 3, master.output
    report = run.report()
    offered, workers = report["offered"], {worker["state"]: worker for worker in report["workers"]}
    lost, survivor = workers["lost"], workers["complete"]
    assert report["verdict"]["reasons"][0].startswith(f"worker-lost: {lost['name']} is gone without its last report; ")
    fell = f"({offered['abandoned']:,} of them fell to workers that are gone, or to none)"
    assert report["verdict"]["reasons"][1].startswith("unsent: of ")
    assert fell in report["verdict"]["reasons"][1]
    assert offered["requests"] == offered["scheduled"] == lost["offered"] + survivor["offered"] + offered["abandoned"]
    assert offered["abandoned"] > 50  # half of the rate, for more than a second in which nobody knew
    assert offered["unsent"] == offered["abandoned"]
    (sent,) = run.gaps()
    assert len(sent) == survivor["offered"]
    assert_whole_at_its_end(sent, Schedule(poisson(), 0, ((0, 100.0),)))


def assert_whole_at_its_end(sent: list[int], schedule: Schedule) -> None:
    """Of the last second that was sent nothing of the schedule is missing."""
    ending = [at - sent[-1] for at in sent if at > sent[-1] - 10**9]
    whole = schedule.stripe(ALL).take(sent[-1] + 3 * 10**9).due_ns.tolist()
    ends = [
        last
        for last in range(len(ending), len(whole) + 1)
        if [at - whole[last - 1] for at in whole[last - len(ending) : last]] == ending
    ]
    assert len(ending) > 50
    assert len(ends) == 1


def test_workers_that_come_and_go(run: OpenRun) -> None:
    """A third worker gets its part while the run is under way; one that gets SIGTERM ends what it has, and the others
    take its part over: nothing of the schedule is sent twice or left out."""
    run.sends(model="slow")
    master = run.lead("--tfs-rate", "200", "--tfs-arrival", "poisson", "-t", "6s", users=6)
    run.under_way(50)
    late = run.locust(*run.worker, DUE_FOLDER=str(run.folder))
    master.wait_for("3 workers connected")
    run.under_way(450)
    gone = run.workers[0]
    gone.process.send_signal(signal.SIGTERM)
    assert gone.wait() == 0, gone.output
    assert master.wait() == 0, master.output
    late.assert_nothing_left()
    report = run.assert_exact()
    assert report["verdict"]["reasons"] == []
    assert len(report["workers"]) == 3
    assert_follows(run.gaps(), Schedule(poisson(), 0, ((0, 200.0),)), report)
    assert min(worker["offered"] for worker in report["workers"]) > 50


@pytest.mark.parametrize(("limit", "code", "state"), [("unsent=0.1%", 3, "INVALID"), ("unsent=none", 1, "PASS")])
def test_more_than_may_be_in_flight(run: OpenRun, limit: str, code: int, state: str) -> None:
    """What is due while all places are taken is unsent: counted everywhere, and INVALID beyond the limit."""
    run.sends(model="slow")
    limits = f"send_lag=none | loop_lag=none | cpu=none | throttled=none | {limit}"
    one = run.start(*("--tfs-rate", "100", "--tfs-max-in-flight", "2", "-t", "2s", "--tfs-limit", limits), users=2)
    assert one.wait() == code, one.output
    report = run.assert_conserved()
    offered, totals, verdict = report["offered"], report["totals"], report["verdict"]
    assert offered["scheduled"] == offered["requests"] == totals["ok"] + totals["unsent"]
    # four at a time, each for 0.2 s
    assert totals["ok"] <= 4 * (report["load_s"] / SLOW_S + 1)
    assert totals["ok"] > 2 * report["load_s"] / SLOW_S
    assert report["failures"] == {"unsent": totals["unsent"]}
    assert report["send_lag_s"]["max"] < 0.2  # what had no place did not wait for one
    share = totals["unsent"] / offered["requests"]
    assert verdict["state"] == state
    sentence = (
        f"unsent: of {offered['requests']:,} requests that were due {totals['unsent']:,} are not known to have been "
        f"sent: {share:.2%}, the limit is 0.10%"
    )
    assert verdict["reasons"] == ([sentence] if state == "INVALID" else [])
    assert f"of these {totals['unsent']:,} unsent" in one.output


CLASSES = """
from locust import constant as waits
from tfs_locust import GrpcPredictUser
from tfs_locust.load.arrival import poisson

class Own(GrpcPredictUser):
    model = "MODEL"
    fixed_count = 2
    arrival = poisson(rate=50)

class Closed(GrpcPredictUser):
    model = "MODEL"
    fixed_count = 1
    arrival = "closed"
    wait_time = waits(0.05)

class Shared(GrpcPredictUser):
    model = "MODEL"
    fixed_count = 3
"""


def test_schedules_of_their_own_beside_a_shared_one(run: OpenRun) -> None:
    """Each class keeps to what it says: 50/s of each user, one after the other, and the run's rate for the others."""
    run.sends(CLASSES)
    one = run.start("--tfs-rate", "80", "-t", "3s", users=6)
    assert one.wait() == 0, one.output
    report = run.report()
    by_class = {key["scenario"]: key["requests"] for key in report["keys"]}
    load_s = report["load_s"]
    offered = report["offered"]
    assert by_class["Shared"] + by_class["Own"] == offered["requests"] == offered["scheduled"]
    assert (offered["unsent"], report["warmup"]["requests"]) == (0, 0)
    assert report["totals"]["ok"] == report["totals"]["requests"] == run.served()
    # the run's schedule begins half a second after the users
    assert by_class["Shared"] == pytest.approx(80 * (load_s - 0.5), abs=16)
    assert by_class["Own"] / (2 * 50 * load_s) == pytest.approx(1, abs=0.25)  # 4 sigma of a count of 250
    assert 0 < by_class["Closed"] <= load_s / 0.05 + 1


def test_users_with_a_rate_come_and_go(run: OpenRun, locust_web: Callable[..., LocustWeb]) -> None:
    """The page's number of users is a rate; those that leave have nothing unsent, and their answers are waited for."""
    run.sends(model="slow")
    web = locust_web(*run.arguments("--tfs-arrival", "poisson:20"), DUE_FOLDER=str(run.folder))
    web.wait_for_page()
    form = {**web.form(), "spawn_rate": 100}

    def has_users(users: int) -> int:
        assert web.post("/swarm", {**form, "user_count": users})["success"]
        wait_until(lambda: web.users() == users, saying=lambda: web.output)
        since, before = time.monotonic(), run.served()
        wait_until(lambda: time.monotonic() - since > 1.5)
        return run.served() - before

    few, many, few_again = has_users(2), has_users(8), has_users(1)
    assert few == pytest.approx(60, abs=35)
    assert many == pytest.approx(240, abs=90)
    assert few_again == pytest.approx(30, abs=28)
    web.post("/stop")
    wait_until((run.results / "report.html").exists, saying=lambda: web.output)
    report = run.assert_conserved()
    assert report["offered"]["requests"] == report["totals"]["ok"]
    assert report["verdict"]["reasons"] == []


TASKS = """
import gevent
from locust import task
from locust.exception import StopUser
from tfs_locust import GrpcPredictUser

class Hit(GrpcPredictUser):
    model = "MODEL"
    number = 0

    @task
    def thinks_first(self):
        Hit.number += 1
        if Hit.number % 10 == 0:
            raise ValueError("every tenth")
        gevent.sleep(0.1)
        first = self.predict()
        assert first.ok
        assert self.predict().sample.due_ns >= first.sample.end_ns
"""


def test_tasks_of_ones_own(run: OpenRun) -> None:
    """A schedule has a task due: its first request counts from there; what it raises is told, and the user goes on."""
    run.sends(TASKS)
    one = run.start("--tfs-rate", "50", "-t", "3s", "--only-summary", "--tfs-check", "0", users=2)
    assert one.wait() == 1, one.output  # Locust's own code for exceptions
    report = run.report()
    offered, totals = report["offered"], report["totals"]
    assert offered["scheduled"] == offered["requests"]
    raised = offered["requests"] // 10
    assert raised > 5
    assert totals["ok"] == totals["requests"] == 2 * (offered["requests"] - raised) == run.served()
    # of two requests one was due 0.1 s before it was sent, the other when it was
    assert report["response_time_s"]["p90"] > 0.1
    assert report["service_time_s"]["p90"] < 0.1
    assert report["response_time_s"]["min"] < 0.1
    assert one.output.count("\nValueError: every tenth\n") == raised
    assert report["verdict"]["reasons"] == []


STOPPING = """
from locust import task
from locust.exception import RescheduleTask, StopUser
from tfs_locust import GrpcPredictUser

class Hit(GrpcPredictUser):
    model = "MODEL"
    number = 0

    @task
    def leaves(self):
        self.number += 1
        if self.number % 2 == 0:
            raise RescheduleTask
        if self.number == 9:
            raise StopUser
        self.predict()

    def on_stop(self):
        print("STOPPED", flush=True)

class Stays(GrpcPredictUser):
    model = "MODEL"

    def predict(self, inputs=None):
        return super().predict(inputs)
"""


def test_tasks_that_end_their_user(run: OpenRun) -> None:
    """StopUser ends the user, once, and the others send what is due; also by a ``predict`` of their own."""
    run.sends(STOPPING)
    one = run.start("--tfs-rate", "100", "-t", "2s", users=2)
    assert one.wait() == 0, one.output
    report = run.report()
    by_class = {key["scenario"]: key["requests"] for key in report["keys"]}
    assert by_class["Hit"] == 4
    assert by_class["Stays"] == report["offered"]["scheduled"] - 9
    assert report["totals"]["unsent"] == 0
    assert one.output.count("STOPPED") == 1
    assert report["timeline"]["users"][-2] == 1


TRACED = [0.0, *[0.5] * 20, *[0.6 + number / 1000 for number in range(200)], *[1 + at / 20 for at in range(1000)]]


def test_replay_of_a_trace(run: OpenRun) -> None:
    """The requests of the file at its times to the nanosecond, bursts among them, as far as the run goes."""
    file = run.folder / "due.csv"
    file.write_text("seconds\n" + "".join(f"{at:.9f}\n" for at in TRACED))
    one = run.start("--tfs-arrival", f"trace:{file}", "-t", "2s", "--tfs-seed", "3")
    assert one.wait() == 0, one.output
    report = run.assert_exact()
    offered, load_s = report["offered"]["requests"], report["load_s"]
    assert sum(at < load_s - 0.15 for at in TRACED) <= offered <= sum(at < load_s for at in TRACED)
    assert_follows(run.gaps(), Schedule(trace(file)), report)


def test_trace_that_changes_while_it_is_replayed(run: OpenRun) -> None:
    """The run ends and is INVALID: what was due later nobody knows."""
    file = run.folder / "due.csv"
    file.write_text("".join(f"{number / 200} # {'-' * 400}\n" for number in range(2000)))
    one = run.start("--tfs-arrival", f"trace:{file}", "-t", "60s")
    run.under_way(10)  # half a second of it was read
    with file.open("r+b") as opened:
        opened.seek(200_000)
        opened.write(b"x" * 1000 + b"\n")
    assert one.wait() == 3, one.output
    assert f"cannot go on: trace '{file}': line " in one.output
    assert "Traceback" not in one.output
    report = run.assert_conserved()
    assert report["totals"]["ok"] == report["offered"]["requests"] > 200
    (reason,) = report["verdict"]["reasons"]
    assert reason.startswith(f"aborted: trace '{file}': line ")


def test_standstill_of_the_server(locust: Callable[..., Locust], tmp_path: Path, serving: Serving) -> None:
    """One second in which the server answers nobody: the open loop's callers wait for it, a closed loop hides it."""
    file = tmp_path / "open.py"
    file.write_text(ONE_CLASS.replace("MODEL", "half_plus_two"))
    runs = {
        name: locust(
            *("-f", str(file), "--host", serving.grpc, "--headless", "-u", "1", "-t", "5s"),
            *("--tfs-report", str(tmp_path / name), "--only-summary", *more),
        )
        for name, more in {"open": ["--tfs-rate", "100"], "closed": []}.items()
    }
    for one in runs.values():
        one.wait_for("All users spawned")
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > 1.5)
    serving.running.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: time.monotonic() - since > 2.5)
    finally:
        serving.running.process.send_signal(signal.SIGCONT)
    for one in runs.values():
        assert one.wait() == 0, one.output
    times = {name: _report(tmp_path / name)["response_time_s"] for name in runs}
    # a fifth of all that was due in 5 s had to wait, 0.5 s in the middle
    assert times["open"]["p90"] == pytest.approx(0.5, abs=0.25)
    assert times["open"]["p99"] == pytest.approx(1.0, abs=0.25)
    assert times["open"]["p50"] < 0.1
    assert times["closed"]["p99"] < 0.1
    assert times["closed"]["max"] == pytest.approx(1.0, abs=0.25)


def _report(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def _told(one: Locust) -> list[str]:
    """The problems for which it did not start, without what they have in common."""
    assert one.wait() == 2, one.output
    assert "tfs_locust cannot start this run:\n" in one.output
    assert "Traceback" not in one.output
    return re.findall(r"^  - (.*)$", one.output, re.MULTILINE)


def test_options_that_cannot_be(run: OpenRun) -> None:
    """All faults of the options at once, with what was given and what can be, and no request."""
    one = run.start(
        *("--tfs-rate", "-5", "--tfs-max-in-flight", "0", "--tfs-arrival", "trace:nowhere.csv"),
        *("--tfs-limit", "unsent=lots", "--tfs-shape", "stairs"),
    )
    problems = _told(one)
    for text in (
        "--tfs-rate '-5': expected requests per second, as 2000 or 0.5",
        "--tfs-max-in-flight '0': expected a whole number of at least 1",
        "--tfs-arrival 'trace:nowhere.csv': trace 'nowhere.csv': cannot be read: No such file or directory",
        "--tfs-limit 'unsent=lots': expected a share, as 95% or 0.95",
    ):
        assert text in problems
    assert sum(problem.startswith("--tfs-shape stairs: ") for problem in problems) == 1
    assert len(problems) == 5
    assert run.served() == 0


@pytest.mark.parametrize(
    ("options", "locustfile", "expected"),
    [
        (
            ["--tfs-arrival", "closed", "--tfs-rate", "5"],
            ONE_CLASS,
            ["--tfs-rate 5: no user class takes it, as all are closed or have a rate of their own; "
             "leave it out, or say --tfs-arrival constant or poisson"],
        ),
        (
            ["--tfs-arrival", "poisson"],
            ONE_CLASS,
            ["arrival poisson has no rate: say poisson:50 for 50 requests per second of each user, or give the whole "
             "run's with --tfs-rate"],
        ),
        (
            ["--tfs-arrival", "trace:DUE", "--tfs-rate", "5"],
            ONE_CLASS,
            ["--tfs-rate 5: a trace has times of its own: leave one of them out"],
        ),
        (
            [],
            ONE_CLASS + "    arrival = 'trace:DUE'\nclass Other(Hit):\n    arrival = 'trace:OTHER'\n",
            ["user classes without a rate of their own share one schedule: give them the same arrival"],
        ),
        (
            ["--tfs-rate", "5"],
            "from locust import TaskSet, task\n" + ONE_CLASS
            + "    max_in_flight = 0\n"
            + "    @task\n    class Deep(TaskSet):\n        @task\n        def one(self): pass\n"
            + "class Other(Hit):\n    max_in_flight = 3\n    arrival = 'poisson:-1'\n",
            ["Hit: `max_in_flight` is 0: expected a whole number of at least 1",
             "Hit: a TaskSet cannot be sent by a schedule: make its tasks the class's own, or use closed",
             "Other: `arrival`: rate -1.0: expected requests per second, from 0 to 1000000000"],
        ),
    ],
    ids=["closed and a rate", "no rate", "a trace and a rate", "two traces", "classes"],
)  # fmt: skip
def test_what_does_not_go_together(run: OpenRun, options: list[str], locustfile: str, expected: list[str]) -> None:
    """Told before any load, with what to do about it."""
    for name in ("DUE", "OTHER"):
        (run.folder / name).write_text("1\n2\n")
    here = f"trace:{run.folder}/"
    run.sends(locustfile.replace("trace:", here))
    assert _told(run.start(*(option.replace("trace:", here) for option in options))) == expected
    assert run.served() == 0
