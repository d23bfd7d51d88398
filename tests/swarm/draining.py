"""A third locustfile: a run that ends when every worker has reported that its last request is through.

Locust's own end of a distributed run waits half a second for the workers' last reports, whether they have come or not.
"""

from __future__ import annotations

from typing import Any

from locust import LoadTestShape, events

_LOAD_S = 2.0
_users: dict[str, int] = {}


@events.worker_report.add_listener
def _note(client_id: str, data: dict[str, Any], **_: Any) -> None:
    _users[client_id] = data["user_count"]


class Draining(LoadTestShape):
    """Ten users for two seconds, then none."""

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        if self.get_run_time() < _LOAD_S:
            _users.clear()
            return 10, 10
        if len(_users) < len(self.runner.clients) or any(_users.values()):
            return 0, 10
        return None
