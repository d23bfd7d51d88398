"""The pages that one server showed while a run was measured, and what it counted meanwhile.

A page that is not there, is cut off or starts anew is part of the history, and never an error.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise

from tfs_locust.tfserving.server_metrics import ServerWindow, delta, summed
from tfs_locust.tfserving.server_page import Page


@dataclass(slots=True)
class PageHistory:
    """Looks at one page: the first when the measured window began, the last when it had ended."""

    url: str
    guessed: bool = False
    """Nobody named it: it may be another server's."""
    looks: list[Page | None] = field(default_factory=list)
    """In the order of time. None: there was no page to read."""
    reason: str = ""
    """Why there was none, the last time that there was none."""
    beside_restarts: list[Page] = field(default_factory=list)
    """Pages from one of which to the next a counter went back: known with each look, for a long run has many."""

    @property
    def restarted(self) -> bool:
        """Whether a counter ever went back."""
        return bool(self.beside_restarts)

    def see(self, page: Page) -> None:
        """A page was read."""
        before = next((one for one in reversed(self.looks) if one is not None), None)
        if before is not None and delta(before, page).restarted:
            self.beside_restarts += [before, page]
        self.looks.append(page)

    def may_forget(self, index: int) -> bool:
        """Whether the others tell of the whole run what they did with this look."""
        look = self.looks[index]
        return 0 < index < len(self.looks) - 1 and not any(look is one for one in self.beside_restarts)

    def miss(self, reason: str) -> None:
        """No page was read."""
        self.looks.append(None)
        self.reason = reason

    @property
    def pages(self) -> list[Page]:
        """Those that were read."""
        return [page for page in self.looks if page is not None]

    @property
    def state(self) -> str:
        """``read``; ``partly``: not from the window's beginning to its end; ``restarted``; ``absent``: never two."""
        pages = self.pages
        if len(pages) < 2:
            return "absent"
        if self.restarted:
            return "restarted"
        return "read" if self.looks[0] is not None and self.looks[-1] is not None else "partly"

    def window(self, models: Collection[str] | None = None) -> ServerWindow | None:
        """What was counted from the first page to the last; None without two. With a restart between: before it, as
        far as it was seen, and after it together."""
        pages = self.pages
        if len(pages) < 2:
            return None
        whole = delta(pages[0], pages[-1], models)
        if not self.restarted:
            return whole
        return summed([delta(before, after, models) for before, after in pairwise(pages)], window_s=whole.window_s)

    def part(self, index: int, models: Collection[str] | None = None) -> ServerWindow | None:
        """What was counted between look ``index`` and the next; None where one of them read no page."""
        before, after = self.looks[index : index + 2]
        return None if before is None or after is None else delta(before, after, models)


def forget_half(histories: Collection[PageHistory], times: list[float]) -> None:
    """Drop every second look, of all histories alike, and of the ``times`` of the looks: what was counted in the whole
    run stays known as it was."""
    for index in range(len(times) - 2, 0, -2):
        if all(history.may_forget(index) for history in histories):
            for looks in (times, *(history.looks for history in histories)):
                del looks[index]  # type: ignore[attr-defined]
