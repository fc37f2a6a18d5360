"""Which addresses may be called because a stranger named them.

Public addresses may. Loopback and private ones may only if the operator's own URLs are of the same kind, or the operator
allows a network: a manager on the Internet must not be made to call the services behind its firewall. Link-local
addresses, where clouds give out credentials, and addresses of no single machine never may. Must not look a name up.
"""

from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = ip_network("fd00:ec2::254/128")
TRANSLATED = tuple(map(ip_network, ("64:ff9b::/96", "2001::/32", "2002::/16")))
"""Addresses that stand for IPv4 ones behind a translator: as private as what is behind it may be."""


class Reach(Enum):
    """From where an address is reached."""

    NEVER = "never"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    PUBLIC = "public"


def reach_of(address: Address) -> Reach:
    """The kind of `address`."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return reach_of(address.ipv4_mapped)
    if address.is_loopback:
        return Reach.LOOPBACK
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA:
        return Reach.NEVER
    if any(address in network for network in TRANSLATED):
        return Reach.PRIVATE
    if isinstance(address, IPv4Address) and address.is_reserved:
        return Reach.NEVER
    return Reach.PUBLIC if address.is_global else Reach.PRIVATE


class AddressPolicy:
    """`own_urls` are the manager's own URL and those that the operator gave; `denied` comes before `allowed`."""

    def __init__(
        self, own_urls: Iterable[str] = (), allowed: Iterable[Network] = (), denied: Iterable[Network] = ()
    ) -> None:
        self._allowed = tuple(allowed)
        self._denied = tuple(denied)
        self._own = {place for url in own_urls if (place := _place(url)) is not None}
        self._open = {Reach.PUBLIC}
        for host, _ in self._own:
            self.trust(host)

    def trust(self, host: str) -> None:
        """An own URL has this address: others of its kind may be called, too. Ignored if `host` is a name."""
        address = _address("127.0.0.1" if host == "localhost" else host)
        if address is not None and reach_of(address) is not Reach.NEVER:
            self._open.add(reach_of(address))

    def is_own(self, host: str, port: int) -> bool:
        """Whether `host` and `port` are of an own URL, which the operator wants to be called wherever that is."""
        return (host, port) in self._own

    def permits(self, text: str) -> bool:
        """Whether the address `text` may be called."""
        address = _address(text)
        if address is None or reach_of(address) is Reach.NEVER or _is_in(address, self._denied):
            return False
        return reach_of(address) in self._open or _is_in(address, self._allowed)

    def permits_url(self, url: str) -> bool:
        """Whether `url` may be remembered: its host is a name, or an address that may be called."""
        place = _place(url)
        return place is not None and (place in self._own or _address(place[0]) is None or self.permits(place[0]))


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _place(url: str) -> tuple[str, int] | None:
    """Host and port."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError:
        return None
