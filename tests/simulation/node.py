"""A simulated validator: the production node's parts around a disk that survives their crashes.

What survives a crash is exactly what the real node has on its disk: the chain and the consensus log. A crash may strike
before anything that lasts: a write, a flush, a signature, a message, an import.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.payloads import Payload, SignedPayload
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.eth_server import EthServer
from lacnode.p2p.wire.eth_messages import EthMessage
from lacnode.primitives.block import Block
from lacnode.storage.storage_errors import StorageError
from tests.simulation.chain import Speeds
from tests.simulation.clock import VirtualClock
from tests.simulation.disk import VirtualDisk
from tests.simulation.ledger import Ledger
from tests.simulation.life import Life


@dataclass(slots=True)
class NodeDisk:
    """A data directory: the chain, and the file of the consensus log."""

    ledger: Ledger
    files: VirtualDisk = field(default_factory=VirtualDisk)

    def after_power_loss(self, rng: random.Random) -> "NodeDisk":
        """What is found when the power is back."""
        return NodeDisk(self.ledger.after_power_loss(rng), self.files.after_power_loss(rng))

    def copy(self) -> "NodeDisk":
        """As an operator copies it while the node is stopped."""
        return NodeDisk(self.ledger.copy(), self.files.copy())


class Outside(Protocol):
    """What a node reaches outside itself: given by the network it is part of."""

    def send(self, source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> None: ...
    def signed(self, index: int, payload: SignedPayload[Payload]) -> None: ...
    def imported(self, index: int, block: Block) -> None: ...
    def strike(self, index: int, step: str) -> bool: ...
    def started(self, index: int, life: Life) -> None: ...
    def crashed(self, index: int, life: Life) -> None: ...


class SyncLies(Protocol):
    """How a liar answers those who synchronise from it (`sync_liars`)."""

    def claimed_height(self, height: int) -> int: ...
    async def answer(self, request: EthMessage, server: EthServer) -> EthMessage: ...


class SimulatedNode:
    """One validator. `index` is its number in the network."""

    def __init__(
        self,
        index: int,
        key: NodeKey,
        disk: NodeDisk,
        clock: VirtualClock,
        rng: random.Random,
        outside: Outside,
        speeds: Speeds,
    ) -> None:
        self.index = index
        self.key = key
        self.disk = disk
        self.speeds = speeds
        self.outside = outside
        self.vote_proposer = VoteProposer()
        self.lies: SyncLies | None = None
        self.has_waiting_transaction = False
        """Whether its pool has the one transaction that there is. The pool outlives crashes, as that of a client would."""
        self.denied: dict[bytes, float] = {}
        """Ids of nodes that are kept out, and until when (Unix milliseconds)."""
        self.life: Life | None = None
        self.clock = clock
        self._rng = rng

    @property
    def address(self) -> bytes:
        return self.key.address

    @property
    def running(self) -> bool:
        return self.life is not None

    @property
    def machine(self) -> BftController | None:
        """The state machine of a node that runs."""
        return None if self.life is None else self.life.validator.machine

    @property
    def height(self) -> int:
        """Number of the head."""
        return self.disk.ledger.head.number

    @property
    def prepared(self) -> PreparedBlock | None:
        """What this node, which runs, is bound to propose at the height after its head."""
        return None if self.life is None else self.life.journal.signed_at(self.height + 1).prepared

    def now_ms(self) -> int:
        """This node's wall clock."""
        return self.clock.now_ms + self.speeds.clock_skew_ms

    def start(self) -> None:
        """Come up with what the disk holds; StorageError if that cannot be read."""
        self.denied.clear()
        try:
            life = Life(self, self.clock)
        except StorageError:
            self.life = None
            raise
        if life.is_running:
            self.outside.started(self.index, life)

    def crash(self) -> None:
        """Forget everything but the disk."""
        if self.life is not None:
            life, self.life = self.life, None
            life.end()
            self.disk = self.disk.after_power_loss(self._rng)
            self.outside.crashed(self.index, life)

    def receive(self, code: int, data: bytes, sender: bytes) -> None:
        """A consensus message from the peer at address `sender`."""
        if self.life is not None:
            self.life.validator.message_received(code, data, sender)


SpeedsOf = Callable[[int], Speeds]
