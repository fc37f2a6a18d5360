"""Chains of IBFT 1 that this file makes with the keys of all validators, since no node of this project makes them.

GoQuorum 24.4.1 imports such a chain with `geth import` (docs/spec/interop.md).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lacnode.consensus.ibft1.block_hash import commit_seal_digest, on_chain_hash, proposer_seal_digest
from lacnode.consensus.ibft1.extra_data import Ibft1ExtraData, decode_extra_data, encode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader

PERIOD_SECONDS = 1


def ibft1_keys(validators: int) -> list[NodeKey]:
    """The keys of so many validators, ascending by address."""
    keys = [NodeKey.from_private_key((5000 + index).to_bytes(32)) for index in range(validators)]
    return sorted(keys, key=lambda key: key.address)


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
    number = parent.number + 1
    listed = Ibft1ExtraData(bytes(32), tuple(key.address for key in keys))
    header = parent.with_changes(
        number=number,
        parent_hash=parent_hash,
        timestamp=parent.timestamp + PERIOD_SECONDS,
        extra_data=encode_extra_data(listed),
    )
    proposer_seal = keys[number % len(keys)].sign(proposer_seal_digest(header))
    header = header.with_changes(extra_data=encode_extra_data(replace(listed, proposer_seal=proposer_seal)))
    digest, proposed = commit_seal_digest(header), decode_extra_data(header.extra_data)
    sealed = replace(proposed, seals=tuple(key.sign(digest) for key in sealers))
    return header.with_changes(extra_data=encode_extra_data(sealed))
