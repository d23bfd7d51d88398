"""One request, and how it ended: the record all measurement is made of.

Knows nothing of how requests are sent, and reads no clock.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Outcome(str, Enum):
    """How one request ended: ``OK`` or the reason it failed. The same for gRPC and REST; few, so fit for a label."""

    OK = "ok"

    # the server's refusals under load: each means another remedy
    SERVER_THREADS_EXHAUSTED = "server_threads_exhausted"  # grpc_max_threads calls were executing
    BATCH_QUEUE_FULL = "batch_queue_full"  # max_enqueued_batches were waiting
    BATCH_QUEUE_TIMEOUT = "batch_queue_timeout"  # the deadline passed in the batching queue
    BATCH_TOO_LARGE = "batch_too_large"  # more rows than max_batch_size

    # time and connection
    DEADLINE_EXCEEDED = "deadline_exceeded"
    UNREACHABLE = "unreachable"  # no connection could be made: nothing was sent
    CONNECTION_LOST = "connection_lost"  # it ended with the request in flight
    ANSWER_TOO_LARGE = "answer_too_large"  # beyond the client's own receive limit
    BAD_ANSWER = "bad_answer"  # it came, and is not what was asked for
    UNSENT = "unsent"  # it was due, and was never sent

    # status codes without a closer meaning (google.rpc.Code)
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    INVALID_ARGUMENT = "invalid_argument"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    PERMISSION_DENIED = "permission_denied"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    FAILED_PRECONDITION = "failed_precondition"
    ABORTED = "aborted"
    OUT_OF_RANGE = "out_of_range"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    DATA_LOSS = "data_loss"
    UNAUTHENTICATED = "unauthenticated"

    __hash__ = str.__hash__  # Enum's own is no other, and slow: every request looks something up by its outcome

    def __str__(self) -> str:
        return self.value


class Key(NamedTuple):
    """What samples are told apart by. Every field has few values: a key is a row of the report and a label set."""

    scenario: str
    """The user class."""
    protocol: str
    """``grpc`` or ``rest``."""
    model: str
    version: str
    """The version that answered, in digits. Where no answer tells (REST, failures) the one asked for: a number; for a
    label over gRPC the version that it stood for when it last answered, over REST ``@`` and the label, since nobody
    tells which version that is; else empty."""
    outcome: Outcome


class Sample(NamedTuple):
    """One request that was due. Times are integers of nanoseconds on one monotonic clock."""

    key: Key
    due_ns: int
    """When the schedule said it should be sent."""
    sent_ns: int
    """When it was handed to the kernel; what the engine waited for a connection or a free stream comes before."""
    end_ns: int
    """When its answer, or the news of its failure, was there."""
    rows: int
    """Rows (examples) in the request."""
    request_bytes: int
    response_bytes: int

    @property
    def response_time_ns(self) -> int:
        """Due to end: what a caller who keeps to the schedule waits."""
        return self.end_ns - self.due_ns

    @property
    def service_time_ns(self) -> int:
        """Sent to end: what the server and the wire took."""
        return self.end_ns - self.sent_ns
