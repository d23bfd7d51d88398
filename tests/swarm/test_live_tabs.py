"""Our tabs and downloads in Locust's page, by what its API answers: the numbers of the run, then the report's."""

from __future__ import annotations

import csv
import io
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.swarm.batched import running_batched
from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import LocustWeb, in_processes, wait_until

PARAMETERS = "max_batch_size { value: 8 } batch_timeout_micros { value: 5000 }"


@pytest.fixture(params=["one process", "workers"])
def web(request: pytest.FixtureRequest, serving: Serving, locust_web: Callable[..., LocustWeb]) -> Iterator[LocustWeb]:
    """The page of an example locustfile: in one process, and with two forked workers."""
    arguments = ["-f", Interface("grpc", serving.grpc).locustfile, "--host", serving.grpc, "--tfs-model", "dense"]
    workers = request.param == "workers"
    page = locust_web(*arguments, *(in_processes(2) if workers else []))
    page.wait_for_page()
    if workers:
        wait_until(lambda: page.workers() == 2, saying=lambda: page.output)
    return page


def _start(web: LocustWeb, **fields: object) -> None:
    answer = web.post(
        "/swarm", {**web.form(), "user_count": 4, "spawn_rate": 4, "tfs_arrival": "constant:10", **fields}
    )
    assert answer["success"], answer


def _number(text: str) -> float:
    """Of a count or a rate; 0 where there is none."""
    digits = text.split(" ")[0].removesuffix("/s").replace(",", "").rstrip(",")
    return float(digits) if digits[:1].isdigit() else 0.0


def _load(web: LocustWeb) -> dict[str, str]:
    return {row["what"]: row["now"] for row in web.tabs()["tfs-load"]}


def _serving(web: LocustWeb) -> dict[str, str]:
    """The one row of the tab TF Serving."""
    rows = web.tabs()["tfs-serving"]
    return rows[0] if rows else {}


def _verdict(web: LocustWeb) -> dict[str, dict[str, str]]:
    return {row["what"]: row for row in web.tabs()["tfs-verdict"]}


def _download(url: str) -> tuple[int, str, str]:
    """Status, text, and the name it would be saved under."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            disposition = answer.headers["Content-Disposition"] or ""
            return answer.status, answer.read().decode(), disposition.partition("filename=")[2].strip('"')
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), ""


def _table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_tabs_follow_a_run_to_its_verdict(web: LocustWeb, serving: Serving) -> None:
    """Rates become those of the schedule, counts grow, and at the end they are the server's and the report's."""
    before = serving.predictions("dense", "grpc")
    _start(web, tfs_slo="p50<5s | error_rate<50%")
    wait_until(lambda: 30 < _number(_load(web).get("offered by schedule", "")) < 50, saying=lambda: str(_load(web)))
    wait_until(lambda: 30 < _number(_load(web)["achieved"]) < 50, saying=lambda: str(_load(web)))
    wait_until(lambda: 30 < _number(_serving(web)["now"]) < 50, saying=lambda: str(_serving(web)))
    row = _serving(web)
    assert (row["scenario"], row["protocol"], row["model"], row["failed"]) == ("GrpcPredict", "grpc", "dense", "0")
    assert all(row[name].endswith("s") for name in ("p50", "p95", "p99", "p999"))
    first = _number(row["requests"])
    wait_until(lambda: _number(_serving(web)["requests"]) > first)
    going = _verdict(web)
    assert going["verdict"]["state"] == "open"
    assert going["error_rate<50%"]["bound"] == "< 50 %"
    assert going["validity"]["state"] == "valid"
    web.post("/stop")
    wait_until(lambda: _verdict(web)["verdict"]["state"] == "PASS", within_s=10, saying=lambda: str(_verdict(web)))
    assert _verdict(web)["verdict"]["why"] == "exit code 0"
    ended = _serving(web)
    result = web.json("/tfs/report.json")
    served = serving.predictions("dense", "grpc") - before
    # a warm-up request or two of each process's own are the server's alone
    assert served >= result["totals"]["requests"] == _number(ended["requests"])
    assert ended["now"] == "\N{EN DASH}"
    assert web.tabs()["tfs-load"][4] == {"what": "in flight", "now": "0"}


def test_downloads(web: LocustWeb) -> None:
    """Before a run there is none, while it goes on they are of the run so far and say so, then they are the report."""
    assert _download(f"{web.url}/tfs/report.json")[:2] == (404, "There is no report yet: start a run first.\n")
    status, text, _ = _download(f"{web.url}/tfs/other")
    assert (status, text) == (
        404,
        "There is no other; there are report.html, report.json, keys.csv, objectives.csv, capacity.csv.\n",
    )
    _start(web, tfs_slo="p50<5s")
    wait_until(lambda: _number(_serving(web).get("requests", "")) > 0, saying=lambda: str(_serving(web)))
    so_far = web.json("/tfs/report.json")
    assert so_far["verdict"]["state"] == "INVALID"
    assert so_far["verdict"]["reasons"][0] == "aborted: the run was still under way when this report of it was made"
    assert so_far["totals"]["requests"] > 0
    _, text, name = _download(f"{web.url}/tfs/keys.csv")
    assert name.startswith("tfs_locust_2")
    assert name.endswith("_so_far_keys.csv")
    assert _table(text)[0]["run"] == "so far"
    _, text, name = _download(f"{web.url}/tfs/report.html")
    assert "the run was still under way" in text
    assert name.endswith("_so_far_report.html")
    web.post("/stop")
    result = web.json("/tfs/report.json")
    assert result["totals"]["requests"] >= so_far["totals"]["requests"]
    assert result["manifest"]["ended"] is not None
    _, text, name = _download(f"{web.url}/tfs/keys.csv")
    assert "so_far" not in name
    assert [(row["run"], int(row["requests"])) for row in _table(text)] == [("ended", result["totals"]["requests"])]
    _, text, _ = _download(f"{web.url}/tfs/objectives.csv")
    assert [(row["expression"], row["state"]) for row in _table(text)] == [
        (one["expression"], one["state"]) for one in result["objectives"]
    ]
    _, text, _ = _download(f"{web.url}/tfs/report.html")
    assert f"{result['totals']['requests']:,}</b>" in text
    status, text, _ = _download(f"{web.url}/tfs/capacity.csv")
    assert (status, text[:43]) == (404, "There is no table of a search for capacity:")


def test_who_asks_while_a_run_ends_is_told_how(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """Locust's page asks no more once it has heard of a run that stops: so it hears next that it has stopped, with the
    verdict."""
    arguments = ["-f", Interface("grpc", serving.grpc).locustfile, "--host", serving.grpc, "--tfs-model", "slower"]
    web = locust_web(*arguments)
    web.wait_for_page()
    _start(web, tfs_arrival="")
    wait_until(lambda: _number(_serving(web).get("requests", "")) > 0, saying=lambda: web.output)
    stopping = threading.Thread(target=web.post, args=("/stop",))
    stopping.start()
    states = []
    while not states or states[-1] != "stopped":
        answer = web.json("/stats/requests")
        states.append(answer["state"])
        verdict = {table["key"]: table["data"] for table in answer["extended_stats"]}["tfs-verdict"][0]
    stopping.join(10)
    assert set(states) <= {"running", "stopped"}
    assert verdict["state"] == "PASS"


def test_batching(tmp_path: Path, locust_web: Callable[..., LocustWeb]) -> None:
    """What the server's page counts beside what was planned, as soon as it was looked at twice; then the report's."""
    with running_batched(tmp_path, PARAMETERS) as batched:
        web = locust_web(*[one for one in batched.arguments(run_time="60s") if one != "--headless"], "--autostart")
        web.wait_for_page()

        def shown() -> dict[str, dict[str, str]]:
            return {row["what"]: row for row in web.tabs()["tfs-batching"]}

        wait_until(lambda: "rows in a batch" in shown(), saying=lambda: str(shown()))
        assert _number(shown()["rows in a batch"]["planned"]) > 1
        wait_until(lambda: "executed batches" in shown(), saying=lambda: str(shown()))
        assert _number(shown()["executed batches"]["measured"]) > 0
        assert 1 < _number(shown()["rows in a batch"]["measured"]) <= 8
        assert "not to be relied on" not in shown()
        web.post("/stop")
        report = web.json("/tfs/report.json")
        ended = shown()
    assert _number(ended["executed batches"]["measured"]) == report["server"]["batching"]["executed_batches"]
    assert f"{report['server']['batching']['mean_rows_per_batch']:.4g}" == ended["rows in a batch"]["measured"]


LOGIN = """
from locust import events
from tfs_locust import GrpcPredictUser

class Grpc(GrpcPredictUser):
    pass

@events.init.add_listener
def let_nobody_in(web_ui, **_):
    web_ui.app.config["SECRET_KEY"] = "not a secret"
    web_ui.login_manager.user_loader(lambda _: None)
"""


def test_base_path_and_login(tmp_path: Path, serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """Links and tabs are there below `--web-base-path`; with `--web-login` downloads are for who has logged in."""
    file = Interface("grpc", serving.grpc).locustfile
    web = locust_web("-f", file, "--host", serving.grpc, "--tfs-model", "dense", "--web-base-path", "/load")
    web.wait_for_page("/load/")
    assert '"href": "./tfs/report.html"' in web.get("/load/")
    assert _download(f"{web.url}/load/tfs/report.html")[:2] == (404, "There is no report yet: start a run first.\n")
    assert [table["key"] for table in web.json("/load/stats/requests")["extended_stats"]] == [
        "tfs-load",
        "tfs-serving",
        "tfs-batching",
        "tfs-verdict",
    ]
    (tmp_path / "login.py").write_text(LOGIN)
    guarded = locust_web("-f", str(tmp_path / "login.py"), "--host", serving.grpc, "--web-login")
    guarded.wait_for_page()
    with urllib.request.urlopen(f"{guarded.url}/tfs/report.json", timeout=10) as answer:
        assert answer.url.startswith(f"{guarded.url}/login")
