"""Watching a network from outside, in a thread of its own: blocks as a peer hears of them, calls as a user makes them.

Must not disturb: one session and four cheap calls a second for each node, one transfer a second in all.
"""

import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from lacnode.consensus.ibft2.block_hash import on_chain_hash
from lacnode.consensus.ibft2.extra_data import decode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.p2p.rlpx import ConnectionFailedError
from lacnode.p2p.wire.eth_messages import NewBlock
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from lacnode.rpc.json_rpc_client import CallRefusedError, NodeUnreachableError, call
from tests.siege.measure import BlockTimes, percentile
from tests.siege.stranger import ETH_ONLY, Stranger
from tests.siege.transactions import SiegeSender, raw

CALL_PAUSE_SECONDS = 0.25
CALL_TIMEOUT_SECONDS = 10.0
TRANSFER_PAUSE_SECONDS = 1.0
RECONNECT_SECONDS = 0.2
WORKERS = 12
"""Threads for calls: one for each node and some for transfers that wait."""


@dataclass(slots=True)
class Transfer:
    """An ordinary transfer: when it was sent, the head at that moment, and the block that has it."""

    sent_at: float
    head: int
    block: int | None = None


@dataclass
class Watch:
    """Measures while the context is open. Moments are seconds on the monotonic clock."""

    manifest: Manifest
    senders: Mapping[str, NodeKey] = field(default_factory=dict)
    """The accounts of the transfers, by the node that takes them. A node without one takes each of a new account."""

    arrivals: list[tuple[float, int]] = field(default_factory=list)
    """Moment and round of each new height, in order."""

    hashes: dict[int, set[bytes]] = field(default_factory=dict)
    """Every hash that any node announced, by height."""

    calls: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Moment and duration of each `eth_blockNumber`, by node; a call that failed counts as the time-out."""

    transfers: dict[bytes, Transfer] = field(default_factory=dict)
    refused_transfers: int = 0
    head: int = 0

    def __enter__(self) -> "Watch":
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,), name="watch", daemon=True)
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(CALL_TIMEOUT_SECONDS)

    # -- what was seen -------------------------------------------------------------------------------------------

    def block_times(self, begin: float, end: float) -> BlockTimes:
        """The intervals between blocks in a span of time."""
        return BlockTimes.of(list(self.arrivals), begin, end)

    def call_p95(self, begin: float, end: float) -> float:
        """Seconds that 95 % of the calls of a span do not exceed, at the node where they take longest."""
        return max(
            percentile([seconds for moment, seconds in list(calls) if begin <= moment <= end], 0.95)
            for calls in list(self.calls.values())
        )

    def blocks_waited(self, begin: float, end: float) -> int:
        """The most blocks that a transfer of a span waited for; one that still waits counts up to the head."""
        sent = [transfer for transfer in list(self.transfers.values()) if begin <= transfer.sent_at <= end]
        return max(((transfer.block or self.head + 1) - transfer.head for transfer in sent), default=0)

    # -- looking -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._workers = trio.CapacityLimiter(WORKERS)
        self._started.set()
        with self._scope:
            async with trio.open_nursery() as nursery:
                for node in self.manifest.nodes:
                    nursery.start_soon(self._listen, node)
                    nursery.start_soon(self._call, node)
                nursery.start_soon(self._send_transfers, nursery)

    async def _listen(self, node: DevnetNode) -> None:
        """Hear of the blocks of `node`, in one session after the other."""
        while True:
            try:
                await self._listen_once(await Stranger.meet(node, capabilities=ETH_ONLY))
            except (ConnectionFailedError, OSError, RlpError):
                await trio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self, stranger: Stranger) -> None:
        try:
            while True:
                message = await stranger.receive()
                if isinstance(message, NewBlock):
                    self._block_came(message.block)
        finally:
            await stranger.close()

    def _block_came(self, block: Block) -> None:
        self.hashes.setdefault(block.number, set()).add(on_chain_hash(block.header))
        if block.number <= self.head:
            return
        self.arrivals.append((time.monotonic(), decode_extra_data(block.header.extra_data).round))
        self.head = block.number
        for transaction in block.transactions:
            if transaction.hash in self.transfers:
                self.transfers[transaction.hash].block = block.number

    async def _call(self, node: DevnetNode) -> None:
        calls = self.calls.setdefault(node.name, [])
        while True:
            begin = time.monotonic()
            answer = await self._ask(node, "eth_blockNumber")
            calls.append((begin, CALL_TIMEOUT_SECONDS if answer is None else time.monotonic() - begin))
            await trio.sleep(CALL_PAUSE_SECONDS)

    async def _send_transfers(self, nursery: trio.Nursery) -> None:
        for node in itertools.cycle(self.manifest.nodes):
            nursery.start_soon(self._send_transfer, node)
            await trio.sleep(TRANSFER_PAUSE_SECONDS)

    async def _send_transfer(self, node: DevnetNode) -> None:
        transaction = (await self._sender(node)).transfer()
        self.transfers[transaction.hash] = Transfer(time.monotonic(), self.head)
        if await self._ask(node, "eth_sendRawTransaction", raw(transaction)) is None:
            del self.transfers[transaction.hash]
            self.refused_transfers += 1

    async def _sender(self, node: DevnetNode) -> SiegeSender:
        key = self.senders.get(node.name)
        if key is None:
            return SiegeSender()
        nonce = await self._ask(node, "eth_getTransactionCount", to_hex(key.address), "pending")
        return SiegeSender(key, int(nonce, 16) if isinstance(nonce, str) else 0)

    async def _ask(self, node: DevnetNode, method: str, *params: object) -> object:
        """The node's result, None where there is none."""

        def ask() -> object:
            try:
                return call(node.rpc_url, method, params, CALL_TIMEOUT_SECONDS)
            except (NodeUnreachableError, CallRefusedError):
                return None

        return await trio.to_thread.run_sync(ask, limiter=self._workers, abandon_on_cancel=True)
