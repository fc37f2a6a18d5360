"""The TLS handshakes of one port, with a bound in time for each and in processor time for all of them.

A client can begin handshakes without end, and each costs this process more than the client. This module must not decide
whose certificate is trusted.
"""

import trio
from OpenSSL import SSL

from lacnode.fair_share import TokenBucket
from lacnode.http.tls_stream import CertificateCheck, TlsStream

HANDSHAKE_SECONDS = 10.0
"""Seconds that a client may take for its handshake."""

HANDSHAKES_AT_ONCE = 2
"""Handshakes of a port that compute at the same time."""

HANDSHAKE_COST_SECONDS = 0.003
HANDSHAKES_SHARE, HANDSHAKES_BURST_SECONDS = 0.2, 1.0
"""The estimated processor time of a handshake, the share of one processor for all of them, and how much of it may be saved
up."""


class BoundedHandshakes:
    """Makes the TLS handshakes of one port with `context`. At most `HANDSHAKES_AT_ONCE` of them compute at a time, in
    threads that only they use."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context
        self._share = TokenBucket(HANDSHAKES_SHARE, HANDSHAKES_BURST_SECONDS)
        self._computing = trio.CapacityLimiter(HANDSHAKES_AT_ONCE)
        self._turn = trio.StrictFIFOLock()

    async def secure(self, stream: trio.SocketStream, check: CertificateCheck | None) -> TlsStream | None:
        """Make the handshake on a new connection, and return the encrypted stream. None if the client takes more than
        `HANDSHAKE_SECONDS`, the wait for its turn included. A `check` of None accepts clients without a certificate.
        trio.BrokenResourceError if the handshake fails or `check` does not trust the client. The caller closes `stream`
        in each case."""
        secured = TlsStream(stream, self._context, check, self._computing)
        with trio.move_on_after(HANDSHAKE_SECONDS):
            # A connection that is closed while it waits must cost nothing. Otherwise connections that come and go
            # would make a debt without bound, and the port would stay closed long after them.
            async with self._turn:
                await trio.sleep(self._share.wait_seconds(trio.current_time()))
                self._share.spend(HANDSHAKE_COST_SECONDS, trio.current_time())
            await secured.do_handshake()
            return secured
        return None
