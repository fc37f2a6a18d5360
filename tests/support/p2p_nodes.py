"""Nodes for tests of the network: real sockets on loopback, chains in memory, and a client that may misbehave."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from lacnode.chainspec.forks import ForkId
from lacnode.crypto.node_identity import NodeIdentity
from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.connection_policies import ConnectionPolicy
from lacnode.p2p.p2p_network import P2pNetwork, P2pNetworkConfig
from lacnode.p2p.peer import Peer
from lacnode.p2p.rlpx import ConnectionTimeouts, PeerDisconnectedError, RlpxConnection, open_rlpx
from lacnode.p2p.wire.capabilities import Capability, CapabilityTable
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import EthMessage, Status, decode_eth_message
from lacnode.p2p.wire.frame import Frame
from lacnode.p2p.wire.p2p_messages import DISCONNECT, P2P_VERSION, Disconnect, DisconnectReason, Hello
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.receipt import Log, Receipt
from lacnode.primitives.transaction import Transaction, encode_signed_transaction
from tests.support.ibft2_blocks import CAPABILITIES

DEADLINE = 20.0
"""Seconds that anything in these tests may take; only a failing test takes as long."""

NETWORK_ID = 648_541


def transaction(number: int, data: bytes = b"") -> Transaction:
    """A transaction that nothing but its own number and data tells from others; the signature is not a real one."""
    payload: list[rlp.RlpValue] = [rlp.encode_scalar(number), b"", rlp.encode_scalar(21_000), b"\2" * 20, b"", data]
    return Transaction.decode(encode_signed_transaction(0, payload, 27, 1, 1))


def block(number: int, parent_hash: bytes, transactions: Sequence[Transaction] = ()) -> Block:
    header = BlockHeader(
        parent_hash=parent_hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=bytes(20),
        state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=1,
        number=number,
        gas_limit=10_000_000,
        gas_used=0,
        timestamp=1_700_000_000 + 2 * number,
        extra_data=b"",
        mix_hash=bytes(32),
        nonce=bytes(8),
    )
    return Block(header, BlockBody(tuple(transactions)))


class MemoryChain:
    """A chain and a pool, as far as the network asks."""

    def __init__(self, length: int = 5, *, genesis: bytes = bytes(32), network_id: int = NETWORK_ID) -> None:
        self.network_id = network_id
        self.fork_id = ForkId(bytes.fromhex("d4c10651"), 0)
        self.accepts: Callable[[ForkId], bool] = lambda fork_id: True
        self.blocks: list[Block] = []
        self.hashes: list[bytes] = []
        self.pooled: dict[bytes, Transaction] = {}
        parent = genesis
        for number in range(length):
            self.blocks.append(block(number, parent, [transaction(number)] if number else ()))
            parent = keccak256(self.blocks[-1].header.encode())
            self.hashes.append(parent)

    def status(self) -> LocalStatus:
        head = len(self.blocks) - 1
        return LocalStatus(
            network_id=self.network_id,
            genesis_hash=self.hashes[0],
            genesis_difficulty=1,
            head_hash=self.hashes[-1],
            head_number=head,
            total_difficulty=head + 1,
            fork_id=self.fork_id,
            accepts_fork_id=self.accepts,
        )

    def header_at(self, number: int) -> BlockHeader | None:
        return self.blocks[number].header if number < len(self.blocks) else None

    def hash_at(self, number: int) -> bytes | None:
        return self.hashes[number] if number < len(self.hashes) else None

    def block_of(self, hash_: bytes) -> Block | None:
        return self.blocks[self.hashes.index(hash_)] if hash_ in self.hashes else None

    def header_of(self, hash_: bytes) -> BlockHeader | None:
        found = self.block_of(hash_)
        return None if found is None else found.header

    def encoded_receipts_of(self, hash_: bytes) -> Sequence[bytes] | None:
        found = self.block_of(hash_)
        if found is None:
            return None
        return [
            Receipt.with_computed_bloom(0, 1, None, 21_000, (Log(b"\3" * 20, (b"\4" * 32,), b"five"),)).encode()
            for _ in found.transactions
        ]

    def transaction(self, hash_: bytes) -> Transaction | None:
        return self.pooled.get(hash_)


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    peer: Peer
    content: Any = None


class Recorder:
    """A handler that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.known_numbers: set[int] = set()
        """Of blocks that are no news."""
        self._more = trio.Event()

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    async def wait(self, kind: str, count: int = 1) -> Event:
        """The `count`th event of that kind."""
        with trio.fail_after(DEADLINE):
            while len(self.of(kind)) < count:
                await self._more.wait()
        return self.of(kind)[count - 1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look at `condition` after every event until it holds."""
        with trio.fail_after(DEADLINE):
            while not condition():
                await self._more.wait()

    def record(self, kind: str, peer: Peer, content: Any = None) -> None:
        self.events.append(Event(kind, peer, content))
        self._more.set()
        self._more = trio.Event()

    def peer_joined(self, peer: Peer) -> None:
        self.record("joined", peer)

    def peer_left(self, peer: Peer, reason: str) -> None:
        self.record("left", peer, reason)

    def reads_consensus_from(self, peer: Peer) -> bool:
        return True

    def consensus_received(self, peer: Peer, code: int, data: bytes) -> None:
        self.record("consensus", peer, (code, data))

    def wants_block_body(self, peer: Peer, header: BlockHeader) -> bool:
        return header.number not in self.known_numbers

    def block_received(self, peer: Peer, block: Block) -> None:
        self.record("block", peer, block)

    def long_block_dropped(self, peer: Peer) -> None:
        self.record("block not kept", peer)

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        self.record("block hashes", peer, tuple(blocks))

    def transactions_received(self, peer: Peer, transactions: Sequence[Transaction]) -> None:
        self.record("transactions", peer, tuple(transactions))

    def transaction_hashes_received(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int]) -> None:
        self.record("transaction hashes", peer, tuple(hashes))


@dataclass
class Node:
    """A network with everything around it."""

    network: P2pNetwork
    chain: MemoryChain
    recorder: Recorder
    visitors: list[trio.SocketStream] = field(default_factory=list)
    """Connections that tests have opened to it by hand."""
    stop: trio.CancelScope = field(default_factory=trio.CancelScope)
    stopped: trio.Event = field(default_factory=trio.Event)

    @property
    def enode(self) -> Enode:
        return self.network.local_enode

    @property
    def id(self) -> bytes:
        return self.network.key.public_key

    def peer(self, other: "Node") -> Peer:
        return next(peer for peer in self.network.peers if peer.id == other.id)

    async def visit(self) -> trio.SocketStream:
        """A bare connection to the node's port; closed when the test is over."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.enode.tcp)
        self.visitors.append(stream)
        return stream

    async def peers_are(self, *others: "Node") -> None:
        """Wait until these are the peers; sessions may come and go before, where two nodes dial each other."""
        wanted = {other.id for other in others}
        await self.recorder.until(lambda: {peer.id for peer in self.network.peers} == wanted)

    async def shut_down(self) -> None:
        self.stop.cancel()
        await self.stopped.wait()


class World:
    """Starts nodes and stops them all at the end."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.nodes: list[Node] = []

    async def node(
        self,
        *,
        key: NodeIdentity | None = None,
        chain: MemoryChain | None = None,
        policy: ConnectionPolicy | None = None,
        recorder: Recorder | None = None,
        **config: Any,
    ) -> Node:
        """A running node."""
        node = self.prepared(key=key, chain=chain, policy=policy, recorder=recorder, **config)
        await self._nursery.start(self._run, node)
        return node

    def prepared(
        self,
        *,
        key: NodeIdentity | None = None,
        chain: MemoryChain | None = None,
        policy: ConnectionPolicy | None = None,
        recorder: Recorder | None = None,
        **config: Any,
    ) -> Node:
        """A node that does not run yet."""
        settings: dict[str, Any] = {
            "client_id": "test",
            "capabilities": CAPABILITIES,
            "interface": "127.0.0.1",
            "port": 0,
            "discovery": False,
        }
        chain, recorder = chain or MemoryChain(), recorder or Recorder()
        network = P2pNetwork(
            P2pNetworkConfig(**settings | config),
            key or NodeKey.generate(),
            status=chain.status,
            chain=chain,
            pool=chain,
            handler=recorder,
            policy=policy,
        )
        node = Node(network, chain, recorder)
        self.nodes.append(node)
        return node

    @staticmethod
    async def _run(node: Node, *, task_status: trio.TaskStatus[Any]) -> None:
        with node.stop:
            await node.network.run(task_status=task_status)
        node.stopped.set()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Nodes live in here."""
    with trio.fail_after(3 * DEADLINE):
        async with trio.open_nursery() as nursery:
            w = World(nursery)
            try:
                yield w
            finally:
                for node in w.nodes:
                    for stream in node.visitors:
                        stream.socket.close()
            nursery.cancel_scope.cancel()


async def connected(one: Node, other: Node) -> tuple[Peer, Peer]:
    """Make `one` dial `other`; how each sees the other."""
    one.network.add_static(other.enode)
    seen = len(one.recorder.of("joined")) + 1, len(other.recorder.of("joined")) + 1
    await one.recorder.wait("joined", seen[0])
    await other.recorder.wait("joined", seen[1])
    return one.peer(other), other.peer(one)


class Client:
    """Speaks RLPx by hand, as a peer of any behaviour would."""

    def __init__(self, connection: RlpxConnection, table: CapabilityTable, chain: MemoryChain) -> None:
        self.connection = connection
        self.table = table
        self.chain = chain

    @classmethod
    async def connect(
        cls,
        node: Node,
        *,
        key: NodeIdentity | None = None,
        capabilities: tuple[Capability, ...] = CAPABILITIES,
        node_id: bytes | None = None,
        chain: MemoryChain | None = None,
    ) -> "Client":
        """As far as the Hellos."""
        key = key or NodeKey.generate()
        connection = await open_rlpx(await node.visit(), key, node.id, ConnectionTimeouts())
        hello = Hello(P2P_VERSION, "client", capabilities, 60_606, node_id or key.public_key)
        theirs = await connection.exchange_hellos(hello)
        return cls(connection, CapabilityTable.negotiate(capabilities, theirs.capabilities), chain or node.chain)

    @property
    def version(self) -> int:
        version = self.table.version_of("eth")
        assert version is not None
        return version

    async def become_peer(self, **changes: Any) -> Status:
        """Exchange Status; theirs."""
        status = self.chain.status()
        ours = Status(
            self.version,
            status.network_id,
            status.total_difficulty,
            status.head_hash,
            status.genesis_hash,
            status.fork_id,
        )
        await self.send(replace(ours, **changes))
        theirs = await self.message()
        assert isinstance(theirs, Status)
        return theirs

    async def send(self, message: EthMessage) -> None:
        await self.connection.send(self.table.message_id("eth", message.CODE), message.encode(self.version))

    async def frame(self) -> Frame:
        with trio.fail_after(DEADLINE):
            return await self.connection.receive()

    async def message(self) -> EthMessage:
        """The next eth message; PeerDisconnectedError on a Disconnect."""
        while True:
            frame = await self.frame()
            if frame.message_id == DISCONNECT:
                reason = Disconnect.decode(frame.body).reason
                raise PeerDisconnectedError(str(reason), reason)
            route = self.table.resolve_message_id(frame.message_id)
            if route is not None and route.protocol == "eth":
                return decode_eth_message(route.version, route.code, frame.body)

    async def disconnect_reason(self) -> DisconnectReason:
        """Read until the other side says goodbye."""
        while True:
            frame = await self.frame()
            if frame.message_id == DISCONNECT:
                return Disconnect.decode(frame.body).reason


async def closed(stream: trio.abc.ReceiveStream) -> None:
    """Read until the other side has hung up."""
    with trio.fail_after(DEADLINE):
        try:
            while await stream.receive_some(4096):
                pass
        except trio.BrokenResourceError:
            pass
