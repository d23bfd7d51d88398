"""Asks the servers again and again which versions of the run's models they have; where the run is led, beside its load.

It has a connection of its own and a small share of the time, and neither a server that is gone nor one that is slow
holds it, or the run's end, up: that is what outages look like, and it goes on asking.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event
from google.protobuf.message import DecodeError

from tfs_locust.measure.sample import Outcome
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.scenario import control_over
from tfs_locust.tfserving.control import CallFailed, Control
from tfs_locust.transport.base import Transport
from tfs_locust.transport.engine import LIBRARY, WIRE, open_transport, refusal
from tfs_locust.transport.grpc_library import use_gevent

Heard = Callable[[str, dict[str, str], dict[str, str]], None]
"""Takes a model, the state of each of its versions, and what went wrong with those of which the server says so."""

MOST_PER_S = 20
"""With so many models that this would be exceeded, each is asked about less often."""
_WITHIN_S = 2.0
_TRIES = 3
_HOPELESS = frozenset({Outcome.UNIMPLEMENTED, Outcome.NOT_FOUND, Outcome.PERMISSION_DENIED})
_logger = logging.getLogger(__name__)


def models_of(blueprints: Iterable[Blueprint]) -> dict[str, Blueprint]:
    """Each model once, with a target that asks for it: a gRPC one, if there is one.

    A model that is asked for at several servers is followed at one of them: their states put together would look like
    versions that come and go.
    """
    found: dict[str, Blueprint] = {}
    for one in blueprints:
        before = found.setdefault(one.target.model, one)
        if before.address.protocol == "rest" and one.address.protocol == "grpc":
            found[one.target.model] = one
    return found


class StatusWatch:
    """Follows some models, from :meth:`begin` to :meth:`end`."""

    def __init__(self, models: dict[str, Blueprint], *, every_s: float) -> None:
        """``every_s`` 0: nothing is asked."""
        self._models = models if every_s else {}
        self.every_s = max(every_s, len(models) / MOST_PER_S)
        """How often each model is asked about."""
        self._transports: list[Transport[object]] = []
        self._over = Event()

    def begin(self, heard: Heard) -> None:
        """Begin to ask, and to tell ``heard`` what is answered, in the moment in which it is. Waits for nothing."""
        controls: dict[object, Control] = {}
        for number, (model, target) in enumerate(self._models.items()):
            server = target.address.protocol, target.endpoint
            try:
                if server not in controls:
                    controls[server] = self._control(target)
            except (OSError, ValueError) as error:  # of a certificate or a header: told where load is sent
                _logger.warning("versions of model %r are not followed: %s", model, error)
                continue
            first_s = number * self.every_s / len(self._models)
            gevent.spawn(self._follow, model, controls[server], heard, first_s)

    def end(self) -> None:
        """Ask no more. What is being asked ends without an answer. Does nothing the second time."""
        self._over.set()
        while self._transports:
            self._transports.pop().close()

    def _control(self, target: Blueprint) -> Control:
        """By our own engine, if it can go there: it keeps to one of several servers behind a name."""
        if refusal(target.address, WIRE, None):
            use_gevent()
            transport = open_transport(target.address, target.endpoint, LIBRARY)
        else:
            transport = open_transport(target.address, target.endpoint, WIRE, 1)
        self._transports.append(transport)
        return control_over(transport, target.address, _WITHIN_S)

    def _follow(self, model: str, control: Control, heard: Heard, first_s: float) -> None:
        hopeless, pause_s = 0, first_s
        while not self._over.wait(pause_s):
            pause_s = self.every_s
            try:
                rows = control.status(model)
            except CallFailed as failure:
                why, hopeless = str(failure), hopeless + 1 if failure.outcome in _HOPELESS else 0
            except (DecodeError, ValueError, KeyError, TypeError) as error:
                why, hopeless = f"no status can be read in the answer: {error}", hopeless + 1
            else:
                hopeless = 0
                if not self._over.is_set():
                    heard(
                        model,
                        {str(row.version): row.state for row in rows},
                        {str(row.version): row.error for row in rows if row.error},
                    )
            if hopeless >= _TRIES:
                _logger.warning("versions of model %r are known from its answers alone: %s", model, why)
                return
