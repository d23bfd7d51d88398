"""What is planted in the server, and what is done to it, is what the report finds: over both interfaces at a time."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.swarm.planted import Moment, Planted, running_planted
from tests.swarm.processes import Locust, in_processes, wait_until

PER_S = 40
COLD, COLD_MS, LOAD_MS = 20, 1500, 3000
STALL_S = 0.8
"""Longer than a machine's own hiccups, shorter than what is planted: slower than all else in the seconds after it."""
STEP_S = 1.0

LOCUSTFILE = """
from tfs_locust import GrpcPredictUser, RestPredictUser

class OverGrpc(GrpcPredictUser):
    host, model, fixed_count, arrival = "GRPC", "over_grpc", 1, "constant:RATE"

class OverRest(RestPredictUser):
    host, model, fixed_count, arrival = "REST", "over_rest", 1, "constant:RATE"

class Pinned(RestPredictUser):
    host, model, version, fixed_count, arrival = "REST", "pinned", 2, 1, "constant:RATE"

class Labelled(GrpcPredictUser):
    host, model, version_label, fixed_count, arrival = "GRPC", "labelled", "stable", 1, "constant:RATE"
"""


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Planted]:
    """Version 2 of two models loads for three seconds, begins with twenty slow answers, and fails one of fifty; that of
    another is there all the time, and does that too."""
    both = ("over_grpc/2", "over_rest/2")
    with running_planted(
        tmp_path,
        load_ms=",".join(f"{one}={LOAD_MS}" for one in both),
        cold_ms=",".join(f"{one}={COLD_MS}x{COLD}" for one in both),
        errors=",".join([*(f"{one}=2%" for one in both), "pinned/2=2%:ABORTED"]),
    ) as server:
        yield server


class Story:
    """What is done to the server in the course of a run, and when."""

    def __init__(self, server: Planted) -> None:
        self.server = server
        self.answers(1)
        self.moved = server.move_label(2)
        server.bring("over_rest", 2)
        server.bring("over_grpc", 2)
        server.bring_broken("labelled", 3)
        self.seen = server.wait_for_state("over_grpc", 2, "START", "LOADING")
        self.available = server.wait_for_state("over_grpc", 2, "AVAILABLE")
        server.wait_for_state("over_rest", 2, "AVAILABLE")
        self.answers(2.5)  # the first hundred
        self.began_s, self.ended_s = server.outage()
        self.answers(0.5)
        server.stall(STALL_S)
        self.answers(2)

    def answers(self, seconds: float) -> None:
        """Wait until the model over gRPC has answered what is due in so many seconds."""
        goal = self._answered() + seconds * PER_S
        wait_until(lambda: self._answered() >= goal, saying=lambda: f"{self._answered()} of {goal}")

    def _answered(self) -> int:
        return self.server.serving.predictions("over_grpc", "grpc")


@pytest.mark.parametrize(
    ("engine", "processes"),
    [
        ("wire", 0),
        pytest.param("library", 0, marks=pytest.mark.long),
        pytest.param("wire", 2, marks=pytest.mark.long),
    ],
)
def test_all_that_was_planted_is_found(
    engine: str, processes: int, planted: Planted, locust: Callable[..., Locust], tmp_path: Path
) -> None:
    """Versions that load, are cold and fail now and then; an outage; a broken version; a label that is moved."""
    serving = planted.serving
    (tmp_path / "planted.py").write_text(
        LOCUSTFILE.replace("GRPC", serving.grpc).replace("REST", serving.rest).replace("RATE", str(PER_S))
    )
    run = locust(
        *("-f", str(tmp_path / "planted.py"), "--headless", "-u", "4", "-r", "4", "--tfs-engine", engine),
        *("--tfs-status-interval", "100ms", "--tfs-slo", "p50<2s", "--tfs-report", "out"),
        *(in_processes(processes) if processes else ()),
    )
    wait_until(lambda: planted.serving.predictions("over_grpc", "grpc"), saying=lambda: run.output)
    story = Story(planted)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 0, run.output
    report = json.loads((run.folder / "out" / "report.json").read_text())
    _check_conserved(report, planted)
    _check_pinned(report)
    _check_outage(report, story)
    switches = {(one["model"], one["to_version"]): one for one in report["lifecycle"]["switches"]}
    assert len(switches) == len(report["lifecycle"]["switches"]) == 4
    _check_switch(report, switches["over_grpc", "2"], story)
    _check_switch_over_rest(report, switches["over_rest", "2"], story)
    _check_labelled(report, switches["labelled", "2"], switches["labelled", "3"], story)
    assert "version 3 was not loaded" in run.output


def _check_conserved(report: Any, planted: Planted) -> None:
    """The server's count is the report's, by status; of the failures those of the outage are in none of its counts."""
    failures, metrics = report["failures"], planted.serving.metrics
    answered: Counter[str] = Counter()
    for one in report["lifecycle"]["versions"]:
        answered[one["model"]] += one["answers"]
    interfaces = {"over_grpc": "grpc", "over_rest": "rest", "pinned": "rest", "labelled": "grpc"}
    assert answered == {model: planted.serving.predictions(model, one) for model, one in interfaces.items()}
    assert report["totals"]["ok"] == sum(answered.values())
    assert failures.keys() == {"internal", "aborted", "unavailable"}
    assert failures["internal"] == metrics("request_count", status="INTERNAL")
    assert failures["aborted"] == metrics("request_count", status="ABORTED")
    assert metrics("request_count", status="UNAVAILABLE") == 0
    available = report["lifecycle"]["availability"]
    assert available["due"] - available["served"] == sum(failures.values())


def _check_pinned(report: Any) -> None:
    """Whose failures they are is known where the version was asked for, over REST too: one of fifty, exactly."""
    (row,) = [one for one in report["keys"] if one["scenario"] == "Pinned"]
    failed = row["failures"]["aborted"]
    assert row["version"] == "2"
    assert abs(failed - 0.02 * (row["ok"] + failed)) <= 1


def _check_outage(report: Any, story: Story) -> None:
    """One, as long as the server says. When it began is what all other moments are compared with."""
    (one,) = report["lifecycle"]["outages"]
    assert one["first_success_s"] - one["start_s"] == pytest.approx(story.ended_s - story.began_s, abs=STEP_S)
    assert one["start_s"] <= one["detected_s"] < one["first_success_s"]
    assert one["first_success_s"] <= one["recovered_s"] < one["first_success_s"] + 2 * STEP_S
    # a request that was on its way before may be answered after the first that is refused
    assert one["failures"] == pytest.approx(report["failures"]["unavailable"], abs=5)


def _run_s(report: Any, story: Story, unix_s: float) -> float:
    """A moment on the run's clock: from the outage's begin, which is known on both clocks."""
    return float(report["lifecycle"]["outages"][0]["start_s"] + unix_s - story.began_s)


def _within_a_step(found_s: float, report: Any, story: Story, moment: Moment) -> bool:
    after_s, before_s = (_run_s(report, story, one) for one in (moment.after_s, moment.before_s))
    return after_s - STEP_S <= found_s <= before_s + STEP_S


def _check_switch(report: Any, one: Any, story: Story) -> None:
    """Three seconds of loading, twenty slow answers, one of fifty failing, over gRPC."""
    assert (one["from_version"], one["found_by"], one["success"]) == ("1", "status", True)
    assert _within_a_step(one["trigger_s"], report, story, story.seen)
    assert _within_a_step(one["trigger_s"] + one["available_s"], report, story, story.available)
    assert one["load_s"] == pytest.approx(LOAD_MS / 1e3, abs=STEP_S)
    assert _within_a_step(one["trigger_s"] + one["last_old_answer_s"], report, story, story.available)
    first = one["first_answers"]
    assert (first["count"], first["slow"], first["cold"]) == (100, COLD, True)
    assert COLD_MS / 1e3 <= first["max_s"] < 2 * COLD_MS / 1e3
    answers = {one["version"]: one["answers"] for one in report["lifecycle"]["versions"] if one["model"] == "over_grpc"}
    failed = story.server.serving.metrics("request_count", model_name="over_grpc", status="INTERNAL")
    assert abs(failed - 0.02 * (answers["2"] + failed)) <= 1
    assert failed > 0


def _slow(report: Any, model: str) -> int:
    """The answers that took as long as the planted ones."""
    cells = [one for one in report["cells"] if (one["model"], one["outcome"]) == (model, "ok")]
    buckets = [one["response_time_ns"]["buckets"] for one in cells]
    return sum(
        count for flat in buckets for at, count in zip(flat[::2], flat[1::2], strict=True) if at >= COLD_MS * 990_000
    )


def _check_switch_over_rest(report: Any, one: Any, story: Story) -> None:
    """Its answers carry no version, which the report says; what the server says of its versions is enough."""
    assert (one["from_version"], one["found_by"], one["success"]) == ("", "status", True)
    assert one["why"].startswith("answers tell no version (REST)")
    assert one["load_s"] == pytest.approx(LOAD_MS / 1e3, abs=STEP_S)
    assert one["settled_s"] == one["available_s"]
    assert _slow(report, "over_rest") >= COLD  # a busy machine may have been as slow when the run began
    assert story.server.serving.metrics("request_count", model_name="over_rest", status="INTERNAL") > 0


def _check_labelled(report: Any, moved: Any, broken: Any, story: Story) -> None:
    """Where the label went is known from the answers; why the version is not there from the server."""
    assert (moved["from_version"], moved["found_by"], moved["success"]) == ("1", "answers", True)
    assert _within_a_step(moved["trigger_s"], report, story, story.moved)
    assert (broken["found_by"], broken["success"], broken["available_s"]) == ("status", False, None)
    assert broken["why"].startswith("version 3 was not loaded: ")
