"""Which connections are accepted: the limit counts by address."""

from collections.abc import Iterator
from ipaddress import ip_address
from types import SimpleNamespace, TracebackType
from typing import Any

import pytest
import trio
import trio.testing

from lacnode.p2p.p2p_network import CONNECTIONS_AT_ONCE
from tests.support.p2p_nodes import world


class OutOfConnectionsError(Exception):
    """The listener has no further connection."""


class Listener:
    """Accepts a connection from each of `hosts`."""

    def __init__(self, hosts: Iterator[str]) -> None:
        self._hosts = hosts

    async def __aenter__(self) -> "Listener":
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    async def accept(self) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        host = next(self._hosts, None)
        if host is None:
            raise OutOfConnectionsError
        # A stream without a connection of the system: the other side's address is all that is asked for.
        stream = object.__new__(trio.SocketStream)
        family = trio.socket.AF_INET if ip_address(host).version == 4 else trio.socket.AF_INET6
        socket: Any = SimpleNamespace(family=family, getpeername=lambda: (host, 30303), close=lambda: None)
        stream.socket = socket
        return stream


async def accepted(hosts: list[str]) -> int:
    """How many of the connections from `hosts`, all at once, are not closed at once."""
    sessions: list[object] = []
    async with world() as w:
        network = w.prepared().network
        nursery: Any = SimpleNamespace(start_soon=lambda run, stream: sessions.append(stream))
        network._nursery = nursery
        listener: Any = Listener(iter(hosts))
        with pytest.raises(OutOfConnectionsError):
            await network._accept(listener)
    return len(sessions)


@pytest.mark.parametrize(
    "hosts",
    [
        ["192.0.2.1"] * 250,
        ["::ffff:192.0.2.1"] * 250,
        [f"2001:db8:0:7::{number:x}" for number in range(1, 251)],
        [f"fe80::{number:x}%eth0" for number in range(1, 251)],
    ],
    ids=["IPv4", "IPv4 on a socket of both families", "a network of IPv6", "a link of IPv6"],
)
async def test_one_client_has_one_limit(autojump_clock: trio.testing.MockClock, hosts: list[str]) -> None:
    assert await accepted(hosts) == CONNECTIONS_AT_ONCE


@pytest.mark.parametrize("form", ["192.0.2.{}", "::ffff:192.0.2.{}", "2001:db8:0:{}::1"])
async def test_each_client_has_a_limit_of_its_own(autojump_clock: trio.testing.MockClock, form: str) -> None:
    assert await accepted([form.format(number) for number in range(1, 251)]) == 250
