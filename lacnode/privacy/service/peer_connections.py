"""Connections to other managers, which stay open for the next call.

A new connection goes to a permitted address alone. With TLS, the server's certificate is checked before anything is sent.
This module must not choose what is sent.
"""

import ssl
from dataclasses import dataclass, replace

import trio

from lacnode.client_address import client_address
from lacnode.privacy.manager.peer_sender import PeerCall
from lacnode.privacy.service.fingerprints import Fingerprints
from lacnode.privacy.service.peer_exchange import PeerAnswer, PeerOrigin, encode_request, exchange, parse_origin
from lacnode.privacy.service.permitted_network import PermittedNetwork

CONNECT_SECONDS = 1.5
"""The time limit for a connection, as in Orion, and again for its TLS handshake."""


class UntrustedCertificateError(Exception):
    """The certificate of another manager's server is not the known one. The text is the server's `host:port`."""


@dataclass(slots=True)
class _Connection:
    """An open connection to `origin`, over TLS or not, whose other end is at `address`. It was last used at `since`
    (seconds of trio's clock)."""

    origin: PeerOrigin
    stream: trio.abc.Stream
    socket: trio.socket.SocketType
    address: str
    since: float = 0.0


class PeerConnections:
    """The connections of one TLS context over `network`. A new connection above `max_open` takes the place of an unused
    one.

    A server is trusted if the `context` trusts its certificate and, with `known`, if the fingerprint of the certificate
    is known. A connection that was not used for `keep_alive_seconds` is closed at the next call.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        network: PermittedNetwork,
        known: Fingerprints | None = None,
        *,
        max_open: int,
        keep_alive_seconds: float,
    ) -> None:
        self._context = context
        self._network = network
        self.known = known
        self._max_open = max_open
        self._keep_alive_seconds = keep_alive_seconds
        # In the order of their last use, the oldest first.
        self._unused: list[_Connection] = []
        self._in_use_count = 0
        context.set_alpn_protocols(["http/1.1"])

    async def send(self, call: PeerCall, max_answer_bytes: int) -> PeerAnswer:
        """Send the request of `call` and return the answer. The caller sends at most `max_open` at a time and bounds the
        time: there is no time limit for the answer.

        ValueError if the URL is malformed. OSError or trio.BrokenResourceError if there is no connection, with the
        error of TLS in the chain of causes. UntrustedCertificateError if the fingerprint is not known. AnswerError as
        for `exchange`, if the answer is malformed or its body has more than `max_answer_bytes`.
        """
        origin = parse_origin(call.url)
        request = encode_request(call, origin)
        self._in_use_count += 1
        connection, answer = None, None
        try:
            connection = await self._take(origin) or await self._connect(origin)
            answer = await exchange(connection.stream, request, max_answer_bytes)
            return replace(answer, address=connection.address)
        finally:
            # Also when the call is cancelled: no other code has the connection.
            self._in_use_count -= 1
            if connection is not None and answer is not None and answer.keeps_connection:
                connection.since = trio.current_time()
                self._unused.append(connection)
            elif connection is not None:
                await _close(connection.stream)

    async def close_unused(self) -> None:
        """Close the connections that no call uses now. Those in use go on. No error if there are none."""
        while self._unused:
            await _close(self._unused.pop().stream)

    async def _take(self, origin: PeerOrigin) -> _Connection | None:
        """Return an unused connection to `origin`, None if there is none. Outdated ones are closed."""
        outdated = trio.current_time() - self._keep_alive_seconds
        while self._unused and self._unused[0].since <= outdated:
            await _close(self._unused.pop(0).stream)
        # The last one that was used is the least likely to be closed by the other side.
        while (found := self._pop_last_used(origin)) is not None:
            # Nothing is expected on an unused connection. The other side has closed it, or sends what was not asked for.
            if not found.socket.is_readable():
                return found
            await _close(found.stream)
        return None

    def _pop_last_used(self, origin: PeerOrigin) -> _Connection | None:
        for index in range(len(self._unused) - 1, -1, -1):
            if self._unused[index].origin == origin:
                return self._unused.pop(index)
        return None

    async def _connect(self, origin: PeerOrigin) -> _Connection:
        if self._unused and len(self._unused) + self._in_use_count > self._max_open:
            await _close(self._unused.pop(0).stream)
        stream = await self._network.connect(origin.host, origin.port, CONNECT_SECONDS)
        address = client_address(stream)
        if not origin.is_tls:
            return _Connection(origin, stream, stream.socket, address)
        secured = trio.SSLStream(stream, self._context, server_hostname=origin.host, https_compatible=True)
        is_trusted = False
        try:
            with trio.fail_after(CONNECT_SECONDS):
                await secured.do_handshake()
            is_trusted = await self._is_known(origin, secured)
        except trio.TooSlowError as error:
            raise TimeoutError(f"{origin.name} ends no TLS handshake") from error
        finally:
            # Also when the task is cancelled, while a certificate is checked for example.
            if not is_trusted:
                await _close(stream)
        if not is_trusted:
            raise UntrustedCertificateError(origin.name)
        return _Connection(origin, secured, stream.socket, address)

    async def _is_known(self, origin: PeerOrigin, secured: trio.SSLStream[trio.SocketStream]) -> bool:
        """Return True if the certificate has a known fingerprint, and if fingerprints do not count."""
        if self.known is None:
            return True
        certificate: bytes | None = secured.getpeercert(binary_form=True)
        # This may write the file of fingerprints, so it runs in a thread.
        return certificate is not None and await trio.to_thread.run_sync(
            self.known.trusts_or_records, origin.name, certificate
        )


async def _close(stream: trio.abc.Stream) -> None:
    # A cancelled task closes its connection and those that it found, too.
    with trio.CancelScope(shield=True):
        await trio.aclose_forcefully(stream)
