"""No request is lost and none is counted twice, however a server ends its connections under load.

The servers note each request by its name, and the names that the engine says were answered must be theirs.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.wire.counting import clients, counted, running_counting
from tests.wire.engines import ENGINES, Engine, names, wait_until
from tests.wire.nginx import gateway, running_nginx
from tests.wire.playing import AT_ONCE, enough, playing

over_grpc = pytest.mark.parametrize("engine_name", names("grpc"))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where the servers of a test note what they were asked."""
    file = tmp_path / "notes"
    file.touch()
    return file


def _load(engine_name: str, port: int, padding: bytes = b"") -> Any:
    """A steady load of unique requests."""
    return playing("steady", engine_name, port, [(ENGINES[engine_name].path, padding)])


def _wait_for_more(notes: Path, number: int) -> None:
    """``number`` requests more have come."""
    goal = len(notes.read_text().splitlines()) + number
    wait_until(lambda: len(notes.read_text().splitlines()) >= goal)


def _assert_sent_again(engine_name: str, told: dict[str, Any], notes: Path) -> None:
    """What a server did not take is sent again, as often as it takes; grpcio does so once and then gives it up."""
    if engine_name == "grpc_library":
        assert set(told["ended"].values()) <= {"ok", "connection_lost"}, told["details"]
        assert counted(notes) == Counter(name for name, ended in told["ended"].items() if ended == "ok")
    else:
        _assert_each_once(told, notes)


def _assert_each_once(told: dict[str, Any], notes: Path) -> None:
    """Each request was answered, and came once."""
    assert (set(told["ended"].values()), told["details"]) == ({"ok"}, {})
    assert counted(notes) == Counter(told["ended"].keys())


@over_grpc
@pytest.mark.parametrize(
    ("grace", "delay_s"),
    [({}, 0.0), ({"grpc.max_connection_age_grace_ms": 1000}, 0.05)],
    ids=["endless grace", "1 s of grace"],
)
def test_connection_age(delay_s: float, grace: dict[str, int], engine_name: str, notes: Path) -> None:
    """grpcio's server lets no connection grow older than 1 s: GOAWAY in two steps, again and again."""
    options = {"grpc.max_connection_age_ms": 1000, **grace}
    with (
        running_counting("grpc", notes, delay_s=delay_s, options=options) as server,
        _load(engine_name, server.port) as playing,
    ):
        wait_until(lambda: len(clients(notes)) >= 3)
        told = enough(playing)
    _assert_each_once(told, notes)


@over_grpc
def test_graceful_end(engine_name: str, notes: Path) -> None:
    """A server that is asked to end answers what it has; what comes then it cancels, later it is unreachable."""
    with running_counting("grpc", notes, delay_s=0.05) as server, _load(engine_name, server.port) as playing:
        _wait_for_more(notes, 100)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
        with running_counting("grpc", notes, server.port):
            _wait_for_more(notes, 100)
            told = enough(playing)
    assert set(told["ended"].values()) <= {"ok", "cancelled", "unreachable"}, told["details"]
    assert counted(notes) == Counter(name for name, ended in told["ended"].items() if ended == "ok")


def test_killed_and_back(engine: Engine, engine_name: str, notes: Path) -> None:
    """A server that is killed with calls in flight: those are lost, none is answered that did not come, none comes
    twice, what was unreachable never came; and when it is back on its port all goes on.
    """
    with running_counting(engine.protocol, notes, delay_s=0.02) as server, _load(engine_name, server.port) as playing:
        _wait_for_more(notes, 200)
        server.kill()
        with running_counting(engine.protocol, notes, server.port):
            _wait_for_more(notes, 200)
            told = enough(playing)
    ended, came = told["ended"], counted(notes)
    assert set(ended.values()) <= {"ok", "unreachable", "connection_lost"}, told["details"]
    assert set(came.values()) == {1}
    answered, lost = ({name for name, how in ended.items() if how == wanted} for wanted in ("ok", "connection_lost"))
    assert 0 < len(lost) <= AT_ONCE
    assert answered - set(came) == set()
    assert {name: ended[name] for name in set(came) - answered - lost} == {}
    assert all(ended[name] == "ok" for name in list(ended)[-AT_ONCE:])


@pytest.mark.parametrize("limit", ["keepalive_requests 20;", "keepalive_time 200ms;"])
def test_nginx_ends_connections(limit: str, engine: Engine, engine_name: str, notes: Path, tmp_path: Path) -> None:
    """nginx ends connections by number of requests and by age: GOAWAY in one step, ``Connection: close``."""
    with (
        running_counting(engine.protocol, notes) as server,
        running_nginx(tmp_path, gateway(engine.protocol, server.port, limit)) as nginx,
        _load(engine_name, nginx.port) as playing,
    ):
        _wait_for_more(notes, 300)
        wait_until(lambda: len({line.split()[1] for line in nginx.log()}) >= 4)
        told = enough(playing)
    _assert_sent_again(engine_name, told, notes)


def test_nginx_reload(engine: Engine, engine_name: str, notes: Path, tmp_path: Path) -> None:
    """New worker processes take over three times, as when a gateway is configured anew; over gRPC no call knows it.

    HTTP/1.1 has no GOAWAY: a request that is on its way as nginx ends an idle connection is lost, and has not come.
    """
    with (
        running_counting(engine.protocol, notes, delay_s=0.01) as server,
        running_nginx(tmp_path, gateway(engine.protocol, server.port)) as nginx,
        _load(engine_name, nginx.port) as playing,
    ):
        for _ in range(3):
            _wait_for_more(notes, 200)
            nginx.reload()
        _wait_for_more(notes, 300)
        told = enough(playing)
    if engine.protocol == "grpc":
        _assert_each_once(told, notes)
    else:
        assert set(told["ended"].values()) <= {"ok", "connection_lost"}, told["details"]
        assert counted(notes) == Counter(name for name, ended in told["ended"].items() if ended == "ok")


@over_grpc
@pytest.mark.parametrize("most", [1, 3])
def test_max_concurrent_streams_of_grpcio(most: int, engine_name: str, notes: Path) -> None:
    """Calls wait for their turn where a server takes one at a time, on one connection."""
    with (
        running_counting("grpc", notes, options={"grpc.max_concurrent_streams": most}) as server,
        _load(engine_name, server.port) as playing,
    ):
        _wait_for_more(notes, 300)
        told = enough(playing)
    _assert_sent_again(engine_name, told, notes)
    assert len(clients(notes)) == 1


@over_grpc
def test_max_concurrent_streams_of_nginx(engine_name: str, notes: Path, tmp_path: Path) -> None:
    """So they do for nginx."""
    with (
        running_counting("grpc", notes) as server,
        running_nginx(tmp_path, gateway("grpc", server.port, "http2_max_concurrent_streams 1;")) as nginx,
        _load(engine_name, nginx.port) as playing,
    ):
        _wait_for_more(notes, 300)
        told = enough(playing)
    _assert_sent_again(engine_name, told, notes)


@over_grpc
def test_ten_thousand_calls_on_one_connection(engine_name: str, notes: Path) -> None:
    """Stream ids up to 20,001 and more, all of one connection."""
    with running_counting("grpc", notes) as server, _load(engine_name, server.port) as playing:
        _wait_for_more(notes, 10_001)
        told = enough(playing)
    _assert_each_once(told, notes)
    assert len(clients(notes)) == 1
