"""Two runs compared: real changes are found, chance is called chance."""

from __future__ import annotations

from tests.report.runs import run
from tfs_locust.judge.verdict import ExitCode
from tfs_locust.report.compare import Change, Comparison, compare, comparison_text


def changes(comparison: Comparison) -> dict[str, Change]:
    """What became of each number."""
    return {one.name: one.change for one in comparison.differences}


def test_a_run_is_no_worse_than_itself() -> None:
    """All ratios are 1 and nothing changed."""
    one = run(seconds=5)
    comparison = compare(one, one)
    assert set(changes(comparison).values()) == {Change.SAME}
    assert {difference.ratio for difference in comparison.differences} == {1.0}
    assert comparison.exit_code == ExitCode.PASS


def test_the_same_load_again_is_no_regression() -> None:
    """Two runs of one distribution differ by chance, and none of it is called a regression."""
    comparison = compare(run(seed=1), run(seed=2), 0.01)
    assert Change.REGRESSION not in changes(comparison).values()
    assert comparison.exit_code == ExitCode.PASS


def test_a_slower_server_is_found() -> None:
    """A median 30 % up is a regression of it, and an improvement the other way round."""
    fast, slow = run(median_ms=8), run(median_ms=10.4, seed=2)
    worse, better = compare(fast, slow), compare(slow, fast)
    assert changes(worse)["response p50"] is Change.REGRESSION
    assert changes(worse)["service mean"] is Change.REGRESSION
    assert worse.exit_code == ExitCode.FAIL
    assert changes(better)["response p50"] is Change.BETTER
    assert better.exit_code == ExitCode.PASS
    (p50,) = (one for one in worse.differences if one.name == "response p50")
    assert p50.ratio is not None
    assert abs(p50.ratio - 1.3) < 0.05


def test_the_tolerance_is_kept() -> None:
    """What is 30 % slower is the same to one who tolerates 50 %."""
    assert compare(run(median_ms=8), run(median_ms=10.4, seed=2), 0.5).exit_code == ExitCode.PASS


def test_less_throughput_is_a_regression() -> None:
    """Half the rate is found; twice the rate is better."""
    full, half = run(per_second=200, failing=0), run(per_second=100, failing=0)
    assert changes(compare(full, half))["throughput"] is Change.REGRESSION
    assert changes(compare(half, full))["throughput"] is Change.BETTER


def test_more_errors_are_a_regression() -> None:
    """From 0.4 % to 5 % of failures, and from none to 5 %."""
    few, many, none = run(failing=0.004), run(failing=0.05), run(failing=0)
    assert changes(compare(few, many))["error rate"] is Change.REGRESSION
    assert changes(compare(none, many))["error rate"] is Change.REGRESSION
    assert changes(compare(many, none))["error rate"] is Change.BETTER


def test_a_difference_that_may_be_chance_is_unclear() -> None:
    """A dozen requests tell nothing of p99.9, however far apart they are."""
    comparison = compare(run(seconds=1, per_second=16, seed=3), run(seconds=1, per_second=16, median_ms=12, seed=4))
    assert changes(comparison)["response p99.9"] is Change.UNCLEAR
    assert "it may be chance (longer runs would tell): " in comparison_text(comparison)


def test_a_run_that_is_not_to_be_believed_cannot_be_compared() -> None:
    """A lost worker in either run is INVALID, exit 3, and named."""
    comparison = compare(run(seconds=2), run(seconds=2, lost=True))
    assert comparison.exit_code == ExitCode.INVALID
    assert comparison.doubts[0].startswith("the second run: worker-lost: worker-1")
    assert "not comparable: the second run: worker-lost" in comparison_text(comparison)


def test_the_text_ends_with_the_answer() -> None:
    """The last line names the regressions, the tolerance and the confidence."""
    text = comparison_text(compare(run(per_second=200, failing=0), run(per_second=100, failing=0)))
    assert text.splitlines()[-1] == "regression: throughput, rows (5 % tolerance, 95 % confidence)"
