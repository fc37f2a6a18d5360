"""The addresses that this manager may call because another manager named them.

Public addresses are allowed. Loopback and private addresses are allowed only if an own URL of the operator is of the same
kind, or if the operator allows the network. A manager on the Internet must not be made to call the services behind its
firewall. Link-local addresses, where clouds give out credentials, and addresses of no single machine are never allowed.
This module must not look up a name.
"""

from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = ip_network("fd00:ec2::254/128")
TRANSLATED = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
"""Networks of addresses whose last 32 bits stand for IPv4 addresses behind a translator. Such an address may be a private
one. Two other forms, 6to4 and Teredo, have them elsewhere."""


class Reach(Enum):
    """The kind of an address: from where it can be reached. NEVER is for addresses that no manager may call, such as
    link-local ones."""

    NEVER = "never"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    PUBLIC = "public"


def reach_of(address: Address) -> Reach:
    """Return from where `address` can be reached: this machine, a private network, everywhere, or NEVER. An IPv6
    address that stands for an IPv4 address behind a translator counts as private, or as NEVER if that address does. A
    mapped address (`::ffff:a.b.c.d`) counts as its IPv4 address."""
    # The order matters. A mapped address must be judged as its IPv4 address, or `::ffff:127.0.0.1` would count as
    # another kind than loopback. The NEVER kinds come before `is_global`, which is True for some of them.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return reach_of(address.ipv4_mapped)
    if address.is_loopback:
        return Reach.LOOPBACK
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA:
        return Reach.NEVER
    behind = _address_behind_translator(address)
    if behind is not None:
        return Reach.NEVER if reach_of(behind) is Reach.NEVER else Reach.PRIVATE
    # Site-local addresses are out of use, and Python does not count them as private.
    if isinstance(address, IPv6Address) and address.is_site_local:
        return Reach.PRIVATE
    if isinstance(address, IPv4Address) and address.is_reserved:
        return Reach.NEVER
    return Reach.PUBLIC if address.is_global else Reach.PRIVATE


def _address_behind_translator(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, None if it stands for none."""
    if not isinstance(address, IPv6Address):
        return None
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return IPv4Address(int(address) % 2**32) if any(address in network for network in TRANSLATED) else None


class AddressPolicy:
    """Decides which addresses this manager may call. `own_urls` are the URLs of this manager and of the operator's
    list.

    Public addresses may be called, and those of the same `Reach` as the host of an own URL. `allowed` networks may be
    called too. Addresses in `denied` networks, and those of `Reach.NEVER`, may not, even if another setting allows
    them. A host name other than `localhost` in an own URL allows nothing by itself: see `allow_private_network_of`.
    """

    def __init__(
        self, own_urls: Iterable[str] = (), allowed: Iterable[Network] = (), denied: Iterable[Network] = ()
    ) -> None:
        self._allowed = tuple(allowed)
        self._denied = tuple(denied)
        self._own = {place for url in own_urls if (place := _place(url)) is not None}
        # Each own URL opens its kind. A network of managers on private addresses works without a setting.
        self._open = {Reach.PUBLIC}
        for host, _ in self._own:
            address = _address("127.0.0.1" if host == "localhost" else host)
            if address is not None and reach_of(address) is not Reach.NEVER:
                self._open.add(reach_of(address))

    def allow_private_network_of(self, text: str) -> None:
        """Allow from now on all private addresses, if the IP address in `text` is a private one: a name that the
        operator wrote into the configuration has this address. No effect for other addresses."""
        address = _address(text)
        # Only the private kind. `/etc/hosts` may give the own name a loopback address, and a false name server may give
        # it to another name. The services of this machine must not open to strangers' URLs by that.
        if address is not None and reach_of(address) is Reach.PRIVATE:
            self._open.add(Reach.PRIVATE)

    def is_named_by_operator(self, host: str, port: int) -> bool:
        """Return True if the host (as it is written) and the port are those of an own URL, or of a URL that the
        operator listed. Whether its address is in a denied network is not checked."""
        return (host, port) in self._own

    def permits_operators_address(self, text: str) -> bool:
        """Return True if the IP address in `text` may be called at a host and port for which `is_named_by_operator` is
        True. Its kind does not count, but for `Reach.NEVER`. Denied networks do."""
        address = _address(text)
        return address is not None and reach_of(address) is not Reach.NEVER and not _is_in(address, self._denied)

    def permits_address(self, text: str) -> bool:
        """Return True if the IP address in `text` may be called. False if `text` is a host name or no address. The URLs
        of the operator do not count here: see `is_named_by_operator`."""
        address = _address(text)
        # A denied network and a NEVER address come first. No other setting can open them.
        if address is None or not self.permits_operators_address(text):
            return False
        return reach_of(address) in self._open or _is_in(address, self._allowed)

    def permits_url(self, url: str) -> bool:
        """Return True if `url` may be stored: its host is a name or an address that may be called, or its host and port
        are those of an own URL or of a URL that the operator listed. False if its port is not valid. A name is not
        looked up here."""
        # A name is checked when it is called, at the address that DNS gives then. An earlier answer proves nothing.
        place = _place(url)
        return place is not None and (
            place in self._own or _address(place[0]) is None or self.permits_address(place[0])
        )


def _address(text: str) -> Address | None:
    try:
        # A zone (`fe80::1%eth0`) names an interface of this machine. It does not change the kind of the address.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _place(url: str) -> tuple[str, int] | None:
    """Return the host and the port of a URL, None if it has no valid port."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError:
        return None
