"""TLS of a connection that a peer made to us, by OpenSSL itself: Python's `ssl` gives a server no certificate of unknown
origin to look at, and such are what trust on first use and lists of fingerprints are about.

Handshakes run in worker threads, since they reckon and may write the list. Must not read a byte of what a client that is
not trusted says.
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
"""What one record holds."""

MAX_NAME_CHARACTERS, MAX_LOGGED_NAMES = 253, 1024

CERTIFICATE_ERRORS = {
    code: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, code in vars(SSL.X509VerificationCodes).items()
    if name.startswith("ERR_")
}
"""What OpenSSL can find wrong with a chain, in words."""

Answer = TypeVar("Answer")
Argument = TypeVar("Argument")


class TlsStream(trio.abc.Stream):
    """Over `transport`; `do_handshake` comes first. trio.BrokenResourceError when TLS is broken off, by either side."""

    def __init__(self, transport: trio.SocketStream, tls: ServerTls) -> None:
        self._transport = transport
        self._sending = trio.StrictFIFOLock()
        self._visitor = _Visitor(tls)
        self._connection = SSL.Connection(tls.context, None)
        self._connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._visitor.look)
        self._connection.set_accept_state()

    async def do_handshake(self) -> None:
        """Let the client in, or tell it that its certificate is not trusted."""
        await self._until_done(partial(trio.to_thread.run_sync, self._connection.do_handshake))
        if not self._visitor.is_welcome:
            await trio.aclose_forcefully(self._transport)
            raise trio.BrokenResourceError("the client has not been looked at")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio.abc.SendStream."""
        rest = memoryview(data)
        while rest:
            part = rest[:MAX_PLAINTEXT_BYTES].tobytes()
            rest = rest[await self._until_done(partial(_at_once, self._connection.send, part)) :]

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        async with self._sending:
            await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See trio.abc.ReceiveStream."""
        try:
            return await self._until_done(partial(_at_once, self._connection.recv, max_bytes or READ_BYTES))
        except SSL.ZeroReturnError:
            return b""

    async def aclose(self) -> None:
        """Say goodbye, without waiting for the answer, as HTTP does."""
        try:
            self._connection.shutdown()
            with trio.move_on_after(1):
                await self._flush()
        except (SSL.Error, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await self._transport.aclose()

    async def _until_done(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `step` says once it has heard enough from the client."""
        while True:
            try:
                answer = await step()
            except SSL.WantReadError:
                await self._flush()
                await self._hear()
                continue
            except SSL.ZeroReturnError:
                raise
            except SSL.Error as error:
                await self._flush()
                raise trio.BrokenResourceError(f"TLS was broken off: {error}") from None
            await self._flush()
            return answer

    async def _hear(self) -> None:
        data = await self._transport.receive_some(READ_BYTES)
        if not data:
            raise trio.BrokenResourceError("the client went away without ending TLS")
        while data:
            data = data[self._connection.bio_write(bytes(data)) :]

    async def _flush(self) -> None:
        async with self._sending:
            while True:
                try:
                    data = self._connection.bio_read(READ_BYTES)
                except SSL.WantReadError:
                    return
                await self._transport.send_all(data)


async def _at_once(function: Callable[[Argument], Answer], argument: Argument) -> Answer:
    return function(argument)


class _Visitor:
    """A client as OpenSSL shows it: certificate by certificate of its chain, its own last."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._flaw = 0
        self.is_welcome = False

    def look(self, connection: SSL.Connection, certificate: crypto.X509, flaw: int, depth: int, good: int) -> bool:
        """OpenSSL's verify callback: whether to go on."""
        self._flaw = self._flaw or (0 if good else flaw)
        if depth > 0:
            return True
        trust, name = self._tls.trust, _common_name(certificate)
        by_chain = trust.chains and not self._flaw
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        self.is_welcome = by_chain or (trust.known is not None and name is not None and trust.known.trusts(name, der))
        if not self.is_welcome:
            self._tell(name or "no usable common name")
        return self.is_welcome

    def _tell(self, name: str) -> None:
        with self._tls.telling:
            told = self._tls.told
            if name in told or len(told) >= MAX_LOGGED_NAMES:
                return
            told.add(name)
        flaw = CERTIFICATE_ERRORS.get(self._flaw, f"flaw {self._flaw}")
        log.warning(f"a manager whose certificate names {name} is not let in: its certificate is not known, {flaw}")


def _common_name(certificate: crypto.X509) -> str | None:
    """What a list of fingerprints calls a client; None for a name that a line of it cannot hold."""
    try:
        found = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return None
    name = str(found[0].value).lower() if found else ""
    is_usable = (
        0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and " " not in name and not name.startswith("#")
    )
    return name if is_usable else None
