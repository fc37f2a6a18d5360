"""Which connection gives way when a port has as many as it may have."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from lacnode.client_address import client_site
from lacnode.http.connection_server import ConnectionServer, bound_port, open_listeners


class Port:
    """A port for four connections. Its clients come from the addresses that they name."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.address = ""
        self.streams: list[trio.SocketStream] = []

    async def is_served(self, address: str) -> bool:
        """Connect from `address`, and return whether the connection was served and not turned away."""
        self.address = address
        self.streams.append(await trio.open_tcp_stream("127.0.0.1", self._number))
        with trio.fail_after(60):
            return bytes(await self.streams[-1].receive_some(1)) == b"+"

    async def wait_until_closed(self, index: int) -> None:
        """Wait until the server closes the connection that was made with this index."""
        with trio.fail_after(60):
            assert bytes(await self.streams[index].receive_some(1)) == b""


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Port]:
    async def handle_connection(stream: trio.SocketStream) -> None:
        await stream.send_all(b"+")
        await trio.sleep_forever()

    async with opened(ConnectionServer("test", 4, handle_connection)) as number:
        made = Port(number)
        monkeypatch.setattr("lacnode.http.connection_server.client_address", lambda stream: made.address)
        yield made
        for stream in made.streams:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def opened(server: ConnectionServer) -> AsyncIterator[int]:
    listeners = await open_listeners("127.0.0.1", 0)
    async with listeners[0], trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, listeners)
        yield bound_port(listeners)
        nursery.cancel_scope.cancel()


async def test_the_addresses_of_one_site_leave_places_to_others(port: Port) -> None:
    """Attack: one connection from each of many networks of 64 bits, which one subscriber has."""
    for number in range(4):
        assert await port.is_served(f"2001:db8:1:{number}::")
    assert await port.is_served("2001:db8:2::")
    await port.wait_until_closed(0)
    assert await port.is_served("192.0.2.1")
    await port.wait_until_closed(1)


async def test_an_address_of_the_site_that_has_most_is_turned_away(port: Port) -> None:
    for number in range(4):
        assert await port.is_served(f"2001:db8:1:{number}::")
    assert not await port.is_served("2001:db8:1:9::")


async def test_addresses_that_have_one_connection_each_do_not_change_places(port: Port) -> None:
    for number in range(4):
        assert await port.is_served(f"192.0.2.{number}")
    assert not await port.is_served("192.0.2.9")


async def test_the_address_that_has_most_comes_before_the_site_that_has_most(port: Port) -> None:
    for address in ("2001:db8:1:1::", "2001:db8:1:2::", "192.0.2.1", "192.0.2.1"):
        assert await port.is_served(address)
    assert await port.is_served("192.0.2.2")
    await port.wait_until_closed(2)


@pytest.mark.parametrize(
    ("client", "site"), [("2001:db8:1:2::", "2001:db8:1::"), ("::", "::"), ("192.0.2.1", "192.0.2.1"), ("", "")]
)
def test_a_site_is_a_network_of_48_bits_of_ipv6(client: str, site: str) -> None:
    assert client_site(client) == site
