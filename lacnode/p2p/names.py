"""Host names in enode URLs, where the operator allows them (Besu's `--Xdns-enabled`).

Must not be asked on the event loop: looking a name up may take as long as the network's name servers please.
"""

import socket
from dataclasses import replace
from ipaddress import ip_address

from lacnode.p2p.wire.enode import Enode


class NameUnknown(Exception):
    """The host name of `enode` has no address; the message says why."""

    def __init__(self, enode: Enode, reason: object) -> None:
        super().__init__(f"the name {enode.host!r} has no address: {reason}")
        self.enode = enode


def is_name(host: str) -> bool:
    """Whether `host` is a name and no IP literal."""
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def resolved(enode: Enode) -> Enode:
    """`enode` with an IP literal as its host: the IPv4 address before the IPv6 one, as Java prefers. Blocks.

    Raises NameUnknown.
    """
    if not is_name(enode.host):
        return enode
    try:
        found = socket.getaddrinfo(enode.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameUnknown(enode, error) from None
    addresses = [str(place[4][0]) for place in sorted(found, key=lambda place: place[0] != socket.AF_INET)]
    return replace(enode, host=addresses[0])
