"""What TensorFlow Serving's error texts mean, where its status codes alone do not tell.

RESOURCE_EXHAUSTED has three meanings (threads, time in the batching queue, the client's own receive limit), UNAVAILABLE
two (batching queue full, no connection), and INVALID_ARGUMENT hides requests larger than a batch. Texts are those of
tensorflow_serving/batching/batching_session.cc, shared_batch_scheduler.h, and gRPC's thread manager.
"""

from __future__ import annotations

import re

from tfs_locust.measure.sample import Outcome

_MEANINGS: tuple[tuple[Outcome, str, Outcome], ...] = (
    # code's outcome, a part of the text, its closer meaning
    (Outcome.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted", Outcome.SERVER_THREADS_EXHAUSTED),
    (Outcome.RESOURCE_EXHAUSTED, "timeout exceeded while waiting in batching queue", Outcome.BATCH_QUEUE_TIMEOUT),
    (Outcome.RESOURCE_EXHAUSTED, "message larger than max", Outcome.ANSWER_TOO_LARGE),
    (
        Outcome.UNAVAILABLE,
        "The batch scheduling queue to which this task was submitted is full",
        Outcome.BATCH_QUEUE_FULL,
    ),
    (Outcome.INVALID_ARGUMENT, "is larger than maximum input batch size", Outcome.BATCH_TOO_LARGE),
)


def closer_meaning(outcome: Outcome, text: str) -> Outcome:
    """``outcome`` as the code alone gives it, or what the server's ``text`` shows it to be."""
    if outcome is Outcome.RESOURCE_EXHAUSTED and not text:
        # gRPC before 1.5x sent the refusal of its thread quota without words (tensorflow/serving#1795)
        return Outcome.SERVER_THREADS_EXHAUSTED
    for code, part, meaning in _MEANINGS:
        if outcome is code and part in text:
            return meaning
    return outcome


_ECHOED_JSON = re.compile(r"JSON (Value|object): .*? (?=Type:|Is not|Expecting|keys must|Formatting|when)", re.DOTALL)
_HEX = "[0-9a-f]"
_UNIQUE = (
    (re.compile(rf"\b{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}\b", re.IGNORECASE), "<id>"),
    (re.compile(rf"\b0x{_HEX}+\b|\b(?=[a-f]*\d){_HEX}{{12,}}\b", re.IGNORECASE), "<id>"),
    # [::1]:8500, ipv6:%5B::1%5D:8500, 10.0.0.1:8500, ipv4:10.0.0.1:8500, serving.example:8500
    (re.compile(rf"(?:ipv6:)?(?:\[|%5B){_HEX}*:{_HEX[:-1]}:]*:{_HEX}*(?:\]|%5D)(?::\d+)?", re.IGNORECASE), "<address>"),
    (re.compile(r"(?:ipv4:)?\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d+)?"), "<address>"),
    (re.compile(r"\b(?:[a-z0-9-]+\.)*[a-z0-9-]*[a-z][a-z0-9-]*:\d{2,5}\b", re.IGNORECASE), "<address>"),
    (re.compile(r"\b\d{5,}\b"), "<number>"),
)
_LONGEST = 200


def grouped_text(text: str) -> str:
    """``text`` without what would make it unique (addresses, ports, ids, echoed values), short, on one line.

    Failures are counted by their text: a thousand refusals must be one row, not a thousand.
    """
    text = _ECHOED_JSON.sub(r"JSON \1: ... ", text)
    for pattern, placeholder in _UNIQUE:
        text = pattern.sub(placeholder, text)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
