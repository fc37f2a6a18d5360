"""Host names in enode URLs, where the operator allows them (Besu's `--Xdns-enabled`).

Must not be asked on the event loop: looking a name up may take as long as the network's name servers please.
"""

import socket
from dataclasses import replace

from lacnode.p2p.wire.enode import Enode


class UnknownHostError(LookupError):
    """A host name without an address. The message says why."""


def address_of(name: str) -> str:
    """An IP literal that `name` stands for: the IPv4 address before the IPv6 one, as Java prefers. Blocks.
    UnknownHostError."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHostError(f"the name {name!r} has no address: {error}") from None
    addresses = [str(place[4][0]) for place in sorted(found, key=lambda place: place[0] != socket.AF_INET)]
    return addresses[0]


def resolve_enode(enode: Enode) -> Enode:
    """`enode` with an IP literal as its host. Blocks. UnknownHostError."""
    return replace(enode, host=address_of(enode.host)) if enode.is_named else enode
