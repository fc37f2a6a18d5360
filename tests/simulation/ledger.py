"""The chain of a simulated node: real headers, real header rules, real seals; blocks without transactions.

It is the durable half of a node: what a crash leaves. Execution has no part in consensus, so there is none.
"""

from dataclasses import dataclass

from lacnode.consensus.block_hash import on_chain_hash
from lacnode.consensus.extra_data import ExtraData, Vote
from lacnode.consensus.header_rules import HeaderRefused, check_full, check_light
from lacnode.consensus.unsigned_parts import BodyMismatchError, check_body_matches
from lacnode.consensus.validators import VoteTally
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT

MIX_HASH = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
GAS_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class Rules:
    """The network's constants, the same on every node."""

    block_period_ms: int
    request_timeout_ms: int
    epoch_length: int


def genesis_block(validators: tuple[bytes, ...], timestamp: int) -> Block:
    extra = ExtraData(vanity=bytes(32), validators=validators, vote=None, round=0, seals=())
    return Block(_header(bytes(32), bytes(20), 0, timestamp, extra), BlockBody())


def _header(parent: bytes, coinbase: bytes, number: int, timestamp: int, extra: ExtraData) -> BlockHeader:
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
        extra_data=extra.encode(),
        mix_hash=MIX_HASH,
        nonce=bytes(8),
    )


class Ledger:
    """Blocks from genesis to head, and the validators after each."""

    def __init__(self, genesis: Block, rules: Rules) -> None:
        self.rules = rules
        self.blocks = [genesis]
        validators = ExtraData.decode(genesis.header.extra_data).validators
        self._tallies = [VoteTally.of(validators)]

    @property
    def head(self) -> BlockHeader:
        return self.blocks[-1].header

    @property
    def validators(self) -> tuple[bytes, ...]:
        """The set that agrees on the next block."""
        return self.tally.validators

    @property
    def tally(self) -> VoteTally:
        """The votes outstanding after the head."""
        return self._tallies[-1]

    def make_block(
        self, coinbase: bytes, round_: int, timestamp: int, tag: bytes = b"", vote: Vote | None = None
    ) -> Block:
        """An empty block on the head. Blocks with different `tag`s differ."""
        vanity = tag.ljust(32, b"\0")
        extra = ExtraData(vanity=vanity, validators=self.validators, vote=vote, round=round_, seals=())
        return Block(_header(on_chain_hash(self.head), coinbase, self.head.number + 1, timestamp, extra), BlockBody())

    def check(self, block: Block, now_ms: int) -> str | None:
        """The rule that `block` breaks as a proposal on the head, None if it is valid."""
        try:
            check_light(
                block.header, self.head, self.validators, now=now_ms / 1000, block_period_ms=self.rules.block_period_ms
            )
            check_body_matches(block)
        except (HeaderRefused, BodyMismatchError) as refused:
            return str(refused)
        return None

    def append(self, block: Block, now_ms: int) -> str | None:
        """Import `block`; the broken rule if it is refused."""
        try:
            check_full(
                block.header, self.head, self.validators, now=now_ms / 1000, block_period_ms=self.rules.block_period_ms
            )
            check_body_matches(block)
        except (HeaderRefused, BodyMismatchError) as refused:
            return str(refused)
        self._tallies.append(self._tallies[-1].after(block.header, self.rules.epoch_length))
        self.blocks.append(block)
        return None
