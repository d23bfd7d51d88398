"""When what is done to a server: known as a whole before anything is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tfs_locust.change.change import Change, Wanted
from tfs_locust.tfserving.control import Ask


@dataclass(frozen=True, slots=True)
class Step:
    """A change is made, or with ``back`` taken back; not before ``at_s``, and not before the step before it."""

    at_s: float
    change: Change
    back: bool = False

    @property
    def told(self) -> str:
        """What happens, as an order."""
        return self.change.undoes if self.back else self.change.does

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """The switches that it triggers."""
        return self.change.wanted_back if self.back else self.change.wanted


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a run, rising in time."""

    steps: tuple[Step, ...]

    @property
    def told(self) -> str:
        """All of it in a line."""
        return "; ".join(f"{one.told} after {one.at_s:g} s" for one in self.steps)

    @property
    def last_s(self) -> float:
        """When the last step is due."""
        return self.steps[-1].at_s


@dataclass(frozen=True, slots=True)
class Site:
    """What is known of the run that a plan is made for."""

    models: tuple[str, ...]
    """Those that it asks for."""
    asking: Callable[[str, float], tuple[str, Ask]]
    """The gRPC interface at an address, or with an empty one that of the run's own server: for people, and a function
    that asks it with a deadline in seconds. Raises ValueError where there is no such address, or more than one."""
