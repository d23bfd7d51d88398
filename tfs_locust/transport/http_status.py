"""What an HTTP status and the words that come with it mean, as an Outcome. Knows no connection."""

from __future__ import annotations

import json

from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.errors import closer_meaning

# HTTP status -> Outcome, before the text is looked at: the server's own mapping, read backwards
# (tensorflow_serving/model_servers/http_server.cc); where several codes share a status, the commonest.
OUTCOMES: dict[int, Outcome] = {
    400: Outcome.INVALID_ARGUMENT,
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.PERMISSION_DENIED,
    404: Outcome.NOT_FOUND,
    409: Outcome.ABORTED,
    413: Outcome.INVALID_ARGUMENT,
    429: Outcome.RESOURCE_EXHAUSTED,
    499: Outcome.CANCELLED,
    500: Outcome.INTERNAL,
    501: Outcome.UNIMPLEMENTED,
    502: Outcome.UNAVAILABLE,
    503: Outcome.UNAVAILABLE,
    504: Outcome.DEADLINE_EXCEEDED,
}


def outcome_of(status: int, detail: str) -> Outcome:
    """What an HTTP status other than 200 means."""
    return closer_meaning(OUTCOMES.get(status, Outcome.UNKNOWN), detail)


def error_text(status: int, body: bytes) -> str:
    """The words of TensorFlow Serving's ``{"error": ...}``; of anything else (a proxy's page) the status."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"
