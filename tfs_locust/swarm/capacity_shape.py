"""The load shape that searches for capacity: it sends what the search asks for, and shows it what came of that."""

from __future__ import annotations

from typing import Any

from gevent import get_hub
from locust import LoadTestShape
from locust.env import Environment

from tfs_locust.judge.capacity import CapacityRun, SearchSettings
from tfs_locust.judge.level import Unit
from tfs_locust.measure.view import View
from tfs_locust.swarm.blueprint import objectives_of
from tfs_locust.swarm.measurement import measurement_of, predict_users
from tfs_locust.swarm.settings import Settings

_NOTHING = View({}, {}, (), 0, 0)


class CapacityShape(LoadTestShape):
    """Goes from level to level until there is the answer."""

    abstract = True  # only the option makes one
    use_common_options = True

    def __init__(self, environment: Environment, settings: Settings, search: SearchSettings) -> None:
        """Raises ObjectiveError where the objectives cannot be read."""
        super().__init__()  # type: ignore[no-untyped-call]  # Locust's
        self.runner = environment.runner
        self.rate: float | None = None
        """Of the whole run, as it was set last; None where users are what changes."""
        self._environment, self._settings, self._search = environment, settings, search
        self._run: CapacityRun | None = None
        self._users = 0
        self._spawn_rate = 1

    @property
    def run(self) -> CapacityRun:
        """The search under way, or the last."""
        if self._run is None:
            self._run = CapacityRun(
                self._search,
                objectives_of(predict_users(self._environment), self._settings),
                confidence=self._settings.confidence,
                limits=self._settings.limits,
            )
        return self._run

    def end(self) -> CapacityRun:
        """The search with its answer; where it is not over, with what was found so far."""
        self.run.interrupt()
        return self.run

    def reset_time(self) -> None:
        """Begin again."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self._run, self._users, self.rate = None, 0, None

    def tick(self) -> tuple[int, float] | None:
        """The users that there should be now, for Locust; None ends the run."""
        present = self.runner.user_count if self.runner is not None else 0
        now_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        reached = self.rate is not None or present == self._users
        # to judge takes some 20 ms, in which requests are due: a thread lets them through
        load = get_hub().threadpool.apply(self.run.observe, (now_s, self._view()), {"reached": reached})
        if load is None:
            return None
        options: Any = self._environment.parsed_options
        if self._search.unit is Unit.USERS:
            if int(load) != self._users:  # Locust would send as many users out again for another spawn rate
                self._users, self._spawn_rate = int(load), max(abs(int(load) - present), 1)
            return self._users, self._spawn_rate
        self.rate = load
        conductor = measurement_of(self._environment).conductor
        if conductor is not None:
            conductor.set_rate(load)
        return options.num_users or 1, options.spawn_rate or options.num_users or 1

    def _view(self) -> View:
        measurement = measurement_of(self._environment)
        judgement = measurement.judgement
        if judgement is None or judgement.result is not None:  # that of the run before
            return _NOTHING
        return measurement.view() or _NOTHING
