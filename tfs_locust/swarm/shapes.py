"""Load shapes by option: a profile of users, or of the run's rate, followed by Locust's shape worker once a second."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import STATE_INIT, STATE_STOPPED, WorkerRunner

from tfs_locust.judge.capacity import CapacityError
from tfs_locust.load.profile import Course, Profile
from tfs_locust.swarm.arrivals import arrival_of, search_settings
from tfs_locust.swarm.capacity_shape import CapacityShape
from tfs_locust.swarm.measurement import measurement_of, predict_users
from tfs_locust.swarm.settings import Settings, read_settings


class ProfileShape(LoadTestShape):
    """Follows a profile, and ends the run when it is over, or before at ``--run-time``."""

    abstract = True  # only the option makes one
    use_common_options = True

    def __init__(self, environment: Environment, profile: Profile) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Locust's
        self.runner = environment.runner
        self.profile = profile
        self.rate: float | None = None
        """Of the whole run, as it was set last; None where users are what changes."""
        self._environment = environment
        self._course: Course = profile.start()
        self._users = 0
        self._told: tuple[int, float] | None = None

    def reset_time(self) -> None:
        """Begin again. Locust may come to this after the first tick."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self._course, self._users = self.profile.start(), 0

    def tick(self) -> tuple[int, float] | None:
        """What there should be now, for Locust; None ends the run."""
        options = self._environment.parsed_options
        now_s: float = self.get_run_time()  # type: ignore[no-untyped-call]  # Locust's
        present = self.runner.user_count if self.runner is not None else 0
        target = self._course.tick(now_s, present == self._users)
        limit_s = getattr(options, "run_time", None)
        if target is None or (limit_s and now_s >= limit_s):
            return None
        if self.profile.unit == "users":
            self._users = int(target.level)
            # Locust would send as many users out again for another spawn rate
            if self._told is None or self._told[0] != self._users:
                self._told = self._users, target.spawn_rate or max(abs(self._users - present), 1)
            return self._told
        self._set_rate(target.level)
        self._users = getattr(options, "num_users", None) or 1
        return self._users, getattr(options, "spawn_rate", None) or self._users

    def _set_rate(self, rate: float) -> None:
        self.rate = rate
        conductor = measurement_of(self._environment).conductor
        if conductor is not None:
            conductor.set_rate(rate)


def _choose(environment: Environment, options: Any) -> None:
    """Take the shape that the options say; without one, that of the locustfile stays."""
    settings = read_settings(options)[0]
    if settings.find_capacity:
        environment.shape_class = _search(environment, settings, options)
    elif settings.profile is not None:
        environment.shape_class = ProfileShape(environment, settings.profile)
    elif isinstance(environment.shape_class, ProfileShape | CapacityShape):
        environment.shape_class = None


def _search(environment: Environment, settings: Settings, options: Any) -> CapacityShape | None:
    """None where its settings are wrong, which is told by the check before load."""
    arrivals = [arrival_of(one, settings, []) for one in predict_users(environment)]
    try:
        search = search_settings(settings, arrivals, getattr(options, "run_time", None))
    except CapacityError:
        return None
    return CapacityShape(environment, settings, search)


def _on_init(environment: Environment, runner: Any, web_ui: Any, **_: Any) -> None:
    if isinstance(runner, WorkerRunner) or not predict_users(environment) or environment.parsed_options is None:
        return
    _choose(environment, environment.parsed_options)
    if web_ui is not None:
        web_ui.app.before_request(lambda: _choose_by_form(environment))


def _choose_by_form(environment: Environment) -> None:
    """Locust looks for a shape right after it has read the form, before any event."""
    from flask import request

    runner = environment.runner
    starts = request.path.endswith("/swarm") and request.method == "POST"
    if starts and runner is not None and runner.state in {STATE_INIT, STATE_STOPPED}:
        options = dict(vars(environment.parsed_options or Namespace()))
        for name, value in request.form.items():
            if name.startswith("tfs_") and name in options:
                options[name] = value == "true" if isinstance(options[name], bool) else value
        _choose(environment, Namespace(**options))


events.init.add_listener(_on_init)
