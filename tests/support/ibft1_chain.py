"""Chains of IBFT 1 that this file makes with the keys of all validators, since no node of this project makes them.

GoQuorum 24.4.1 imports such a chain with `geth import` (docs/spec/interop.md).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.consensus.ibft1.block_hash import commit_seal_digest, on_chain_hash, proposer_seal_digest
from lacnode.consensus.ibft1.extra_data import Ibft1ExtraData, decode_extra_data, encode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.engines import engine
from tests.support.goquorum_network import goquorum_genesis

PERIOD_SECONDS = 1
RETURNS_COINBASE = bytes.fromhex("4160005260206000f3")


def ibft1_keys(validators: int) -> list[NodeKey]:
    """The keys of so many validators, ascending by address."""
    keys = [NodeKey.from_private_key((5000 + index).to_bytes(32)) for index in range(validators)]
    return sorted(keys, key=lambda key: key.address)


def chain_with_contracts(keys: Sequence[NodeKey], codes: Mapping[bytes, bytes]) -> Blockchain:
    """A chain of the validators with these keys that has the genesis alone, with contracts of 1 wei each, by address."""
    document = goquorum_genesis("ibft1", [key.address for key in keys], {"ibft": {}})
    document["alloc"] |= {to_hex(place): {"balance": "0x1", "code": to_hex(code)} for place, code in codes.items()}
    spec, database = parse_genesis(document), MemoryDatabase()
    return Blockchain(spec, database, engine(spec, DatabaseNodeStore(database)))


def creator_of(number: int, keys: Sequence[NodeKey]) -> NodeKey:
    """The validator that proposes block `number`."""
    return keys[number % len(keys)]


def next_block(chain: Blockchain, keys: Sequence[NodeKey], *transactions: Transaction) -> Block:
    """The block after the head of `chain` with `transactions`, sealed by every validator."""
    head = chain.head
    draft = _draft(head.header, head.hash)
    seen = draft.with_changes(coinbase=creator_of(draft.number, keys).address)
    executed = chain._engine.execute(head.header.state_root, seen, transactions, chain.hash_at)
    return Block(_sealed(executed.complete_header(draft), keys, keys), BlockBody(transactions))


def empty_blocks(
    genesis: BlockHeader, keys: Sequence[NodeKey], last: int, seals: Callable[[int], int] | None = None
) -> Iterator[Block]:
    """Blocks 1 to `last` without transactions, on `genesis`. The validators propose in turn.

    `seals` gives the number of commit seals of a block by its number. Without it every validator seals.
    """
    parent, parent_hash = genesis, on_chain_hash(genesis)
    for number in range(1, last + 1):
        sealers = keys if seals is None else keys[: seals(number)]
        header = empty_header(parent, parent_hash, keys, sealers)
        parent, parent_hash = header, on_chain_hash(header)
        yield Block(header, BlockBody())


def empty_header(
    parent: BlockHeader, parent_hash: bytes, keys: Sequence[NodeKey], sealers: Sequence[NodeKey]
) -> BlockHeader:
    """The header of an empty block after `parent`, which has the hash `parent_hash` (32 bytes)."""
    return _sealed(_draft(parent, parent_hash), keys, sealers)


def _draft(parent: BlockHeader, parent_hash: bytes) -> BlockHeader:
    """The header after `parent`, with its roots and its extra data."""
    timestamp = parent.timestamp + PERIOD_SECONDS
    return parent.with_changes(number=parent.number + 1, parent_hash=parent_hash, timestamp=timestamp)


def _sealed(header: BlockHeader, keys: Sequence[NodeKey], sealers: Sequence[NodeKey]) -> BlockHeader:
    """`header` with the proposer seal of the validator in turn, and the commit seals of `sealers`."""
    listed = Ibft1ExtraData(bytes(32), tuple(key.address for key in keys))
    header = header.with_changes(extra_data=encode_extra_data(listed))
    proposer_seal = creator_of(header.number, keys).sign(proposer_seal_digest(header))
    header = header.with_changes(extra_data=encode_extra_data(replace(listed, proposer_seal=proposer_seal)))
    digest, proposed = commit_seal_digest(header), decode_extra_data(header.extra_data)
    sealed = replace(proposed, seals=tuple(key.sign(digest) for key in sealers))
    return header.with_changes(extra_data=encode_extra_data(sealed))
