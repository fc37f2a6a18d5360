"""Opens the one port of a node: TCP for sessions and UDP for discovery under the same number."""

import errno
import socket

import trio

PORT_ATTEMPT_COUNT = 8
"""Free TCP ports tried until one is found that is free for UDP too."""

ALL_INTERFACES = "::"
"""The interface that stands for every IPv6 address of this machine, and every IPv4 one too."""

BACKLOG = 128
"""Connections that the system holds until they are accepted."""


class P2pPortUnavailableError(Exception):
    """The port for peers cannot be opened. The message is Besu's if another process uses it."""


class UdpPortUnavailableError(P2pPortUnavailableError):
    """The port number is free for TCP, but not for UDP."""


async def open_ports(
    interface: str, port: int, *, with_udp: bool
) -> tuple[list[trio.SocketListener], trio.socket.SocketType | None]:
    """Return listeners and a UDP socket (None without `with_udp`) on `interface`:`port`. Port 0 stands for any free
    port.

    P2pPortUnavailableError if the port cannot be opened, UdpPortUnavailableError if that holds for UDP only.
    """
    # The system chooses a port that is free for TCP. Another process may have the same number for UDP: then another
    # port is tried. A port that the operator chose is tried once.
    for _ in range(PORT_ATTEMPT_COUNT if port == 0 else 1):
        listeners = await _listen(interface, port)
        if not with_udp:
            return listeners, None
        bound = int(listeners[0].socket.getsockname()[1])
        try:
            return listeners, await _bind(interface, bound)
        except OSError as error:
            refusal = UdpPortUnavailableError(_refusal(interface, bound, error))
            # The TCP port must be free again before the next attempt, or for the next start of this node.
            for listener in listeners:
                listener.socket.close()
    raise refusal


async def _listen(interface: str, port: int) -> list[trio.SocketListener]:
    try:
        if interface == ALL_INTERFACES:
            return [await _dual_stack_listener(port)]
        return await trio.open_tcp_listeners(port, host=interface)
    except OSError as error:
        raise P2pPortUnavailableError(_refusal(interface, port, error)) from None


async def _dual_stack_listener(port: int) -> trio.SocketListener:
    """Return a listener for IPv6 and IPv4. trio limits a listener on `::` to IPv6. Java, and so Besu, accepts IPv4
    connections on it as well."""
    tcp = trio.socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        # Without it a restarted node could not listen until the system has forgotten its old connections.
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        await tcp.bind((ALL_INTERFACES, port))
        tcp.listen(BACKLOG)
    except OSError:
        tcp.close()
        raise
    return trio.SocketListener(tcp)


async def _bind(interface: str, port: int) -> trio.socket.SocketType:
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    udp = trio.socket.socket(family, socket.SOCK_DGRAM)
    try:
        if interface == ALL_INTERFACES:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        await udp.bind((interface, port))
    except OSError:
        udp.close()
        raise
    return udp


def _refusal(interface: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port(s) '[{port}]' already in use. Check for other processes using the port(s)."
    return f"{interface}:{port} cannot be listened on: {error.strerror or error}"
