"""TLS of a port, as the ports see it. Its implementation is loaded only if TLS is on, because its libraries cost a part of
the start."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from lacnode.client_address import client_address
from lacnode.http.connection_server import ConnectionHandler
from lacnode.http.peekable_stream import PeekableStream
from lacnode.rpc.tls_settings import RpcTlsSettings

StreamHandler = Callable[[trio.abc.Stream, str], Awaitable[None]]
"""Serves one client on a stream. The text is the client's address."""


class RpcTlsError(Exception):
    """A file of TLS cannot be used. The text is one sentence that names the port."""


class TlsHandshakes(Protocol):
    """Makes the TLS handshakes of one port, with the certificate of that port. It opens no socket."""

    async def secure(self, stream: trio.SocketStream) -> PeekableStream | None:
        """Make the handshake on a new connection, and return the encrypted stream. None if the client takes too long.
        trio.BrokenResourceError if the handshake fails or the client's certificate is not trusted. The caller closes
        `stream` in each case."""


def load_tls_handshakes(settings: RpcTlsSettings | None, title: str) -> TlsHandshakes | None:
    """Return the object that makes the TLS handshakes of a port, None without `settings`. The files are read now. No
    socket is opened. `title` names the port in log and errors. RpcTlsError if a file cannot be used."""
    if settings is None:
        return None
    module = importlib.import_module("lacnode.rpc.server_tls")
    port: TlsHandshakes = module.ServerTlsHandshakes(settings, title)
    return port


def over_tls(
    tls: TlsHandshakes | None, serve: StreamHandler, prepare: Callable[[trio.SocketStream], None] = lambda _: None
) -> ConnectionHandler:
    """Return a handler that makes the TLS handshake and then calls `serve` with the encrypted stream. If `tls` is None,
    it calls `serve` at once. A client whose handshake takes too long is not served. A failed handshake is
    trio.BrokenResourceError. `prepare` is called first, with the socket of the connection."""

    async def handle_connection(stream: trio.SocketStream) -> None:
        prepare(stream)
        client = client_address(stream)
        if tls is None:
            await serve(stream, client)
            return
        secured = await tls.secure(stream)
        if secured is not None:
            # Closing ends TLS, so that the client knows that nothing was cut off.
            async with secured:
                await serve(secured, client)

    return handle_connection
