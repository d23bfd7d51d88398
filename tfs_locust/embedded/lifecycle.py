"""The life of each version of each model: found on disk, loaded, served, unloaded, and what state it is in.

One thread follows the folders and decides; each load and each unload has a thread of its own. A new version is loaded
before the old one goes (availability preserving), and the old one goes when its last call has ended.
Source: tensorflow_serving/core/aspired_versions_manager.cc, availability_preserving_policy.cc, loader_harness.cc and
servable_state_monitor.cc. Does not know what a servable is made of: ``load`` is passed in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.versions import aspired_versions, versions_on_disk
from tfs_locust.tfserving import protos

_log = logging.getLogger(__name__)

Load = Callable[[str, int, str], Servable]
"""``load(name, version, path)``; raises ServingError."""


class State(IntEnum):
    """ModelVersionStatus.State, which GetModelStatus answers with."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class VersionState:
    """What is known of one version; END with an error: it could not be loaded, END without: it was unloaded."""

    state: State
    error: ServingError | None


class _Step(Enum):
    NEW = auto()
    LOADING = auto()
    READY = auto()
    UNLOADING = auto()
    GONE = auto()


@dataclass(slots=True, eq=False)
class _Version:
    """One managed version. ``aspired``: the policy still asks for it."""

    name: str
    number: int
    path: str
    aspired: bool = True
    step: _Step = _Step.NEW
    servable: Servable | None = None
    calls: int = 0
    unwanted: threading.Event = field(default_factory=threading.Event)
    """Set when it stopped being aspired: a load that fails is not tried again."""


class Lifecycle:
    """The versions of one server's models. Thread-safe."""

    def __init__(
        self, load: Load, *, poll_wait_s: float = 1, max_load_retries: int = 5, load_retry_interval_s: float = 60
    ) -> None:
        """``poll_wait_s`` 0: the folders are looked at once for each ``watch``; negative: never."""
        self._load = load
        self._poll_wait_s = poll_wait_s
        self._max_load_retries = max_load_retries
        self._load_retry_interval_s = load_retry_interval_s
        self._changed = threading.Condition()  # guards all below
        self._models: Sequence[protos.model_server_config_pb2.ModelConfig] = ()
        self._poll_at = float("inf")
        self._poll_error = ""
        self._aspired: dict[str, Mapping[int, str]] = {}  # found, not yet acted upon
        self._versions: dict[str, list[_Version]] = {}
        self._serving: dict[str, dict[int, _Version]] = {}
        self._states: dict[str, dict[int, VersionState]] = {}
        self._work = False
        self._stopped = False
        self._thread = threading.Thread(target=self._manage, name="lifecycle", daemon=True)
        self._thread.start()

    def watch(self, models: Iterable[protos.model_server_config_pb2.ModelConfig]) -> None:
        """Follow these models and no others from now on."""
        with self._changed:
            old, self._models = self._models, tuple(models)
            names = {model.name for model in self._models}
            for model in old:
                if model.name not in names:
                    self._aspired[model.name] = {}
            self._apply_aspired()  # now: a model that is soon followed again has gone all the same
            self._poll_at = float("inf") if self._poll_wait_s < 0 else 0
            self._wake()

    def stop(self) -> None:
        """Stop following the folders; what is served stays served."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            for versions in self._versions.values():
                for version in versions:
                    version.unwanted.set()
        self._thread.join()

    def states(self, name: str) -> dict[int, VersionState]:
        """The state of every version of the model ever seen, newest version first."""
        with self._changed:
            return dict(sorted(self._states.get(name, {}).items(), reverse=True))

    def wait_until_available(self, names: Iterable[str]) -> dict[tuple[str, int], VersionState]:
        """Wait until a version that is asked for of each model has become available or could not be loaded.

        Returns that version's state for each model; those that are not AVAILABLE failed.
        """
        wanted = sorted(names)
        settled: dict[tuple[str, int], VersionState] = {}

        def all_settled() -> bool:
            for name in wanted:
                ended = [v for v in self._versions.get(name, ()) if v.aspired and v.step in (_Step.READY, _Step.GONE)]
                if not ended:
                    settled.clear()
                    return self._stopped
                number = max(version.number for version in ended)
                settled[name, number] = self._states[name][number]
            return True

        with self._changed:
            self._changed.wait_for(all_settled)
        return settled

    def wait_until_settled(self, timeout_s: float) -> bool:
        """Wait until no version is about to be loaded any more; False where that takes longer than ``timeout_s``."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    not any(
                        state.state in (State.START, State.LOADING)
                        for states in self._states.values()
                        for state in states.values()
                    )
                ),
                timeout_s,
            )

    @contextmanager
    def servable(self, name: str, number: int | None) -> Iterator[Servable]:
        """The version ``number`` of the model, or its highest one; it is not unloaded before the block ends.

        Raises ServingError NOT_FOUND.
        """
        with self._changed:
            serving = self._serving.get(name, {})
            version = serving.get(max(serving, default=0) if number is None else number)
            if version is None:
                request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")
            version.calls += 1
        try:
            assert version.servable is not None
            yield version.servable
        finally:
            with self._changed:
                version.calls -= 1
                if version.step is _Step.UNLOADING:
                    self._changed.notify_all()

    def _wake(self) -> None:
        self._work = True
        self._changed.notify_all()

    def _publish(self, version: _Version, state: State, error: ServingError | None = None) -> None:
        self._states.setdefault(version.name, {})[version.number] = VersionState(state, error)
        self._wake()

    def _manage(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopped or self._work,
                    None if self._poll_at == float("inf") else max(self._poll_at - time.monotonic(), 0),
                )
                if self._stopped:
                    return
                self._work = False
                models = self._models if time.monotonic() >= self._poll_at else None
            if models is not None:
                self._poll(models)
            with self._changed:
                self._apply_aspired()
                for versions in self._versions.values():
                    while (action := _next_action(versions)) is not None:
                        self._perform(action)

    def _poll(self, models: Sequence[protos.model_server_config_pb2.ModelConfig]) -> None:
        """Look for versions. One folder that cannot be read spoils the round for all models, as in the real server."""
        error = ""
        try:
            found = {model.name: aspired_versions(model, versions_on_disk(model.base_path)) for model in models}
        except OSError as problem:
            found, error = {}, f"a model's folder cannot be read: {problem}"
        with self._changed:
            if models is not self._models:
                return  # replaced meanwhile; the next round sees the new ones
            if error and error != self._poll_error:
                _log.error(error)
            self._poll_error = error
            self._aspired.update(found)
            self._poll_at = time.monotonic() + self._poll_wait_s if self._poll_wait_s > 0 else float("inf")

    def _apply_aspired(self) -> None:
        """Compare what is asked for with what there is."""
        for name, wanted in list(self._aspired.items()):
            versions = [v for v in self._versions.get(name, ()) if v.aspired or v.step not in (_Step.NEW, _Step.GONE)]
            self._versions[name] = versions
            if any(not version.aspired and version.number in wanted for version in versions):
                continue  # wanted again while it is still going: it must be gone first
            del self._aspired[name]
            for version in versions:
                if version.number not in wanted:
                    version.aspired = False
                    version.unwanted.set()
            present = {version.number for version in versions}
            for number in sorted(wanted.keys() - present):
                version = _Version(name, number, wanted[number])
                versions.append(version)
                self._publish(version, State.START)

    def _perform(self, version: _Version) -> None:
        if version.step is _Step.NEW:
            version.step = _Step.LOADING
            self._publish(version, State.LOADING)
            work = self._load_version
        else:
            version.step = _Step.UNLOADING
            self._publish(version, State.UNLOADING)
            del self._serving[version.name][version.number]
            work = self._unload_version
        threading.Thread(target=work, args=(version,), name=f"{work.__name__}-{version.path}", daemon=True).start()

    def _load_version(self, version: _Version) -> None:
        servable, error = self._try_to_load(version)
        with self._changed:
            if servable is not None and not version.unwanted.is_set():
                version.servable = servable
                version.step = _Step.READY
                self._serving.setdefault(version.name, {})[version.number] = version
                self._publish(version, State.AVAILABLE)
                return
        if servable is not None:
            servable.close()
            error = ServingError(Code.CANCELLED, "Loading of servable cancelled")
        with self._changed:
            version.step = _Step.GONE
            self._publish(version, State.END, error)

    def _try_to_load(self, version: _Version) -> tuple[Servable | None, ServingError | None]:
        attempt = 0
        while True:
            try:
                return self._load(version.name, version.number, version.path), None
            except ServingError as error:
                _log.error("%s cannot be loaded: %s: %s", version.path, error.code.name, error.message)
                attempt += 1
                if attempt > self._max_load_retries or version.unwanted.wait(max(self._load_retry_interval_s, 0)):
                    return None, error
            except Exception as error:
                _log.exception("%s cannot be loaded", version.path)
                return None, ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")

    def _unload_version(self, version: _Version) -> None:
        with self._changed:
            self._changed.wait_for(lambda: version.calls == 0)
        assert version.servable is not None
        version.servable.close()
        with self._changed:
            version.servable = None
            version.step = _Step.GONE
            self._publish(version, State.END)


def _next_action(versions: Iterable[_Version]) -> _Version | None:
    """The version to load (NEW) or to unload (READY) now, if any: the availability-preserving policy."""
    aspired = [version for version in versions if version.aspired]
    leaving = [version for version in versions if not version.aspired and version.step is _Step.READY]
    replaced = not aspired or any(version.step is _Step.READY for version in aspired)
    if leaving and (replaced or len(leaving) > 1):
        return min(leaving, key=lambda version: version.number)
    new = [version for version in aspired if version.step is _Step.NEW]
    return max(new, key=lambda version: version.number, default=None)
