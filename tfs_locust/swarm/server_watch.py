"""Looks at the servers' metrics pages while a run is measured; where the run is led, beside its load.

The first look is when the measured window begins: before any request is sent, or where there is a warm-up at its end.
The last is when all that was in flight has ended. So the server has counted what the client has, but for what was in
flight at the end of the warm-up. A look that fails is noted, and never fails the run.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import gevent
from gevent.event import Event

from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.server_settings import AUTO
from tfs_locust.tfserving.page_history import PageHistory, forget_half
from tfs_locust.tfserving.server_page import METRICS_PATH, Page, PageError, fetch_page
from tfs_locust.transport.address import Address
from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.tls import client_context

MOST_LOOKS = 720
"""Kept of the first hour. In a longer run every second one is forgotten, and half as many follow."""
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


@dataclass(frozen=True, slots=True)
class PageSource:
    """Where a page is, besides its URL."""

    asked: bool
    """Somebody named it; else it was guessed."""
    target: Endpoint | None = None
    """The target that shows it: it is asked with the target's headers and certificates."""


def pages_of(given: Iterable[str], blueprints: Iterable[Blueprint]) -> dict[str, PageSource]:
    """The pages to look at, by URL.

    What ``auto`` stands for: of a REST target its own page, of a gRPC target one on the usual REST port of its host.
    """
    targets = list(blueprints)
    own = {_origin(one.address): one.endpoint for one in targets if one.address.protocol == "rest"}
    pages: dict[str, PageSource] = {}
    for one in given:
        if one != AUTO:
            parts = urlsplit(one)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            pages[one] = PageSource(asked=True, target=own.get((parts.scheme, parts.hostname or "", port)))
            continue
        for address in (target.address for target in targets):
            scheme, name, port = _origin(address)
            host = f"[{name}]" if ":" in name else name
            if address.protocol == "rest":
                url = f"{scheme}://{host}:{port}{address.prefix}{METRICS_PATH}"
                pages.setdefault(url, PageSource(asked=False, target=own[scheme, name, port]))
            else:
                pages.setdefault(f"http://{host}:{USUAL_REST_PORT}{METRICS_PATH}", PageSource(asked=False))
    return pages


def _origin(address: Address) -> tuple[str, str, int]:
    return "https" if address.secure else "http", address.host, address.port


class ServerWatch:
    """Looks at some pages, from :meth:`begin` to :meth:`end`."""

    def __init__(self, pages: dict[str, PageSource], *, every_s: float = EVERY_S) -> None:
        self.histories = [PageHistory(url, guessed=not page.asked) for url, page in pages.items()]
        self.looked_at_s: list[float] = []
        """Unix time of each look."""
        self.asked = any(page.asked for page in pages.values())
        """Whether any page was asked for."""
        self.late_s = 0.0
        """How much later than the warm-up's end the first look may be."""
        self._pages = pages
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
            if history.state != "read" and not history.guessed:
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
            if len(self.looked_at_s) > MOST_LOOKS:
                forget_half(self.histories, self.looked_at_s)
                self._every_s *= 2

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
        if history.guessed and history.looks[:1] == [None]:
            return history.reason  # one that was guessed and is not there is left in peace
        target = self._pages[history.url].target
        try:
            # gevent's context, as Locust has put it into the module
            tls = client_context(target.tls, ssl.SSLContext) if target is not None and target.tls is not None else None
            headers = None if target is None else dict(target.headers)
            return fetch_page(history.url, timeout_s=within_s, now=time.time, headers=headers, tls=tls)
        except (PageError, OSError) as error:
            return str(error)
