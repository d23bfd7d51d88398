"""What is known of a run beside its requests: what was done to the server, and what it said of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SWITCH = "switch"
"""The kind of a mark that triggers the switch to a version; other kinds are only shown."""
SHARE = "share"
"""A canary's share of the traffic has changed."""
ROLLBACK = "rollback"
"""A canary was given up, for what ``text`` says: the run fails."""
AVAILABLE = "AVAILABLE"
END = "END"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment at which something was done."""

    at_ns: int
    """Since the run's start, as whoever leads it puts it on the workers' clock: right to the time a report takes."""
    kind: str
    """One word, such as :data:`SWITCH`, ``restart`` or ``reload``."""
    text: str = ""
    """For people."""
    model: str = ""
    version: str = ""
    """Of a switch the version that is wanted, in digits."""
    timeout_s: float | None = None
    """How long that may take."""


@dataclass(frozen=True, slots=True)
class Poll:
    """The server's answer to one GetModelStatus."""

    at_ns: int
    """When it was there; on the clock of marks."""
    model: str
    states: Mapping[str, str]
    """Version in digits -> state as TensorFlow Serving calls it: ``START``, ``LOADING``, ``AVAILABLE``, ``UNLOADING``,
    ``END``."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Version -> what went wrong, of those for which the server says so."""


def remember(polls: list[Poll], new: Poll) -> None:
    """Keep another poll, in bounded memory: of polls of a model that say the same, the first and the last."""
    same = [at for at, one in enumerate(polls) if one.model == new.model][-2:]
    if len(same) == 2 and all((polls[at].states, polls[at].errors) == (new.states, new.errors) for at in same):
        del polls[same[1]]
    polls.append(new)
