"""Pages are asked as their targets are: with the target's headers and by its authority."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import trustme

from tests.unit.answering import answering, page, says
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.swarm.server_watch import PageSource, ServerWatch
from tfs_locust.tfserving.page_history import PageHistory
from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.tls import Tls


def _watched(url: str, target: Endpoint | None) -> PageHistory:
    """What came of two looks."""
    watch = ServerWatch({url: PageSource(asked=True, target=target)})
    watch.begin(lambda: 0.0, wait=True)
    watch.end()
    return watch.histories[0]


def test_headers_of_the_target() -> None:
    """They go to its own page, and to no other."""
    target = Endpoint("127.0.0.1", 1, headers=(("x-key", "secret"),))
    for shown_by, sent in ((target, True), (None, False)):
        heads: list[str] = []
        with answering(says(page(Metrics().page())), heads) as address:
            assert _watched(f"http://{address}/", shown_by).state == "read"
        assert [("x-key: secret" in head) for head in heads] == [sent, sent]


@contextmanager
def _over_tls(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                    connection.settimeout(10)
                    with context.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(4096)
                        secured.sendall(page(Metrics().page()))
                except OSError:  # nobody came, or one who does not trust us
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            stopped.set()
            thread.join(10)


def test_the_authority_of_the_target(tmp_path: Path) -> None:
    """A private one's page is read; a page that is not the target's is trusted by the system's authorities alone."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with _over_tls(authority) as url:
        assert _watched(url, Endpoint("127.0.0.1", 1, Tls(str(tmp_path / "ca.pem")))).state == "read"
        distrusted = _watched(url, None)
        assert distrusted.state == "absent"
        assert "CERTIFICATE_VERIFY_FAILED" in distrusted.reason
        missing = _watched(url, Endpoint("127.0.0.1", 1, Tls(str(tmp_path / "nowhere.pem"))))
        assert "No such file or directory" in missing.reason
