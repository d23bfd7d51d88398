"""The Prometheus page of the embedded server, against a page of the real one."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded.metrics import Metrics

PAGE = Path(__file__).parent.parent / "data" / "transcripts" / "metrics_page.txt"


def recorded() -> list[str]:
    """The lines of the recorded page, without the head of its HTTP answer."""
    return PAGE.read_text().split("\n\n", 1)[1].splitlines()


def family_of(lines: list[str], name: str) -> list[str]:
    """The lines of one family: its TYPE line and what follows it."""
    start = next(i for i, line in enumerate(lines) if line.startswith(f"# TYPE {name} "))
    stop = next((i for i in range(start + 1, len(lines)) if lines[i].startswith("# TYPE")), len(lines))
    return lines[start:stop]


def families(lines: list[str]) -> list[str]:
    return [line.split()[2] for line in lines if line.startswith("# TYPE")]


def test_types_and_names_are_those_of_the_real_page_in_its_order() -> None:
    """Every TYPE line of ours stands in the real page, and every serving family of the real page in ours."""
    ours, real = Metrics().page().splitlines(), recorded()
    assert set(ours) <= set(real)
    assert [name for name in families(real) if name in families(ours)] == families(ours)
    serving = [name for name in families(real) if name.startswith((":tensorflow:serving:", ":tensorflow:cc:"))]
    assert [name for name in families(ours) if ":core:" not in name] == serving


def test_a_page_with_the_recorded_numbers_has_the_recorded_lines() -> None:
    """Histograms: bounds, labels, cumulative counts, six-digit sums; counters: integers; all as recorded."""
    metrics = Metrics()
    real = recorded()
    for _ in range(5):
        metrics.observe_padding_size(0, 1)
    for _ in range(31):
        metrics.observe_padding_size(0, 2)
    for text, amount in (("INVALID_ARGUMENT", 11), ("OK", 4)):
        for _ in range(amount):
            metrics.count_request("hp2_testdata", text)
    for _ in range(112980):
        metrics.count_request("dense", "OK")
    metrics.observe_request_latency("hp2_testdata", "", "REST", 464)
    metrics.observe_request_latency("hp2_testdata", "classify", "REST", 21792)
    metrics.observe_runtime_latency("hp2_testdata", "Classify", 21495)
    for stage, us in (("init_graph", 6952), ("restore_graph", 30311)):
        metrics.observe_load_stage("/models/dense/1", stage, us)
    metrics.record_load_latency("/models/dense/1", 41506)
    metrics.record_load_attempt("/models/dense/1", "success")
    for _ in range(112980):
        metrics.observe_input_batch_size(1)
    for _ in range(3):
        metrics.observe_input_batch_size(2)
    page = metrics.page().splitlines()

    exact = (
        'model_name="hp2_testdata",API="",entrypoint="REST"',
        'model_name="hp2_testdata",API="classify",entrypoint="REST"',
        'model_name="hp2_testdata",API="Classify",runtime="TF1"',
        'model_path="/models/dense/1"',
        'execution_batch_size="1"',
        'execution_batch_size="2"',
    )
    for labels in exact:
        ours = [line for line in page if labels in line]
        assert ours
        assert ours == [line for line in real if labels in line]
    name = ":tensorflow:serving:request_count"
    assert family_of(page, name) == family_of(real, name)
    name = ":tensorflow:serving:batching_session:input_batch_size"
    assert family_of(page, name)[:-2] == family_of(real, name)[:-2]


def test_a_value_equal_to_a_bound_counts_in_the_next_bucket() -> None:
    """Upper bounds are exclusive: a batch of 32 rows shows in le="64", a padding of 0 in le="1"."""
    metrics = Metrics()
    metrics.observe_processed_batch_size(32)
    metrics.observe_padding_size(0, 32)
    page = metrics.page()
    assert ':tensorflow:serving:batching_session:processed_batch_size_bucket{le="32"} 0\n' in page
    assert ':tensorflow:serving:batching_session:processed_batch_size_bucket{le="64"} 1\n' in page
    assert ':tensorflow:serving:batching_session:padding_size_bucket{execution_batch_size="32",le="1"} 1\n' in page


def test_sums_have_six_significant_digits() -> None:
    """A large sum is rounded, as in the real page; a counter is not."""
    metrics = Metrics()
    metrics.count_graph_run(3863987)
    page = metrics.page()
    assert ":tensorflow:core:graph_run_time_usecs_histogram_sum{} 3.86399e+06\n" in page
    assert ":tensorflow:core:graph_run_time_usecs{} 3863987\n" in page


def test_label_values_escape_quotes_and_backslashes() -> None:
    """A name with a quote or a backslash in it does not end the label."""
    metrics = Metrics()
    metrics.count_request('a"b\\c', "NOT_FOUND")
    assert ':tensorflow:serving:request_count{model_name="a\\"b\\\\c",status="NOT_FOUND"} 1\n' in metrics.page()


def test_label_less_series_have_empty_braces() -> None:
    """`name{} value`, and a histogram's buckets have `le` alone."""
    metrics = Metrics()
    metrics.count_wrapped_run()
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 1\n" in metrics.page()


@given(st.lists(st.floats(min_value=0, max_value=1e12), min_size=1, max_size=50))
def test_buckets_are_cumulative_and_end_in_the_count(values: list[float]) -> None:
    """However values fall, buckets never fall, and the last of them equals the count."""
    metrics = Metrics()
    for us in values:
        metrics.observe_queuing_latency(us)
    lines = family_of(metrics.page().splitlines(), ":tensorflow:serving:batching_session:queuing_latency")
    counts = [int(line.rsplit(" ", 1)[1]) for line in lines if "_bucket{" in line]
    assert counts == sorted(counts)
    assert counts[-1] == len(values)
    assert int(lines[-1].rsplit(" ", 1)[1]) == len(values)
    bounds = [float(re.findall(r'le="([^"]+)"', line)[0]) for line in lines if "_bucket{" in line]
    for bound, count in zip(bounds[:-1], counts[:-1], strict=True):
        exact = next(b for b in (100 * 1.2**i for i in range(52)) if f"{b:g}" == f"{bound:g}")
        assert count == sum(us < exact for us in values)


def test_nothing_is_lost_between_threads() -> None:
    """Four threads that count at once are counted all."""
    metrics = Metrics()

    def count() -> None:
        for _ in range(500):
            metrics.count_request("m", "OK")
            metrics.observe_queuing_latency(5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = metrics.page()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2000\n' in page
    assert ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name=""} 2000\n' in page
