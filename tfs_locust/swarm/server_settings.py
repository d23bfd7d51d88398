"""Where the options say that more is known of the server: its metrics pages, and a Prometheus' series of it."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from tfs_locust.judge.slo import is_metric
from tfs_locust.tfserving.prometheus_query import Query, QueryError, parse_queries
from tfs_locust.tfserving.server_page import METRICS_PATH

AUTO = "auto"
"""Among pages: those that the targets may have."""


def base_url(text: str) -> str:
    """The URL of a Prometheus. Raises ValueError."""
    if _parts_of(text) is None:
        raise ValueError("expected a base URL such as http://prometheus:9090")
    return text


def gateway_url(text: str) -> str:
    """The URL of a Pushgateway. Raises ValueError."""
    parts = _parts_of(text)
    if parts is None:
        raise ValueError("expected the URL of a Pushgateway such as http://pushgateway:9091")
    if parts.username is not None:
        raise ValueError("expected no user and password in it: they would stand in logs, and are not sent")
    return text


def _parts_of(text: str) -> SplitResult | None:
    """Of an URL with a host and a port that can be; None of any other text."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname and port != 0 else None


def read_queries(texts: list[str], problems: list[str]) -> tuple[Query, ...]:
    """Queries from ``NAME=PROMQL`` texts; what is wrong with them is added to ``problems``."""
    try:
        queries = parse_queries(texts)
    except QueryError as error:
        problems.append(f"--tfs-server-query: {error}")
        return ()
    taken = [query.name for query in queries if is_metric(query.name)]
    problems += [f"--tfs-server-query {name}: objectives have a metric of this name: choose another" for name in taken]
    return queries


def read_pages(texts: list[str], problems: list[str]) -> tuple[str, ...]:
    """URLs of metrics pages and :data:`AUTO`; what is wrong with them is added to ``problems``."""
    pages = []
    for text in map(str.strip, texts):
        if text in {AUTO, "none"}:
            pages.append(text)
        elif (parts := _parts_of(text)) is not None:
            pages.append(text if parts.path.strip("/") else parts._replace(path=METRICS_PATH).geturl())
        else:
            problems.append(f"--tfs-server-metrics {text!r}: expected auto, none, or a URL such as http://HOST:8501")
    if "none" in pages and len(pages) > 1:
        problems.append("--tfs-server-metrics none and pages exclude each other: leave one of them out")
    return tuple(page for page in pages if page != "none") if texts else (AUTO,)
