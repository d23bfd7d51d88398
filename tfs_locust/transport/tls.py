"""Certificates, as paths of PEM files, and the client's TLS context made from them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """No ``ca_file``: the system's authorities. Certificate and key: the client's own, for mutual TLS."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


def client_context(tls: Tls, kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """A verifying context, of gevent's own ``kind`` where its sockets are to yield.

    Raises OSError (ssl.SSLError among them) for a file that is missing or no PEM.
    """
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(tls.ca_file)
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context
