"""The server's own count beside the client's: whose pages they are, and what is said where they do not agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.measured import MS, SECOND, sample
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.judge.batching import Batching
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View
from tfs_locust.report.console import closing_table
from tfs_locust.report.html import page
from tfs_locust.report.report import build
from tfs_locust.report.server import Watched, sections
from tfs_locust.tfserving.page_history import PageHistory
from tfs_locust.tfserving.server_page import Page, parse_page

_BATCHING = Batching(8, 8, 0.0, 10, batch_threads=1, calls_at_once=31, in_flight_to_fill=2, fitting_rows=(1, 2, 4, 8))


def _view(models: Sequence[str] = ("m",), *, warmup_s: int = 0) -> View:
    """400 requests of 4 rows to each model in ten seconds, 100 ms each, after a warm-up."""
    aggregate = Aggregate()
    tally = Tally("worker", 1, origin_ns=0, warmup_ns=warmup_s * SECOND)
    for model in models:
        for number in range(400):
            due_ns = warmup_s * SECOND + number * 10 * SECOND // 400
            tally.started += 1
            tally.record(sample(100 * MS, due_ns=due_ns, rows=4, model=model))
    tally.end_load((warmup_s + 10) * SECOND)
    aggregate.accept(tally.snapshot((warmup_s + 11) * SECOND, final=True))
    return aggregate.view()


def _page(at_s: float, model: str = "m", requests: int = 0, us: float = 50_000) -> Page:
    """Of a server that answered so many requests of 4 rows, two in a batch of 8, after a wait of ``us``."""
    metrics = Metrics()
    for number in range(requests):
        metrics.observe_request_latency(model, "Predict", "GRPC", 500)
        metrics.count_request(model, "OK")
        metrics.observe_queuing_latency(us)
        if number % 2:
            metrics.observe_padding_size(0, 8)
            metrics.observe_processed_batch_size(8)
    return parse_page(metrics.page(), at_s=at_s)


def _history(model: str = "m", requests: int = 400, *, guessed: bool = False, before: int = 100) -> PageHistory:
    history = PageHistory("http://s/", guessed=guessed)
    history.see(_page(0, model, before))
    history.see(_page(10, model, before + requests))
    return history


def _sections(view: View, *histories: PageHistory, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"asked": True, "batching": _BATCHING, **more}
    return sections(view, Watched(histories, (0.0, 10.0), **given), users=4, started_s=0.0)


def _ids(found: dict[str, Any]) -> list[str]:
    return [one["id"] for one in found["diagnosis"]]


def test_the_share_of_queueing() -> None:
    """50 ms of 100 ms, whatever of the run the window holds."""
    for requests in (400, 380):
        found = _sections(_view(), _history(requests=requests))
        assert found["server"]["batching"]["queueing_share"] == pytest.approx(0.5)
        assert _ids(found) == []


@pytest.mark.parametrize("counted", [280, 560])
def test_a_look_some_seconds_from_the_count_of_a_run_that_goes_on(counted: int) -> None:
    """Of 40 requests a second the page was read 3 s before, or the workers told of theirs 4 s before: it is the same
    server, where that is known to be so late; without that it may be another."""
    history = _history(requests=counted)
    assert _ids(_sections(_view(), history, apart_s=4.0)) == []
    assert _ids(_sections(_view(), history)) == ["no-data"]


def test_without_its_timeline() -> None:
    """All else is the same."""
    whole = _sections(_view(), _history())
    watched = Watched((_history(),), (0.0, 10.0), asked=True, batching=_BATCHING)
    brief = sections(_view(), watched, users=4, started_s=0.0, timeline=False)
    assert brief["server"]["timeline"]["from_s"] == []
    assert {**brief["server"], "timeline": whole["server"]["timeline"]} == whole["server"]
    assert brief["diagnosis"] == whole["diagnosis"]


def test_several_models_of_the_run() -> None:
    """Their calls are counted together, and make no others of each other."""
    found = _sections(_view(("m", "n")), _history("m"), _history("n"))
    assert found["server"]["requests"]["server_predictions"] == 800
    assert _ids(found) == []


def test_other_models_on_the_server() -> None:
    """Batches are counted for all models together: nothing is judged of them, and no share is made up."""
    history = PageHistory("http://s/")
    history.see(_page(0))
    metrics = Metrics()
    for number in range(1600):
        metrics.observe_request_latency("m" if number % 4 else "other", "Predict", "GRPC", 500)
        metrics.observe_queuing_latency(1e6)
        metrics.observe_padding_size(0, 8)
        metrics.observe_processed_batch_size(8)
    history.see(parse_page(metrics.page(), at_s=10))
    found = _sections(_view(("m", "m", "m")), history)
    assert _ids(found) == ["no-data"]
    assert "other models were served, too: of 1,600 predictions 1,200" in found["diagnosis"][0]["sentence"]
    assert found["server"]["batching"]["queueing_share"] is None


@pytest.mark.parametrize(
    "histories", [(_history(), _history()), (_history(requests=200),), (_history("another"),)], ids=len
)
def test_pages_that_count_something_else(histories: tuple[PageHistory, ...]) -> None:
    """A page named twice, one of two pods, another server: it is told with both counts, and nothing is judged."""
    found = _sections(_view(), *histories)
    assert _ids(found) == ["no-data"]
    assert "of our 400 requests: another server, a pod missing, a page named twice" in found["diagnosis"][0]["sentence"]


def test_a_page_that_was_guessed() -> None:
    """Where it counted nothing of the run it is another server's: not used, and no batching is found to be off."""
    other = _history("another", guessed=True)
    found = _sections(_view(), other)
    (told,) = found["server"]["pages"]
    assert (told["guessed"], told["used"], told["state"]) == (True, False, "read")
    assert found["server"]["window_s"] is None
    assert _ids(found) == ["no-data"]
    assert "the server's metrics were not read" in found["diagnosis"][0]["sentence"]
    found = _sections(_view(), _history(guessed=True), other)
    assert _ids(found) == []


def test_numbers_that_nobody_asked_for_are_not_shown_in_doubt() -> None:
    """A guessed page with the load of others beside ours: what it shows stands in the JSON, and nowhere else."""
    view = _view()
    found = _sections(view, _history(requests=4000, guessed=True), asked=False, batching=None)
    result = build(view, judge(view, ()), {}, found)
    assert found["server"]["batching"]["mean_rows_per_batch"] == 8
    assert "rows in a batch" not in closing_table(result)
    assert "Nothing was found to be wrong with the batching" not in page(result)


def test_a_warm_up() -> None:
    """What lies outside the server's window is told; a few requests of difference are no other server's."""
    view = _view(warmup_s=2)
    found = _sections(view, _history(requests=396))
    assert (found["server"]["requests"]["outside"], _ids(found)) == (4, [])
    for counted, told in ((396, "4 answers less than we counted"), (404, "4 answers more than we counted")):
        result = build(view, judge(view, ()), {}, _sections(view, _history(requests=counted)))
        assert f"server: its window, from about the end of the warm-up on, holds {told}" in closing_table(result)
    assert _sections(_view(), _history(requests=396))["server"]["requests"]["outside"] is None
    late = _history(requests=250)
    assert _ids(_sections(view, late)) == ["no-data"]
    assert _ids(_sections(view, late, late_s=3.0)) == []  # with workers the first look may come late


def test_a_run_seen_in_part() -> None:
    """A page whose first look failed has counted less, and that is no other server."""
    history = PageHistory("http://s/")
    history.miss("late")
    history.see(_page(5, requests=200))
    history.see(_page(10, requests=400))
    found = _sections(_view(), history)
    assert (found["server"]["pages"][0]["state"], _ids(found)) == ("partly", [])


def test_a_first_look_that_came_late() -> None:
    """A slow page, while workers send already: the window is shorter by as much, and its count lower."""
    history = PageHistory("http://s/")
    history.see(_page(2, requests=80))
    history.see(_page(10, requests=400))
    assert _ids(_sections(_view(), history)) == []


def test_uncertain_numbers_are_marked() -> None:
    """On the console and on the page; nothing is judged by them."""
    lines = [
        "# TYPE :tensorflow:x counter",
        ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} %d',
        ":tensorflow:serving:batching_session:queuing_latency_count{} %d",
        ":tensorflow:serving:batching_session:queuing_latency_sum{} 20000000",
        ":tensorflow:serving:batching_session:processed_batch_size_count{} %d",
        ':tensorflow:serving:batching_session:padding_size_count{execution_batch_size="8"} %d',
        ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="8"} 2.4e+09',
        "",
    ]
    history = PageHistory("http://s/")
    history.see(parse_page("\n".join(lines) % (10**9, 10**9, 10**9, 10**9), at_s=0))
    history.see(parse_page("\n".join(lines) % (10**9 + 400, 10**9 + 400, 10**9 + 200, 10**9 + 200), at_s=10))
    view = _view()
    found = _sections(view, history)
    assert _ids(found) == ["no-data"]
    result = build(view, judge(view, ()), {}, found)
    assert "server: 8 rows in a batch (uncertain) (100% full), 2 requests together, padding 0.0% (uncertain)" in (
        closing_table(result)
    )
    assert "Uncertain, as the sums on the server's page have six digits" in page(result)
