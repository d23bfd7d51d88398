"""The bytes of a request in HTTP/1.1, made once before the run. Knows no connection."""

from __future__ import annotations

import re

from tfs_locust.transport.base import Endpoint

_PATH = re.compile(r"/[\x21-\x7e]*")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_CONTENT_TYPE = b"Content-Type: application/json\r\n"


class RequestMaker:
    """Makes the requests of one endpoint; what the user gives as header replaces what would be sent else."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises ValueError for a header that cannot be sent."""
        for name, value in endpoint.headers:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"{name!r}: {value!r} is no header field")
        given = {name.lower() for name, _ in endpoint.headers}
        usual = (("Host", endpoint.authority), ("User-Agent", "tfs-locust"), ("Accept-Encoding", "identity"))
        fields = [field for field in usual if field[0].lower() not in given] + list(endpoint.headers)
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")
        self._content_type = b"" if "content-type" in given else _CONTENT_TYPE

    def get(self, path: str) -> bytes:
        """Raises ValueError for a path that cannot stand in a request line (RFC 9112 section 3)."""
        return b"GET %b HTTP/1.1\r\n%b\r\n" % (_checked(path), self._fields)

    def post(self, path: str, body: bytes) -> bytes:
        """As ``get``, with a JSON document."""
        fields = self._fields + self._content_type
        return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (_checked(path), fields, len(body), body)


def server_name(endpoint: Endpoint) -> str:
    """The name that a server's certificate is to show: of the Host header where one is given, else the host's."""
    given = [value for name, value in endpoint.headers if name.lower() == "host"]
    return re.sub(r":\d+$", "", given[0]).strip("[]") if given else endpoint.host


def _checked(path: str) -> bytes:
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no path: expected printable ASCII that begins with /")
    return path.encode()
