"""A plan in sentences, each with its numbers: what the server will do, and what to change where that is not wanted."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tfs_locust.load.plan import Plan
from tfs_locust.load.simulation import Simulated
from tfs_locust.load.tiling import nearest_fitting, tiling
from tfs_locust.tfserving.batching import BatchingParameters

MUCH_PADDING = 0.10
"""Of the rows executed. Rounding to powers of two pads less than this where batches are mostly full."""
MUCH_REFUSED = 0.001
"""Of the requests: the share the usual objective for errors allows."""
MOST_SIZES = 12
"""Sizes that are listed; the rest is left out."""


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
    users, calls = plan.demand.users, plan.calls_at_once
    if plan.protocol == "rest" and plan.setup.threads("rest") < 2:
        yield "rest-frozen", "With --rest_api_num_threads=1 the REST interface answers nothing: set 2 at least."
    if users is None or users <= calls:
        return
    if plan.protocol == "grpc":
        yield (
            "refused-by-threads",
            f"{users:,} users are {users - calls:,} more than the {_counted(calls, 'call')} at once: their calls are "
            f"refused with RESOURCE_EXHAUSTED. Set {_setting(plan, users)}, or use fewer than {calls:,} users.",
        )
    else:
        yield (
            "waiting-for-threads",
            f"{users:,} users are {users - calls:,} more than the {_counted(calls, 'call')} at once: the others wait "
            f"outside the batching queue. Set {_setting(plan, users)} to have them all in work.",
        )


def _batching(plan: Plan, parameters: BatchingParameters, threads: int) -> Iterator[Statement]:
    largest = parameters.largest_batch
    wait = (
        f"waits up to {_ms(parameters.batch_timeout_micros)} ms for company"
        if parameters.batch_timeout_micros
        else "waits for nothing but a free thread"
    )
    sizes = f" and runs with {_listed(parameters.allowed_batch_sizes)} rows" if parameters.allowed_batch_sizes else ""
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
            f"Requests of {_listed(plan.fitting_rows)} rows fill batches of {largest:,} without padding or leftovers.",
        )
    yield Statement(
        "in-flight-to-fill",
        f"{plan.in_flight_to_fill:,} requests in flight fill {_counted(threads, 'thread')} and one waiting batch: "
        f"({threads} + 1) x {largest:,} rows / {_rows(plan.mean_rows)} a request.",
    )
    if plan.expected is not None:
        yield Statement("expected", _expected(plan, plan.expected, largest))


def _expected(plan: Plan, expected: Simulated, largest: int) -> str:
    together = _number(expected.calls_per_batch)
    return (
        f"To be expected with {_counted(plan.in_flight, 'request')} in flight and "
        f"{_ms(plan.cost.seconds(largest) * 1e6)} ms for a full batch: {_rows(expected.mean_rows_per_batch)} in a "
        f"batch ({_percent(expected.mean_rows_per_batch / largest)} of {largest:,}), from {together} "
        f"request{'s' * (together != '1')}; padding {_percent(expected.padding_ratio)} of the rows executed; "
        f"{_ms(expected.mean_queueing_s * 1e6)} ms in the queue."
    )


def _parameter_warnings(plan: Plan, parameters: BatchingParameters) -> Iterator[tuple[str, str]]:
    sizes, largest = parameters.allowed_batch_sizes, parameters.largest_batch
    if any(after <= before for before, after in pairwise(sizes)):
        yield (
            "sizes-not-ascending",
            f"allowed_batch_sizes {_listed(sizes)} are not ascending, which the server does not check: the first that "
            "is large enough is taken. Sort them.",
        )
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
            f"Requests of {_listed(plan.too_large)} rows ({_percent(share)} of all) are above max_batch_size "
            f"{parameters.max_batch_size:,} and will be refused with INVALID_ARGUMENT. Send fewer rows, or raise "
            "max_batch_size.",
        )
    for rows, _ in plan.rows.mix:
        if len(plan.rows.mix) > 1 or rows in plan.too_large or not plan.fitting_rows:
            continue  # among others a request finds its place; alone it has to fit by itself
        tiled = tiling(parameters, rows)
        if tiled.fits:
            continue
        remedy = f"Send {_listed(nearest_fitting(parameters, rows), 'or')} rows."
        if tiled.needless_pieces:
            cut = f"Requests of {rows:,} rows are executed in {_number(float(tiled.pieces))} pieces each"
            yield "rows-do-not-fit", f"{cut}: they do not fit batches of {tiled.largest_batch:,} rows. {remedy}"
        else:
            yield (
                "rows-do-not-fit",
                f"Requests of {rows:,} rows do not fit batches of {tiled.largest_batch:,}: a full one holds "
                f"{tiled.rows_per_batch:,} rows and is executed with {tiled.executed_rows:,} "
                f"({_percent(tiled.padding_ratio)} padding). {remedy}",
            )
    if plan.expected is not None and plan.expected.padding_ratio > MUCH_PADDING:
        yield (
            "padding",
            f"{_percent(plan.expected.padding_ratio)} of the rows executed will be padding: batches of "
            f"{_number(plan.expected.mean_rows_per_batch)} rows run with "
            f"{_number(plan.expected.executed_rows / plan.expected.batches)}. Fill the batches, or allow more sizes.",
        )


def _filling_warnings(plan: Plan, parameters: BatchingParameters, threads: int) -> Iterator[tuple[str, str]]:
    needed, calls, in_flight = plan.in_flight_to_fill or 0, plan.calls_at_once, plan.in_flight
    largest, mean = parameters.largest_batch, plan.mean_rows
    if needed > calls:
        more = _or_more_rows(plan, math.ceil((threads + 1) * largest / calls))
        yield (
            "ceiling",
            f"No number of users fills the batches: that takes {needed:,} requests in flight, and {_calls(calls)} "
            f"executed at once. Set {_setting(plan, needed)}{more}.",
        )
    elif in_flight < needed:
        yield (
            "too-few-in-flight",
            f"{in_flight:,} requests in flight do not fill the batches, {needed:,} would. Use {needed:,} users"
            f"{_or_more_rows(plan, math.ceil((threads + 1) * largest / in_flight))}.",
        )
    if parameters.batch_timeout_micros and in_flight * mean < largest:
        yield (
            "waits-for-timeout",
            f"No batch can fill: {_counted(in_flight, 'request')} of {_rows(mean)} make {_number(in_flight * mean)} of "
            f"{largest:,} rows, so every batch waits the whole {_ms(parameters.batch_timeout_micros)} ms. Lower "
            f"batch_timeout_micros, or max_batch_size to {max(math.floor(in_flight * mean / (threads + 1)), 1):,}.",
        )
    if not parameters.batch_timeout_micros and threads >= in_flight > 1:
        yield (
            "idle-threads",
            f"Each of {in_flight:,} requests finds one of {threads} batch threads idle and is executed by itself. Set "
            f"num_batch_threads below {max(in_flight // 2, 2):,}, or a batch_timeout_micros above 0.",
        )
    if plan.expected is not None:
        expected = plan.expected
        if expected.refused > MUCH_REFUSED * (expected.refused + expected.calls):
            yield (
                "queue-full",
                f"The queue will be full and refuse requests with UNAVAILABLE: it holds {plan.queue_rows:,} rows "
                f"behind the {threads * largest:,} that are executed, and {_number(in_flight * mean)} come. Raise "
                "max_enqueued_batches, or use fewer users.",
            )


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


def _listed(numbers: tuple[int, ...], word: str = "or") -> str:
    shown = [f"{number:,}" for number in numbers[:MOST_SIZES]]
    if len(numbers) > MOST_SIZES:
        return f"{', '.join(shown)} ... {numbers[-1]:,}"
    return f"{', '.join(shown[:-1])} {word} {shown[-1]}" if len(shown) > 1 else shown[0]


def _number(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"


def _rows(number: float) -> str:
    return f"{_number(number)} row{'s' * (number != 1)}"


def _percent(share: float) -> str:
    return f"{_number(share * 100)} %"


def _ms(micros: float) -> str:
    return _number(micros / 1e3)
