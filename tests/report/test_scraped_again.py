"""A run that has ended stays as it was, however often it is scraped."""

from __future__ import annotations

from tests.unit.measured import MS, SECOND, sample, told
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.tally import Tally
from tfs_locust.report.exporter import Exporter
from tfs_locust.report.live import Live


def test_scrapes_leave_the_view_of_an_ended_run_alone() -> None:
    """What ended while load was on and what ended in the drain are put together anew each time: the view is kept."""
    tally, aggregate = Tally("w", 1, origin_ns=0), Aggregate()
    tally.record(sample(MS))
    tally.end_load(SECOND)
    tally.record(sample(3 * MS, due_ns=SECOND))
    aggregate.accept(told(tally, 2 * SECOND, final=True))
    ended = Live("r", aggregate.view(), {}, 0, 0.0, ended_s=2.0)
    exporter = Exporter(lambda: ended)
    scrapes = [{family.name: family.samples for family in exporter.collect()} for _ in range(3)]
    assert scrapes[0] == scrapes[1] == scrapes[2]
    assert [one.value for one in scrapes[2]["tfs_locust_requests"]] == [2]
