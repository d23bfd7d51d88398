"""What batching did in a run: each fault in a sentence with its numbers and what to change. A healthy run has none.

The plan (``load/plan.py``) says the like of a run that has not been; this is what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tfs_locust.judge.batching import Batching, Client, Evidence, Executed, Finding, ServerWindow, executed, unknown
from tfs_locust.measure.numbers import listed, milliseconds, neighbours, number, percent

REFUSED_SHARE = 0.001
"""Of the calls. Below it an ordinary objective for errors (``error_rate<0.1%``) does not mind."""
NO_EFFECT_REQUESTS = 1.2
"""Requests in a batch. With fewer, four of five executions are of one request: what merging saves is lost in noise."""
FILLED_RATIO = 0.8
"""Of the rows a batch can hold. Arrivals are never quite even, so some batches close early; fuller is full enough."""
WASTED_RATIO = 0.10
"""Of the rows executed, or of the room in a batch. Runs differ by a tenth for many reasons; more is worth a change."""
WAITED_OUT = (0.5, 1.5)
"""Of the timeout. Requests that come evenly to a batch that never fills wait half of it on average; who waits much
longer than all of it waits for a thread."""
IDLE_POLL_S = 0.001
"""How often an idle batch thread looks whether a timeout has ended; nothing wakes it (shared_batch_scheduler.h)."""
WAIT_SHARE = 0.2
"""Of the service time. A wait for company that takes less of it is a fair price."""
UNLIMITED_ROWS = 1000
"""``max_batch_size`` where it is not set. Who leaves it there, without a timeout, does not mean to fill it."""
_OF_BAD_REQUESTS = ("invalid_argument", "failed_precondition", "internal")
"""What merging or executing a batch fails with: other inner shapes, another dtype, an operation's error."""
ALONE = 1.5
"""Requests in flight; with fewer nobody is there to share a batch with."""


def diagnose(window: ServerWindow | None, batching: Batching | None, client: Client) -> list[Finding]:
    """All faults, the most certain first. ``batching`` None: how the server batches is not known."""
    findings = list(_refusals(window, batching, client))
    done = executed(window, client, batching)
    if done is not None or batching is not None:
        findings += _bad_requests(client)
    if done is None:
        findings += _nothing_known(window, batching, client)
    else:
        findings += _filling(done, batching, client)
    return findings


def _refusals(window: ServerWindow | None, batching: Batching | None, client: Client) -> Iterator[Finding]:
    calls = sum(client.outcomes.values())
    for outcome, find in (
        ("server_threads_exhausted", _refused_by_threads),
        ("batch_too_large", _rows_too_large),
        ("batch_queue_full", _queue_full),
    ):
        refused = client.outcomes.get(outcome, 0)
        if refused > REFUSED_SHARE * calls:
            evidence: Evidence = {"refused": refused, "calls": calls, "share": refused / calls}
            share = f"{percent(refused / calls)} of calls ({refused:,} of {calls:,})"
            yield find(share, evidence, window, batching, client)


def _refused_by_threads(
    share: str, evidence: Evidence, window: ServerWindow | None, batching: Batching | None, client: Client
) -> Finding:
    unseen = "none visible to the server"
    if window is not None:
        evidence["server_requests"] = sum(window.requests.values())
        unseen += f", which counted {evidence['server_requests']:,} requests"
    threads, users = "raise it", "lower the load"
    if client.users is not None:
        evidence["users"] = client.users
        threads = f"raise it above {client.users + 1:,}"
    if batching is not None and batching.calls_at_once is not None:
        evidence["calls_at_once"] = batching.calls_at_once
        users = f"lower the users below {batching.calls_at_once:,}"
    return Finding(
        "refused-by-threads", f"refused by grpc_max_threads: {share}, {unseen}; {threads} or {users}", evidence
    )


def _rows_too_large(
    share: str, evidence: Evidence, _: ServerWindow | None, batching: Batching | None, client: Client
) -> Finding:
    limit = sizes = ""
    if batching is not None:
        evidence["max_batch_size"] = batching.max_batch_size
        limit = f" {batching.max_batch_size:,}"
    if client.rows:
        evidence["largest_rows"] = client.rows[-1][0]
        sizes = f"; the largest have {client.rows[-1][0]:,}"
    sentence = f"rows above max_batch_size{limit}: {share} refused{sizes}; send fewer rows, or raise max_batch_size"
    return Finding("rows-too-large", sentence, evidence)


def _queue_full(
    share: str, evidence: Evidence, _: ServerWindow | None, batching: Batching | None, __: Client
) -> Finding:
    limit = ""
    if batching is not None:
        evidence["max_enqueued_batches"] = batching.max_enqueued_batches
        limit = f", with max_enqueued_batches {batching.max_enqueued_batches:,}"
    return Finding(
        "queue-full",
        f"batching queue full: {share} refused{limit}; raise max_enqueued_batches or lower the load",
        evidence,
    )


def _bad_requests(client: Client) -> Iterator[Finding]:
    """The status of a batch is that of all its requests (batching_session.cc)."""
    bad = {outcome: client.outcomes[outcome] for outcome in _OF_BAD_REQUESTS if client.outcomes.get(outcome)}
    if bad:
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in bad.items())
        yield Finding(
            "bad-requests",
            f"requests failed in their batches ({counts}): a bad request fails the whole batch it is in, good requests "
            "with it; mend it, or send bad requests in a run or to a model of their own",
            {**bad, "calls": sum(client.outcomes.values())},
        )


def _nothing_known(window: ServerWindow | None, batching: Batching | None, client: Client) -> Iterator[Finding]:
    ok = client.outcomes.get("ok", 0)
    if why := unknown(window, client):
        evidence: Evidence = {"ok": ok}
        if window is not None and window.predict_calls is not None:
            evidence["server_predictions"] = window.predict_calls
        yield Finding("no-data", f"nothing is known of what batching did: {why}", evidence)
    elif batching is not None:  # else it is off, and nobody said it was on
        yield Finding(
            "no-effect",
            f"batching has no effect: none of {ok:,} answered requests came into a batch; start the server with "
            "--enable_batching",
            {"ok": ok, "executed_batches": 0},
        )


def _filling(done: Executed, batching: Batching | None, client: Client) -> Iterator[Finding]:
    """How full batches were, and why not fuller; one reason, the nearest."""
    misfit = False
    if batching is None:
        if done.requests_per_batch < NO_EFFECT_REQUESTS:
            yield _no_effect(done, None)
    else:
        room = _room(batching, client)
        if done.rows_per_batch >= FILLED_RATIO * room:
            wasted = max(1 - room / batching.largest_batch, done.padding_ratio)
            misfit = wasted > WASTED_RATIO and not _fits(batching, client)
            if misfit:
                yield _rows_do_not_fit(done, batching, client, room)
        elif done.requests_per_batch < NO_EFFECT_REQUESTS and 2 * done.rows_per_request <= batching.largest_batch:
            yield _no_effect(done, batching)
        else:
            yield from _unfilled(done, batching, client)
    if done.padding_ratio > WASTED_RATIO and not misfit:
        yield _padding(done)


def _room(batching: Batching, client: Client) -> int:
    """The rows a batch holds: of requests of one size only whole ones, as they are never re-packed."""
    if len(client.rows) != 1 or batching.splits or client.rows[0][0] > batching.largest_batch:
        return batching.largest_batch
    size = client.rows[0][0]
    return batching.largest_batch // size * size


def _fits(batching: Batching, client: Client) -> bool:
    return all(size in batching.fitting_rows for size, _ in client.rows)


def _no_effect(done: Executed, batching: Batching | None) -> Finding:
    evidence: Evidence = {"requests_per_batch": done.requests_per_batch, "executed_batches": done.batches}
    timeout_s = 0.0
    if batching is not None:
        timeout_s = evidence["batch_timeout_s"] = batching.batch_timeout_s
    if done.in_flight is not None:
        evidence["in_flight"] = done.in_flight
    threads = None if batching is None else batching.batch_threads
    if done.in_flight is not None and done.in_flight < ALONE:
        why = f"only {done.in_flight:.1f} requests are in flight on average; send more at a time"
        if timeout_s:
            why += f", or each waits for company up to {milliseconds(timeout_s)} for nothing"
    elif threads is not None and not timeout_s and done.in_flight is not None and threads >= done.in_flight / 2:
        evidence["batch_threads"] = threads
        why = (
            f"{number(done.in_flight)} requests in flight find one of {threads} batch threads idle; lower "
            "num_batch_threads, or set a batch_timeout_micros above 0"
        )
    else:
        why = "send more requests at a time, raise batch_timeout_micros, or lower num_batch_threads"
    sentence = f"batching has no effect: {done.requests_per_batch:.1f} requests per batch; {why}"
    return Finding("no-effect", sentence, evidence)


def _rows_do_not_fit(done: Executed, batching: Batching, client: Client, room: int) -> Finding:
    size = client.rows[0][0] if len(client.rows) == 1 else None
    evidence: Evidence = {
        "mean_rows_per_batch": done.rows_per_batch,
        "largest_batch": batching.largest_batch,
        "padding_ratio": done.padding_ratio,
    }
    which = "the rows of the requests"
    if size is not None:
        evidence["rows"] = size
        which = f"requests of {size:,} rows"
    return Finding(
        "rows-do-not-fit",
        f"{which} do not fit the batches: {number(done.rows_per_batch)} of {batching.largest_batch:,} rows where "
        f"{room:,} are possible, padding {percent(done.padding_ratio)}; {_send(batching, size)}",
        evidence,
    )


def _send(batching: Batching, size: int | None) -> str:
    fitting = batching.fitting_rows
    near = (neighbours(fitting, size) if size is not None else []) or fitting
    return f"send {listed(near)} rows" if near else "make the largest batch one of the allowed_batch_sizes"


def _unfilled(done: Executed, batching: Batching, client: Client) -> Iterator[Finding]:
    """Batches had room, and requests shared them: they waited too long for company, or there was too little of it."""
    fill = done.rows_per_batch / batching.largest_batch
    evidence: Evidence = {"mean_rows_per_batch": done.rows_per_batch, "fill_ratio": fill}
    full = f"{number(done.rows_per_batch)} of {batching.largest_batch:,} rows"
    timeout_s, in_flight, needed = batching.batch_timeout_s, done.in_flight, batching.in_flight_to_fill
    enough = in_flight is not None and needed is not None and in_flight >= needed
    least, most = WAITED_OUT
    wait_s = done.wait_s
    if (
        wait_s is not None
        and not enough
        and timeout_s > 0
        and timeout_s * least <= wait_s <= timeout_s * most + IDLE_POLL_S
        and wait_s >= WAIT_SHARE * (done.service_time_s or 0.0)
    ):
        evidence |= {"mean_wait_s": wait_s, "batch_timeout_s": timeout_s}
        share = ""
        if done.service_time_s:
            evidence["service_time_s"] = done.service_time_s
            share = f" of {milliseconds(done.service_time_s)} service time"
        yield Finding(
            "closes-on-timeout",
            f"batches close on the timeout of {milliseconds(timeout_s)}, not by size: with {full}, after a wait of "
            f"{milliseconds(wait_s)}{share}; lower batch_timeout_micros or max_batch_size, or send more at a time",
            evidence,
        )
    elif enough and len(client.rows) > 1:
        yield _rows_do_not_fit(done, batching, client, batching.largest_batch)
    elif in_flight is not None and needed is not None and not enough:
        if batching.max_batch_size >= UNLIMITED_ROWS and not timeout_s:
            return
        evidence |= {"in_flight": in_flight, "in_flight_to_fill": needed}
        more = f"use {needed:,} users, or more rows in a request"
        if batching.calls_at_once is not None and batching.calls_at_once < needed:
            evidence["calls_at_once"] = batching.calls_at_once
            more = f"the server executes {batching.calls_at_once:,} calls at once: raise its threads, or send more rows"
        yield Finding(
            "too-few-in-flight",
            f"too few in flight: {number(in_flight)} requests, where {needed:,} fill the batches, which have {full}; "
            f"{more}",
            evidence,
        )


def _padding(done: Executed) -> Finding:
    mean, run_with = done.rows_per_batch, (done.rows + done.padding_rows) / done.batches
    return Finding(
        "padding",
        f"padding {percent(done.padding_ratio)} of the rows executed: batches of {number(mean)} rows run with "
        f"{number(run_with)} on average; add a size near {math.ceil(mean):,} to allowed_batch_sizes, or "
        "fill the batches",
        {"padding_ratio": done.padding_ratio, "padding_rows": done.padding_rows, "mean_rows_per_batch": mean},
    )
