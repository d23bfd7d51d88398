"""A plan in sentences, each with its numbers: what the server will do, and what to change where that is not wanted."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tfs_locust.load.plan import Plan
from tfs_locust.load.simulation import Simulated
from tfs_locust.load.tiling import largest_taken, tiling
from tfs_locust.measure.numbers import listed, milliseconds, neighbours, number, percent
from tfs_locust.tfserving.batching import BatchingParameters

MUCH_PADDING = 0.10
"""Of the rows executed. Rounding to powers of two pads less than this where batches are mostly full."""
FILLED = 0.8
"""Of the rows a batch can hold: fuller is full enough."""
MUCH_REFUSED = 0.001
"""Of the requests: the share the usual objective for errors allows."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing to know before a run."""

    id: str
    sentence: str
    warning: bool = False
    """Whether something should be changed."""


def lines(told: tuple[Statement, ...], width: int = 100) -> list[str]:
    """``told`` for a terminal of ``width`` columns: what each is about, its sentence, ``!`` before what to change."""
    margin = max((len(one.id) for one in told), default=0)
    wrapped = []
    for one in told:
        head = f"{'!' if one.warning else ' '} {one.id:<{margin}}  "
        wrapped += textwrap.wrap(
            one.sentence, max(width, len(head) + 20), initial_indent=head, subsequent_indent=" " * len(head)
        )
    return wrapped


def statements(plan: Plan) -> tuple[Statement, ...]:
    """What there is to say of ``plan``: the facts, then the warnings."""
    facts, warnings = list(_interface(plan)), list(_interface_warnings(plan))
    parameters, threads = plan.setup.parameters, plan.setup.batch_threads
    if parameters is None or threads is None:
        facts.append(Statement("batching-off", "Batching is off: every request is executed as it is, by itself."))
    else:
        facts += _batching(plan, parameters, threads)
        warnings += _parameter_warnings(plan, parameters)
        warnings += _rows_warnings(plan, parameters)
        warnings += _filling_warnings(plan, parameters, threads)
    return (*facts, *(Statement(id_, text, warning=True) for id_, text in warnings))


def _interface(plan: Plan) -> Iterator[Statement]:
    flag, threads = _threads_flag(plan), plan.setup.threads(plan.protocol)
    if plan.protocol == "grpc":
        after = "gRPC refuses the next, and no metric of the server counts it."
    else:
        after = "more of them wait without a limit, metrics and health checks among them; none is refused."
    yield Statement(
        "calls-at-once", f"{_calls(plan.calls_at_once)} executed at once, one less than {flag} {threads}; {after}"
    )


def _interface_warnings(plan: Plan) -> Iterator[tuple[str, str]]:
    users, rate, calls = plan.demand.users, plan.demand.rate_per_s, plan.calls_at_once
    if plan.protocol == "rest" and plan.setup.threads("rest") < 2:
        yield "rest-frozen", "With --rest_api_num_threads=1 the REST interface answers nothing: set 2 at least."
    if users is not None and users > calls:
        more = f"{users:,} users are {users - calls:,} more than the {_counted(calls, 'call')} at once"
        if plan.protocol == "grpc":
            yield (
                "refused-by-threads",
                f"{more}: their calls are refused with RESOURCE_EXHAUSTED. Set {_setting(plan, users)}, or use fewer "
                f"than {calls:,} users.",
            )
        else:
            yield (
                "waiting-for-threads",
                f"{more}: the others wait outside the batching queue. Set {_setting(plan, users)} to have them all in "
                "work.",
            )
    if rate is not None and plan.expected is not None and plan.expected.kept_out_share > MUCH_REFUSED:
        share = percent(plan.expected.kept_out_share)
        found = f"{share} of the requests at {number(rate)}/s find all {calls:,} calls at once taken"
        remedy = f"Raise {_threads_flag(plan)}, or send more rows at a lower rate."
        if plan.protocol == "grpc":
            yield "refused-by-threads", f"{found}, and are refused with RESOURCE_EXHAUSTED. {remedy}"
        else:
            yield "waiting-for-threads", f"{found}, and wait outside the batching queue. {remedy}"


def _batching(plan: Plan, parameters: BatchingParameters, threads: int) -> Iterator[Statement]:
    largest = parameters.largest_batch
    wait = (
        f"waits up to {milliseconds(parameters.batch_timeout_micros / 1e6)} for company"
        if parameters.batch_timeout_micros
        else "waits for nothing but a free thread"
    )
    sizes = f" and runs with {listed(parameters.allowed_batch_sizes)} rows" if parameters.allowed_batch_sizes else ""
    yield Statement(
        "batches",
        f"{_counted(threads, 'thread')} for batches of up to {largest:,} rows; an open batch {wait}{sizes}.",
    )
    most_rows = plan.calls_at_once * min(plan.rows.largest, parameters.max_batch_size)
    unreachable = (
        f"; {_counted(plan.calls_at_once, 'call')} at once bring {most_rows:,} rows at most, so it is never full"
        if plan.queue_rows is not None and most_rows <= plan.queue_rows
        else "; a request beyond is refused with UNAVAILABLE"
    )
    yield Statement(
        "queue",
        f"The queue of a signature holds {_counted(parameters.most_enqueued_batches, 'batch', 'batches')}, that is "
        f"{plan.queue_rows:,} rows or {plan.queue_requests:,} requests of {_rows(plan.mean_rows)}{unreachable}.",
    )
    if plan.fitting_rows:
        yield Statement(
            "fitting-rows",
            f"Requests of {listed(plan.fitting_rows)} rows fill batches of {largest:,} without padding or leftovers.",
        )
    yield Statement(
        "in-flight-to-fill",
        f"{plan.in_flight_to_fill:,} requests in flight fill {_counted(threads, 'thread')} and one waiting batch: "
        f"({threads} + 1) x {_a_batch(plan, largest)}.",
    )
    if plan.expected is not None:
        yield Statement("expected", _expected(plan, plan.expected, largest))


def _a_batch(plan: Plan, largest: int) -> str:
    whole = largest // plan.mean_rows
    if plan.in_flight_to_fill == (plan.setup.batch_threads or 0) * whole + whole and largest % plan.mean_rows:
        return f"{_counted(int(whole), 'request')} of {_rows(plan.mean_rows)}, whole, in {largest:,}"
    return f"{largest:,} rows / {_rows(plan.mean_rows)} a request"


def _expected(plan: Plan, expected: Simulated, largest: int) -> str:
    together = number(expected.calls_per_batch)
    return (
        f"To be expected with {_counted(plan.in_flight, 'request')} in flight and "
        f"{milliseconds(plan.cost.seconds(largest))} for a full batch: {_rows(expected.mean_rows_per_batch)} in a "
        f"batch ({percent(expected.mean_rows_per_batch / largest)} of {largest:,}), from {together} "
        f"request{'s' * (together != '1')}; padding {percent(expected.padding_ratio)} of the rows executed; "
        f"{milliseconds(expected.mean_queueing_s)} in the queue."
    )


def _parameter_warnings(plan: Plan, parameters: BatchingParameters) -> Iterator[tuple[str, str]]:
    sizes, largest = parameters.allowed_batch_sizes, parameters.largest_batch
    if any(after <= before for before, after in pairwise(sizes)):
        yield (
            "sizes-not-ascending",
            f"allowed_batch_sizes {listed(sizes)} are not ascending, which the server does not check: the first that "
            "is large enough is taken. Sort them.",
        )
    if unused := tuple(size for size in sizes if size < 1):
        yield "sizes-unused", f"allowed_batch_sizes {listed(unused, 'and')} are never used: no batch is so small."
    if not plan.fitting_rows:
        yield (
            "largest-batch-padded",
            f"Every full batch of {largest:,} rows is executed with {parameters.executed_size(largest):,}: add "
            f"{largest} to allowed_batch_sizes, or set max_execution_batch_size to one of them.",
        )


def _rows_warnings(plan: Plan, parameters: BatchingParameters) -> Iterator[tuple[str, str]]:
    if plan.too_large:
        share = float(sum(share for rows, share in plan.rows.mix if rows in plan.too_large))
        yield (
            "rows-too-large",
            f"Requests of {listed(plan.too_large)} rows ({percent(share)} of all) are above max_batch_size "
            f"{parameters.max_batch_size:,} and will be refused with INVALID_ARGUMENT. Send fewer rows, or raise "
            "max_batch_size.",
        )
    taken = largest_taken(parameters)
    too_many = tuple(rows for rows, _ in plan.rows.mix if taken < rows <= parameters.max_batch_size)
    if too_many:
        yield (
            "rows-above-queue",
            f"Requests of {listed(too_many)} rows find no room even in an empty queue of {plan.queue_rows:,} rows and "
            "are refused with UNAVAILABLE. Send fewer rows, or set max_enqueued_batches to "
            f"{math.ceil(too_many[-1] / parameters.largest_batch):,} at least.",
        )
    if plan.expected is None and len(too_many) + len(plan.too_large) < len(plan.rows.mix):
        yield (
            "nothing-expected",
            "Nothing can be said of the batches: hardly a request is executed, or in too many pieces to simulate.",
        )
    for rows, _ in plan.rows.mix:
        if len(plan.rows.mix) > 1 or rows in plan.too_large or not plan.fitting_rows:
            continue  # among others a request finds its place; alone it has to fit by itself
        tiled = tiling(parameters, rows)
        if tiled.fits:
            continue
        remedy = f"Send {listed(neighbours(plan.fitting_rows, rows))} rows."
        if tiled.needless_pieces:
            cut = f"Requests of {rows:,} rows are executed in {number(float(tiled.pieces))} pieces each"
            yield "rows-do-not-fit", f"{cut}: they do not fit batches of {tiled.largest_batch:,} rows. {remedy}"
        else:
            yield (
                "rows-do-not-fit",
                f"Requests of {rows:,} rows do not fit batches of {tiled.largest_batch:,}: a full one holds "
                f"{tiled.rows_per_batch:,} rows and is executed with {tiled.executed_rows:,} "
                f"({percent(tiled.padding_ratio)} padding). {remedy}",
            )
    if plan.expected is not None and plan.expected.padding_ratio > MUCH_PADDING:
        yield (
            "padding",
            f"{percent(plan.expected.padding_ratio)} of the rows executed will be padding: batches of "
            f"{number(plan.expected.mean_rows_per_batch)} rows run with "
            f"{number(plan.expected.executed_rows / plan.expected.batches)}. Fill the batches, or allow more sizes.",
        )


def _filling_warnings(plan: Plan, parameters: BatchingParameters, threads: int) -> Iterator[tuple[str, str]]:
    needed, calls, in_flight = plan.in_flight_to_fill or 0, plan.calls_at_once, plan.in_flight
    largest, mean = parameters.largest_batch, plan.mean_rows
    fills = plan.demand.rate_per_s is not None and (plan.fill_ratio or 0.0) >= FILLED
    what = "number of users" if plan.demand.rate_per_s is None else "rate"
    if needed > calls and not fills:
        more = _or_more_rows(plan, math.ceil((threads + 1) * largest / calls))
        yield (
            "ceiling",
            f"No {what} fills the batches: that takes {needed:,} requests in flight, and {_calls(calls)} executed at "
            f"once. Set {_setting(plan, needed)}{more}.",
        )
    elif in_flight < needed and not fills:
        more = _or_more_rows(plan, math.ceil((threads + 1) * largest / in_flight))
        use = f"Use {needed:,} users" if plan.demand.rate_per_s is None else "Send more by the second"
        yield (
            "too-few-in-flight",
            f"{_counted(in_flight, 'request')} in flight do not fill the batches, {needed:,} would. {use}{more}.",
        )
    if parameters.batch_timeout_micros:
        yield from _waiting(plan, parameters, threads)
    if not parameters.batch_timeout_micros and threads >= in_flight > 1:
        yield (
            "idle-threads",
            f"Each of {in_flight:,} requests finds one of {threads} batch threads idle and is executed by itself. Set "
            f"num_batch_threads below {max(in_flight // 2, 2):,}, or a batch_timeout_micros above 0.",
        )
    if plan.expected is not None:
        expected = plan.expected
        if expected.refused_share > MUCH_REFUSED:
            come = f"{number(in_flight * mean)} come"
            if plan.demand.rate_per_s is not None:
                come = f"{percent(expected.refused_share)} of the requests find no room"
            yield (
                "queue-full",
                f"The queue will be full and refuse requests with UNAVAILABLE: it holds {plan.queue_rows:,} rows "
                f"behind the {threads * largest:,} that are executed, and {come}. Raise max_enqueued_batches, or "
                f"{'use fewer users' if plan.demand.rate_per_s is None else 'send less'}.",
            )


def _waiting(plan: Plan, parameters: BatchingParameters, threads: int) -> Iterator[tuple[str, str]]:
    """Batches that wait out their timeout: with users whose requests all together fill none; at a rate with which not
    enough come in this time."""
    largest, mean, rate = parameters.largest_batch, plan.mean_rows, plan.demand.rate_per_s
    timeout_s = parameters.batch_timeout_micros / 1e6
    most = plan.calls_at_once if rate is not None else plan.in_flight
    smaller = max(math.floor(plan.in_flight * mean / (threads + 1)), _largest_rows(plan, parameters), 1)
    remedy = "Lower batch_timeout_micros"
    if smaller < largest:
        remedy += f", or max_batch_size to {smaller:,}"
    if most * mean < largest:
        yield (
            "waits-for-timeout",
            f"No batch can fill: {_counted(most, 'request')} of {_rows(mean)} make {number(most * mean)} of "
            f"{largest:,} rows, so every batch waits the whole {milliseconds(timeout_s)}. {remedy}.",
        )
    elif rate is not None and rate * timeout_s * mean < largest and (plan.fill_ratio or 0.0) < FILLED:
        yield (
            "waits-for-timeout",
            f"Hardly a batch will fill: at {number(rate)}/s {number(rate * timeout_s * mean)} of {largest:,} rows come "
            f"within {milliseconds(timeout_s)}. {remedy}.",
        )


def _largest_rows(plan: Plan, parameters: BatchingParameters) -> int:
    """Of the requests that are not too large: a smaller batch would refuse them."""
    return max((rows for rows, _ in plan.rows.mix if rows <= parameters.max_batch_size), default=1)


def _or_more_rows(plan: Plan, least: int) -> str:
    size = next((size for size in plan.fitting_rows if size >= least), None)
    return "" if size is None else f", or send requests of {size:,} rows"


def _threads_flag(plan: Plan) -> str:
    return "--grpc_max_threads" if plan.protocol == "grpc" else "--rest_api_num_threads"


def _setting(plan: Plan, calls: int) -> str:
    """The flag that lets so many calls in. gRPC refuses a few already when one thread but the accepting one is left."""
    return f"{_threads_flag(plan)}={calls + (2 if plan.protocol == 'grpc' else 1)}"


def _calls(number: int) -> str:
    return "1 call is" if number == 1 else f"{number:,} calls are"


def _counted(number: int, noun: str, nouns: str = "") -> str:
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def _rows(rows: float) -> str:
    return f"{number(rows)} row{'s' * (rows != 1)}"
