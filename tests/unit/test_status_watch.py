"""The servers are asked for versions again and again, whatever they answer, until it is no use or the run is over."""

from __future__ import annotations

import json
import select
import socket
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

from tests.unit.answering import answering, page, says
from tests.unit.user_classes import user_class
from tfs_locust.swarm.blueprint import Blueprint, blueprint
from tfs_locust.swarm.settings import read_settings
from tfs_locust.swarm.status_watch import StatusWatch, models_of

SETTINGS = read_settings(Namespace())[0]
AVAILABLE = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
BROKEN = {"version": "2", "state": "END", "status": {"error_code": "NOT_FOUND", "error_message": "no graph"}}


def _plan(host: str, model: str = "m") -> Blueprint:
    protocol = "grpc" if host.startswith("grpc") else "rest"
    return blueprint(user_class(host=host, protocol=protocol, model=model), SETTINGS, None)


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.005)


@contextmanager
def _following(address: str) -> Iterator[list[Any]]:
    """What is heard of model m at this REST server, asked every 10 ms; each with the model's name first."""
    heard: list[Any] = []
    watch = StatusWatch({"m": _plan(f"http://{address}")}, every_s=0.01)
    watch.every_s = 0.01
    watch.begin(lambda *said: heard.append(said))
    try:
        yield heard
    finally:
        watch.end()
        watch.end()
        gevent.sleep(0.02)


def _told(*rows: Any) -> bytes:
    return page(json.dumps({"model_version_status": rows}))


def test_states_and_errors() -> None:
    """Each version's state in the server's words, and what went wrong where something did; nothing after the end."""
    with answering(says(_told(BROKEN, AVAILABLE))) as address:
        with _following(address) as heard:
            _until(lambda: len(heard) > 3)
        assert all(one == ("m", {"2": "END", "1": "AVAILABLE"}, {"2": "no graph"}) for one in heard)
        number = len(heard)
        gevent.sleep(0.05)
        assert len(heard) == number


@pytest.mark.parametrize(
    "answer",
    [page("{}", "404 Not Found"), page("{}", "501 Not Implemented"), page("{}", "403 Forbidden"), page("<html>")],
    ids=["not-found", "unimplemented", "forbidden", "another-server"],
)
def test_it_is_given_up(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """After three tries where the answer will not be another one, and said once."""
    heads: list[str] = []
    with answering(says(answer), heads) as address, _following(address) as heard:
        _until(lambda: caplog.messages)
        gevent.sleep(0.1)
    assert (len(heads), heard) == (3, [])
    (message,) = caplog.messages
    assert message.startswith("versions of model 'm' are known from its answers alone: ")


def test_an_outage_is_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    """Refused, cut off, or not there: it is asked on, and heard when it is back."""
    wrong = [page("{}", "503 Service Unavailable"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b""] * 3

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(wrong.pop() if wrong else _told(AVAILABLE))

    with answering(answer) as address, _following(address) as heard:
        _until(lambda: heard)
    assert heard[0] == ("m", {"1": "AVAILABLE"}, {})
    assert not wrong
    with answering(answer) as address:
        pass
    with _following(address) as heard:  # nobody listens there any more
        gevent.sleep(0.1)
    assert (heard, caplog.messages) == ([], [])


def test_a_server_that_says_nothing() -> None:
    """It does not hold the end up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with _following(f"127.0.0.1:{silent.getsockname()[1]}") as heard:
            _until(lambda: select.select([silent], [], [], 0)[0])
            began = time.monotonic()
        assert time.monotonic() - began < 1.5  # it is given two seconds to answer
        assert heard == []


def test_each_model_at_one_server() -> None:
    """Over gRPC where there is a choice, else at the first; none of it where it is off."""
    plans = [_plan(host, model) for host, model in (("http://a:1", "m"), ("grpc://b:2", "m"), ("grpc://c:3", "m"))]
    plans += [_plan("http://a:1", "n"), _plan("http://b:1", "n")]
    models = models_of(plans)
    assert {model: one.endpoint.authority for model, one in models.items()} == {"m": "b:2", "n": "a:1"}
    off = StatusWatch(models, every_s=0)
    off.begin(lambda *_: pytest.fail("asked"))
    off.end()


def test_many_models_are_asked_less_often() -> None:
    """Of all together twenty a second."""
    few, many = ({str(number): _plan("http://a:1", str(number)) for number in range(count)} for count in (10, 50))
    assert StatusWatch(few, every_s=0.5).every_s == 0.5
    assert StatusWatch(many, every_s=0.5).every_s == 2.5
