"""Host names in enode URLs, where the operator allows them (Besu's `--Xdns-enabled`).

Must not be called on the event loop: the lookup of a name blocks until the name servers answer.
"""

import socket
from dataclasses import replace

from lacnode.p2p.wire.enode import Enode


class UnknownHostError(LookupError):
    """A host name without an address. The message says why."""


def look_up_address(name: str) -> str:
    """Return the address of the host `name` as an IP literal: the IPv4 address before the IPv6 one, as Java prefers.
    Blocks. UnknownHostError if the name has no address."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHostError(f"the name {name!r} has no address: {error}") from None
    # The sort is stable: within a family, the order of the name server stays.
    addresses = [str(place[4][0]) for place in sorted(found, key=lambda place: place[0] != socket.AF_INET)]
    return addresses[0]


def resolve_enode(enode: Enode) -> Enode:
    """Return `enode` with the address of its host name as the host: the IPv4 address before the IPv6 one. An enode
    whose host is an IP literal is returned unchanged. Blocks. UnknownHostError if the name has no address."""
    return replace(enode, host=look_up_address(enode.host)) if enode.is_named else enode
