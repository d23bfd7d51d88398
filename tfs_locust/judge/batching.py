"""What is known of a run's batching: the server's count, the client's, and how the server is set. Plain numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

FAR = 0.1
"""Of the calls. A server's count that is farther from the client's is not that of this run alone."""
OTHERS_SHARE = 0.01
"""Of the server's predictions: fewer by other models do not change what batches are like."""

Evidence = dict[str, "float | int | str"]
"""Numbers by name, as a report's JSON holds them."""


class ServerWindow(Protocol):
    """What the server's metrics counted in the measured window. None: they did not tell."""

    @property
    def requests(self) -> Mapping[str, int]:
        """Answered requests by status."""

    @property
    def predict_calls(self) -> int | None:
        """Predicts of the run's models that were answered well."""

    @property
    def calls_of_all(self) -> int | None:
        """Predictions of any kind by any model that were answered well."""

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

    @property
    def uncertain(self) -> Collection[str]:
        """Which of these the page shows in too few digits."""


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
    calls_wait: bool = False
    """More calls wait until there is a thread for them (REST), rather than be refused (gRPC)."""
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
    service_s_total: float | None = None
    """Of all calls, however they ended. None: it is not known."""
    share_seen: float = 1.0
    """Of the calls, that came while the server's pages were looked at."""
    slack: float = 0.0
    """Calls that may be counted on one side only, such as those in flight when a warm-up ended."""


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
    queueing_s: float | None
    """None: not known well enough."""
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
    def wait_s(self) -> float | None:
        """Of a request in the queue."""
        return None if self.queueing_s is None else self.queueing_s / max(self.requests, 1)


def unknown(window: ServerWindow | None, client: Client) -> str:
    """Why the window tells nothing of the run's batches; empty where it does."""
    if window is None:
        return "the server's metrics were not read; enable them with monitoring_config_file, and give their address"
    if window.restarted:
        return "the server started anew in the measured window, and its counters with it; repeat the run"
    if not client.outcomes.get("ok", 0):
        return "no request was answered in the measured window"
    if why := _counts_differ(window, client):
        return why
    if _others_were_served(window):
        return (
            f"other models were served, too: of {window.calls_of_all:,} predictions {window.predict_calls:,} were of "
            "the run's, and batches are counted for all together; repeat the run without other load"
        )
    if window.executed_batches == 0:
        return ""
    if window.executed_batches is None or window.executed_rows is None or not window.queued_tasks:
        return "the server's metrics tell no batch sizes, as TensorFlow Serving does from 2.10 on"
    if {"executed_rows", "padding_rows"}.intersection(window.uncertain):
        return (
            "the server has run for so long that the six digits of its sums leave the rows of this window open; start "
            "it anew, or measure for longer"
        )
    return ""


def _counts_differ(window: ServerWindow, client: Client) -> str:
    """The server's count of answers is the client's, but for calls that the client gave up and the server did not."""
    ok, counted = client.outcomes.get("ok", 0), window.predict_calls
    if counted is None:
        return ""
    most = sum(client.outcomes.values()) * client.share_seen
    expected = ok * client.share_seen
    slack = FAR * max(expected, most) + client.slack
    if expected - slack <= counted <= most + slack:
        return ""
    return (
        f"the pages counted {counted:,} of our {round(expected):,} requests: another server, a pod missing, a page "
        "named twice, or other load; name the pages of all servers of this run, each once, with --tfs-server-metrics"
    )


def _others_were_served(window: ServerWindow) -> bool:
    if window.predict_calls is None or window.calls_of_all is None:
        return False
    return window.calls_of_all - window.predict_calls > OTHERS_SHARE * window.calls_of_all


def executed(window: ServerWindow | None, client: Client, batching: Batching | None = None) -> Executed | None:
    """What the window tells of executions; None where it does not tell enough, or there were none."""
    if window is None or unknown(window, client):
        return None
    if not window.executed_batches or window.executed_rows is None or not window.queued_tasks:
        return None
    return Executed(
        window.executed_batches,
        window.executed_rows,
        window.padding_rows or 0,
        window.queued_tasks,
        None if "queueing_s_total" in window.uncertain else window.queueing_s_total,
        _in_flight(client, batching),
        client.mean_service_time_s,
    )


def _in_flight(client: Client, batching: Batching | None) -> float | None:
    """Calls in the server at a time, on average."""
    in_flight: float | None = client.users
    if client.window_s > 0:  # Little's law: rate times time
        if client.service_s_total is not None:
            in_flight = client.service_s_total / client.window_s
        elif client.mean_service_time_s is not None:
            in_flight = client.outcomes.get("ok", 0) / client.window_s * client.mean_service_time_s
    if in_flight is not None and batching is not None and batching.calls_wait and batching.calls_at_once is not None:
        return min(in_flight, batching.calls_at_once)  # the others wait before they come to a batch
    return in_flight


def queueing_share(window: ServerWindow | None, batching: Batching | None, client: Client) -> float | None:
    """The share of a request's service time that passed in the batching queue: its mean wait by its mean time.

    None where requests were split (their pieces wait side by side), where the queue's tasks were not all of the run,
    and where the six digits of the server's sums do not tell.
    """
    if (done := executed(window, client, batching)) is None or window is None:
        return None
    answered = sum(window.requests.values())
    split = done.requests > answered * (1 + FAR) if batching is None else batching.splits
    if split or done.wait_s is None or not done.service_time_s:
        return None
    return done.wait_s / done.service_time_s
