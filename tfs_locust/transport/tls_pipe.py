"""A client's TLS without I/O: bytes of the wire in, plain bytes out, and the other way round."""

from __future__ import annotations

import ssl

_BLOCK_BYTES = 1 << 18


class TlsPipe:
    """One TLS connection. Plain bytes given before the handshake is over are kept until then."""

    def __init__(self, context: ssl.SSLContext, host: str, protocol: str) -> None:
        """``protocol`` is to be agreed on by ALPN (RFC 7301), or the handshake fails; ``context`` offers it."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._protocol = protocol
        self._shaken = False
        self._early = b""

    def encrypt(self, data: bytes) -> bytes:
        """What is to be written for ``data``, or for the handshake."""
        if not self._shaken:
            self._early += data
            self._shake()
        else:
            self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """The plain bytes in ``data`` and what came before; call ``encrypt`` after it, to write what it calls for.

        Raises ssl.SSLError for a peer that is not trusted, or speaks neither TLS nor the protocol.
        """
        self._incoming.write(data)
        if not self._shaken:
            self._shake()
            if not self._shaken:
                return b""
        plain = []
        try:
            while block := self._tls.read(_BLOCK_BYTES):
                plain.append(block)
        except ssl.SSLWantReadError:
            pass
        return b"".join(plain)

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        if self._tls.selected_alpn_protocol() != self._protocol:
            raise ssl.SSLError(f"the server does not offer {self._protocol} over TLS (ALPN)")
        self._shaken = True
        if self._early:
            self._tls.write(self._early)
            self._early = b""
