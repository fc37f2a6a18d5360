"""Ports of the API: bind, accept, count. A connection that fails does not stop the others, nor the node."""

import errno
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio

from lacnode.client_address import client_address, client_site
from lacnode.rate_limited_log import RateLimitedLog

log = structlog.get_logger("rpc")

ACCEPT_PAUSE_SECONDS = 0.1
"""Seconds to wait when the system gives no connection, for want of file descriptors usually."""

ConnectionHandler = Callable[[trio.SocketStream], Awaitable[None]]


class PortUnavailableError(Exception):
    """A port cannot be opened: another process uses it, or the system refuses it. The text is Besu's in the first case."""


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Return sockets that listen on `host`, one for each address of the name. With a `port` of 0, each has a free port
    of its own. PortUnavailableError if the port cannot be opened or the name has no address."""
    try:
        return list(await trio.open_tcp_listeners(port, host=host))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"Port(s) '[{port}]' already in use. Check for other processes using the port(s)."
        else:
            text = f"{host}:{port} cannot be listened on: {error}"
        raise PortUnavailableError(text) from None


def bound_port(listeners: Sequence[trio.SocketListener]) -> int:
    """Return the port that the system has bound the first of `listeners` to. IndexError if there is none."""
    return int(listeners[0].socket.getsockname()[1])


class ConnectionServer:
    """Accepts at most `limit` connections at a time. A client is an address (`client_address`). A further connection
    takes the place of the oldest connection of the client that has most, if that client has at least two more than its
    own client has. If no client has so many, the same holds for networks of 48 bits of IPv6 (`client_site`) in place of
    clients. If no such network has so many, the further connection is closed at once. A client with `limit_per_client`
    connections loses its oldest one for a new one.

    Each connection runs in `handle_connection`, and is closed when that ends. `name` stands in log lines.
    """

    def __init__(
        self, name: str, limit: int, handle_connection: ConnectionHandler, limit_per_client: float = math.inf
    ) -> None:
        self._name = name
        self._limit = limit
        self._limit_per_client = limit_per_client
        self._converse = handle_connection
        self._inside: dict[str, dict[trio.CancelScope, None]] = {}
        """The connections of each address, oldest first."""
        self.connections = 0
        """Number of open connections. Written on the event loop, read by any thread."""
        self._log = RateLimitedLog("rpc", trio.current_time)

    async def serve(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Accept connections of `listeners` until cancelled, and then close every connection. The caller closes the
        listeners. An error of one connection is logged and ends that connection only. If no connection can be
        accepted, that is logged and tried again."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery)

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                self._log.warning("accept", f"{self._name}: no connection could be accepted: {error}")
                # The client still waits in the system's queue. Without a pause this loop would ask for it without end.
                await trio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            nursery.start_soon(self._client, stream)

    async def _client(self, stream: trio.SocketStream) -> None:
        client = client_address(stream)
        # The address's own limit comes first: its new connection must not cost another address one.
        if len(self._inside.get(client, ())) >= self._limit_per_client:
            self._end_oldest(client)
        if sum(map(len, self._inside.values())) >= self._limit and not self._made_room(client):
            self._log.warning("limit", f"{self._name}: {self._limit} connections, more are turned away")
            await trio.aclose_forcefully(stream)
            return
        scope = trio.CancelScope()
        self._inside.setdefault(client, {})[scope] = None
        self.connections += 1
        try:
            # A client whose machine was switched off sends nothing. Only keep-alive probes find that out.
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE, 1)
            with scope:
                await self._converse(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            log.debug(f"{self._name}: a client went away")
        # A fault in one conversation is logged and ends it. The port serves the others.
        except* Exception:
            self._log.exception("failure", f"{self._name}: a connection failed")
        finally:
            self._leave(client, scope)
            self.connections -= 1
            await trio.aclose_forcefully(stream)

    def _made_room(self, client: str) -> bool:
        """End a connection of another address, or of another network, which has more of them, for one of `client`.
        Return whether there was such an address or network."""
        # A subscriber of IPv6 may take a new address for each connection.
        return self._made_room_among(str, client) or self._made_room_among(client_site, client)

    def _made_room_among(self, group_of: Callable[[str], str], client: str) -> bool:
        counts = Counter[str]()
        for address, connections in self._inside.items():
            counts[group_of(address)] += len(connections)
        most = max(counts, key=counts.__getitem__)
        # With one more connection than `client` the two would only change places, again and again.
        if counts[most] <= counts[group_of(client)] + 1:
            return False
        addresses = [address for address in self._inside if group_of(address) == most]
        self._end_oldest(max(addresses, key=lambda address: len(self._inside[address])))
        return True

    def _end_oldest(self, client: str) -> None:
        oldest = next(iter(self._inside[client]))
        oldest.cancel()
        # The place is free at once. The cancelled task may take a while to end.
        self._leave(client, oldest)

    def _leave(self, client: str, scope: trio.CancelScope) -> None:
        own = self._inside.get(client, {})
        own.pop(scope, None)
        if not own:
            self._inside.pop(client, None)
