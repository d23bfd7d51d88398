"""Each fault of batching is named with its numbers; a healthy run has none; without data it says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.judge.batching import Batching, Client, Finding, executed, queueing_share
from tfs_locust.judge.diagnosis import diagnose


@dataclass(frozen=True)
class _Window:
    """1000 batches of 32 rows, 8 a request, 2 ms in the queue each; nothing wrong."""

    requests: Mapping[str, int] = field(default_factory=lambda: {"OK": 4000})
    predict_calls: int | None = 4000
    calls_of_all: int | None = 4000
    executed_batches: int | None = 1000
    executed_rows: int | None = 32_000
    padding_rows: int | None = 0
    queued_tasks: int | None = 4000
    queueing_s_total: float | None = 8.0
    restarted: bool = False
    uncertain: Collection[str] = ()


_BATCHING = Batching(
    max_batch_size=32,
    largest_batch=32,
    batch_timeout_s=0.010,
    max_enqueued_batches=100,
    batch_threads=2,
    calls_at_once=31,
    in_flight_to_fill=12,
    fitting_rows=(1, 2, 4, 8, 16, 32),
)
_CLIENT = Client({"ok": 4000}, window_s=5.0, users=12, mean_service_time_s=0.015, rows=((8, 1.0),))  # 12 in flight


def _found(window: Any = _Window(), batching: Batching | None = _BATCHING, client: Client = _CLIENT) -> Finding:
    (finding,) = diagnose(window, batching, client)
    return finding


def test_a_healthy_run_has_no_findings() -> None:
    """Full batches, no padding, nothing refused; with the parameters known or not."""
    assert diagnose(_Window(), _BATCHING, _CLIENT) == []
    assert diagnose(_Window(), None, _CLIENT) == []
    whole = _Window(executed_rows=32_000, queued_tasks=1000)
    assert diagnose(whole, _BATCHING, replace(_CLIENT, rows=((32, 1.0),))) == []


def test_a_few_refusals_and_a_little_padding_are_healthy() -> None:
    """Thresholds are thresholds."""
    client = replace(_CLIENT, outcomes={"ok": 4000, "server_threads_exhausted": 4})
    assert diagnose(_Window(padding_rows=3000), _BATCHING, client) == []


def test_refused_by_threads() -> None:
    """The client's count against the server's."""
    finding = _found(client=replace(_CLIENT, outcomes={"ok": 4000, "server_threads_exhausted": 4160}, users=200))
    assert finding.id == "refused-by-threads"
    assert finding.sentence == (
        "refused by grpc_max_threads: 51 % of calls (4,160 of 8,160), none visible to the server, which counted 4,000 "
        "requests; raise it above 201 or lower the users below 31"
    )
    assert finding.evidence == {
        "refused": 4160,
        "calls": 8160,
        "share": 4160 / 8160,
        "server_requests": 4000,
        "users": 200,
        "calls_at_once": 31,
    }


def test_rows_too_large() -> None:
    """As the server refuses them."""
    client = replace(_CLIENT, outcomes={"ok": 4000, "batch_too_large": 1000}, rows=((8, 0.8), (64, 0.2)))
    finding = _found(client=client)
    assert finding.id == "rows-too-large"
    assert finding.sentence == (
        "rows above max_batch_size 32: 20 % of calls (1,000 of 5,000) refused; the largest have 64; send fewer rows, "
        "or raise max_batch_size"
    )


@pytest.mark.parametrize("batching", [_BATCHING, None])
def test_bad_requests(batching: Batching | None) -> None:
    """A single one is named, as it spoils others; where nothing is batched it spoils nobody."""
    client = replace(_CLIENT, outcomes={"ok": 3999, "failed_precondition": 1, "invalid_argument": 3})
    finding = _found(batching=batching, client=client)
    assert finding.id == "bad-requests"
    assert finding.sentence == (
        "requests failed in their batches (3 invalid_argument, 1 failed_precondition): a bad request fails the whole "
        "batch it is in, good requests with it; mend it, or send bad requests in a run or to a model of their own"
    )
    assert finding.evidence == {"invalid_argument": 3, "failed_precondition": 1, "calls": 4003}
    assert [one.id for one in diagnose(None, None, client)] == ["no-data"]


def test_queue_full() -> None:
    """Refused by the batching queue."""
    finding = _found(client=replace(_CLIENT, outcomes={"ok": 4000, "batch_queue_full": 1000}))
    assert finding.sentence == (
        "batching queue full: 20 % of calls (1,000 of 5,000) refused, with max_enqueued_batches 100; raise "
        "max_enqueued_batches or lower the load"
    )
    assert finding.id == "queue-full"


def test_no_effect_because_threads_are_idle() -> None:
    """One request a batch, as many threads as requests, no timeout."""
    window = _Window(executed_batches=4000, executed_rows=32_000, queueing_s_total=0.0)
    finding = _found(window, replace(_BATCHING, batch_timeout_s=0.0, batch_threads=16))
    assert (finding.id, finding.evidence["requests_per_batch"]) == ("no-effect", 1.0)
    assert finding.sentence == (
        "batching has no effect: 1.0 requests per batch; 12 requests in flight find one of 16 batch threads idle; "
        "lower num_batch_threads, or set a batch_timeout_micros above 0"
    )


def test_no_effect_because_nobody_else_is_there() -> None:
    """One user."""
    window = _Window(executed_batches=4000)
    finding = _found(window, client=replace(_CLIENT, users=1, mean_service_time_s=0.00125))
    assert finding.sentence == (
        "batching has no effect: 1.0 requests per batch; only 1.0 requests are in flight on average; send more at a "
        "time, or each waits for company up to 10 ms for nothing"
    )


def test_no_effect_for_no_known_reason() -> None:
    """Without the parameters, and where they explain nothing."""
    window = _Window(executed_batches=4000)
    for batching in (None, _BATCHING):
        finding = _found(window, batching)
        assert finding.id == "no-effect"
        assert "send more requests at a time, raise batch_timeout_micros, or lower num_batch" in finding.sentence


def test_batching_is_off_though_it_should_be_on() -> None:
    """Answers, but no executed batch; a fault only if someone says batching is on."""
    window = _Window(executed_batches=0, executed_rows=0, queued_tasks=0)
    assert _found(window).sentence == (
        "batching has no effect: none of 4,000 answered requests came into a batch; start the server with "
        "--enable_batching"
    )
    assert diagnose(window, None, _CLIENT) == []


def test_rows_do_not_fit() -> None:
    """17 of 32 rows: each batch is one request, and padded to 32."""
    window = _Window(executed_batches=4000, executed_rows=68_000, padding_rows=60_000)
    finding = _found(window, client=replace(_CLIENT, rows=((17, 1.0),)))
    assert finding.id == "rows-do-not-fit"
    assert finding.sentence == (
        "requests of 17 rows do not fit the batches: 17 of 32 rows where 17 are possible, padding 46.9 %; send 16 or "
        "32 rows"
    )


def test_a_mix_does_not_fit() -> None:
    """Enough in flight, no wait for company, and yet room in every batch."""
    window = _Window(executed_rows=22_000, queueing_s_total=100.0)
    finding = _found(window, client=replace(_CLIENT, rows=((5, 0.5), (20, 0.5))))
    assert finding.id == "rows-do-not-fit"
    assert finding.sentence.startswith("the rows of the requests do not fit the batches: 22 of 32 rows")


def test_padding() -> None:
    """Batches are rounded up far."""
    window = _Window(executed_rows=26_000, padding_rows=6000)
    assert _found(window).sentence == (
        "padding 18.8 % of the rows executed: batches of 26 rows run with 32 on average; add a size near 26 to "
        "allowed_batch_sizes, or fill the batches"
    )
    assert _found(window, None).id == "padding"


def test_closes_on_timeout() -> None:
    """Half full, after a wait that is a large part of the service time."""
    window = _Window(executed_rows=16_000, queueing_s_total=36.0)
    finding = _found(window, client=replace(_CLIENT, rows=((4, 1.0),), mean_service_time_s=0.014))
    assert finding.id == "closes-on-timeout"
    assert finding.sentence == (
        "batches close on the timeout of 10 ms, not by size: with 16 of 32 rows, after a wait of 9 ms of 14 ms service "
        "time; lower batch_timeout_micros or max_batch_size, or send more at a time"
    )


def test_too_few_in_flight() -> None:
    """Half full, and the wait is not for company."""
    window = _Window(executed_rows=16_000)
    client = replace(_CLIENT, mean_service_time_s=0.010)
    finding = _found(window, client=client)
    assert finding.id == "too-few-in-flight"
    assert finding.sentence == (
        "too few in flight: 8 requests, where 12 fill the batches, which have 16 of 32 rows; use 12 users, or more "
        "rows in a request"
    )
    ceiling = _found(window, replace(_BATCHING, calls_at_once=7), client)
    assert ceiling.sentence.endswith("the server executes 7 calls at once: raise its threads, or send more rows")


def test_nobody_means_to_fill_the_default_size() -> None:
    """max_batch_size unset, no timeout: whatever waits is taken, as intended."""
    unlimited = replace(_BATCHING, max_batch_size=1000, largest_batch=1000, batch_timeout_s=0.0, in_flight_to_fill=375)
    assert diagnose(_Window(), unlimited, _CLIENT) == []


@pytest.mark.parametrize(
    ("window", "client", "why"),
    [
        (None, _CLIENT, "the server's metrics were not read"),
        (_Window(restarted=True), _CLIENT, "the server started anew in the measured window"),
        (_Window(executed_batches=None), _CLIENT, "the server's metrics tell no batch sizes"),
        (_Window(executed_rows=None), _CLIENT, "the server's metrics tell no batch sizes"),
        (_Window(executed_batches=0), replace(_CLIENT, outcomes={}), "no request was answered"),
        (_Window(uncertain={"padding_rows"}), _CLIENT, "the server has run for so long that the six digits of its"),
        (_Window(uncertain={"executed_rows"}), _CLIENT, "the server has run for so long that the six digits of its"),
        (
            _Window(calls_of_all=16_528),
            _CLIENT,
            "other models were served, too: of 16,528 predictions 4,000 were of the run's, and batches are counted",
        ),
        (_Window(predict_calls=8000), _CLIENT, "the pages counted 8,000 of our 4,000 requests: another server, a pod"),
        (_Window(predict_calls=2000), _CLIENT, "the pages counted 2,000 of our 4,000 requests: another server, a pod"),
        (_Window(predict_calls=0, executed_batches=0), _CLIENT, "the pages counted 0 of our 4,000 requests: another"),
    ],
)
def test_no_data_says_so(window: Any, client: Client, why: str) -> None:
    """Silence is not health."""
    finding = _found(window, client=client)
    assert finding.id == "no-data"
    assert finding.sentence.startswith(f"nothing is known of what batching did: {why}")


def test_counts_that_may_differ() -> None:
    """Calls that the client gave up and the server answered, what a warm-up left behind, and runs seen in part."""
    late = {"deadline_exceeded": 1000}
    for window, client in (
        (_Window(predict_calls=4999, calls_of_all=4999), replace(_CLIENT, outcomes={"ok": 4000} | late)),
        (_Window(predict_calls=3300, calls_of_all=3300), replace(_CLIENT, slack=400)),
        (_Window(predict_calls=2100, calls_of_all=2100), replace(_CLIENT, share_seen=0.5)),
        (_Window(predict_calls=None, calls_of_all=None), _CLIENT),
        (_Window(calls_of_all=4030), _CLIENT),
    ):
        assert "no-data" not in {one.id for one in diagnose(window, _BATCHING, client)}


def test_the_share_of_queueing() -> None:
    """The mean wait of a request by its mean time: 2 ms of 15 ms; of what is no such share nothing is said."""
    assert queueing_share(_Window(), _BATCHING, _CLIENT) == pytest.approx(2 / 15)
    assert queueing_share(_Window(), None, _CLIENT) == pytest.approx(2 / 15)
    # the server's window is shorter than the client's: both are means
    assert queueing_share(_Window(), _BATCHING, replace(_CLIENT, outcomes={"ok": 4300})) == pytest.approx(2 / 15)
    in_pieces = _Window(queued_tasks=8 * 4000, queueing_s_total=8 * 45.0)
    assert queueing_share(in_pieces, replace(_BATCHING, splits=True), _CLIENT) is None
    assert queueing_share(in_pieces, None, _CLIENT) is None
    assert queueing_share(_Window(calls_of_all=10_000), _BATCHING, _CLIENT) is None
    assert queueing_share(_Window(uncertain={"queueing_s_total"}), _BATCHING, _CLIENT) is None
    assert queueing_share(None, _BATCHING, _CLIENT) is None


def test_a_wait_that_is_not_known_is_no_wait_for_company() -> None:
    """Where the sum of the waits is uncertain, nothing rests on it."""
    window = _Window(executed_rows=16_000, queueing_s_total=36.0, uncertain={"queueing_s_total"})
    client = replace(_CLIENT, rows=((4, 1.0),), mean_service_time_s=0.014)
    assert [one.id for one in diagnose(window, _BATCHING, client)] == ["too-few-in-flight"]


def test_calls_in_flight() -> None:
    """However they ended; over REST no more than come in, as the others wait outside."""
    late = replace(_CLIENT, outcomes={"ok": 1000, "deadline_exceeded": 3000}, service_s_total=1000.0, users=200)
    for batching, in_flight in ((_BATCHING, 200), (None, 200), (replace(_BATCHING, calls_wait=True), 31)):
        done = executed(_Window(), late, batching)
        assert done is not None
        assert done.in_flight == in_flight


def test_a_size_near_the_mean_holds_it() -> None:
    """20.8 rows do not go into 20."""
    window = _Window(executed_rows=20_800, padding_rows=11_200)
    assert "add a size near 21 to allowed_batch_sizes" in _found(window, None).sentence


def test_the_client_alone_can_tell_refusals() -> None:
    """Without the server's metrics both are said."""
    client = replace(_CLIENT, outcomes={"ok": 1, "server_threads_exhausted": 99})
    assert [one.id for one in diagnose(None, None, client)] == ["refused-by-threads", "no-data"]


_COUNT = st.none() | st.integers(0, 10**6)


@given(
    st.builds(
        _Window,
        requests=st.dictionaries(st.sampled_from(["OK", "UNAVAILABLE"]), st.integers(0, 10**6)),
        executed_batches=_COUNT,
        executed_rows=_COUNT,
        padding_rows=_COUNT,
        queued_tasks=_COUNT,
        queueing_s_total=st.none() | st.floats(0, 10**6),
        restarted=st.booleans(),
        predict_calls=_COUNT,
        calls_of_all=_COUNT,
        uncertain=st.sets(st.sampled_from(["executed_rows", "queueing_s_total"])),
    ),
    st.none() | st.builds(replace, st.just(_BATCHING), batch_timeout_s=st.sampled_from([0.0, 0.01])),
    st.builds(
        Client,
        outcomes=st.dictionaries(
            st.sampled_from(["ok", "batch_queue_full", "server_threads_exhausted", "batch_too_large"]),
            st.integers(0, 10**6),
        ),
        window_s=st.floats(0, 100),
        users=st.none() | st.integers(0, 1000),
        mean_service_time_s=st.none() | st.floats(0, 10),
        service_s_total=st.none() | st.floats(0, 1e6),
        slack=st.sampled_from([0.0, 1e9]),
        rows=st.sampled_from([(), ((1, 1.0),), ((17, 1.0),), ((64, 1.0),), ((1, 0.5), (64, 0.5))]),
    ),
)
def test_any_numbers_are_judged(window: _Window, batching: Batching | None, client: Client) -> None:
    """Whatever a page tells, the diagnosis neither fails nor says the same twice, and each finding has evidence."""
    findings = diagnose(window, batching, client)
    ids = [finding.id for finding in findings]
    assert len(ids) == len(set(ids))
    assert all(finding.evidence for finding in findings)
