"""The pages of a run, whatever became of them: what was counted, as far as it was seen."""

from __future__ import annotations

from tfs_locust.embedded.metrics import Metrics
from tfs_locust.tfserving.page_history import PageHistory, forget_half
from tfs_locust.tfserving.server_page import Page, parse_page


def _page(requests: int, at_s: float) -> Page:
    metrics = Metrics()
    for _ in range(requests):
        metrics.count_request("m", "OK")
        metrics.observe_request_latency("m", "Predict", "GRPC", 500)
    return parse_page(metrics.page(), at_s=at_s)


def _history(*looks: Page | str) -> PageHistory:
    history = PageHistory("http://s/")
    for look in looks:
        if isinstance(look, str):
            history.miss(look)
        else:
            history.see(look)
    return history


def _counted(history: PageHistory) -> int:
    window = history.window({"m"})
    assert window is not None
    return window.predict_calls


def test_all_is_seen() -> None:
    """From the first page to the last, and between each two."""
    history = _history(_page(2, 10), _page(5, 12), _page(9, 15))
    assert (history.state, _counted(history)) == ("read", 7)
    parts = [history.part(index) for index in range(2)]
    assert [part and (part.predict_calls, part.window_s) for part in parts] == [(3, 2), (4, 3)]


def test_a_look_between_that_fails() -> None:
    """It costs a stretch of the timeline, and nothing of the whole."""
    history = _history(_page(2, 10), "cut off", _page(9, 15))
    assert (history.state, history.reason, _counted(history)) == ("read", "cut off", 7)
    assert [history.part(index) for index in range(2)] == [None, None]


def test_the_first_or_the_last_look_fails() -> None:
    """What was seen is told, and that it is not the whole."""
    late, early = _history("refused", _page(4, 12), _page(9, 15)), _history(_page(2, 10), _page(5, 12), "refused")
    assert (late.state, _counted(late)) == ("partly", 5)
    assert (early.state, _counted(early)) == ("partly", 3)


def test_never_two_pages() -> None:
    """Nothing can be said."""
    for history in (_history(), _history("refused", "refused"), _history("refused", _page(4, 12))):
        assert (history.state, history.window()) == ("absent", None)


def test_a_restart_between() -> None:
    """What was seen before it and what came after it are added up, and it is told."""
    history = _history(_page(10, 10), _page(15, 12), _page(3, 14), _page(4, 15))
    window = history.window({"m"})
    assert window is not None
    assert (history.state, window.restarted, window.predict_calls, window.window_s) == ("restarted", True, 5 + 3 + 1, 5)


def test_a_long_run_forgets_looks_and_no_counts() -> None:
    """Every second look goes, but none of those from which to the next the server began anew: the whole is the same."""
    began_anew, missed = 5, 12
    looks = [_page(at if at < began_anew else at - began_anew, at) for at in range(20)]
    history = _history(*("refused" if at == missed else look for at, look in enumerate(looks)))
    whole, times = _counted(history), [float(at) for at in range(20)]
    for _ in range(5):
        forget_half([history], times)
        assert (history.state, _counted(history)) == ("restarted", whole)
        assert [page.at_s for page in history.pages] == [at for at in times if at != missed]
    assert times == [0, 4, 5, 19]
