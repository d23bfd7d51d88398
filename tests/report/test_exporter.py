"""The exporter's series: what they count, where their buckets lie, and that there are never too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.unit.measured import MS, SECOND, durations, keys, sample, told
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import judge, judge_all
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.cell import WARMUP
from tfs_locust.measure.sample import Outcome, Sample
from tfs_locust.measure.tally import Tally, unsent
from tfs_locust.report.exporter import MOST_KEYS, MOST_NAMES, WORKER, Exporter
from tfs_locust.report.live import Live

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def live(
    samples: Sequence[Sample], *expressions: str, run_id: str = "r", warmup_ns: int = 0, ended: bool = False
) -> Live:
    """A run in which these were recorded, by one worker."""
    tally, aggregate = Tally("w", 1, origin_ns=0, warmup_ns=warmup_ns), Aggregate()
    for one in samples:
        tally.started += one.key.outcome is not Outcome.UNSENT
        tally.record(one)
    aggregate.accept(told(tally, 10 * SECOND, final=ended))
    view, objectives = aggregate.view(timeline=False), parse_objectives(expressions)
    verdict = judge(view, objectives) if ended else None
    judged = judge_all(view, objectives)
    return Live(
        run_id, view, {"A": 3}, 5, 1_700_000_000.0, asked=objectives, objectives=judged, verdict=verdict,
        info={"run": run_id}, ended_s=1_700_000_010.0 if ended else None,
    )  # fmt: skip


def series(exporter: Exporter) -> Series:
    """What a scrape gives."""
    registry = CollectorRegistry()
    registry.register(exporter)
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parse(generate_latest(registry).decode())
        for one in family.samples
    }


def total(of: Series, name: str, **labels: str) -> float:
    """The sum of the series of this name that carry these labels."""
    return sum(value for (own, given), value in of.items() if own == name and labels.items() <= dict(given).items())


@given(st.lists(st.tuples(keys, durations, st.booleans()), max_size=20))
def test_counts_are_the_views(given_samples: list[tuple[object, int, bool]]) -> None:
    """Every request is in one counter, the warm-up's apart; a histogram holds all that were sent."""
    samples = [
        sample(response_ns, due_ns=0 if early else SECOND)._replace(key=key)  # type: ignore[arg-type]
        for key, response_ns, early in given_samples
    ]
    run = live(samples, warmup_ns=SECOND)
    shown = series(Exporter(lambda: run))
    judged = [cell for key, cell in run.view.cells.items() if key.phase != WARMUP]
    assert total(shown, "tfs_locust_requests_total") == sum(cell.count for cell in judged)
    assert total(shown, "tfs_locust_requests_total") + total(shown, "tfs_locust_warmup_requests_total") == len(samples)
    for key in {cell_key.key for cell_key in run.view.cells}:
        labels = dict(zip(key._fields, map(str, key), strict=True))
        counted = sum(cell.count for one, cell in run.view.cells.items() if one.key == key and one.phase != WARMUP)
        assert total(shown, "tfs_locust_requests_total", **labels) == counted
    sent = sum(c.count for k, c in run.view.cells.items() if k.phase != WARMUP and k.key.outcome is not Outcome.UNSENT)
    for name in ("response_time", "service_time"):
        assert total(shown, f"tfs_locust_{name}_seconds_count") == sent
        assert total(shown, f"tfs_locust_{name}_seconds_bucket", le="+Inf") == sent


@given(st.lists(durations, min_size=1, max_size=50))
def test_buckets_are_exact(times_ns: list[int]) -> None:
    """A bucket holds the requests that took its bound or less; there is one at the bound of each objective on times."""
    run = live([sample(one) for one in times_ns], "p99<123ms", "service_mean<4.5s", "error_rate<1%")
    shown = series(Exporter(lambda: run))
    bounds = {dict(labels)["le"] for name, labels in shown if name == "tfs_locust_response_time_seconds_bucket"}
    assert {"0.123", "4.5", "0.00025", "60.0", "+Inf"} <= bounds
    for bound in bounds - {"+Inf"}:
        within = sum(one <= round(float(bound) * SECOND) for one in times_ns)
        assert total(shown, "tfs_locust_response_time_seconds_bucket", le=bound) == within
    assert total(shown, "tfs_locust_response_time_seconds_sum") == pytest.approx(sum(times_ns) / SECOND)


def test_labels_stay_bounded() -> None:
    """Ten thousand versions make a bounded number of series, nothing is lost, and what had a series of its own keeps
    it; a new run begins anew."""
    samples = [sample(MS, version=str(number)) for number in range(10_000)]
    run = live(samples[:150])
    exporter = Exporter(lambda: run)
    before = series(exporter)
    run = live(samples)
    after = series(exporter)
    assert len({labels for name, labels in after if name == "tfs_locust_requests_total"}) == MOST_KEYS + 1
    assert total(after, "tfs_locust_requests_total") == 10_000
    assert total(after, "tfs_locust_requests_total", version="other", outcome="ok") == 10_000 - MOST_KEYS
    assert all(after[one] >= value for one, value in before.items() if one[0].endswith("_total"))
    run = live(samples[9_000:9_010], run_id="s")
    assert total(series(exporter), "tfs_locust_requests_total", version="9005") == 1


def test_names_of_pages_leave_room_for_models() -> None:
    """Plain Locust users may name a thousand pages: what is sent to models afterwards still has series of its own."""
    pages = [sample(MS, model="", scenario=f"/page/{number}") for number in range(1_000)]
    shown = series(Exporter(lambda: live(pages + [sample(MS, version=str(number)) for number in range(300)])))
    assert len({labels for name, labels in shown if name == "tfs_locust_requests_total"}) == MOST_NAMES + MOST_KEYS + 1
    assert total(shown, "tfs_locust_requests_total") == 1_300
    assert total(shown, "tfs_locust_requests_total", version=str(MOST_KEYS - 1)) == 1


def test_edges_stay_when_a_search_has_ended() -> None:
    """A search has no verdict on the run's objectives; the edges at their bounds are there until its end."""
    searched = replace(live([sample(MS)], "p99<123ms", ended=True), objectives=())
    shown = series(Exporter(lambda: searched))
    assert total(shown, "tfs_locust_response_time_seconds_bucket", le="0.123") == 1
    assert not [name for name, _ in shown if "_slo_" in name]


def test_counters_never_fall_in_a_run() -> None:
    """What is scraped does not change what is scraped next: views are copies, and phases are put together anew."""
    tally, aggregate = Tally("w", 1, origin_ns=0), Aggregate()
    tally.record(sample(MS))
    tally.end_load(2 * MS)
    tally.record(sample(3 * MS))  # in the drain
    aggregate.accept(told(tally))
    run = Live("r", aggregate.view(), {}, 0, 0.0)
    exporter = Exporter(lambda: run)
    assert series(exporter) == series(exporter)
    assert total(series(exporter), "tfs_locust_requests_total") == 2


def test_objectives_and_verdict() -> None:
    """Met, decided and budget while the run goes on; the verdict when it has ended."""
    samples = [sample(MS)] * 990 + [sample(MS, outcome=Outcome.UNAVAILABLE)] * 10
    given = ("error_rate<2%", "error_rate<0.5%", "p99<100ms", "mean<5ms", "throughput>=1/s")
    running = series(Exporter(lambda: live(samples, *given)))
    assert total(running, "tfs_locust_slo_met", objective="error_rate<2%") == 1
    assert total(running, "tfs_locust_slo_budget_remaining_ratio", objective="error_rate<2%") == pytest.approx(0.5)
    assert total(running, "tfs_locust_slo_decided", objective="error_rate<2%") == 1
    assert total(running, "tfs_locust_slo_met", objective="error_rate<0.5%") == 0
    assert total(running, "tfs_locust_slo_budget_remaining_ratio", objective="error_rate<0.5%") == pytest.approx(-1)
    assert total(running, "tfs_locust_slo_met", objective="p99<100ms") == 1
    assert total(running, "tfs_locust_slo_decided", objective="p99<100ms") == 0
    assert not [name for name, _ in running if name in {"tfs_locust_verdict", "tfs_locust_run_end_timestamp_seconds"}]
    ended = series(Exporter(lambda: live(samples, *given, ended=True)))
    words = {state: total(ended, "tfs_locust_verdict", state=state) for state in ("PASS", "FAIL", "INVALID")}
    assert words == {"PASS": 0, "FAIL": 1, "INVALID": 0}


def test_unsent_requests_have_no_times() -> None:
    """What was never sent is counted, and took no time."""
    given_up = unsent(sample(MS).key, 0, SECOND, 1)
    shown = series(Exporter(lambda: live([given_up, sample(MS)])))
    assert total(shown, "tfs_locust_requests_total", outcome="unsent") == 1
    assert total(shown, "tfs_locust_unsent_total") == 1
    assert total(shown, "tfs_locust_response_time_seconds_count") == 1


def test_a_workers_series_have_other_names() -> None:
    """No series of a worker has the name of one of the whole run, and what only the whole run knows is not there."""
    run = live([sample(MS)], "p99<1s")
    of_worker = {name for name, _ in series(Exporter(lambda: run, WORKER))}
    of_run = {name for name, _ in series(Exporter(lambda: run))}
    assert of_worker.isdisjoint(of_run)
    assert all(name.startswith("tfs_locust_worker_") for name in of_worker)
    assert {name.replace("_worker", "") for name in of_worker} - of_run == {"tfs_locust_info"}
    assert "tfs_locust_worker_slo_met" not in of_worker


def test_nothing_before_the_first_run() -> None:
    """No run, no series."""
    assert series(Exporter(lambda: None)) == {}


def test_openmetrics() -> None:
    """It can be read as OpenMetrics, with the same numbers."""
    run = live([sample(MS), sample(2 * MS, outcome=Outcome.UNAVAILABLE)], "p99<100ms", ended=True)
    registry = CollectorRegistry()
    registry.register(Exporter(lambda: run))
    read = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parse_openmetrics(generate_openmetrics(registry).decode())
        for one in family.samples
    }
    assert read == series(Exporter(lambda: run))


def test_label_values_are_escaped() -> None:
    """Whatever a model or scenario is called, the page can be read back."""
    odd = 'a"b\\c\nd {e}'
    shown = series(Exporter(lambda: live([sample(MS, model=odd)])))
    assert total(shown, "tfs_locust_requests_total", model=odd) == 1
