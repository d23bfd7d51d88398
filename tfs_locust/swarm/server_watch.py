"""Looks at the servers' metrics pages while a run is measured; where the run is led, beside its load.

The first look is when the measured window begins: before any request is sent, or where there is a warm-up at its end.
The last is when all that was in flight has ended. So the server has counted what the client has, but for what was in
flight at the end of the warm-up. A look that fails is noted, and never fails the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event

from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.server_settings import AUTO
from tfs_locust.tfserving.page_history import PageHistory
from tfs_locust.tfserving.server_page import METRICS_PATH, Page, PageError, fetch_page

EVERY_S = 5.0
"""To read a page takes milliseconds, in which a single process sends nothing."""
USUAL_REST_PORT = 8501
_TICK_S = 0.1
_TOLD_WITHIN_S = 3.0
"""Of the warm-up's end a master learns from its workers' reports, which come every 3 s (Locust 2.47)."""
_FIRST_WITHIN_S = 0.5
_WITHIN_S = 2.0
_LAST_WITHIN_S = 5.0  # what waits behind the last requests of a REST interface may take longer
_logger = logging.getLogger(__name__)


def pages_of(given: Iterable[str], blueprints: Iterable[Blueprint]) -> dict[str, bool]:
    """URLs of pages, and whether each was asked for rather than guessed.

    What ``auto`` stands for: of a REST target its own page, of a gRPC target one on the usual REST port of its host.
    """
    targets = list(blueprints)
    pages: dict[str, bool] = {}
    for one in given:
        if one != AUTO:
            pages[one] = True
            continue
        for address in (target.address for target in targets):
            host = f"[{address.host}]" if ":" in address.host else address.host
            if address.protocol == "rest":
                scheme = "https" if address.secure else "http"
                url = f"{scheme}://{host}:{address.port}{address.prefix}{METRICS_PATH}"
            else:
                url = f"http://{host}:{USUAL_REST_PORT}{METRICS_PATH}"
            pages.setdefault(url, False)
    return pages


class ServerWatch:
    """Looks at some pages, from :meth:`begin` to :meth:`end`."""

    def __init__(self, pages: dict[str, bool], *, every_s: float = EVERY_S) -> None:
        self.histories = [PageHistory(url, guessed=not asked) for url, asked in pages.items()]
        self.looked_at_s: list[float] = []
        """Unix time of each look."""
        self.asked = any(pages.values())
        """Whether any page was asked for."""
        self.late_s = 0.0
        """How much later than the warm-up's end the first look may be."""
        self._asked = pages
        self._every_s = every_s
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._begun = False

    def begin(self, when: Callable[[], float | None], *, wait: bool) -> None:
        """Begin to look when the time ``when()`` has come, or now where that is past.

        ``when`` tells by ``time.perf_counter`` when the warm-up is over; None as long as nobody knows. With ``wait``
        the first look is waited for a little, if it is due, so that load begins after it; a page that is slower begins
        its window late, rather than take time of the run. (On a master nothing may wait in ``test_start``: Locust 2.47
        would let the end of the run before fall into it; and its workers have much to do before they send.)
        """
        self.late_s = 0.0 if wait else _TOLD_WITHIN_S
        first = Event()
        self._greenlet = gevent.spawn(self._watch, when, first)
        now = when()
        if wait and now is not None and now <= time.perf_counter():
            first.wait(_FIRST_WITHIN_S)

    def end(self) -> None:
        """Take the last look. Does nothing the second time."""
        if self._greenlet is None:
            return
        self._greenlet.kill()
        self._greenlet = None
        if self._begun:
            self._look(_LAST_WITHIN_S)
        for history in self.histories:
            if history.state != "read" and self._asked[history.url]:
                reason = history.reason or "the run ended before the warm-up was over"
                _logger.warning("metrics page %s: %s: %s", history.url, history.state, reason)

    def _watch(self, when: Callable[[], float | None], first: Event) -> None:
        while (begins := when()) is None or begins > time.perf_counter():
            gevent.sleep(_TICK_S if begins is None else min(begins - time.perf_counter(), _TICK_S))
        self._begun = True
        self._look(_WITHIN_S)
        first.set()
        while True:
            gevent.sleep(self._every_s)
            self._look(_WITHIN_S)

    def _look(self, within_s: float) -> None:
        """Look at all pages at a time. Nothing is noted where that is cut short."""
        at_s = time.time()
        looks = [gevent.spawn(self._see, history, within_s) for history in self.histories]
        try:
            gevent.joinall(looks)
        finally:
            gevent.killall(looks, block=False)
        self.looked_at_s.append(at_s)
        for history, look in zip(self.histories, looks, strict=True):
            if isinstance(look.value, Page):
                history.see(look.value)
            else:
                history.miss(look.value or repr(look.exception))

    def _see(self, history: PageHistory, within_s: float) -> Page | str:
        if not self._asked[history.url] and history.looks[:1] == [None]:
            return history.reason  # one that was guessed and is not there is left in peace
        try:
            return fetch_page(history.url, timeout_s=within_s, now=time.time)
        except PageError as error:
            return str(error)
