"""Runs steered from Locust's web page, by what its buttons send."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import LocustWeb, in_processes, wait_until


@pytest.fixture(params=["one process", "workers"])
def web(
    request: pytest.FixtureRequest, interface: Interface, locust_web: Callable[..., LocustWeb]
) -> Iterator[LocustWeb]:
    """The page of an example locustfile, without any option: in one process, and with two forked workers."""
    arguments = ["-f", interface.locustfile, "--host", interface.host]
    arguments += in_processes(2) if request.param == "workers" else []
    page = locust_web(*arguments)
    page.wait_for_page()
    if request.param == "workers":
        wait_until(lambda: page.workers() == 2, saying=lambda: page.output)
    return page


def _wait_for_state(web: LocustWeb, state: str) -> None:
    wait_until(lambda: web.state() == state, saying=lambda: f"{web.state()}: {web.output}")


def _wait_for_users(web: LocustWeb, users: int) -> None:
    wait_until(lambda: web.users() == users, saying=lambda: web.output)


def _wait_for_row(web: LocustWeb, name: str, more_than: int = 0) -> int:
    """Until this row alone is shown, and its count is above a number; returns the count."""
    wait_until(lambda: [*web.rows()] == [name] and web.rows()[name] > more_than, saying=lambda: web.output)
    assert web.failures() == []
    return web.rows()[name]


def _start(web: LocustWeb, **fields: object) -> None:
    answer = web.post("/swarm", {**web.form(), "user_count": 4, "spawn_rate": 4, **fields})
    assert answer["success"], answer


def _stop(web: LocustWeb) -> None:
    web.post("/stop")
    _wait_for_state(web, "stopped")


def _wait_for_refusal(web: LocustWeb, *beginnings: str) -> None:
    """Until the run has ended with exceptions on the page that begin with these texts, and no other."""
    wait_until(lambda: beginnings[-1] in str(web.exceptions()), saying=lambda: web.output)
    _wait_for_state(web, "stopped")
    messages = list(dict.fromkeys(web.exceptions()))
    assert len(messages) == len(beginnings)
    assert all(message.startswith(text) for message, text in zip(messages, beginnings, strict=True)), messages
    assert web.rows() == {}


def test_start_change_stop_start(web: LocustWeb, interface: Interface) -> None:
    """Start, change the users while it runs, stop, start again with another model and rows: all from the page."""
    _start(web, tfs_model="dense")
    _wait_for_users(web, 4)
    _wait_for_row(web, "predict dense")
    _start(web, tfs_model="dense", user_count=7)
    _wait_for_users(web, 7)
    _start(web, tfs_model="dense", user_count=2)
    _wait_for_users(web, 2)
    _wait_for_row(web, "predict dense", more_than=_wait_for_row(web, "predict dense"))
    _stop(web)
    _start(web, tfs_model="half_plus_two", tfs_rows="3")
    _wait_for_row(web, "predict half_plus_two")
    assert f"{interface.user_class}: predict half_plus_two over {interface.name}" in web.output
    assert "64 payloads of 3 rows" in web.output
    assert web.exceptions() == []
    _stop(web)
    web.process.terminate()
    assert web.wait(10) == 0, web.output
    web.assert_nothing_left()


def test_wrong_then_right(web: LocustWeb, interface: Interface) -> None:
    """A wrong model or rows stop the run, the Exceptions tab says why; right ones work after that."""
    unknown = f"{interface.user_class}: model 'dens' is not known to the server; "
    _start(web, tfs_model="dens")
    _wait_for_refusal(web, unknown)
    _start(web, tfs_model="dens", tfs_rows="none")
    _wait_for_refusal(web, "--tfs-rows 'none': expected a number of rows, ", unknown)
    _start(web, tfs_model="dense")
    _wait_for_row(web, "predict dense")
    assert web.exceptions() == []


def test_stop_while_workers_prepare(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """A stop that comes while workers still make their payloads costs no worker, in a second run either."""
    interface = Interface("grpc", serving.grpc)
    web = locust_web("-f", interface.locustfile, "--host", interface.host, "--tfs-model", "dense", *in_processes(2))
    web.wait_for_page()
    wait_until(lambda: web.workers() == 2, saying=lambda: web.output)
    for _ in range(2):
        _start(web, tfs_payloads="5000", tfs_rows="20")
        wait_until(lambda: web.state() == "spawning", saying=lambda: web.output)
        _stop(web)
        wait_until(lambda: web.output.count("reported as ready") % 2 == 0 and web.workers() == 2)
    _start(web, tfs_payloads="", tfs_rows="")
    _wait_for_row(web, "predict dense")
    assert "quit" not in web.output
    assert web.workers() == 2


def test_autostart(interface: Interface, locust_web: Callable[..., LocustWeb]) -> None:
    """With ``--autostart`` the page stays after a refused run, and a right one can follow."""
    web = locust_web("-f", interface.locustfile, "--host", interface.host, "--tfs-model", "dense", "--autostart")
    web.wait_for_page()
    _wait_for_row(web, "predict dense")
    _stop(web)
    _start(web, tfs_model="dens")
    _wait_for_refusal(web, f"{interface.user_class}: model 'dens' is not known to the server; ")
    _start(web, tfs_model="half_plus_two")
    _wait_for_row(web, "predict half_plus_two")


def test_command_line_comes_back_unchanged(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """What was given at the command line, several headers and sizes among it, survives the button START."""
    interface = Interface("grpc", serving.grpc)
    given = ["--tfs-model", "multi", "--tfs-header", "x-one: 1, 2", "--tfs-header", "x-two: a|b", "--tfs-rows", "3"]
    web = locust_web("-f", interface.locustfile, "--host", interface.host, *given)
    web.wait_for_page()
    form = web.form()
    assert (form["tfs_model"], form["tfs_header"], form["tfs_rows"]) == ("multi", "x-one: 1, 2 | x-two: a|b", "3")
    _start(web)
    _wait_for_row(web, "predict multi")
    assert web.form() == form
    assert web.exceptions() == []


def test_host_from_the_page(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """Locust may start without a host: the page asks for it, says what is wrong with it, and takes another."""
    interface = Interface("rest", serving.rest)
    web = locust_web("-f", interface.locustfile, "--tfs-model", "dense")
    web.wait_for_page()
    _start(web, host="")
    _wait_for_refusal(web, "RestPredict: no host is given: expected http:// or https://")
    _start(web, host=serving.grpc)
    _wait_for_refusal(web, f"RestPredict: host '{serving.grpc}' has the scheme 'grpc': expected http:// or https://")
    _start(web, host=serving.rest)
    _wait_for_row(web, "predict dense")


def test_help_texts_fit_their_fields(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """Each option is on the page, in the order in which they belong together, with a help text that its field has room
    for and that shows what it says."""
    web = locust_web("-f", Interface("grpc", serving.grpc).locustfile)
    web.wait_for_page()
    extra = web.extra_options()
    names = "model version version_label traffic canary_ramp canary_rollback signature rows payload payloads"
    names += " seed dim header check"
    names += (
        " arrival rate max_in_flight shape shape_param find_capacity resolution capacity_param warmup timeout drain"
    )
    names += " engine connections slo confidence limit abort_on_fail report"
    names += " batching_parameters_file server_cpus grpc_max_threads rest_api_num_threads allow_too_large"
    names += " server_metrics status_interval prometheus server_query tls_ca tls_cert tls_key"
    assert list(extra) == [f"tfs_{name}" for name in names.split()]
    assert [name for name, option in extra.items() if option["is_secret"]] == ["tfs_header"]
    labels = [f"{name.replace('_', ' ')} ({option['help_text']})" for name, option in extra.items()]
    assert max(map(len, labels)) < 88, labels
    assert "%" not in "".join(labels)
