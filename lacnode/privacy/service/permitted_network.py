"""Connections to permitted addresses alone.

A name is looked up once. Each of its addresses is checked. The connection is made to a checked address. So a name whose
address changes between the look-up and the connection (DNS rebinding) gains nothing.
"""

from urllib.parse import urlsplit

import structlog
import trio

from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.service.name_look_ups import NameLookUps

log = structlog.get_logger("privacy")

MAX_ADDRESSES_OF_NAME = 4
"""The largest number of addresses of one name that are tried."""

LOOK_UP_AGAIN_SECONDS = 5.0

MAX_LOGGED_HOSTS = 256
"""The largest number of refused hosts that are remembered. Each one is logged once."""


class PermittedNetwork:
    """Opens TCP connections to addresses that `policy` permits.

    If the operator named the host and its port, the host's addresses may be called for that host and port. If one of them
    is private, `policy` permits from then on all private addresses. Addresses in denied networks, and those that no
    manager may call, are still refused.
    """

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._look_ups = NameLookUps()
        self._logged_hosts: set[str] = set()

    async def connect(self, host: str, port: int, seconds_per_address: float) -> trio.SocketStream:
        """Return a TCP connection to `host` (a name or an address) at the first of its permitted addresses that
        answers. At most `MAX_ADDRESSES_OF_NAME` are tried, one after the other, for `seconds_per_address` each. The
        look-up of a name has no time limit here. OSError if no address may be called or none answers."""
        failure: Exception = OSError("none of its addresses may be called")
        # The connection goes to the address, not to the name. A second look-up of the name may give another address.
        for address in await self._permitted_addresses(host, port):
            try:
                with trio.fail_after(seconds_per_address):
                    return await trio.open_tcp_stream(address, port)
            except (OSError, trio.TooSlowError) as error:
                # The next address may answer: a name can have an IPv6 address that is not reachable from here.
                failure = error
        raise OSError(str(failure)) from failure

    async def _permitted_addresses(self, host: str, port: int) -> list[str]:
        is_operators = self._policy.is_named_by_operator(host, port)
        addresses = await self._look_ups.find_addresses(host, port, is_operators)
        # The operator wrote this host and port into the configuration. So its address may be called. A private address
        # says that this is a network of managers on private addresses, and the others may be called, too.
        permits = self._policy.permits_address
        if is_operators:
            permits = self._policy.permits_operators_address
            for address in addresses:
                self._policy.allow_private_network_of(address)
        permitted = [address for address in addresses if permits(address)]
        if not permitted:
            self._log_once(host, addresses)
        return permitted[:MAX_ADDRESSES_OF_NAME]

    def _log_once(self, host: str, addresses: list[str]) -> None:
        if host in self._logged_hosts or len(self._logged_hosts) >= MAX_LOGGED_HOSTS:
            return
        self._logged_hosts.add(host)
        log.warning(
            f"{host} ({', '.join(addresses[:MAX_ADDRESSES_OF_NAME])}) is not called: peerallowednetworks of the manager's "
            "configuration allows private and loopback addresses"
        )


async def allow_private_network_of_own_host(policy: AddressPolicy, url: str) -> None:
    """Look up the host of the own `url` until that succeeds, and let `policy` allow all private addresses if the host has
    one. Nothing happens if the URL has no host.

    The address shows whether this is a private network. A manager without other URLs in its configuration has no other
    sign of it.
    """
    host, look_ups = urlsplit(url).hostname, NameLookUps()
    while host:
        try:
            addresses = await look_ups.find_addresses(host, None, is_operators=True)
        except OSError:
            await trio.sleep(LOOK_UP_AGAIN_SECONDS)
            continue
        for address in addresses:
            policy.allow_private_network_of(address)
        return
