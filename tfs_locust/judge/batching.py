"""What is known of a run's batching: the server's count, the client's, and how the server is set. Plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Evidence = dict[str, "float | int | str"]
"""Numbers by name, as a report's JSON holds them."""


class ServerWindow(Protocol):
    """What the server's metrics counted in the measured window. None: they did not tell."""

    @property
    def requests(self) -> Mapping[str, int]:
        """Answered requests by status."""

    @property
    def executed_batches(self) -> int | None:
        """Executions."""

    @property
    def executed_rows(self) -> int | None:
        """Rows in them, without padding."""

    @property
    def padding_rows(self) -> int | None:
        """Rows of padding in them."""

    @property
    def queued_tasks(self) -> int | None:
        """Requests that were taken out of the batching queue, or pieces of those that are split."""

    @property
    def queueing_s_total(self) -> float | None:
        """What they waited there, all together."""

    @property
    def restarted(self) -> bool:
        """Whether a counter went backwards."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How the server batches, and what that makes possible."""

    max_batch_size: int
    """Rows of a request, at most."""
    largest_batch: int
    """Rows of an execution, at most: the same without splitting."""
    batch_timeout_s: float
    max_enqueued_batches: int
    splits: bool = False
    batch_threads: int | None = None
    calls_at_once: int | None = None
    """By the interface's threads."""
    in_flight_to_fill: int | None = None
    """Requests in flight that fill all threads and one waiting batch."""
    fitting_rows: tuple[int, ...] = ()
    """Sizes of requests that fill batches without padding or leftovers."""


@dataclass(frozen=True, slots=True)
class Client:
    """What the client saw in the same window."""

    outcomes: Mapping[str, int]
    """Calls by the values of :class:`~tfs_locust.measure.sample.Outcome`."""
    window_s: float
    users: int | None = None
    mean_service_time_s: float | None = None
    """Of the calls that ended well."""
    rows: tuple[tuple[int, float], ...] = ()
    """Rows of a request and the share of requests that have them, ascending."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    id: str
    sentence: str
    """What is wrong, by which numbers, and what to change."""
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Executed:
    """What was executed; the numbers that all judgement of batches is made of."""

    batches: int
    rows: int
    padding_rows: int
    requests: int
    queueing_s: float
    in_flight: float | None
    """Requests in flight on average. None: not known."""
    service_time_s: float | None

    @property
    def rows_per_batch(self) -> float:
        """Without padding."""
        return self.rows / self.batches

    @property
    def requests_per_batch(self) -> float:
        """How many shared one execution."""
        return self.requests / self.batches

    @property
    def rows_per_request(self) -> float:
        """By the server's count."""
        return self.rows / max(self.requests, 1)

    @property
    def padding_ratio(self) -> float:
        """Rows of padding among all rows executed."""
        return self.padding_rows / max(self.rows + self.padding_rows, 1)

    @property
    def wait_s(self) -> float:
        """Of a request in the queue."""
        return self.queueing_s / max(self.requests, 1)


def executed(window: ServerWindow | None, client: Client) -> Executed | None:
    """What the window tells of executions; None where it does not tell enough."""
    if window is None or window.restarted or not window.executed_batches:
        return None
    if window.executed_rows is None or not window.queued_tasks:
        return None
    in_flight: float | None = client.users
    if client.mean_service_time_s is not None and client.window_s > 0:  # Little's law: rate times time
        in_flight = client.outcomes.get("ok", 0) / client.window_s * client.mean_service_time_s
    return Executed(
        window.executed_batches,
        window.executed_rows,
        window.padding_rows or 0,
        window.queued_tasks,
        window.queueing_s_total or 0.0,
        in_flight,
        client.mean_service_time_s,
    )
