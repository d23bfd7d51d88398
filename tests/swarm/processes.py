"""Processes started as users start them, watched, and ended with all they started themselves."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).parents[2]
_MARK = "TFS_TEST_MARK"
ANY_PACE = "send_lag=none | loop_lag=none | cpu=none | throttled=none"
"""For a machine that is busy with other tests: how well the generator keeps up is what a few tests are about."""

_IN_TESTS = {"PYTHONPATH": str(ROOT), "TFS_LIMIT": ANY_PACE, "TFS_METRICS_PORT": "off"}


def wait_until(condition: Callable[[], object], *, within_s: float = 30, saying: Callable[[], str] = str) -> None:
    """Return as soon as ``condition`` holds; fail with what ``saying`` gives where it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {saying()}"
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port that nothing listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def in_processes(count: int) -> list[str]:
    """Options for a master with forked workers, on a port of their own."""
    port = str(free_port())
    return [
        "--processes",
        str(count),
        "--master-bind-host",
        "127.0.0.1",
        "--master-bind-port",
        port,
        "--master-port",
        port,
    ]


class Started:
    """A Python module run as a process. All that it starts, in whatever session, carries the same mark."""

    def __init__(
        self, folder: Path, arguments: list[str], env: Mapping[str, str], *, through: Sequence[str] = ()
    ) -> None:
        """``through``: a command that becomes the one whose words follow it."""
        self._mark = uuid.uuid4().hex
        self.folder = folder / self._mark
        self.folder.mkdir()
        self.output_file = self.folder / "output.txt"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TFS_", "LOCUST_"))}
        with self.output_file.open("wb") as output:
            self.process = subprocess.Popen(
                [*through, sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**inherited, **_IN_TESTS, _MARK: self._mark, **env},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Standard output and standard error so far."""
        return self.output_file.read_text(errors="replace")

    def wait(self, timeout_s: float = 40) -> int:
        """The exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s: {self.output}") from None

    def wait_for(self, text: str, *, within_s: float = 30) -> None:
        """Return when ``text`` has been written."""
        wait_until(lambda: text in self.output, within_s=within_s, saying=lambda: f"{text!r} in {self.output}")

    def alive(self) -> list[int]:
        """The ids of all processes that carry the mark."""
        mark, found = f"{_MARK}={self._mark}".encode(), []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                marked = mark in environment.read_bytes()
            except OSError:  # ended meanwhile, or another user's
                continue
            if marked:
                found.append(int(environment.parent.name))
        return found

    def assert_nothing_left(self, within_s: float = 5) -> None:
        """No process of it is left, or will be soon."""
        wait_until(lambda: not self.alive(), within_s=within_s, saying=lambda: f"{self.alive()} live: {self.output}")

    def end(self) -> None:
        """Kill whatever is left."""
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)


class Locust(Started):
    """Locust's own command."""

    def __init__(
        self, folder: Path, arguments: list[str], env: Mapping[str, str], *, through: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, ["-m", "locust", "--json-file", "stats", *arguments], env, through=through)

    def stats(self) -> list[dict[str, Any]]:
        """The rows it wrote at its end."""
        rows: list[dict[str, Any]] = json.loads((self.folder / "stats.json").read_text())
        return rows

    def only_row(self) -> dict[str, Any]:
        """The one row it wrote at its end."""
        (row,) = self.stats()
        return row


class LocustWeb(Locust):
    """Locust with its web page."""

    def __init__(self, folder: Path, arguments: list[str], env: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(folder, ["--web-host", "127.0.0.1", "--web-port", str(port), *arguments], env)

    def wait_for_page(self, path: str = "/") -> None:
        """Return when the page is there."""

        def answers() -> bool:
            assert self.process.poll() is None, self.output
            try:
                return bool(self.get(path))
            except OSError:
                return False

        wait_until(answers, saying=lambda: self.output)

    def get(self, path: str) -> str:
        """The body of a page."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return str(answer.read().decode())

    def json(self, path: str) -> Any:
        """A JSON document."""
        return json.loads(self.get(path))

    def tabs(self) -> dict[str, list[dict[str, str]]]:
        """The rows of our tabs, by key; spaces as they are written."""
        stats = json.loads(self.get("/stats/requests").replace("\\u00a0", " "))
        return {table["key"]: table["data"] for table in stats["extended_stats"]}

    def post(self, path: str, form: Mapping[str, object] | None = None) -> Any:
        """Send a form; returns the JSON answer."""
        with urllib.request.urlopen(self.url + path, data=urlencode(form or {}).encode(), timeout=30) as answer:
            return json.loads(answer.read())

    def _shown(self) -> Any:
        _, _, text = self.get("/").partition("templateArgs = ")
        return json.JSONDecoder().raw_decode(text)[0]

    def extra_options(self) -> dict[str, Any]:
        """What the page knows of the options that are not Locust's own."""
        return dict(self._shown()["extra_options"])

    def form(self) -> dict[str, object]:
        """What the page's button START sends: each field as the page shows it, with empty text for what is open."""
        shown = self._shown()
        extra = {name: option["default_value"] for name, option in shown["extra_options"].items()}
        fields = {"user_count": 1, "spawn_rate": 1, "host": shown["host"], "run_time": "", "profile": "", **extra}
        return {name: "" if value is None else value for name, value in fields.items()}

    def state(self) -> str:
        """``ready``, ``spawning``, ``running``, ``stopped`` ..."""
        return str(self._shown()["state"])

    def users(self) -> int:
        """How many users run."""
        return int(self._shown()["user_count"])

    def workers(self) -> int:
        """How many workers are there."""
        return int(self.json("/worker-count")["worker_count"])

    def rows(self) -> dict[str, int]:
        """Name of each row of statistics, and its requests."""
        rows = csv.DictReader(io.StringIO(self.get("/stats/requests/csv")))
        return {row["Name"]: int(row["Request Count"]) for row in rows if row["Name"] != "Aggregated"}

    def failures(self) -> list[str]:
        """The texts of the failures so far."""
        return [row["Error"] for row in csv.DictReader(io.StringIO(self.get("/stats/failures/csv")))]

    def exceptions(self) -> list[str]:
        """The messages on the tab Exceptions."""
        return [exception["msg"] for exception in self.json("/exceptions")["exceptions"]]
