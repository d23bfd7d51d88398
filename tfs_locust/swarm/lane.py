"""One user's part in an open loop: requests that are sent when they are due, whether or not others are answered."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import get_hub, getcurrent
from gevent.event import Event
from greenlet import GreenletExit
from locust.exception import InterruptTaskSet, RescheduleTask, StopUser

from tfs_locust.swarm.crew import Crew

if TYPE_CHECKING:
    from tfs_locust.swarm.users import PredictUser

_logger = logging.getLogger(__name__)


class Lane:
    """Sends for one user, up to ``most`` requests at a time."""

    def __init__(self, user: PredictUser, crew: Crew, most: int, on_room: Callable[[Lane], None]) -> None:
        """``on_room`` is called when there is room again for a request where there was none."""
        self.user = user
        self.in_flight = 0
        self.is_listed = False
        """The open loop's own: it is among those that may have room."""
        self._most = most
        self._crew = crew
        self._on_room = on_room
        self._senders: set[Any] = set()
        self._leaving = Event()
        self._empty = Event()

    @property
    def is_full(self) -> bool:
        return self.in_flight >= self._most

    @property
    def has_room(self) -> bool:
        """Whether it is to be given anything, in turn with others."""
        return self.in_flight < self._most and not self._leaving.is_set()

    def send(self, due_ns: int) -> None:
        """Begin what was due; it must not be full. In the hub."""
        self.in_flight += 1
        self._crew.do(self._request, due_ns)

    def stop(self) -> None:
        """Nothing more is to be sent."""
        self._leaving.set()

    def wait_for_stop(self) -> None:
        """Return when it was stopped, by whom it belongs to or by one of its own requests."""
        self._leaving.wait()

    def wait_for_answers(self) -> None:
        """Return when nothing is in flight."""
        while self.in_flight:
            self._empty.clear()
            self._empty.wait()

    def close(self) -> None:
        """Its user ends, and what is still in flight with it."""
        self._leaving.set()
        for sender in self._senders:
            get_hub().loop.run_callback(self._kill, sender)

    def _kill(self, sender: Any) -> None:
        if sender in self._senders:  # else it has come to its end meanwhile, and may do something else
            sender.throw(GreenletExit)

    def _request(self, due_ns: int) -> None:
        user, me = self.user, getcurrent()
        self._senders.add(me)
        try:
            user.send_due(due_ns)
        except GreenletExit:
            raise
        except StopUser:
            self._leaving.set()
        except (InterruptTaskSet, RescheduleTask):
            pass
        except Exception as error:
            _logger.error("%s\n%s", error, traceback.format_exc())  # noqa: TRY400 - as Locust does it
            user.environment.events.user_error.fire(user_instance=user, exception=error, tb=error.__traceback__)
        finally:
            self._senders.discard(me)
            self.in_flight -= 1
            if not self.in_flight:
                self._empty.set()
            if self.in_flight == self._most - 1:
                self._on_room(self)
