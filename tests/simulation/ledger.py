"""The chain of a simulated node: real headers, real header rules, real seals; blocks without transactions.

It is the durable half of a node: what a crash leaves. Execution has no part in consensus, so there is none.
"""

import functools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from lacnode.consensus.bft.extra_data import ExtraData, Vote
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.consensus.protocols import PROTOCOLS, VALIDATOR_PROTOCOLS
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT
from lacnode.primitives.ordered_root import ordered_root
from lacnode.primitives.transaction import LEGACY, Transaction, encode_signed_transaction

MIX_HASH = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
GAS_LIMIT = 10_000_000
TRANSACTION = Transaction.decode(
    encode_signed_transaction(
        LEGACY, [b"", b"", rlp.encode_scalar(21_000), bytes(20), rlp.encode_scalar(1), b""], 27, 1, 1
    )
)
ONE_TRANSACTION_ROOT = ordered_root([TRANSACTION.raw])


MIGRATION = "migration"
"""The name of networks that go from IBFT 2.0 to QBFT."""

NETWORK_KINDS = (*sorted(VALIDATOR_PROTOCOLS), MIGRATION)
"""What networks may agree by."""

default_protocol = ContextVar("default_protocol", default="ibft2")
"""What networks agree by that name nothing, so that one scenario serves all of `NETWORK_KINDS`."""


@contextmanager
def agreeing_by(protocol: str) -> Iterator[None]:
    """Within this, networks that name no protocol have this one."""
    token = default_protocol.set(protocol)
    try:
        yield
    finally:
        default_protocol.reset(token)


@functools.cache
def _schedule(name: str, qbft_start_block: int) -> ProtocolSchedule:
    if name == MIGRATION:
        return ProtocolSchedule(((0, PROTOCOLS["ibft2"]), (qbft_start_block, PROTOCOLS["qbft"])))
    return ProtocolSchedule(((0, PROTOCOLS[name]),))


@dataclass(frozen=True, slots=True)
class Rules:
    """The network's constants, the same on every node."""

    block_period_ms: int
    request_timeout_ms: int
    epoch_length: int
    has_transactions: bool = False
    """Whether every block has a transaction, the same in each: nothing executes it."""
    protocol_name: str = field(default_factory=lambda: default_protocol.get())
    """One of `NETWORK_KINDS`."""
    empty_block_period_ms: int = 0
    """The period of blocks without transactions, of QBFT only. 0 for none."""
    qbft_start_block: int = 4
    """The first block of QBFT in a network that goes from IBFT 2.0 to it."""

    @property
    def is_migration(self) -> bool:
        return self.protocol_name == MIGRATION

    @property
    def protocols(self) -> ProtocolSchedule:
        return _schedule(self.protocol_name, self.qbft_start_block)

    def is_epoch_block(self, number: int) -> bool:
        """Whether open votes are forgotten in this block."""
        begins = self.qbft_start_block - 1 if self.is_migration and number >= self.qbft_start_block else 0
        return (number - begins) % self.epoch_length == 0


def genesis_block(validators: tuple[bytes, ...], timestamp: int, protocols: ProtocolSchedule) -> Block:
    extra = ExtraData(vanity=bytes(32), validators=validators, vote=None, round=0, seals=())
    return Block(
        _header(bytes(32), bytes(20), 0, timestamp, protocols.protocol_at(0).encode_extra_data(extra)), BlockBody()
    )


def _header(parent: bytes, coinbase: bytes, number: int, timestamp: int, extra_data: bytes) -> BlockHeader:
    return BlockHeader(
        parent_hash=parent,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=coinbase,
        state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=1,
        number=number,
        gas_limit=GAS_LIMIT,
        gas_used=0,
        timestamp=timestamp,
        extra_data=extra_data,
        mix_hash=MIX_HASH,
        nonce=bytes(8),
    )


class Ledger:
    """Blocks from genesis to head, and the validators after each: what a node has on its disk.

    The blocks of one bulk import are flushed at its end (`bulk_from` is the height before it, None outside): a power cut
    may take back the last of them.
    """

    def __init__(self, genesis: Block, rules: Rules) -> None:
        self.rules = rules
        self.blocks = [genesis]
        self.bulk_from: int | None = None
        self.protocols = rules.protocols
        validators = self.protocols.extra_data(genesis.header).validators
        self._tallies = [VoteTally.from_validators(validators)]
        self._hashes = [self.protocols.block_hash(genesis.header)]
        self._numbers = {self._hashes[0]: 0}
        self._log_positions: list[bytes | None] = [None]
        self.log_position: Callable[[], bytes | None] = lambda: self.stored_log_position
        """What is stored with every block: how far the consensus log has come."""

    @property
    def head(self) -> BlockHeader:
        return self.blocks[-1].header

    @property
    def head_hash(self) -> bytes:
        return self._hashes[-1]

    @property
    def validators(self) -> tuple[bytes, ...]:
        """The set that agrees on the next block."""
        return self.tally.validators

    @property
    def tally(self) -> VoteTally:
        """The votes outstanding after the head."""
        return self._tallies[-1]

    def tally_after(self, number: int) -> VoteTally:
        """The votes outstanding after block `number`."""
        return self._tallies[number]

    def hash_at(self, number: int) -> bytes | None:
        """The hash of block `number`, None where there is none."""
        return self._hashes[number] if number < len(self._hashes) else None

    def number_of(self, hash_: bytes) -> int | None:
        """The number of the block with this hash, None where there is none."""
        return self._numbers.get(hash_)

    @property
    def stored_log_position(self) -> bytes | None:
        """How far the consensus log had come at the last commit, None if that was never stored."""
        return self._log_positions[-1]

    def store_log_position(self, position: bytes) -> None:
        """Store how far the consensus log has come, without a block."""
        self._log_positions[-1] = position

    def make_block(
        self, coinbase: bytes, round_: int, timestamp: int, tag: bytes = b"", vote: Vote | None = None
    ) -> Block:
        """A block on the head. Blocks with different `tag`s differ."""
        vanity = tag.ljust(32, b"\0")
        extra = ExtraData(vanity=vanity, validators=self.validators, vote=vote, round=round_, seals=())
        return self.block_with(
            coinbase, timestamp, self.protocols.protocol_at(self.head.number + 1).encode_extra_data(extra)
        )

    def block_with(self, coinbase: bytes, timestamp: int, extra_data: bytes, *, is_full: bool = False) -> Block:
        """A block on the head with this extra data. `is_full`: it has the one transaction that there is."""
        header = _header(self.head_hash, coinbase, self.head.number + 1, timestamp, extra_data)
        if not self.rules.has_transactions and not is_full:
            return Block(header, BlockBody())
        return Block(replace(header, transactions_root=ONE_TRANSACTION_ROOT), BlockBody((TRANSACTION,)))

    def append(self, block: Block, hash_: bytes) -> None:
        """Store `block`, which was verified and has this on-chain hash, as the head."""
        extra, is_epoch = self.protocols.extra_data(block.header), self.rules.is_epoch_block(block.number)
        self._tallies.append(self._tallies[-1].after(block.header, extra, is_epoch=is_epoch))
        self.blocks.append(block)
        self._hashes.append(hash_)
        self._numbers[hash_] = block.number
        self._log_positions.append(self.log_position())

    def copy(self) -> "Ledger":
        """The same blocks, on another disk."""
        other = Ledger(self.blocks[0], self.rules)
        other.blocks, other._tallies, other._hashes = self.blocks[:], self._tallies[:], self._hashes[:]
        other._numbers, other._log_positions = dict(self._numbers), self._log_positions[:]
        return other

    def after_power_loss(self, rng: random.Random) -> "Ledger":
        """What is found when the power is back; who still writes to this one writes to nothing."""
        other = self.copy()
        if self.bulk_from is not None:
            other.cut(rng.randint(self.bulk_from, self.head.number))
        return other

    def cut(self, number: int) -> None:
        """Forget all blocks above `number`."""
        for hash_ in self._hashes[number + 1 :]:
            del self._numbers[hash_]
        for kept in (self.blocks, self._tallies, self._hashes, self._log_positions):
            del kept[number + 1 :]
