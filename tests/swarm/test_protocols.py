"""gRPC against REST in one run: by the server's own count every payload was sent both ways."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.swarm.conftest import Serving
from tests.swarm.processes import ROOT, Locust, LocustWeb, free_port, in_processes, wait_until

Start = Callable[..., Locust]
PROTOCOLS = str(ROOT / "locustfiles" / "protocols.py")


def _hosts(serving: Serving) -> dict[str, str]:
    return {"TFS_GRPC_HOST": serving.grpc, "TFS_REST_HOST": serving.rest}


def _headless(*more: str, model: str = "dense", file: str = PROTOCOLS, seconds: int = 2) -> list[str]:
    arguments = ["-f", file, "--tfs-model", model, "--headless", "-u", "6", "-r", "6", "-t", f"{seconds}s"]
    return [*arguments, "--tfs-report", "out", *more]


def _counts(serving: Serving, model: str) -> tuple[int, int]:
    return serving.predictions(model, "grpc"), serving.predictions(model, "rest")


def _report(run: Locust, exit_code: int = 0) -> Any:
    assert run.wait() == exit_code, run.output
    assert "Traceback" not in run.output
    return json.loads((run.folder / "out" / "report.json").read_text())


def _sent(report: Any) -> dict[str, int]:
    """Requests of each class after the warm-up."""
    sent: Counter[str] = Counter()
    for row in report["keys"]:
        sent[row["scenario"]] += row["requests"]
    return sent


def _check(report: Any, before: tuple[int, int], after: tuple[int, int]) -> Any:
    """All that must hold of every run without a failure; returns the comparison."""
    (row,) = report["comparisons"]
    assert (row["scenario"], row["protocol"], row["against"], row["against_protocol"]) == (
        "Grpc",
        "grpc",
        "Rest",
        "rest",
    )
    assert _sent(report) == {"Grpc": row["pairs"], "Rest": row["pairs"]}
    assert row["unpaired"] == report["totals"]["failed"] == 0 < row["pairs"]
    both = row["pairs"] + report["warmup"]["requests"] // 2
    assert (after[0] - before[0], after[1] - before[1]) == (both, both)
    assert row["lower"] <= row["ratio"] <= row["upper"]
    return row


@pytest.mark.parametrize("engine", ["wire", "library"])
def test_one_process(engine: str, serving: Serving, locust: Start) -> None:
    """With a warm-up, requests of both protocols are as many as the server's, and as many as there are pairs."""
    before = _counts(serving, "dense")
    more = ["--tfs-warmup", "1s", "--tfs-rows", "1:0.5,4:0.5", "--tfs-check", "100%", "--tfs-engine", engine]
    run = locust(*_headless(*more, seconds=3), **_hosts(serving))
    report = _report(run)
    row = _check(report, before, _counts(serving, "dense"))
    assert report["warmup"]["requests"] % 2 == 0 < report["warmup"]["requests"]
    assert report["checked"] == 2 * row["pairs"] + report["warmup"]["requests"]
    assert f"REST takes {row['ratio']:.4g} times gRPC's service time (" in run.output
    assert {(one["method"], one["num_requests"]) for one in run.stats()} == {
        (protocol, row["pairs"] + report["warmup"]["requests"] // 2) for protocol in ("grpc", "rest")
    }
    assert report["manifest"]["hosts"] == [serving.grpc, serving.rest]
    assert f"{serving.rest}/monitoring/prometheus/metrics" in {page["url"] for page in report["server"]["pages"]}
    pages = {page["url"]: page["state"] for page in report["server"]["pages"]}
    assert pages[f"{serving.rest}/monitoring/prometheus/metrics"] == "read"


def test_workers_take_the_hosts_of_the_master(serving: Serving, locust: Start) -> None:
    """Two workers, one on a machine without the variables: all pairs are counted, none goes elsewhere."""
    before = _counts(serving, "dense")
    port = str(free_port())
    at = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"]
    master = locust(*_headless(*at), **_hosts(serving))
    worker = ["-f", PROTOCOLS, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    workers = [locust(*worker, **hosts) for hosts in (_hosts(serving), {"TFS_GRPC_HOST": "grpc://127.0.0.1:9"})]
    report = _report(master)
    assert [one.wait(10) for one in workers] == [0, 0]
    _check(report, before, _counts(serving, "dense"))
    assert [one["state"] for one in report["workers"]] == ["complete"] * 2
    assert min(one["started"] for one in report["workers"]) > 0


def test_processes(serving: Serving, locust: Start) -> None:
    """Forked workers do as well."""
    before = _counts(serving, "dense")
    report = _report(locust(*_headless(*in_processes(2)), **_hosts(serving)))
    _check(report, before, _counts(serving, "dense"))


@pytest.mark.parametrize(
    "arrival", [["--tfs-arrival", "poisson:20"], ["--tfs-arrival", "constant", "--tfs-rate", "100"]]
)
def test_open_loop(arrival: list[str], serving: Serving, locust: Start) -> None:
    """A schedule says when pairs are due: each is of two requests, the second due when the first has ended."""
    before = _counts(serving, "dense")
    report = _report(locust(*_headless(*arrival), **_hosts(serving)))
    row = _check(report, before, _counts(serving, "dense"))
    assert report["offered"]["requests"] == row["pairs"] > 50
    assert report["offered"]["unsent"] == 0
    times = {one["scenario"]: (one["response_time_s"], one["service_time_s"]) for one in report["keys"]}
    for response, service in times.values():  # a second request does not wait for what was the first one's time
        assert response["p50"] < service["p50"] + 0.1


def test_a_pair_that_could_not_be_sent(serving: Serving, locust: Start) -> None:
    """It is unsent, once, under the class whose users were to send it; what was due is all there."""
    limits = ["--tfs-arrival", "constant", "--tfs-rate", "40", "--tfs-max-in-flight", "1", "-u", "2", "-r", "2"]
    report = _report(locust(*_headless(*limits, model="slow"), **_hosts(serving)), exit_code=3)
    (row,) = report["comparisons"]
    unsent = report["totals"]["unsent"]
    assert row["pairs"] + unsent == report["offered"]["requests"] > 50
    assert 0 < row["pairs"] < unsent
    assert _sent(report) == {"Grpc": row["pairs"] + unsent, "Rest": row["pairs"]}


_SAME = """
import json
from locust import events
from tfs_locust import GrpcPredictUser, RestPredictUser

ENDED = []

class Rest(RestPredictUser):
    abstract = True
    host = {rest!r}

class Grpc(GrpcPredictUser):
    host = {grpc!r}
    against = Rest
    payloads = 3

    def predict_both(self, *arguments, **more):
        both = super().predict_both(*arguments, **more)
        values = [one.outputs["y"].tolist() for one in both]
        ENDED.append([*values, both[0].sample.sent_ns < both[1].sample.sent_ns])
        return both

@events.quitting.add_listener
def _write(**_):
    with open("ended.json", "w") as file:
        json.dump(ENDED, file)
"""


@pytest.mark.parametrize("source", ["synthetic", "npz"])
def test_the_same_inputs_go_both_ways(source: str, serving: Serving, locust: Start, tmp_path: Path) -> None:
    """The answers of a pair agree, those of other payloads differ; who goes first takes turns, per payload too."""
    file, payload = tmp_path / "same.py", "synthetic"
    file.write_text(_SAME.format(rest=serving.rest, grpc=serving.grpc))
    if source == "npz":
        payload = str(tmp_path / "rows.npz")
        np.savez(payload, x=np.arange(3, dtype=np.float32))
    more = ["--tfs-payload", payload, "-u", "1", "-r", "1"]
    run = locust(*_headless(*more, model="half_plus_two", file=str(file), seconds=1))
    row = _report(run)["comparisons"][0]
    ended = json.loads((run.folder / "ended.json").read_text())
    assert len(ended) == row["pairs"] >= 12
    assert [own for own, _, _ in ended] == [pytest.approx(other, rel=1e-6) for _, other, _ in ended]
    assert len({tuple(own) for own, _, _ in ended}) == 3
    firsts = [first for _, _, first in ended]
    assert firsts[:3] == [not first for first in firsts[3:6]]
    assert abs(sum(firsts) - len(firsts) / 2) <= 1.5


def test_a_pair_with_a_failure_is_counted_apart(serving: Serving, locust: Start, tmp_path: Path) -> None:
    """Where one way fails the other is sent all the same: as many pairs, but nothing to compare."""
    file = tmp_path / "failing.py"
    file.write_text(
        "from tfs_locust import GrpcPredictUser, RestPredictUser\n"
        "class Rest(RestPredictUser):\n    abstract = True\n    timeout_s = 0.05\n"
        f"    host = {serving.rest!r}\n"
        f"class Grpc(GrpcPredictUser):\n    host = {serving.grpc!r}\n    against = Rest\n"
    )
    report = _report(locust(*_headless(model="slow", file=str(file))), exit_code=1)
    (row,) = report["comparisons"]
    assert (row["pairs"], row["ratio"]) == (0, None)
    assert _sent(report) == {"Grpc": row["unpaired"], "Rest": row["unpaired"]}
    assert report["failures"] == {"deadline_exceeded": row["unpaired"]}


@pytest.mark.parametrize("host", ["grpc", "rest"])
def test_a_host_for_both_is_refused(host: str, serving: Serving, locust: Start) -> None:
    """``--host`` would be one protocol's address for both: told before any load, with what to do."""
    run = locust(*_headless("--host", "grpc://h:1" if host == "grpc" else serving.rest), **_hosts(serving))
    assert run.wait() == 2, run.output
    assert "leave --host out, and change the classes' `host` (locustfiles/protocols.py takes them from" in run.output
    assert f"{serving.grpc} and, of Rest, {serving.rest};" in run.output


def test_all_that_is_wrong_is_told_at_once(serving: Serving, locust: Start) -> None:
    """Both interfaces are asked before any load, each with its own words."""
    nobody = free_port()
    run = locust(
        *_headless(), TFS_GRPC_HOST=f"grpc://127.0.0.1:{nobody}", TFS_REST_HOST=serving.grpc.replace("grpc", "http")
    )
    assert run.wait() == 2, run.output
    assert f"Grpc: no answer from 127.0.0.1:{nobody}" in run.output
    assert "Rest: no answer from" in run.output
    run = locust(*_headless(), TFS_GRPC_HOST=serving.rest, TFS_REST_HOST="")
    assert run.wait() == 2, run.output
    assert f"Grpc: host '{serving.rest}' has the scheme 'http'" in run.output
    assert (
        "Rest: no host is given: expected http:// or https://, such as http://127.0.0.1:8501; set it as" in run.output
    )


def test_in_the_web_page(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """START, with the form as it is, runs it twice; another host in the form is refused."""
    web = locust_web("-f", PROTOCOLS, "--tfs-model", "dense", **_hosts(serving))
    web.wait_for_page()
    for _ in range(2):
        form = {**web.form(), "user_count": 2, "spawn_rate": 2}
        assert web.post("/swarm", form)["success"]
        wait_until(lambda: web.rows().get("predict dense", 0) > 10, saying=lambda: web.output)
        web.post("/stop")
        wait_until(lambda: web.state() == "stopped", saying=lambda: web.output)
    assert web.output.count("REST takes ") == 2
    web.post("/swarm", {**web.form(), "user_count": 2, "spawn_rate": 2, "host": "grpc://another:8500"})
    wait_until(lambda: "--host grpc://another:8500 is one server" in web.output, saying=lambda: web.output)
