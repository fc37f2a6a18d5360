"""A chain on a real engine, in memory, and the keys that seal its blocks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lacnode.chain.blockchain import Blockchain, ChainSettings, NewHead
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.consensus.bft.extra_data import ExtraData, Vote
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import AncestorHash, ExecutedBlock
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction
from lacnode.storage.database import Database
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.chain_genesis import KEYS, NOW, STRANGER, genesis
from tests.support.chain_transactions import Offer
from tests.support.ibft2_blocks import with_seals


class CountingEngine(PyEvmEngine):
    """Counts executions of whole blocks."""

    executions = 0

    def execute(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        self.executions += 1
        return super().execute(parent_state_root, header, transactions, ancestor_hash, budget)


@dataclass
class Network:
    """One chain and the keys to seal its blocks."""

    chain: Blockchain
    engine: CountingEngine
    database: Database
    heads: list[NewHead] = field(default_factory=list)

    def build(
        self, offers: Sequence[Offer] = (), *, vote: Vote | None = None, coinbase: bytes | None = None, step: int = 1
    ) -> Block:
        head = self.chain.head.header
        validators = self.chain.validators_after(head)
        extra = encode_extra_data(ExtraData(bytes(32), validators, vote))
        return self.chain.build_block(
            head.timestamp + step, coinbase or validators[0], extra, offers, time.monotonic() + 30
        )

    def grow(self, offers: Sequence[Offer] = (), *, vote: Vote | None = None, coinbase: bytes | None = None) -> Block:
        block = sealed(self.build(offers, vote=vote, coinbase=coinbase), self.chain)
        assert self.chain.import_block(block)
        return block


def sealed(block: Block, chain: Blockchain, keys: Sequence[NodeKey] = (*KEYS, STRANGER)) -> Block:
    validators = chain.validators_after(chain.head.header)
    digest = committed_seal_hash(block.header)
    return with_seals(block, tuple(sign(digest, key.private_key) for key in keys if key.address in validators))


def network(
    document: dict[str, object] | None = None, database: Database | None = None, settings: ChainSettings | None = None
) -> Network:
    spec = parse_genesis(document or genesis())
    database = database or MemoryDatabase()
    engine = CountingEngine(spec, DatabaseNodeStore(database))
    made = Network(Blockchain(spec, database, engine, settings=settings, now=lambda: NOW), engine, database)
    made.chain.on_head(made.heads.append)
    return made
