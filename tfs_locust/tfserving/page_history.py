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
    _counted: dict[tuple[int, frozenset[str] | None], ServerWindow] = field(default_factory=dict, repr=False)
    """What was counted between a look and the one before, for some models. Live displays ask again and again."""

    def _stretches(self, models: Collection[str] | None) -> list[ServerWindow]:
        """What was counted between each two pages, one after the other."""
        read = [index for index, page in enumerate(self.looks) if page is not None]
        return [self._between(before, after, models) for before, after in pairwise(read)]

    def _between(self, before: int, after: int, models: Collection[str] | None) -> ServerWindow:
        """The same, of two looks that read a page, with none read between."""
        key = after, None if models is None else frozenset(models)
        counted = self._counted.get(key)
        if counted is None:
            earlier, later = self.looks[before], self.looks[after]
            assert earlier is not None
            assert later is not None
            counted = self._counted[key] = delta(earlier, later, models)
        return counted

    def see(self, page: Page) -> None:
        """A page was read."""
        self.looks.append(page)

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
        stretches = self._stretches(None)
        if not stretches:
            return "absent"
        if any(one.restarted for one in stretches):
            return "restarted"
        return "read" if self.looks[0] is not None and self.looks[-1] is not None else "partly"

    def window(self, models: Collection[str] | None = None) -> ServerWindow | None:
        """What was counted from the first page to the last; None without two. With a restart between: before it, as
        far as it was seen, and after it together."""
        pages = self.pages
        if len(pages) < 2:
            return None
        whole = delta(pages[0], pages[-1], models)
        parts = self._stretches(models)
        return summed(parts, window_s=whole.window_s) if any(part.restarted for part in parts) else whole

    def part(self, index: int, models: Collection[str] | None = None) -> ServerWindow | None:
        """What was counted between look ``index`` and the next; None where one of them read no page."""
        before, after = self.looks[index : index + 2]
        return None if before is None or after is None else self._between(index, index + 1, models)
