"""TLS of an accepted connection, by OpenSSL.

Python's `ssl` does not show a server the certificate of an unknown origin, and lists of fingerprints need such certificates.
Handshakes run in worker threads, because they compute and may read or write the list. This module must not read anything
from a client that is not trusted.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from socket import MSG_PEEK
from typing import Protocol, TypeVar

import trio
from OpenSSL import SSL, crypto

from lacnode.http.peekable_stream import PeekableStream

READ_BYTES = 65_536
MAX_PLAINTEXT_BYTES = 16_384
"""The largest content of one TLS record."""

Answer = TypeVar("Answer")
Argument = TypeVar("Argument")


class CertificateCheck(Protocol):
    """Decides in the handshake whether the certificate of one client is trusted. `is_trusted` is False until `verify`
    has accepted it. The handshake fails if it is False at the end. Each connection has a check of its own."""

    is_trusted: bool

    def verify(
        self, connection: SSL.Connection, certificate: crypto.X509, chain_error: int, depth: int, good: int
    ) -> bool:
        """OpenSSL's verify callback for one certificate of the client's chain. Return True to go on with the handshake.

        `chain_error` is OpenSSL's error code, 0 if there is none. `depth` is the place in the chain, 0 for the client's
        own certificate. `good` is 1 if OpenSSL trusts it. It runs in a worker thread.
        """


class TlsStream(PeekableStream):
    """A TLS stream over `transport`, on the side of the server. Call `do_handshake` first. trio.BrokenResourceError if
    either side breaks off TLS.

    The client must have a certificate that `check` trusts. With a `check` of None it needs no certificate. `limiter`
    bounds the handshakes that compute at the same time. A `limiter` of None is trio's bound for all threads.
    """

    def __init__(
        self,
        transport: trio.SocketStream,
        context: SSL.Context,
        check: CertificateCheck | None,
        limiter: trio.CapacityLimiter | None = None,
    ) -> None:
        self._transport = transport
        self._sending = trio.StrictFIFOLock()
        self._check = check
        self._limiter = limiter
        # Without a socket OpenSSL works on memory. trio does the reading and writing, so no thread waits for a client.
        self._connection = SSL.Connection(context, None)
        if check is not None:
            self._connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, check.verify)
        self._connection.set_accept_state()

    async def do_handshake(self) -> None:
        """Make the handshake. It has no time limit of its own. trio.BrokenResourceError if the client's certificate is
        not trusted, if either side breaks off TLS, or if the connection ends."""
        handshake = partial(trio.to_thread.run_sync, self._connection.do_handshake, limiter=self._limiter)
        await self._repeat_until_done(handshake)
        # The handshake fails by itself for such a client. This check is a second one, for a handshake that ends without
        # a call of the verify callback.
        if self._check is not None and not self._check.is_trusted:
            await trio.aclose_forcefully(self._transport)
            raise trio.BrokenResourceError("the client has not been looked at")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send all of `data`. It waits while the client does not read. trio.BrokenResourceError if either
        side breaks off TLS, or if the connection breaks."""
        rest = memoryview(data)
        while rest:
            # One record at a time. OpenSSL would copy the whole of a payload of 16 MB into its memory at once.
            part = rest[:MAX_PLAINTEXT_BYTES].tobytes()
            rest = rest[await self._repeat_until_done(partial(_call_without_waiting, self._connection.send, part)) :]

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the transport may take more bytes (a method of `trio.abc.SendStream`). trio.BrokenResourceError if
        the connection breaks."""
        async with self._sending:
            await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for decrypted bytes and return them, at most `max_bytes`, or `READ_BYTES` if that is None. Empty if the
        client has ended TLS. trio.BrokenResourceError if either side breaks off TLS, or if the connection ends without
        the end of TLS."""
        try:
            return await self._repeat_until_done(
                partial(_call_without_waiting, self._read_records, max_bytes or READ_BYTES)
            )
        except SSL.ZeroReturnError:
            return b""

    def _read_records(self, max_bytes: int) -> bytes:
        """Return the content of the records that have arrived. SSL.WantReadError if none has."""
        content = bytearray(self._connection.recv(max_bytes))
        # `recv` reads one record. A client may send each byte in a record of its own. The reader of a request would then
        # search the whole head again for each byte.
        while len(content) < max_bytes:
            try:
                content += self._connection.recv(max_bytes - len(content))
            except (SSL.WantReadError, SSL.ZeroReturnError):
                break
        return bytes(content)

    async def peek(self) -> bytes:
        """Wait for the next decrypted byte, return it and leave it in the stream. Empty if the client has ended TLS.
        trio.BrokenResourceError if either side breaks off TLS, or if the connection ends without the end of TLS."""
        try:
            return await self._repeat_until_done(
                partial(_call_without_waiting, partial(self._connection.recv, flags=MSG_PEEK), 1)
            )
        except SSL.ZeroReturnError:
            return b""

    async def aclose(self) -> None:
        """Close the TLS session without waiting for the client's answer, as HTTP does, and the transport. No error if
        the client has left."""
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
