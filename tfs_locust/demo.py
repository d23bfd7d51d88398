"""``tfs-locust demo``: the main job on this machine alone. Saves a small model, serves it, loads it over gRPC and REST.

Everything runs as a user would run it, as processes; what they wrote stays in the results folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_READY_WITHIN_S = 60.0
_MODEL = "dense"
_LOCUSTFILE = """\
from tfs_locust import {base}


class {name}({base}):
    model = "dense"
    rows = {rows}
"""


class DemoError(RuntimeError):
    """A part of the demo did not start or did not end well."""


@dataclass(frozen=True, slots=True)
class _Result:
    """One run, for the table. Times in milliseconds."""

    interface: str
    requests: int
    failures: int
    rows_per_s: float
    p50: float
    p95: float
    p99: float


def main(argv: Sequence[str]) -> int:
    """Returns 0; 1 where a part failed; 130 after Ctrl-C. Ends all it started, however it ends."""
    parser = argparse.ArgumentParser(
        prog="tfs-locust demo",
        description="Save a small model, serve it with the embedded server (which is not TensorFlow Serving: what you "
        "see is the tool at work, not TensorFlow Serving's speed), and load it over gRPC and then REST.",
    )
    parser.add_argument("--users", "-u", type=int, default=20, help="concurrent users (default: %(default)s)")
    parser.add_argument("--seconds", "-t", type=int, default=10, help="length of each run (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1, help="rows in each request (default: %(default)s)")
    parser.add_argument(
        "--results", type=Path, default=Path("results/demo"), help="folder for what is written (default: %(default)s)"
    )
    options = parser.parse_args(list(argv))
    # a stop by the system ends the demo as Ctrl-C does
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        results = _run(options)
    except DemoError as error:
        sys.stderr.write(f"tfs-locust demo: {error}\n")
        return 1
    _print_table(results)
    print(f"\nReports are in {options.results}/, as {results[0].interface.lower()}_predict/report.html.")
    print("Load a server of your own:")
    print("  locust -f locustfiles/grpc_predict.py --host grpc://127.0.0.1:8500 --tfs-model my_model")
    return 0 if all(result.requests and not result.failures for result in results) else 1


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> list[_Result]:
    folder: Path = options.results
    folder.mkdir(parents=True, exist_ok=True)
    print(f"saving a small dense model to {folder / 'models' / _MODEL} ...", flush=True)
    _save_model(folder)
    print("starting the embedded server (for demos and tests; not TensorFlow Serving) ...", flush=True)
    with _server(folder) as ports:
        results = []
        for interface, base, host in (
            ("gRPC", "GrpcPredictUser", f"grpc://127.0.0.1:{ports['grpc']}"),
            ("REST", "RestPredictUser", f"http://127.0.0.1:{ports['rest']}"),
        ):
            locustfile = folder / f"{interface.lower()}_predict.py"
            name = base.removesuffix("User")
            locustfile.write_text(_LOCUSTFILE.format(base=base, name=name, rows=options.rows))
            results.append(_load(interface, locustfile, host, options))
        return results


def _save_model(folder: Path) -> None:
    version = folder / "models" / _MODEL / "1"
    if (version / "saved_model.pb").exists():
        return
    log = folder / "model.log"
    with _process([sys.executable, "-m", "tfs_locust.embedded.demo_model", str(version)], log) as process:
        failed = process.wait()
    if failed:
        raise DemoError(f"the model could not be saved:\n{log.read_text()[-2000:]}")


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child of our own whose output goes to ``log``; ended when the block is left.

    It stands in a session of its own, so that Ctrl-C reaches only us and we end it in order.
    """
    with log.open("wb") as output, _signals_held_back() as came:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        if came:
            raise KeyboardInterrupt
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _signals_held_back() -> Iterator[list[int]]:
    """Collects what would end us: an exception in the middle of starting a child would leave it to itself."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, int]]:
    ready = folder.resolve() / "server.json"
    ready.unlink(missing_ok=True)
    log = folder / "server.log"
    flags = {
        "port": 0,
        "rest_api_port": 0,
        "model_name": _MODEL,
        "model_base_path": (folder / "models" / _MODEL).resolve(),
        "grpc_max_threads": 256,
        "rest_api_num_threads": 64,
        "ready_file": ready,
    }
    command = [sys.executable, "-m", "tfs_locust", "serve", *(f"--{flag}={value}" for flag, value in flags.items())]
    with _process(command, log) as process:
        give_up = time.monotonic() + _READY_WITHIN_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                raise DemoError(f"the server did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield json.loads(ready.read_text())


def _load(interface: str, locustfile: Path, host: str, options: argparse.Namespace) -> _Result:
    stem = str(locustfile.with_suffix(""))
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--host", host, "--headless", "--only-summary"]
    command += ["-u", str(options.users), "-r", str(options.users), "-t", f"{options.seconds}s"]
    command += ["--csv", stem, "--tfs-report", stem]
    log = locustfile.with_suffix(".log")
    with _process(command, log) as process:
        started = time.monotonic()
        while process.poll() is None:
            passed = min(time.monotonic() - started, options.seconds)
            _progress(f"{interface}: {passed:3.0f} of {options.seconds} s, {_requests_so_far(stem):,} requests")
            time.sleep(0.2)
    report = Path(stem) / "report.json"
    if not report.exists():
        raise DemoError(f"Locust measured nothing over {interface}:\n{log.read_text()[-2000:]}")
    result = _result(interface, json.loads(report.read_text()))
    _progress(f"{interface}: {options.seconds:3.0f} of {options.seconds} s, {result.requests:,} requests", done=True)
    return result


def _progress(line: str, *, done: bool = False) -> None:
    """One line that is written over; where no one watches, only its last state."""
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="\n" if done else "", flush=True)
    elif done:
        print(line, flush=True)


def _requests_so_far(stem: str) -> int:
    """The count in the file that Locust writes every second; 0 before there is one."""
    try:
        with Path(stem + "_stats.csv").open(newline="") as file:
            return max((int(row["Request Count"]) for row in csv.DictReader(file)), default=0)
    except (OSError, KeyError, ValueError, TypeError):
        return 0


def _result(interface: str, report: dict[str, Any]) -> _Result:
    times = report["response_time_s"]
    return _Result(
        interface,
        report["totals"]["requests"],
        report["totals"]["failed"],
        report["throughput"]["rows_per_s"],
        *(1000 * (times[name] or 0.0) for name in ("p50", "p95", "p99")),
    )


def _print_table(results: list[_Result]) -> None:
    print(f"\n{'':<6}{'requests':>10}{'rows/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'errors':>8}")
    for r in results:
        print(
            f"{r.interface:<6}{r.requests:>10,}{r.rows_per_s:>10,.0f}{r.p50:>9.2f}{r.p95:>9.2f}{r.p99:>9.2f}{r.failures:>8,}"
        )
