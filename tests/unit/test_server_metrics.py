"""The server's page: the recorded one read to the right numbers, windows between two, and pages that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.answering import answering, page, says
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.tfserving.server_metrics import (
    Page,
    PageError,
    ServerWindow,
    VersionLoad,
    delta,
    fetch_page,
    parse_page,
    summed,
)

RECORDED = (Path(__file__).parents[1] / "data" / "transcripts" / "metrics_page.txt").read_text()
NOTHING = Page({}, 0.0)


def test_the_recorded_page() -> None:
    """Each number of a real server's page, checked by hand; rows in, rows executed and padding agree exactly."""
    read = parse_page(RECORDED, at_s=10)
    assert read.unread == frozenset()
    whole = delta(NOTHING, read)
    assert whole.window_s == 10
    assert not whole.restarted
    assert whole.requests == {"OK": 112984, "INVALID_ARGUMENT": 11}
    assert whole.predict_calls == 76214 + 36766
    assert whole.calls_of_all == 76214 + 36766 + 1 + 2  # classify, regress
    assert (whole.queued_tasks, whole.queueing_s_total) == (112983, pytest.approx(143.468))
    assert whole.executed_batches == 11964
    assert whole.padding_rows == 27083 + 49 + 4289
    assert whole.executed_rows == 144407 - 31421 == 112986
    assert whole.mean_rows_per_batch == pytest.approx(112986 / 11964)
    assert whole.requests_per_batch == pytest.approx(112983 / 11964)
    assert whole.padding_ratio == pytest.approx(31421 / 144407)
    assert whole.loads[3] == VersionLoad("/models/hp2_testdata/00000124", 1, 0, 0.067899)
    assert [load.version for load in whole.loads] == [1, 2, 1, 124, 1]
    assert whole.uncertain == frozenset()


def test_one_model_of_the_recorded_page() -> None:
    """Requests and latencies are the model's; classify, regress and status requests are no Predicts."""
    read = parse_page(RECORDED)
    assert delta(NOTHING, read, {"dense"}).requests == {"OK": 112980}
    other = delta(NOTHING, read, {"hp2_testdata"})
    assert other.requests == {"INVALID_ARGUMENT": 11, "OK": 4}
    assert (other.predict_calls, other.calls_of_all) == (0, delta(NOTHING, read).calls_of_all)
    assert delta(NOTHING, read, {"dense", "hp2_testdata"}).requests == {"INVALID_ARGUMENT": 11, "OK": 112984}
    assert delta(NOTHING, read, {"unheard"}).requests == {}


def test_nothing_happened() -> None:
    """Between two equal pages all counts are 0, and no mean is made up."""
    window = delta(parse_page(RECORDED, at_s=1), parse_page(RECORDED, at_s=3))
    assert (window.window_s, window.restarted, window.requests, window.loads) == (2, False, {}, ())
    assert (window.executed_batches, window.executed_rows, window.padding_rows) == (0, 0, 0)
    assert window.mean_rows_per_batch is window.requests_per_batch is window.padding_ratio is None


def _page(metrics: Metrics, at_s: float = 0.0) -> Page:
    return parse_page(metrics.page(), at_s=at_s)


_batches = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20)), max_size=8)


def _run(metrics: Metrics, batches: list[tuple[int, int]]) -> None:
    """Count batches of (rows, padding) as the server does, with requests of one row and two queues' names."""
    for rows, padding in batches:
        for _ in range(rows):
            metrics.count_request("m", "OK")
            metrics.observe_request_latency("m", "Predict", "GRPC", 500)
            metrics.observe_input_batch_size(1)
            metrics.observe_queuing_latency(100)
        metrics.observe_padding_size(padding, rows + padding)
        metrics.observe_processed_batch_size(rows + padding)


@given(_batches, _batches)
def test_windows_hold_what_was_counted_in_them(before: list[tuple[int, int]], during: list[tuple[int, int]]) -> None:
    """Whatever was there before, the window holds exactly what the embedded server counted since."""
    metrics = Metrics()
    _run(metrics, before)
    start = _page(metrics, 5)
    _run(metrics, during)
    window = delta(start, _page(metrics, 7.5), {"m"})
    rows, padding = sum(r for r, _ in during), sum(p for _, p in during)
    assert window.window_s == 2.5
    assert not window.restarted
    assert window.requests == ({"OK": rows} if rows else {})
    assert window.predict_calls == window.calls_of_all == rows
    if before or during:
        assert window.queued_tasks == rows
        assert (window.executed_batches, window.executed_rows, window.padding_rows) == (len(during), rows, padding)
        assert window.queueing_s_total == pytest.approx(rows * 1e-4)
    else:  # a server that does not batch, or has not yet
        assert (window.executed_batches, window.executed_rows, window.queued_tasks) == (0, 0, 0)


def test_a_restart() -> None:
    """A counter that went back: what was counted since the restart is told, and that it is no more than that."""
    old, new = Metrics(), Metrics()
    _run(old, [(8, 0)] * 5)
    _run(new, [(4, 4)])
    window = delta(_page(old), _page(new))
    assert window.restarted
    assert (window.executed_rows, window.padding_rows, window.requests) == (4, 4, {"OK": 4})


def test_a_restart_that_no_count_shows() -> None:
    """After a restart all counts may be higher than before; the time a version took to load is another."""
    old, new = Metrics(), Metrics()
    for metrics, us, batches in ((old, 41_506, 1), (new, 43_210, 9)):
        metrics.record_load_attempt("/m/1", "success")
        metrics.record_load_latency("/m/1", us)
        _run(metrics, [(8, 0)] * batches)
    assert delta(_page(old), _page(new)).restarted
    old.record_load_attempt("/m/1", "success")
    before = _page(old)
    old.record_load_attempt("/m/1", "fail")
    old.record_load_latency("/m/1", 500_000)
    window = delta(before, _page(old))
    assert not window.restarted
    assert window.loads == (VersionLoad("/m/1", 1, 1, 0.5),)


def test_sums_of_a_server_that_has_run_for_long() -> None:
    """Where six digits leave a sum open the field is named; executed rows stay exact as long as padding is."""
    lines = [
        "# TYPE :tensorflow:serving:x histogram",
        ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="8"} 12',
        ':tensorflow:serving:batching_session:padding_size_count{execution_batch_size="8"} 1000000000',
        ":tensorflow:serving:batching_session:processed_batch_size_sum{} 8e+09",
        ":tensorflow:serving:batching_session:processed_batch_size_count{} 1000000000",
        ":tensorflow:serving:batching_session:queuing_latency_sum{} 8e+11",
        ":tensorflow:serving:batching_session:queuing_latency_count{} 8000000000",
        "",
    ]
    before = "\n".join(lines)
    after = before.replace(" 12\n", " 15\n").replace(" 1000000000\n", " 1000000100\n")
    window = delta(parse_page(before), parse_page(after))
    assert (window.executed_batches, window.padding_rows, window.executed_rows) == (100, 3, 797)
    assert window.uncertain == {"queueing_s_total"}


def test_pages_of_old_servers() -> None:
    """Before 2.10 the batch sizes are samplers that read 0: they tell nothing, queueing does."""
    old = (
        "# TYPE :tensorflow:serving:batching_session:input_batch_size counter\n"
        ":tensorflow:serving:batching_session:input_batch_size{} 0\n"
        ":tensorflow:serving:batching_session:padding_size{} 0\n"
        ':tensorflow:serving:batching_session:queuing_latency_sum{thread_pool_name=""} 2e+06\n'
        ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name=""} 7\n'
    )
    window = delta(NOTHING, parse_page(old))
    assert (window.queued_tasks, window.queueing_s_total) == (7, 2.0)
    assert window.executed_batches is window.executed_rows is window.padding_rows is None
    assert window.requests_per_batch is None


def test_lines_that_cannot_be_read_are_passed_over() -> None:
    """They are told, make no restart, and cost no other metric; what is left of theirs is not taken for all."""
    spoiled = RECORDED.replace('model_name="dense",status="OK"} 112980', 'model_name="dense",status="OK} 112980')
    spoiled = spoiled.replace("wrapped_run_count{} 11964", "wrapped_run_count{} eleven")
    spoiled = spoiled.replace("processed_batch_size_count{} 11964", "processed_batch_size_count{} NaN")
    read = parse_page(spoiled)
    assert read.unread == {
        ":tensorflow:serving:request_count",
        ":tensorflow:serving:batching_session:processed_batch_size",
    }
    window = delta(parse_page(RECORDED), read)
    assert not window.restarted
    assert window.executed_batches is None
    assert window.executed_rows == 0
    for window in (delta(read, parse_page(RECORDED)), delta(NOTHING, read)):
        assert (window.requests, window.executed_batches) == ({}, None)  # not all that was counted ever before
    assert delta(NOTHING, read).executed_rows == 112986
    spoiled = RECORDED.replace('API="Predict",entrypoint="GRPC"} 7', 'API="Predict",entrypoint="GRPC} 7')
    assert delta(NOTHING, parse_page(spoiled)).predict_calls is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the page is empty"),
        ("<html>404</html>", "this is no metrics page of TensorFlow Serving: it has no series named :tensorflow:..."),
        ("# TYPE go_gc counter\ngo_gc 1\n", "this is no metrics page of TensorFlow Serving: it has no series named"),
        (RECORDED[:-9], r"the page was cut off: it ends in '"),
    ],
)
def test_texts_that_are_no_page(text: str, reason: str) -> None:
    """One exception, which says why."""
    with pytest.raises(PageError) as caught:
        parse_page(text)
    assert str(caught.value).startswith(reason)


@given(st.integers(0, len(RECORDED)), st.text(max_size=20))
def test_no_text_raises_anything_else(cut: int, spoiled: str) -> None:
    """Cut anywhere and spoiled with anything: a page or a PageError, and a window of any two."""
    try:
        read = parse_page(RECORDED[:cut] + spoiled + RECORDED[cut : cut + 2000] + "\n")
    except PageError:
        return
    delta(parse_page(RECORDED), read)
    delta(read, parse_page(RECORDED), {"dense"})


def test_fetching() -> None:
    """A page with the time it came; a server that shows none says what to do."""
    with answering(says(page(RECORDED.split("\n\n", 1)[1]))) as address:
        read = fetch_page(f"http://{address}/monitoring/prometheus/metrics", timeout_s=10, now=lambda: 42.0)
    assert read.at_s == 42
    assert delta(NOTHING, read).executed_batches == 11964
    with answering(says(page("<html>", "404 Not Found"))) as address, pytest.raises(PageError) as caught:
        fetch_page(f"http://{address}/m", timeout_s=10, now=lambda: 0)
    assert str(caught.value) == (
        f"http://{address}/m: HTTP status 404; tensorflow_model_server shows the page on its REST port, "
        "and only with --monitoring_config_file and prometheus_config { enable: true } in it"
    )
    with answering(says(page("hello\n"))) as address, pytest.raises(PageError, match="/m: this is no metrics page"):
        fetch_page(f"http://{address}/m", timeout_s=10, now=lambda: 0)
    with pytest.raises(PageError, match=f"^http://{address}/m: Connection refused$"):
        fetch_page(f"http://{address}/m", timeout_s=10, now=lambda: 0)


def test_several_servers_together() -> None:
    """Counts add up; what one server does not tell is not invented, what it tells is not lost."""
    one = delta(NOTHING, parse_page(RECORDED))
    plain = ServerWindow(30, requests={"OK": 5, "NOT_FOUND": 1}, predict_calls=5, restarted=True)
    both = summed([one, plain, one], window_s=30)
    assert both.window_s == 30
    assert both.restarted
    assert both.requests == {"OK": 2 * 112984 + 5, "INVALID_ARGUMENT": 22, "NOT_FOUND": 1}
    assert both.executed_rows == 2 * 112986
    assert both.mean_rows_per_batch == one.mean_rows_per_batch
    assert summed([plain], window_s=3).executed_batches is None
    assert summed([], window_s=3) == ServerWindow(3)


def test_sums_that_six_digits_leave_anywhere() -> None:
    """Of a server that has run for very long: rows stay between none and all, and are named as uncertain."""
    name = ":tensorflow:serving:batching_session:"

    def read(batches: int, padding: float) -> Page:
        return parse_page(
            "# TYPE :tensorflow:x counter\n"
            f'{name}padding_size_sum{{execution_batch_size="8"}} {padding:.6g}\n'
            f'{name}padding_size_count{{execution_batch_size="8"}} {batches}\n'
            f"{name}processed_batch_size_count{{}} {batches}\n"
        )

    window = delta(read(10**9, 2.400004e9), read(10**9 + 1000, 2.400009e9))  # 5000 rows of padding, shown as 10000
    assert (window.executed_batches, window.executed_rows, window.padding_rows) == (1000, 0, 8000)
    assert window.padding_ratio == 1
    assert window.uncertain == {"executed_rows", "padding_rows"}


def test_the_series_of_tfrt() -> None:
    """Its batches go by another name than the usual runtime's, and its queue by a third."""
    usual, rows = ":tensorflow:serving:batching_session:", ":tensorflow:serving:tfrt_saved_model_with_batching:"
    text = RECORDED.replace(usual + "queuing", ":tensorflow:serving:saved_model_with_batching:queuing")
    assert delta(NOTHING, parse_page(text.replace(usual, rows))) == delta(NOTHING, parse_page(RECORDED))


def test_a_server_that_never_batched() -> None:
    """Its queue's metric has a TYPE line and no cell, for cells come when they are used first: it ran no batch, which
    is more than not to know."""
    lines = [line for line in RECORDED.splitlines() if "batching_session:" not in line or "# TYPE" in line]
    off = parse_page("\n".join(lines) + "\n")
    window = delta(NOTHING, off)
    assert (window.executed_batches, window.executed_rows, window.padding_rows, window.queued_tasks) == (0, 0, 0, 0)
    assert window.predict_calls == 76214 + 36766
    unknown = parse_page("\n".join(line for line in lines if "queuing_latency" not in line) + "\n")
    assert delta(NOTHING, unknown).executed_batches is None
