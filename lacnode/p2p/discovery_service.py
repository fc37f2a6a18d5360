"""Discovery's socket and clock: the machine itself is `wire.discovery`.

Must not fail because of a datagram: what cannot be read or sent is dropped, as UDP may drop it anyway.
"""

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence

import structlog
import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.policy import ConnectionPolicy
from lacnode.p2p.wire.discovery import Action, Discovery, Found, Send
from lacnode.p2p.wire.discv4 import Endpoint
from lacnode.p2p.wire.enode import Enode

log = structlog.get_logger("discovery")

MAX_DATAGRAM = 1600
TICK_SECONDS = 0.5


class UdpPortTaken(Exception):
    """The UDP port is in use by somebody else."""


class DiscoveryService:
    """Runs a `Discovery` on a bound UDP socket."""

    def __init__(self, udp: trio.socket.SocketType, machine: Discovery) -> None:
        self._udp = udp
        self._machine = machine

    @classmethod
    async def bind(
        cls,
        key: NodeKey,
        host: str,
        interface: str,
        port: int,
        bootnodes: Sequence[Enode],
        status: Callable[[], LocalStatus],
        policy: ConnectionPolicy,
    ) -> "DiscoveryService":
        """Bind `interface`:`port`; UdpPortTaken if it is not free. `host` is what others are told."""
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        udp = trio.socket.socket(family, socket.SOCK_DGRAM)
        try:
            await udp.bind((interface, port))
        except OSError as error:
            udp.close()
            if error.errno == errno.EADDRINUSE:
                raise UdpPortTaken(
                    f"Port(s) '[{port}]' already in use. Check for other processes using the port(s)."
                ) from None
            raise UdpPortTaken(f"UDP {interface}:{port} cannot be bound: {error.strerror}") from None
        machine = Discovery(
            key,
            Endpoint(host, port, port),
            bootnodes,
            lambda: status().fork_id,
            random_bytes=os.urandom,
            record_seq=int(time.time()),
            permits=lambda enode: policy.may_dial(enode).allowed,
        )
        return cls(udp, machine)

    async def run(self, found: Callable[[Enode], None]) -> None:
        """Answer and search until cancelled; `found` is told of every node that has proven its endpoint."""
        with self._udp:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, found)
                nursery.start_soon(self._tick, found)

    async def _listen(self, found: Callable[[Enode], None]) -> None:
        while True:
            try:
                data, source = await self._udp.recvfrom(MAX_DATAGRAM + 1)
            except OSError as error:
                log.debug("a datagram was not received", reason=str(error))
                await trio.lowlevel.checkpoint()
                continue
            if len(data) <= MAX_DATAGRAM:
                await self._act(self._machine.handle_datagram(data, (source[0], source[1]), time.time()), found)

    async def _tick(self, found: Callable[[Enode], None]) -> None:
        while True:
            await self._act(self._machine.tick(time.time()), found)
            await trio.sleep(TICK_SECONDS)

    async def _act(self, actions: Sequence[Action], found: Callable[[Enode], None]) -> None:
        for action in actions:
            match action:
                case Send():
                    try:
                        await self._udp.sendto(action.datagram, action.address)
                    except OSError as error:
                        log.debug("a datagram was not sent", to=action.address, reason=str(error))
                case Found():
                    found(action.enode)
