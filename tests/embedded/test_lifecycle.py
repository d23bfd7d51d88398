"""Versions come, serve and go; with real folders, without TensorFlow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tfs_locust.embedded.lifecycle import Lifecycle, State
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos


class _Loader:
    """Loads what is not said to fail, and remembers the order of loads and closes."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.errors: dict[tuple[str, int], ServingError] = {}
        self.gates: dict[tuple[str, int], threading.Event] = {}

    def __call__(self, name: str, version: int, path: str) -> Servable:
        assert Path(path).name == str(version)
        gate = self.gates.get((name, version))
        assert gate is None or gate.wait(30)
        self.events.append(f"load {name} {version}")
        error = self.errors.get((name, version))
        if error is not None:
            raise error
        return Servable(name, version, {}, lambda *_: [], lambda: self.events.append(f"close {name} {version}"))


@pytest.fixture
def loader() -> _Loader:
    """A loader of empty servables."""
    return _Loader()


@pytest.fixture
def follow(loader: _Loader) -> Iterator[Callable[..., Lifecycle]]:
    """A lifecycle that looks at the disk a hundred times a second."""
    started: list[Lifecycle] = []

    def start(*models: Any, **settings: Any) -> Lifecycle:
        settings = {"poll_wait_s": 0.01, "load_retry_interval_s": 0.01, **settings}
        started.append(Lifecycle(loader, **settings))
        started[-1].watch(models)
        return started[-1]

    yield start
    for lifecycle in started:
        lifecycle.stop()


def _model(base: Path, name: str = "m", *versions: int, policy: str = "") -> Any:
    config = protos.model_server_config_pb2.ModelConfig(name=name, base_path=str(base / name))
    for version in versions:
        (base / name / str(version)).mkdir(parents=True)
    if policy:
        getattr(config.model_version_policy, policy).SetInParent()
    return config


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _states(lifecycle: Lifecycle, name: str = "m") -> dict[int, State]:
    return {version: state.state for version, state in lifecycle.states(name).items()}


def _served(lifecycle: Lifecycle, version: int | None = None, name: str = "m") -> int:
    with lifecycle.servable(name, version) as servable:
        return servable.version


def test_latest_version_is_served(tmp_path: Path, follow: Callable[..., Lifecycle]) -> None:
    """Of two versions the policy's default serves the higher, under its number and without one."""
    lifecycle = follow(_model(tmp_path, "m", 1, 2))
    lifecycle.wait_until_available(["m"])
    assert _states(lifecycle) == {2: State.AVAILABLE}
    assert _served(lifecycle) == _served(lifecycle, 2) == 2


@pytest.mark.parametrize(
    ("name", "version", "request_text"),
    [("m", 7, "Specific(m, 7)"), ("x", 1, "Specific(x, 1)"), ("x", None, "Latest(x)")],
)
def test_what_is_not_served_is_not_found(
    name: str, version: int | None, request_text: str, tmp_path: Path, follow: Callable[..., Lifecycle]
) -> None:
    """An unknown model and an unknown version are NOT_FOUND."""
    lifecycle = follow(_model(tmp_path, "m", 1))
    lifecycle.wait_until_available(["m"])
    with pytest.raises(ServingError) as error:
        _served(lifecycle, version, name)
    assert error.value.code is Code.NOT_FOUND
    assert error.value.message == f"Servable not found for request: {request_text}"


def test_new_version_replaces_the_old_without_a_gap(
    tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]
) -> None:
    """The new version is loaded before the old is closed, and the old stays known as END."""
    lifecycle = follow(_model(tmp_path, "m", 1))
    lifecycle.wait_until_available(["m"])
    loader.gates["m", 2] = threading.Event()
    (tmp_path / "m" / "2").mkdir()
    _wait_until(lambda: _states(lifecycle).get(2) is State.LOADING)
    assert _served(lifecycle) == 1
    loader.gates["m", 2].set()
    _wait_until(lambda: _states(lifecycle) == {2: State.AVAILABLE, 1: State.END})
    assert _served(lifecycle) == 2
    assert loader.events == ["load m 1", "load m 2", "close m 1"]
    assert lifecycle.states("m")[1].error is None


def test_unload_waits_for_the_calls_in_flight(
    tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]
) -> None:
    """A version in use is not closed; it takes no new calls meanwhile."""
    lifecycle = follow(_model(tmp_path, "m", 1))
    lifecycle.wait_until_available(["m"])
    with lifecycle.servable("m", None):
        (tmp_path / "m" / "2").mkdir()
        _wait_until(lambda: _states(lifecycle)[1] is State.UNLOADING)
        assert "close m 1" not in loader.events
        with pytest.raises(ServingError, match=r"Specific\(m, 1\)"):
            _served(lifecycle, 1)
    _wait_until(lambda: _states(lifecycle)[1] is State.END)
    assert loader.events[-1] == "close m 1"


def test_all_versions_are_listed_newest_first(tmp_path: Path, follow: Callable[..., Lifecycle]) -> None:
    """With the policy `all` every version serves."""
    lifecycle = follow(_model(tmp_path, "m", 1, 10, 2, policy="all"))
    lifecycle.wait_until_available(["m"])
    assert lifecycle.wait_until_settled(30)
    assert list(_states(lifecycle)) == [10, 2, 1]
    assert set(_states(lifecycle).values()) == {State.AVAILABLE}


def test_rolling_back_by_removing_the_newest(tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]) -> None:
    """The older version is loaded again before the newer goes."""
    lifecycle = follow(_model(tmp_path, "m", 1, 2))
    lifecycle.wait_until_available(["m"])
    (tmp_path / "m" / "2").rmdir()
    _wait_until(lambda: _states(lifecycle) == {2: State.END, 1: State.AVAILABLE})
    assert loader.events == ["load m 2", "load m 1", "close m 2"]
    assert _served(lifecycle) == 1


def test_last_version_removed_leaves_nothing(tmp_path: Path, follow: Callable[..., Lifecycle]) -> None:
    """An empty base path un-aspires everything."""
    lifecycle = follow(_model(tmp_path, "m", 1))
    lifecycle.wait_until_available(["m"])
    (tmp_path / "m" / "1").rmdir()
    _wait_until(lambda: _states(lifecycle) == {1: State.END})
    with pytest.raises(ServingError, match=r"Latest\(m\)"):
        _served(lifecycle)


def test_missing_base_path_changes_nothing(tmp_path: Path, follow: Callable[..., Lifecycle]) -> None:
    """A base path that vanished spoils the round for all models: what serves goes on serving, nothing new is found."""
    lifecycle = follow(_model(tmp_path, "m", 1), _model(tmp_path, "other", 1))
    lifecycle.wait_until_available(["m", "other"])
    (tmp_path / "other").rename(tmp_path / "away")
    _wait_until(lambda: lifecycle._poll_error != "")
    (tmp_path / "m" / "2").mkdir()
    assert _served(lifecycle) == 1
    (tmp_path / "away").rename(tmp_path / "other")
    _wait_until(lambda: _states(lifecycle).get(2) is State.AVAILABLE)


def test_failed_load_is_tried_again_and_ends_with_its_error(
    tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]
) -> None:
    """One try and as many retries as asked for, then END with the error; the old version serves on."""
    lifecycle = follow(_model(tmp_path, "m", 1), max_load_retries=2)
    lifecycle.wait_until_available(["m"])
    loader.errors["m", 2] = ServingError(Code.DATA_LOSS, "broken")
    (tmp_path / "m" / "2").mkdir()
    _wait_until(lambda: _states(lifecycle).get(2) is State.END)
    error = lifecycle.states("m")[2].error
    assert error is not None
    assert (error.code, error.message) == (Code.DATA_LOSS, "broken")
    assert loader.events.count("load m 2") == 3
    assert _served(lifecycle) == 1


def test_version_that_is_no_longer_wanted_is_not_retried(
    tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]
) -> None:
    """Taking the broken folder away ends the retries, however long they would have taken."""
    loader.errors["m", 1] = ServingError(Code.DATA_LOSS, "broken")
    lifecycle = follow(_model(tmp_path, "m", 1), load_retry_interval_s=3600)
    _wait_until(lambda: "load m 1" in loader.events)
    assert _states(lifecycle) == {1: State.LOADING}
    (tmp_path / "m" / "1").rmdir()
    _wait_until(lambda: _states(lifecycle) == {1: State.END})


def test_load_that_ends_unwanted_is_cancelled(
    tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]
) -> None:
    """A version withdrawn while it loads never serves."""
    loader.gates["m", 1] = threading.Event()
    model = _model(tmp_path, "m", 1)
    lifecycle = follow(model)
    _wait_until(lambda: _states(lifecycle) == {1: State.LOADING})
    lifecycle.watch([])
    _wait_until(lambda: lifecycle._versions["m"][0].unwanted.is_set())
    loader.gates["m", 1].set()
    _wait_until(lambda: _states(lifecycle) == {1: State.END})
    error = lifecycle.states("m")[1].error
    assert error is not None
    assert (error.code, error.message) == (Code.CANCELLED, "Loading of servable cancelled")
    assert loader.events == ["load m 1", "close m 1"]


def test_model_left_out_and_taken_back(tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]) -> None:
    """A model no longer watched ends; watched again, the same version is loaded anew."""
    model = _model(tmp_path, "m", 1)
    lifecycle = follow(model)
    lifecycle.wait_until_available(["m"])
    lifecycle.watch([])
    _wait_until(lambda: _states(lifecycle) == {1: State.END})
    lifecycle.watch([model])
    assert lifecycle.wait_until_available(["m"])["m", 1].state is State.AVAILABLE
    assert loader.events == ["load m 1", "close m 1", "load m 1"]


def test_model_taken_back_at_once(tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]) -> None:
    """However soon it is watched again: what was served goes, and the wait ends with what comes after it."""
    model = _model(tmp_path, "m", 1)
    lifecycle = follow(model)
    for _ in range(50):
        assert lifecycle.wait_until_available(["m"])["m", 1].state is State.AVAILABLE
        lifecycle.watch([])
        lifecycle.watch([model])
    assert lifecycle.wait_until_available(["m"])["m", 1].state is State.AVAILABLE
    assert loader.events == ["load m 1", "close m 1"] * 50 + ["load m 1"]


def test_waiting_ends_with_a_failed_version(tmp_path: Path, loader: _Loader, follow: Callable[..., Lifecycle]) -> None:
    """Who waits for a model hears of its failure."""
    loader.errors["m", 1] = ServingError(Code.NOT_FOUND, "gone")
    lifecycle = follow(_model(tmp_path, "m", 1), max_load_retries=0)
    settled = lifecycle.wait_until_available(["m"])
    assert settled["m", 1].state is State.END


def test_polling_once(tmp_path: Path, follow: Callable[..., Lifecycle]) -> None:
    """With a poll wait of 0 the folders are looked at once for each configuration."""
    model = _model(tmp_path, "m", 1)
    lifecycle = follow(model, poll_wait_s=0)
    lifecycle.wait_until_available(["m"])
    (tmp_path / "m" / "2").mkdir()
    assert lifecycle._poll_at == float("inf")
    lifecycle.watch([model])
    _wait_until(lambda: _states(lifecycle).get(2) is State.AVAILABLE)


def test_unexpected_error_ends_the_version(tmp_path: Path, follow: Callable[..., Lifecycle], loader: _Loader) -> None:
    """A bug in a loader is that version's end, not the thread's."""
    loader.errors["m", 1] = KeyError("bug")  # type: ignore[assignment]
    lifecycle = follow(_model(tmp_path, "m", 1))
    lifecycle.wait_until_available(["m"])
    error = lifecycle.states("m")[1].error
    assert error is not None
    assert (error.code, error.message) == (Code.INTERNAL, "KeyError: 'bug'")


def test_unknown_model_has_no_states(follow: Callable[..., Lifecycle]) -> None:
    """A name nobody ever served has no versions."""
    assert follow().states("nope") == {}
