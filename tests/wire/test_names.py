"""A name that stands for several addresses: what answers is found, and the load is spread over all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.conftest import Connect
from tests.wire.counting import counted, running_counting
from tests.wire.engines import Engine, call, names, wait_until
from tests.wire.peers import running_peer
from tests.wire.playing import AT_ONCE, enough, playing
from tests.wire.resolving import knowing
from tfs_locust.measure.sample import Outcome

_NAME = "models.example"
_FIRST, _SECOND = "127.0.0.2", "127.0.0.3"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one_of_two_families(host: str, engine: Engine, engine_name: str, connect: Connect) -> None:
    """One of a name's addresses refuses; no call knows it."""
    # grpcio resolves names in C, where a test cannot get at it; for it localhost always has both
    name = "localhost" if engine_name == "grpc_library" else _NAME
    with running_peer(engine.protocol, host) as peer, knowing({_NAME: ["::1", "127.0.0.1"]}):
        transport = connect(peer.port, name)
        assert [call(engine, transport).outcome for _ in range(20)] == [Outcome.OK] * 20
        transport.close()


# the REST library keeps to the first address that answers
@pytest.mark.parametrize("engine_name", [*names("grpc", "wire"), *names("rest", "wire")])
def test_two_addresses(engine: Engine, engine_name: str, tmp_path: Path) -> None:
    """Both get load; when one is killed the other goes on and only what was in flight is lost; when it is back it gets
    load again, over HTTP as far as there are new connections. The engine's own count of answers by address is theirs.
    """
    notes = {_FIRST: tmp_path / "first", _SECOND: tmp_path / "second"}
    for file in notes.values():
        file.touch()

    def wait_for_more(address: str) -> None:
        goal = sum(counted(notes[address]).values()) + 200
        wait_until(lambda: sum(counted(notes[address]).values()) >= goal)

    addresses = {_NAME: [_FIRST, _SECOND]}
    request = (engine.path, b"")
    with (
        running_counting(engine.protocol, notes[_FIRST], host=_FIRST, delay_s=0.01) as first,
        running_counting(engine.protocol, notes[_SECOND], first.port, host=_SECOND, delay_s=0.01) as second,
        playing("steady", engine_name, first.port, [request], host=_NAME, names=addresses) as process,
    ):
        for address in notes:
            wait_for_more(address)
        second.kill()
        wait_for_more(_FIRST)
        with running_counting(engine.protocol, notes[_SECOND], first.port, host=_SECOND, delay_s=0.01):
            wait_for_more(_FIRST)
            if engine.protocol == "grpc":
                wait_for_more(_SECOND)
            told = enough(process)
    ended = told["ended"]
    assert set(ended.values()) == {"ok", "connection_lost"}, told["details"]
    lost = {name for name, how in ended.items() if how == "connection_lost"}
    assert len(lost) <= AT_ONCE
    assert told["peers"] == {
        f"{address}:{first.port}": len(set(counted(file)) - lost) for address, file in notes.items()
    }
