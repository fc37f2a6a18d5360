"""A simulated node from one start to its end: the production parts of a node on virtual time, put together as in `Node`.

Everything here is lost in a crash; what stays is `NodeDisk`. A crash is immediate: whatever the parts still do before
they notice that they are cancelled changes nothing outside.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.chainspec.forks import ForkId
from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.journal import Journal
from lacnode.node.block_exchange import BlockExchange
from lacnode.node.consensus_message_filter import ConsensusMessageFilter
from lacnode.node.consensus_network import PeerConsensusNetwork
from lacnode.node.peer_expulsion import PeerExpulsion
from lacnode.node.signing_state import open_signing_state
from lacnode.node.signing_wait import SigningWait
from lacnode.p2p.chain_reader import LocalStatus, NoTransactions
from lacnode.p2p.eth_server import EthServer
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.eth_messages import EthMessage
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction
from lacnode.sync.synchronizer import Synchronizer
from lacnode.validator.block_creator import PoolBlockCreator
from lacnode.validator.validator import Validator
from tests.simulation.chain import SimulatedChain, WaitingTransaction
from tests.simulation.clock import VirtualClock
from tests.simulation.paired_database import LedgerDatabase
from tests.simulation.witness import WatchedSigner, watch
from tests.simulation.worker import VirtualWorker

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode

DATA_PATH = Path("/data")
GENESIS_DIFFICULTY = 1


class SimulatedConsensusNetwork(PeerConsensusNetwork):
    """The outputs of consensus in a simulated life. The simulation sees each message first."""

    def __init__(self, life: "Life") -> None:
        super().__init__(lambda: list(life.peers.values()), life.synchronizer, life.exchange, life.expulsion)
        self._life = life

    def send(self, code: int, data: bytes, recipients: frozenset[bytes], *, is_relayed: bool = False) -> None:
        """Give the message to the simulation, unless the power goes before. It puts all messages into one lane."""
        self._life.step("send")
        if self._life.is_running:
            self._life.node.outside.send(self._life.node.index, code, data, recipients)

    def send_to_peers(self, code: int, data: bytes, recipients: frozenset[bytes]) -> None:
        """Send the message over the sessions."""
        super().send(code, data, recipients)


class Life:
    """One run of `node`, and the `NetworkHandler` of its sessions."""

    def __init__(self, node: "SimulatedNode", clock: VirtualClock) -> None:
        self.node = node
        self.is_running = True
        node.life = self  # from the first write on, so that the power may go while it starts
        self.peers: dict[bytes, Peer] = {}
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._moved = trio.Event()
        self._serving = VirtualWorker(clock)
        node.disk.files.touched = self.step
        self.chain = SimulatedChain(node.disk.ledger, node.speeds, node.now_ms, self.step, self._imported)
        self._records = open_signing_state(
            DATA_PATH,
            node.address,
            LedgerDatabase(node.disk.ledger),
            node.disk.ledger.protocols,
            reset=False,
            disk=node.disk.files,
        )
        self.journal = Journal.restore(
            self._records.records(), self.chain.protocols, head=self.chain.head.header.number
        )
        chain, state_worker = cast(Blockchain, self.chain), VirtualWorker(clock)
        self._server = EthServer(self.chain, NoTransactions())
        self.synchronizer = Synchronizer(
            chain,
            lambda: self.peers.values(),
            worker=state_worker,
            check_worker=VirtualWorker(clock),
            on_importing=lambda importing: self.validator.hold_back_heads(importing),
        )
        self.exchange = BlockExchange(chain, lambda: list(self.peers.values()), self.synchronizer, GENESIS_DIFFICULTY)
        self.expulsion = PeerExpulsion(self._deny)
        self.consensus_network = SimulatedConsensusNetwork(self)
        self._log_worker = VirtualWorker(clock, lambda: node.speeds.disk_ms)
        self.validator = self._make_validator(chain, state_worker, clock)
        self._consensus_peers = ConsensusMessageFilter(
            receive=node.receive, is_validator=self.validator.is_validator, expulsion=self.expulsion
        )

    def _make_validator(self, chain: Blockchain, state_worker: VirtualWorker, clock: VirtualClock) -> Validator:
        node = self.node
        files = node.disk.files
        signer = WatchedSigner(
            node.key,
            self.chain.protocols,
            self.step,
            self._signed,
            lambda record: files.forgets_flushes or files.is_durable(record),
        )
        watch(self.journal, signer)
        return Validator(
            BftController(node.address, self.journal, self.chain.protocols),
            journal=self.journal,
            records=self._records,
            signer=signer,
            chain=chain,
            block_creator=PoolBlockCreator(chain, node.address, node.vote_proposer, self._candidates),
            network=self.consensus_network,
            proposal_worker=VirtualWorker(clock),
            state_worker=state_worker,
            log_worker=self._log_worker,
            reading_worker=self._log_worker,
            signing_worker=VirtualWorker(clock, lambda: node.speeds.sign_ms),
            now_ms=node.now_ms,
            message_limit=chain.spec.ibft.parameters_at(0).message_queue_limit,
            # The same seed must give the same run, however fast this machine is.
            thread_seconds=lambda: 0.0,
        )

    # -- living ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Be a node until `end`."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self.synchronizer.run)
                nursery.start_soon(self.exchange.run)
                nursery.start_soon(self._take_part)

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run `task` for as long as this life lasts."""
        assert self._nursery is not None
        self._nursery.start_soon(task)

    def end(self) -> None:
        """Nothing more happens."""
        self.is_running = False
        self._scope.cancel()

    @property
    def can_meet(self) -> bool:
        """Whether sessions can begin."""
        return self.is_running and self._nursery is not None

    def step(self, name: str) -> None:
        """Something that lasts is about to be done. The power may go before."""
        if self.is_running and self.node.outside.strike(self.node.index, name):
            self.node.crash()

    async def _take_part(self) -> None:
        start = SigningWait(
            cast(Blockchain, self.chain),
            lambda: list(self.peers.values()),
            self.node.address,
            lambda: self._moved,
            self.journal,
            lambda record: self._log_worker.run(lambda: self._records.append(record)),
        )
        await start.wait()
        await self.validator.run()

    def _changed(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    # -- what the parts say ------------------------------------------------------------------------------------------

    def _signed(self, *signed: object) -> None:
        if self.is_running:
            self.node.outside.signed(self.node.index, *signed)  # type: ignore[arg-type]

    def _candidates(self, base_fee: int | None) -> tuple[WaitingTransaction, ...]:
        return (WaitingTransaction(),) if self.node.has_waiting_transaction else ()

    def _imported(self, block: Block) -> None:
        if block.transactions:
            self.node.has_waiting_transaction = False
        if self.is_running:
            self.node.outside.imported(self.node.index, block)
            self._changed()
            self.validator.head_changed()

    # -- what the network says (`p2p.handler.NetworkHandler`) ------------------------------------------------------------

    def peer_joined(self, peer: Peer) -> None:
        self._changed()
        self.validator.peer_connected(peer.address)
        self.synchronizer.wake()

    def peer_left(self, peer: Peer, reason: str) -> None:
        self._changed()
        self.exchange.peer_left(peer)

    def reads_consensus_from(self, peer: Peer) -> bool:
        return True

    def consensus_received(self, peer: Peer, code: int, data: bytes) -> None:
        self._consensus_peers.receive(peer, code, data)

    def wants_block_body(self, peer: Peer, header: BlockHeader) -> bool:
        return True

    def block_received(self, peer: Peer, block: Block) -> None:
        self.exchange.block_received(peer, block)

    def long_block_dropped(self, peer: Peer) -> None:
        self.exchange.long_block_dropped(peer)

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        self.exchange.block_hashes_received(peer, blocks)

    def transactions_received(self, peer: Peer, transactions: Sequence[Transaction]) -> None:
        """There are none."""

    def transaction_hashes_received(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int]) -> None:
        """There are none."""

    def breached(self, peer: Peer, reason: str) -> None:
        """`peer` sent what no peer may send: it is kept out until this node restarts."""
        self._deny(peer.id, reason, math.inf)

    def _deny(self, node_id: bytes, reason: str, seconds: float) -> None:
        self.node.denied[node_id] = self.node.clock.now_ms + seconds * 1000

    # -- what peers ask ----------------------------------------------------------------------------------------------

    def status(self) -> LocalStatus:
        """How this node introduces itself."""
        head = self.chain.head
        claimed = head.header.number if self.node.lies is None else self.node.lies.claimed_height(head.header.number)
        return LocalStatus(
            network_id=1,
            genesis_hash=self.chain.genesis_hash,
            genesis_difficulty=GENESIS_DIFFICULTY,
            head_hash=head.hash,
            head_number=claimed,
            total_difficulty=GENESIS_DIFFICULTY + claimed,
            fork_id=ForkId(b"\0\0\0\0", 0),
            accepts_fork_id=lambda fork_id: True,
        )

    async def answer(self, request: EthMessage) -> EthMessage:
        """The answer to a peer's request."""
        if self.node.lies is not None:
            return await self.node.lies.answer(request, self._server)
        return await self._serving.run(lambda: self._server.answer(request))
