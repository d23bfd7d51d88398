"""Traffic over versions, labels and models in real processes: the server counts the shares that were asked for."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.conftest import TRANSCRIPTS, running_server
from tests.swarm.conftest import Serving
from tests.swarm.processes import ROOT, Locust, LocustWeb, in_processes, wait_until
from tests.swarm.versions import Versions, serving_versions
from tfs_locust.load.traffic import parse_traffic

Start = Callable[..., Locust]
LABELS = {"stable": 2, "canary": 3}
FAILING = {"fails": 0.5}
COLD_MS = 40.0


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    """Fifty models with twelve versions each, of which the first call takes 40 ms more."""
    models = {f"model_{number}": range(1, 13) for number in range(50)}
    planted = {
        f"{model}/{version}": {"first_ms": COLD_MS} for model, versions in models.items() for version in versions
    }
    with serving_versions(tmp_path_factory.mktemp("many"), models, planted=planted) as served:
        yield served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Versions]:
    """Versions 1 to 3 of ``m``, and one of ``alone``; nobody has asked them before."""
    with serving_versions(tmp_path, {"m": [1, 2, 3], "alone": [1]}, labels=None, planted={"m/1": FAILING}) as served:
        yield served


@pytest.fixture
def labelled(tmp_path: Path) -> Iterator[Versions]:
    """The same versions of ``m``, with labels."""
    with serving_versions(tmp_path, {"m": [1, 2, 3]}, labels=LABELS) as served:
        yield served


def run(locust: Start, host: str, *more: str, seconds: str = "", users: int = 8, file: str = "") -> Locust:
    """A headless run of an example against model ``m``, without end if no ``seconds`` are given."""
    file = file or ("grpc_predict.py" if host.startswith("grpc") else "rest_predict.py")
    return locust(
        "-f", str(ROOT / "locustfiles" / file), "--host", host, "--tfs-model", "m", "--headless",
        "-u", str(users), "-r", str(users), "--tfs-report", "results", *(("-t", seconds) if seconds else ()), *more,
    )  # fmt: skip


def ended(run: Locust, served: Versions, enough: Callable[[Mapping[str, int]], bool] | None = None) -> Any:
    """Its report, when the server had seen enough of it, by default 150 calls, and it was told to end."""
    seen = enough or (lambda calls: sum(calls.values()) > 150)
    wait_until(lambda: seen(served.calls()), within_s=60, saying=lambda: f"{served.calls()}: {run.output}")
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 0, run.output
    return report_of(run)


def report_of(run: Locust) -> Any:
    """What it has written."""
    return json.loads((run.folder / "results" / "report.json").read_text())


def counted(report: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Requests of each model and version, whatever became of them."""
    found = Counter[tuple[str, str]]()
    for group in report["keys"]:
        found[group["model"], group["version"]] += group["requests"]
    return dict(found)


def assert_shares(counts: Mapping[tuple[str, str], int], shares: Mapping[tuple[str, str], float], within: int) -> None:
    """Each has its share of all, to less than so many requests."""
    total = sum(counts.values())
    assert total > 100
    for key, share in shares.items():
        assert abs(counts.get(key, 0) - total * share) < within, (key, counts)


@pytest.mark.parametrize("interface", ["grpc", "rest"])
def test_each_version_has_its_share(locust: Start, served: Versions, interface: str) -> None:
    """To less than one request; and the server counts the same, version by version."""
    one = run(locust, getattr(served, interface), "--tfs-traffic", "2:0.9,3:0.1")
    counts = counted(ended(one, served))
    assert_shares(counts, {("m", "2"): 0.9, ("m", "3"): 0.1}, 1)
    served.wait_for_calls({f"m/{version}": count for (_, version), count in counts.items()})
    assert one.only_row()["num_requests"] == sum(counts.values())


@pytest.mark.parametrize("interface", ["grpc", "rest"])
def test_labels_among_workers_at_a_rate(locust: Start, labelled: Versions, interface: str) -> None:
    """Two workers share a schedule, and each keeps the share: together to less than two requests."""
    one = run(
        locust, getattr(labelled, interface), *in_processes(2), "--tfs-rate", "150",
        "--tfs-traffic", "stable:3,canary:1", users=4,
    )  # fmt: skip
    report = ended(one, labelled)
    counts = counted(report)
    stable, canary = ("@stable", "@canary") if interface == "rest" else ("2", "3")
    assert_shares(counts, {("m", stable): 0.75, ("m", canary): 0.25}, 2)
    labelled.wait_for_calls({"m/2": counts["m", stable], "m/3": counts["m", canary]})
    assert [(one["baseline"], one["canary"]) for one in report["lifecycle"]["canaries"]] == [(stable, canary)]


def test_fifty_models_with_twelve_versions(locust: Start, many: Versions) -> None:
    """Each of the 600 has its share by Zipf's law and its place in the report, and its first answer is told from the
    later ones."""
    traffic = "model_{0..49}/{1..12}; zipf(s=1.1)"
    one = run(locust, many.grpc, "--tfs-traffic", traffic, file="many_models.py", users=16)
    report = ended(one, many, lambda calls: sum(calls.values()) > 2000)
    counts = counted(report)
    parsed = parse_traffic(traffic)
    shares = {
        (str(aim.model), str(aim.version)): weight / sum(parsed.weights)
        for aim, weight in zip(parsed.aims, parsed.weights, strict=True)
    }
    assert_shares(counts, shares, 1)
    many.wait_for_calls({f"{model}/{version}": count for (model, version), count in counts.items()})
    touched = report["lifecycle"]["first_touch"]
    assert touched["targets"] == len(counts) == len(report["lifecycle"]["versions"])
    assert touched["first"]["count"] == len(counts)
    assert touched["first"]["p50_s"] >= COLD_MS / 1000
    assert touched["later"]["count"] > 0
    assert report["lifecycle"]["canaries"] == report["lifecycle"]["switches"] == []
    assert "first answers of" in one.output


def test_a_ramp_goes_up_by_the_runs_clock(locust: Start, served: Versions) -> None:
    """Its stages are marked, all workers follow, and nobody takes it for a switch of versions."""
    ramp = ("--tfs-traffic", "2,3", "--tfs-canary-ramp", "0%:2s,100%")
    one = run(locust, served.grpc, *in_processes(2), *ramp, users=4)
    report = ended(one, served, lambda calls: calls.get("m/3", 0) > 100)
    (mark,) = report["lifecycle"]["marks"]
    assert (mark["kind"], mark["text"], mark["version"]) == ("share", "the canary has 100 %", "3")
    assert mark["second"] >= 2
    before, after = ({one["version"]: one for one in report["lifecycle"]["versions"]}[version] for version in "23")
    assert before["stints"][0]["first_s"] < after["stints"][0]["first_s"]
    assert before["stints"][-1]["last_s"] < after["stints"][-1]["last_s"]
    assert report["lifecycle"]["switches"] == []
    counts = counted(report)
    served.wait_for_calls({"m/2": counts["m", "2"], "m/3": counts["m", "3"]})


def test_a_canary_that_fails_is_given_up_and_the_run_goes_on(locust: Start, served: Versions) -> None:
    """All workers go back to the baseline, the run's verdict is FAIL, and nothing is lost."""
    traffic = ("--tfs-traffic", "3:2,1:1", "--tfs-canary-rollback", "on")
    one = run(locust, served.grpc, *in_processes(2), *traffic, users=4)
    one.wait_for("version 1 of m is given up for 3")

    def baseline_alone() -> bool:
        before = served.calls()
        wait_until(lambda: served.calls()["m/3"] > before["m/3"] + 100)
        return served.calls()["m/1"] == before["m/1"]

    wait_until(baseline_alone)
    one.process.send_signal(signal.SIGTERM)
    assert one.wait() == 1, one.output
    report = report_of(one)
    counts = counted(report)
    served.wait_for_calls({"m/1": counts["m", "1"], "m/3": counts["m", "3"]})
    (mark,) = report["lifecycle"]["marks"]
    assert (mark["kind"], mark["model"], mark["version"]) == ("rollback", "m", "3")
    assert f"canary-given-up: {mark['text']}" in report["verdict"]["reasons"]
    assert "of its requests fail, 0 % of the baseline's" in mark["text"]


def test_a_canary_that_fails_ends_the_run(locust: Start, served: Versions) -> None:
    """Where that is asked for; the verdict is FAIL."""
    options = ("--tfs-traffic", "3:2,1:1", "--tfs-canary-rollback", "on", "--tfs-abort-on-fail")
    one = run(locust, served.rest, *options)
    assert one.wait() == 1, one.output
    report = report_of(one)
    assert report["verdict"]["state"] == "FAIL"
    counts = counted(report)
    served.wait_for_calls({"m/1": counts["m", "1"], "m/3": counts["m", "3"]})


def _given_up(run: Locust, times: int) -> bool:
    return run.output.count("GrpcPredict: version 1 of m is given up for 3") == times


@pytest.mark.parametrize("processes", [0, pytest.param(2, marks=pytest.mark.long)])
def test_the_next_run_begins_anew(locust_web: Callable[..., LocustWeb], served: Versions, processes: int) -> None:
    """In the web page a canary that was given up has its share again when the next run starts."""
    options = ("--tfs-model", "m", "--tfs-traffic", "3:2,1:1", "--tfs-canary-rollback", "on")
    file = str(ROOT / "locustfiles" / "grpc_predict.py")
    page = locust_web("-f", file, "--host", served.grpc, *options, *(in_processes(processes) if processes else ()))
    page.wait_for_page()
    wait_until(lambda: not processes or page.workers() == processes)
    for times in (1, 2):
        before = served.calls().get("m/1", 0)
        page.post("/swarm", {**page.form(), "user_count": 4, "spawn_rate": 4})
        wait_until(partial(_given_up, page, times), saying=lambda: page.output)
        page.post("/stop")
        wait_until(lambda: page.state() == "stopped", saying=lambda: page.output)
        assert served.calls()["m/1"] > before


def test_the_example_for_canaries(locust: Start, served: Versions) -> None:
    """Takes the two newest versions, a tenth to the newest; where there is one only it says so, and what to do."""
    one = run(locust, served.grpc, file="canary.py")
    assert_shares(counted(ended(one, served)), {("m", "2"): 0.9, ("m", "3"): 0.1}, 1)
    alone = run(locust, served.grpc, "--tfs-model", "alone", file="canary.py")
    assert alone.wait() == 2
    assert "is over the two newest versions of model 'alone', of which the server has: 1 (AVAILABLE)" in alone.output


@pytest.mark.long
@pytest.mark.parametrize(("canary_ms", "findings"), [(24.0, {"worse"}), (20.0, {"not worse", "open"})])
@pytest.mark.parametrize("interface", ["grpc", "rest"])
def test_a_canary_that_is_a_fifth_slower(
    locust: Start, tmp_path: Path, interface: str, canary_ms: float, findings: set[str]
) -> None:
    """Is found at 95 % confidence, and one that takes as long as the baseline is not called slower."""
    planted = {"m/1": {"delay_ms": 20.0}, "m/2": {"delay_ms": canary_ms}}
    with serving_versions(tmp_path, {"m": [1, 2]}, planted=planted) as served:
        one = run(locust, getattr(served, interface), "--tfs-traffic", "1:0.8,2:0.2", seconds="20s", users=6)
        assert one.wait() == 0, one.output
        report = report_of(one)
        counts = counted(report)
        assert_shares(counts, {("m", "1"): 0.8, ("m", "2"): 0.2}, 1)
        served.wait_for_calls({"m/1": counts["m", "1"], "m/2": counts["m", "2"]})
    (canary,) = report["lifecycle"]["canaries"]
    assert (canary["baseline"], canary["canary"], canary["confidence"]) == ("1", "2", 0.95)
    assert canary["slower"] in findings, canary


@pytest.mark.long
@pytest.mark.timeout(400)
def test_six_hundred_saved_models(locust: Start, tmp_path: Path) -> None:
    """TensorFlow loads them; all answer, and server and report count the same for each model."""
    half_plus_two = TRANSCRIPTS / "models" / "half_plus_two" / "1"
    configs = []
    for number in range(50):
        folder = tmp_path / "models" / f"model_{number}"
        for version in range(1, 13):
            shutil.copytree(half_plus_two, folder / str(version))
        configs.append(
            f'config {{ name: "model_{number}" base_path: "{folder}" model_platform: "tensorflow" '
            "model_version_policy { all {} } }"
        )
    (tmp_path / "models.config").write_text(f"model_config_list {{ {' '.join(configs)} }}")
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    flags = {
        "model_config_file": tmp_path / "models.config",
        "monitoring_config_file": tmp_path / "monitoring.config",
        "grpc_max_threads": 128,
    }
    with running_server(tmp_path, flags, within_s=300) as running:
        serving = Serving(running, tmp_path)
        one = run(
            locust, serving.grpc, "--tfs-traffic", "model_{0..49}/{1..12}; zipf(s=1.1)", file="many_models.py",
            seconds="20s", users=16,
        )  # fmt: skip
        assert one.wait(120) == 0, one.output
        report = report_of(one)
        by_model = Counter[str]()
        for (model, _), count in counted(report).items():
            by_model[model] += count
        assert len(by_model) == 50
        for model, count in by_model.items():
            assert serving.predictions(model, "grpc") == count
    assert report["lifecycle"]["first_touch"]["targets"] == 600


def test_what_is_not_there_is_told_before_load(locust: Start, served: Versions) -> None:
    """All of it, with what there is."""
    one = run(locust, served.rest, "--tfs-traffic", "2,7,nope/{1..2}")
    assert one.wait() == 2
    for told in ("model 'm' has no version 7; it has: 3 (AVAILABLE)", "model 'nope' is not known", "--tfs-traffic"):
        assert told in one.output
    assert served.calls() == {}
