"""TensorFlow Serving's Prometheus page: asked for, and read into the counters that matter to a load test.

Sources: tensorflow_serving/util/prometheus_exporter.cc (the page), servables/tensorflow/util.cc, batching/
batching_session.cc, batching_util.h and tfrt_saved_model_with_batching.{h,cc} (the series), tensorflow/cc/saved_model/
loader.cc (loads). Names begin with a colon, there are no HELP lines, and labels stand in braces even where there are
none; a metric that was not used yet has at most its TYPE line. Buckets are not read: their upper
bounds are exclusive, which no reader of Prometheus expects, and counts and sums tell enough.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tfs_locust.tfserving.http_get import GetError, http_get

METRICS_PATH = "/monitoring/prometheus/metrics"
"""On the REST port, unless ``prometheus_config`` says otherwise."""

_CC = ":tensorflow:cc:saved_model:"
_SERVING = ":tensorflow:serving:"
_BATCHING = _SERVING + "batching_session:"
_TFRT = _SERVING + "tfrt_saved_model_with_batching:"

LOAD_ATTEMPTS = _CC + "load_attempt_count"
LOAD_LATENCY = _CC + "load_latency"
"""A counter of microseconds."""
REQUESTS = _SERVING + "request_count"
REQUEST_LATENCY = _SERVING + "request_latency"
QUEUEING = (_BATCHING + "queuing_latency", _SERVING + "saved_model_with_batching:queuing_latency")
"""Of the usual runtime, and of TFRT; a server uses one of them."""
EXECUTED_ROWS = (_BATCHING + "processed_batch_size", _TFRT + "processed_batch_size")
PADDING_ROWS = (_BATCHING + "padding_size", _TFRT + "padding_size")

_HISTOGRAMS = (REQUEST_LATENCY, *QUEUEING, *EXECUTED_ROWS, *PADDING_ROWS)
_READ = frozenset(
    (LOAD_ATTEMPTS, LOAD_LATENCY, REQUESTS, *(name + end for name in _HISTOGRAMS for end in ("_sum", "_count")))
)

Labels = frozenset[tuple[str, str]]


class PageError(Exception):
    """No page to read. The text says why: not there, refused, cut off, no page of TensorFlow Serving."""


@dataclass(frozen=True, slots=True)
class Page:
    """The counters at one moment: name and labels -> value."""

    counters: Mapping[tuple[str, Labels], float]
    at_s: float
    """When the page came, on the caller's clock."""
    unread: frozenset[str] = frozenset()
    """Metrics of which a line cannot be read: what is left of them may be less than all."""
    unused: frozenset[str] = frozenset()
    """Metrics that the server has, as their TYPE line tells, and that nothing was counted in."""


def fetch_page(
    url: str,
    *,
    timeout_s: float,
    now: Callable[[], float],
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Page:
    """Ask a server for its page; ``now`` gives the time it came at, in seconds. Raises PageError."""
    try:
        answer = http_get(url, timeout_s=timeout_s, headers=headers, tls=tls)
    except GetError as error:
        raise PageError(str(error)) from error
    at_s = now()
    if answer.status != 200:
        raise PageError(
            f"{url}: HTTP status {answer.status}; tensorflow_model_server shows the page on its REST port, "
            "and only with --monitoring_config_file and prometheus_config { enable: true } in it"
        )
    try:
        return parse_page(answer.text, at_s=at_s)
    except PageError as error:
        raise PageError(f"{url}: {error}") from error


def parse_page(text: str, *, at_s: float = 0.0) -> Page:
    """Read a page, passing over what cannot be read.

    Raises PageError for a text that is no page of TensorFlow Serving, and for one that was cut off: its last number may
    lack digits, and series that are missing would look like counters that went back to 0.
    """
    if not text.strip():
        raise PageError("the page is empty")
    if "# TYPE :tensorflow:" not in text:
        raise PageError("this is no metrics page of TensorFlow Serving: it has no series named :tensorflow:...")
    *lines, rest = text.split("\n")
    if rest:
        raise PageError(f"the page was cut off: it ends in {rest[-40:]!r}")
    counters: dict[tuple[str, Labels], float] = {}
    unread: set[str] = set()
    known: set[str] = set()
    for line in lines:
        if line.startswith("# TYPE "):
            known.add(line.split()[2] if line.count(" ") > 2 else "")
        # nearly all of a page is buckets and series of TensorFlow itself, and the parser takes its time
        if (name := line.partition("{")[0]) not in _READ:
            continue
        try:
            # line by line: the parser gives up a page at the first line that it cannot read
            (family,) = text_string_to_metric_families(line)
            (sample,) = family.samples
        except ValueError:
            unread.add(metric(name))
            continue
        if math.isfinite(sample.value):
            counters[sample.name, frozenset(sample.labels.items())] = sample.value
        else:
            unread.add(metric(name))
    return Page(counters, at_s, frozenset(unread), frozenset(known - {metric(name) for name, _ in counters} - unread))


def metric(series: str) -> str:
    """The metric that a series belongs to: its name without a histogram's ``_sum`` or ``_count``."""
    for end in ("_sum", "_count"):
        if series.removesuffix(end) in _HISTOGRAMS:
            return series.removesuffix(end)
    return series
