"""TLS of an accepted connection, by OpenSSL.

Python's `ssl` does not show a server the certificate of an unknown origin. Trust on first use and lists of fingerprints need
such certificates. Handshakes run in worker threads, because they compute and may write the list. This module must not read
anything from a client that is not trusted.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
import trio
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from lacnode.privacy.service.tls import ServerTls

log = structlog.get_logger("privacy")

READ_BYTES = 65_536
MAX_PLAINTEXT_BYTES = 16_384
"""The largest content of one TLS record."""

MAX_NAME_CHARACTERS, MAX_LOGGED_NAMES = 253, 1024

CERTIFICATE_ERRORS = {
    code: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, code in vars(SSL.X509VerificationCodes).items()
    if name.startswith("ERR_")
}
"""The texts of OpenSSL's errors about a chain."""

Answer = TypeVar("Answer")
Argument = TypeVar("Argument")


class TlsStream(trio.abc.Stream):
    """A TLS stream over `transport`. Call `do_handshake` first. trio.BrokenResourceError if either side breaks off TLS."""

    def __init__(self, transport: trio.SocketStream, tls: ServerTls) -> None:
        self._transport = transport
        self._sending = trio.StrictFIFOLock()
        self._check = _CertificateCheck(tls)
        # Without a socket OpenSSL works on memory. trio does the reading and writing, so no thread waits for a client.
        self._connection = SSL.Connection(tls.context, None)
        self._connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._check.verify)
        self._connection.set_accept_state()

    async def do_handshake(self) -> None:
        """Make the handshake. trio.BrokenResourceError if the client's certificate is not trusted."""
        await self._repeat_until_done(partial(trio.to_thread.run_sync, self._connection.do_handshake))
        # The handshake fails by itself for such a client. This check is a second one, for a handshake that ends without
        # a call of the verify callback.
        if not self._check.is_trusted:
            await trio.aclose_forcefully(self._transport)
            raise trio.BrokenResourceError("the client has not been looked at")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream.send_all`."""
        rest = memoryview(data)
        while rest:
            # One record at a time. OpenSSL would copy the whole of a payload of 16 MB into its memory at once.
            part = rest[:MAX_PLAINTEXT_BYTES].tobytes()
            rest = rest[await self._repeat_until_done(partial(_call_without_waiting, self._connection.send, part)) :]

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream.wait_send_all_might_not_block`."""
        async with self._sending:
            await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream.receive_some`."""
        try:
            return await self._repeat_until_done(
                partial(_call_without_waiting, self._connection.recv, max_bytes or READ_BYTES)
            )
        except SSL.ZeroReturnError:
            return b""

    async def aclose(self) -> None:
        """Close the TLS session without waiting for the client's answer, as HTTP does."""
        try:
            self._connection.shutdown()
            # The client may have stopped reading. The close must not wait for it.
            with trio.move_on_after(1):
                await self._flush()
        except (SSL.Error, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await self._transport.aclose()

    async def _repeat_until_done(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """Repeat `step` until it has enough bytes from the client, and return its result."""
        while True:
            try:
                answer = await step()
                # OpenSSL works on memory here. It wants bytes, so what it has to say is sent, and the answer is read.
            except SSL.WantReadError:
                await self._flush()
                await self._receive_from_client()
                continue
            except SSL.ZeroReturnError:
                raise
            except SSL.Error as error:
                # The flush sends OpenSSL's alert. The client then sees why it is refused.
                await self._flush()
                raise trio.BrokenResourceError(f"TLS was broken off: {error}") from None
            await self._flush()
            return answer

    async def _receive_from_client(self) -> None:
        data = await self._transport.receive_some(READ_BYTES)
        # A connection that ends without TLS's own end may have been cut by a third party. It is an error, not an end.
        if not data:
            raise trio.BrokenResourceError("the client went away without ending TLS")
        # OpenSSL may take a part of the bytes at a time.
        while data:
            data = data[self._connection.bio_write(bytes(data)) :]

    async def _flush(self) -> None:
        # The lock keeps the order: two tasks may flush, and TLS records must be sent in the order of their numbers.
        async with self._sending:
            while True:
                try:
                    data = self._connection.bio_read(READ_BYTES)
                except SSL.WantReadError:
                    return
                await self._transport.send_all(data)


async def _call_without_waiting(function: Callable[[Argument], Answer], argument: Argument) -> Answer:
    return function(argument)


class _CertificateCheck:
    """The certificates of a client. OpenSSL shows each one of its chain, the client's own last."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._chain_error = 0
        self.is_trusted = False

    def verify(
        self, connection: SSL.Connection, certificate: crypto.X509, chain_error: int, depth: int, good: int
    ) -> bool:
        """OpenSSL's verify callback. Return True to go on with the handshake."""
        # An error in the chain is noted and not fatal: the fingerprint of the client's own certificate may be known.
        self._chain_error = self._chain_error or (0 if good else chain_error)
        # A certificate of the chain. Only the last one, the client's own, decides.
        if depth > 0:
            return True
        # The name is for the list of fingerprints alone. A chain needs no name, as in Orion.
        trust, name = self._tls.trust, _common_name(certificate)
        # `_chain_error` has the first error of any certificate of the chain. Without an error the chain ends in a trusted
        # root.
        by_chain = trust.chains and not self._chain_error
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        self.is_trusted = by_chain or (trust.known is not None and name is not None and trust.known.trusts(name, der))
        if not self.is_trusted:
            self._log_once(name or "no usable common name")
        return self.is_trusted

    def _log_once(self, name: str) -> None:
        with self._tls.logging_lock:
            logged = self._tls.logged_names
            # A client can come again and again with new names. The log gets a bounded number of lines for them.
            if name in logged or len(logged) >= MAX_LOGGED_NAMES:
                return
            logged.add(name)
        chain_error = CERTIFICATE_ERRORS.get(self._chain_error, f"flaw {self._chain_error}")
        log.warning(f"a manager whose certificate names {name} is refused: its certificate is not known, {chain_error}")


def _common_name(certificate: crypto.X509) -> str | None:
    """Return the name of a client in the list of fingerprints. None if a line of the list cannot have this name."""
    try:
        found = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return None
    name = str(found[0].value).lower() if found else ""
    # A line of the list has a name and a fingerprint with a space between. A line that begins with # is a comment.
    is_usable = (
        0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and " " not in name and not name.startswith("#")
    )
    return name if is_usable else None
