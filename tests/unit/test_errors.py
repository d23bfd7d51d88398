"""The server's words tell apart what its codes do not, and lose what would make each failure unique."""

from __future__ import annotations

import pytest

from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.errors import closer_meaning, grouped_text


@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        (Outcome.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted", Outcome.SERVER_THREADS_EXHAUSTED),
        (Outcome.RESOURCE_EXHAUSTED, "", Outcome.SERVER_THREADS_EXHAUSTED),
        (
            Outcome.RESOURCE_EXHAUSTED,
            "Run() timeout exceeded while waiting in batching queue",
            Outcome.BATCH_QUEUE_TIMEOUT,
        ),
        (
            Outcome.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (5000000 vs. 4194304)",
            Outcome.ANSWER_TOO_LARGE,
        ),
        (Outcome.RESOURCE_EXHAUSTED, "quota of the gateway", Outcome.RESOURCE_EXHAUSTED),
        (
            Outcome.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full; currently 1 batches enqueued",
            Outcome.BATCH_QUEUE_FULL,
        ),
        (Outcome.UNAVAILABLE, "Model labels does not init yet.x", Outcome.UNAVAILABLE),
        (
            Outcome.INVALID_ARGUMENT,
            "Task size 33 is larger than maximum input batch size 32",
            Outcome.BATCH_TOO_LARGE,
        ),
        (Outcome.INTERNAL, "Server Threadpool Exhausted", Outcome.INTERNAL),
    ],
)
def test_codes_with_several_meanings_are_told_apart(code: Outcome, text: str, meaning: Outcome) -> None:
    """Each recorded text gives its meaning, and only under its own code."""
    assert closer_meaning(code, text) is meaning


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("last error: UNKNOWN: ipv4:10.0.0.7:8500: refused", "last error: UNKNOWN: <address>: refused"),
        ("ipv6:%5B::1%5D:8500: refused", "<address>: refused"),
        ("[fe80::12ab]:90 and 10.1.2.3", "<address> and <address>"),
        ("serving.prod.svc:8500 closed", "<address> closed"),
        ("port 54321", "port <number>"),
        ("request 550e8400-e29b-41d4-a716-446655440000 trace 7f3a9c0d1e2f44aa", "request <id> trace <id>"),
        ("object at 0x7f00deadbeef", "object at <id>"),
        (
            "JSON Value: [1, 2, 3] Is not object",
            "JSON Value: ... Is not object",
        ),
        (
            "In[0]: [1,9], In[1]: [10,64]\n\t [[{{node a/b/Relu}}]]",
            "In[0]: [1,9], In[1]: [10,64] [[{{node a/b/Relu}}]]",
        ),
        ("input(feed name: serving_default_input:0)", "input(feed name: serving_default_input:0)"),
        ("Task size 33 is larger than maximum", "Task size 33 is larger than maximum"),
        ("x" * 300, "x" * 197 + "..."),
    ],
)
def test_texts_lose_what_is_unique_and_keep_what_tells(text: str, grouped: str) -> None:
    """Addresses, ports, ids and echoed values go; the sentence, names and small numbers stay."""
    assert grouped_text(text) == grouped
