"""The address by which the limits for one client count: of the API, of the transaction manager and of the P2P network.

Must not decide what a limit is.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import trio


def client_address(stream: trio.abc.Stream) -> str:
    """Return the IP address at the other end as text. The limits for one client count by it. An IPv6 address is cut to
    its network of 64 bits, since one subscriber has all of that network. A mapped IPv4 address is returned as IPv4.

    Empty if `stream` is no TCP socket, or if the client has left.
    """
    if not isinstance(stream, trio.SocketStream):
        return ""
    # A socket of the file system has no address. Its programs are one client.
    if stream.socket.family == trio.socket.AF_UNIX:
        return ""
    try:
        host = str(stream.socket.getpeername()[0])
    except OSError:
        return ""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv4Address):
        return host
    # A socket for both families shows IPv4 clients so. Each of them is one client, though all are in one network of
    # 64 bits.
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


@lru_cache(1_024)
def client_site(client: str) -> str:
    """Return the network of 48 bits of the IPv6 address `client`, which `client_address` has returned: one subscriber may
    have so many addresses. An IPv4 address and an empty text are returned as they are."""
    return str(IPv6Address(int(IPv6Address(client)) >> 80 << 80)) if ":" in client else client
