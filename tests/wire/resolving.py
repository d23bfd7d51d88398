"""Names that the machine does not know, for the engines whose names gevent resolves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gevent


class _Resolver:
    """gevent's, but that it knows more names."""

    def __init__(self, known: Any, names: Mapping[str, list[str]]) -> None:
        self._known = known
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._known, name)

    def getaddrinfo(self, host: Any, port: Any, *more: Any, **settings: Any) -> list[Any]:
        """As the standard library's; of a name that is known here all addresses, in their order."""
        name = host.decode() if isinstance(host, bytes) else host
        addresses = self._names.get(name, [host])
        return [found for address in addresses for found in self._known.getaddrinfo(address, port, *more, **settings)]


@contextmanager
def knowing(names: Mapping[str, list[str]]) -> Iterator[None]:
    """Within it, this thread's engines know ``names``: name -> addresses."""
    hub = gevent.get_hub()
    known = hub.resolver
    hub.resolver = _Resolver(known, names)
    try:
        yield
    finally:
        hub.resolver = known
