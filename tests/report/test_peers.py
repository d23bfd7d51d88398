"""How the answers spread over the addresses of a name."""

from __future__ import annotations

import pytest

from tests.report.runs import run
from tfs_locust.report.console import closing_table
from tfs_locust.report.html import page
from tfs_locust.report.markdown import summary
from tfs_locust.report.peers import line, peers, skew


@pytest.mark.parametrize(
    ("answers", "expected"),
    [({}, None), ({"a:1": 5}, None), ({"a:1": 5, "b:1": 5}, 1.0), ({"a:1": 20, "b:1": 5, "c:1": 5}, 2.0)],
)
def test_skew(answers: dict[str, int], expected: float | None) -> None:
    """The busiest address's answers by the mean of all; nothing is skewed where there is one."""
    assert skew(answers) == expected


def test_it_is_told_everywhere() -> None:
    """Console, page and summary name each address with its answers, and how uneven they are."""
    result = {**run(), "peers": {"10.0.0.1:8500": 2000, "10.0.0.2:8500": 1000}}
    said = "answers by address: 10.0.0.1:8500 2,000, 10.0.0.2:8500 1,000; the busiest gave 1.33 times its even share"
    assert line(result) == said
    assert said in closing_table(result).splitlines()
    assert f"- {said}" in summary(result).splitlines()
    assert "<code>10.0.0.2:8500</code> 1,000; the busiest gave 1.33 times its even share." in page(result)


def test_one_address_is_not_told() -> None:
    """A run against one address has no skew, and no line of it."""
    result = {**run(), "peers": {"10.0.0.1:8500": 2000}}
    assert line(result) == ""
    assert "answers by address" not in closing_table(result) + summary(result) + page(result).lower()
    assert run()["peers"] == peers([])
    assert run()["peer_skew"] is None
