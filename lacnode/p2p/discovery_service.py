"""The socket and the clock of discovery. The state machine itself is `wire.discovery`.

Must not fail because of a datagram: it drops a datagram that it cannot read or send, as UDP may drop it anyway. Must not
spend all time of the event loop on a flood of datagrams. Each datagram costs the recovery of a signature.
"""

import time
from collections.abc import Callable, Sequence

import structlog
import trio

from lacnode.p2p.network_counters import NetworkCounters
from lacnode.p2p.wire.discovery import Action, Discovery, NodeFound, SendDatagram
from lacnode.p2p.wire.enode import Enode

log = structlog.get_logger("discovery")

MAX_DATAGRAM_BYTES = 1600
"""Bytes that Besu reads. devp2p allows 1280."""

TICK_SECONDS = 0.5

SLICE_SECONDS, DATAGRAMS_PER_SLICE = 0.25, 100
"""The number of datagrams that are read in each slice of time. The system's queue holds further ones, and drops them when
it is full."""


class DiscoveryService:
    """Runs `machine` on a bound UDP socket. `found` is called with the node of each `NodeFound` of `machine`.
    `wants_more` returns True while the network looks for more nodes."""

    def __init__(
        self,
        udp: trio.socket.SocketType,
        machine: Discovery,
        *,
        found: Callable[[Enode], None],
        wants_more: Callable[[], bool],
        counters: NetworkCounters,
    ) -> None:
        self._udp = udp
        self._machine = machine
        self._found = found
        self._wants_more = wants_more
        self._counters = counters

    async def run(self) -> None:
        """Answer datagrams and search nodes until cancelled. The socket is closed then."""
        with self._udp:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self._tick)

    async def _listen(self) -> None:
        slice_end, left = 0.0, 0
        while True:
            data, source = await self._receive()
            if trio.current_time() >= slice_end:
                slice_end, left = trio.current_time() + SLICE_SECONDS, DATAGRAMS_PER_SLICE
            # One byte more than the limit is read, so that a cut datagram is seen as too long. A cut packet would only
            # cost a signature check and fail it.
            if len(data) <= MAX_DATAGRAM_BYTES:
                await self._act(self._handle(data, (source[0], source[1])))
            # Datagrams that are too long count too. Otherwise a flood of them would never let the other tasks run.
            left -= 1
            if left <= 0:
                await trio.sleep_until(slice_end)

    async def _receive(self) -> tuple[bytes, tuple[str, int]]:
        while True:
            try:
                data, source = await self._udp.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except OSError as error:
                log.debug("a datagram was not received", reason=str(error))
                # The error may be lasting. Without the pause this loop would spin.
                await trio.sleep(0.1)
                continue
            return data, (str(source[0]), int(source[1]))

    def _handle(self, data: bytes, source: tuple[str, int]) -> list[Action]:
        dropped = self._machine.dropped
        actions = self._machine.handle_datagram(data, source, time.time())
        # What the machine drops is not counted by type: a stranger may write any type into a datagram.
        if self._machine.dropped == dropped:
            self._counters.datagram_received(data)
        return actions

    async def _tick(self) -> None:
        while True:
            # Before the tick: the tick decides whether a search begins.
            self._machine.seeking = self._wants_more()
            await self._act(self._machine.tick(time.time()))
            await trio.sleep(TICK_SECONDS)

    async def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case SendDatagram():
                    try:
                        await self._udp.sendto(action.datagram, action.address)
                        self._counters.datagram_sent(action.datagram)
                    except OSError as error:
                        log.debug("a datagram was not sent", to=action.address, reason=str(error))
                case NodeFound():
                    self._found(action.enode)
