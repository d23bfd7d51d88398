"""What is planned for a run's user classes, what is refused, and what travels to the workers."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.user_classes import user_class
from tfs_locust.load.rows import rows
from tfs_locust.swarm.batching import batching_of, handed_out, planned, settled, setup_of, users_of
from tfs_locust.swarm.blueprint import Blueprint, blueprint
from tfs_locust.swarm.server_watch import pages_of
from tfs_locust.swarm.settings import Settings, SettingsError, read_settings

_FILE = "max_batch_size { value: 32 } num_batch_threads { value: 2 } allowed_batch_sizes: 16 allowed_batch_sizes: 32"


def _settings(folder: Path | None = None, text: str = _FILE, **given: Any) -> Settings:
    if folder is not None:
        (folder / "batching").write_text(text)
        given["batching_parameters_file"] = str(folder / "batching")
    return read_settings(Namespace(tfs_server_cpus="4", **{f"tfs_{name}": value for name, value in given.items()}))[0]


def _blueprint(settings: Settings, name: str = "Mine", host: str = "grpc://h:8500", **attributes: Any) -> Blueprint:
    protocol = "grpc" if host.startswith("grpc") else "rest"
    return blueprint(user_class(name, protocol=protocol, host=host, **attributes), settings, None)


def test_rows_are_chosen_where_the_run_is_led(tmp_path: Path) -> None:
    """What was chosen travels as text, and a worker that has no file sends the same."""
    settings = _settings(tmp_path)
    auto = _blueprint(settings, rows=rows(auto=True))
    plan = planned(auto, settings, setup_of(settings), 12)
    assert plan is not None
    handed = handed_out({"Mine": plan}, settings)
    assert handed == {"rows": {"Mine": "16"}, "most_rows": 32}
    on_worker = settled(_blueprint(_settings(), rows="auto"), handed)
    assert (on_worker.rows, on_worker.most_rows) == (rows(16), 32)
    assert settled(_blueprint(settings, name="Other", rows=5), handed).rows == rows(5)


def test_nothing_is_known() -> None:
    """Without a file there is no plan and no limit, and rows cannot be chosen."""
    settings = _settings()
    assert setup_of(settings) is None
    assert planned(_blueprint(settings, rows=5000), settings, None, 12) is None
    assert handed_out({}, settings) == {"rows": {}, "most_rows": None}
    with pytest.raises(SettingsError, match="Mine: rows worst are chosen by how the server batches: give its file"):
        planned(_blueprint(settings, rows="worst"), settings, None, 12)


def test_payloads_that_bring_their_rows_need_no_choice() -> None:
    """A log is sent as it is, whatever rows were to be chosen, and needs no file to choose them by."""
    settings = _settings()
    log = _blueprint(settings, rows="auto", payload="requests.log")
    assert planned(log, settings, None, 12) is None
    assert settled(log, handed_out({}, settings)).rows == rows(1)


def test_rows_that_are_too_large(tmp_path: Path) -> None:
    """They are refused in advance, unless asked for; those of a source with rows of its own when they are read."""
    settings = _settings(tmp_path)
    setup = setup_of(settings)
    mixed = _blueprint(settings, rows="1:0.7,33:0.2,40:0.1")
    with pytest.raises(SettingsError, match="Mine: a request of 33, 40 rows is above max_batch_size 32 and would be"):
        planned(mixed, settings, setup, None)
    allowing = _settings(tmp_path, allow_too_large=True)
    plan = planned(mixed, allowing, setup, None)
    assert plan is not None
    assert handed_out({"Mine": plan}, allowing)["most_rows"] is None
    log = planned(_blueprint(settings, rows="40", payload="requests.log"), settings, setup, None)
    assert log is not None
    assert (log.rows_known, log.told) == (False, ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("max_batch_size: 5", "batching, line 1, column 17: "),
        ("max_batch_size { value: 0 }", "no server starts with it: input_batch_size_limit must be positive; was 0"),
    ],
)
def test_a_file_that_no_server_takes(text: str, problem: str, tmp_path: Path) -> None:
    """It is told with the option, the place and the server's words."""
    with pytest.raises(SettingsError) as raised:
        setup_of(_settings(tmp_path, text))
    assert raised.value.problems[0].startswith(f"--tfs-batching-parameters-file {tmp_path / 'batching'}")
    assert problem in raised.value.problems[0]


def test_the_batching_of_several_classes(tmp_path: Path) -> None:
    """What depends on rows or interface is left out where the classes differ in it."""
    settings = _settings(tmp_path)
    setup = setup_of(settings)

    def known(*several: Blueprint) -> tuple[Any, ...]:
        plans = [planned(one, settings, setup, 12) for one in several]
        batching = batching_of([plan for plan in plans if plan is not None])
        assert batching is not None
        return batching.largest_batch, batching.calls_at_once, batching.in_flight_to_fill

    eight, rest = _blueprint(settings, rows=8), _blueprint(settings, rows=8, host="http://h:8501")
    assert known(eight, eight) == (32, 15, 12)
    assert known(eight, _blueprint(settings, rows=16)) == (32, 15, None)
    few = read_settings(Namespace(**{**vars(Namespace(tfs_server_cpus="4")), "tfs_rest_api_num_threads": "4"}))[0]
    assert few.rest_api_num_threads == 4
    assert known(eight, rest) == (32, 15, 12)
    assert known(eight, _blueprint(settings, payload="a.log")) == (32, 15, None)
    assert batching_of([]) is None


def test_users_by_class() -> None:
    """Fixed counts first, then by weight."""

    def of(weight: float, fixed_count: int = 0) -> Any:
        return SimpleNamespace(weight=weight, fixed_count=fixed_count)

    heavy, light, fixed = of(3), of(1), of(1, 5)
    classes = [heavy, light, fixed]
    assert [users_of(one, classes, 25) for one in classes] == [15, 5, 5]
    assert users_of(fixed, classes, 3) == 3
    assert users_of(heavy, classes, None) is None


def test_pages_that_are_looked_at() -> None:
    """A REST target's own page; for gRPC that of the usual port; and those that were named."""
    settings = _settings()
    targets = [
        _blueprint(settings, host=host)
        for host in ("http://h:1/prefix", "https://h:2", "grpc://h:3", "grpcs://[::1]:4", "grpc://h:5")
    ]
    path = "/monitoring/prometheus/metrics"
    pages = pages_of(["http://other/x", "https://h:2/own", "auto"], targets)
    assert {url: page.asked for url, page in pages.items()} == {
        "http://other/x": True,
        "https://h:2/own": True,
        f"http://h:1/prefix{path}": False,
        f"https://h:2{path}": False,
        f"http://h:8501{path}": False,
        f"http://[::1]:8501{path}": False,
    }
    own = {url for url, page in pages.items() if page.target is not None}  # asked as the target is
    assert own == {"https://h:2/own", f"http://h:1/prefix{path}", f"https://h:2{path}"}
    assert pages[f"https://h:2{path}"].target == targets[1].endpoint
    assert pages_of([], targets) == {}


def test_options_of_pages() -> None:
    """A URL without a path means the usual one; none is none; what is no URL is told."""
    assert _settings().server_metrics == ("auto",)
    assert _settings(server_metrics="none").server_metrics == ()
    assert _settings(server_metrics="http://a:1 | http://b/x | auto").server_metrics == (
        "http://a:1/monitoring/prometheus/metrics",
        "http://b/x",
        "auto",
    )
    for url in ("http://[::1", "http://a:port", "http://a:0", "http://a:70000", "http://:80"):
        assert read_settings(Namespace(tfs_server_metrics=url))[1] == [
            f"--tfs-server-metrics {url!r}: expected auto, none, or a URL such as http://HOST:8501"
        ]
        assert "expected a base URL such as http://" in read_settings(Namespace(tfs_prometheus=url))[1][0]
    problems = read_settings(Namespace(tfs_server_metrics="none | a:8501 | http://a"))[1]
    assert problems == [
        "--tfs-server-metrics 'a:8501': expected auto, none, or a URL such as http://HOST:8501",
        "--tfs-server-metrics none and pages exclude each other: leave one of them out",
    ]
