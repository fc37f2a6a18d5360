"""A chain in memory that goes from IBFT 2.0 to QBFT. Its blocks are made and sealed by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

from lacnode.consensus.bft.blocks import seal_digest, with_round, with_seals
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from tests.support.qbft_chain import draft
from tests.support.qbft_messages import FOUR, VALIDATORS
from tests.support.rpc_chain import BERLIN, RpcTestNode, genesis_document

FIRST_QBFT_BLOCK = 6


def migration_genesis(
    start_block: int | None = FIRST_QBFT_BLOCK,
    *,
    epoch_length: int = 100,
    qbft: Mapping[str, object] | None = None,
    transitions: Mapping[str, object] | None = None,
    alloc: Mapping[bytes, object] | None = None,
) -> dict[str, Any]:
    """An IBFT 2.0 genesis whose QBFT begins with `start_block`, or never."""
    document: dict[str, Any] = genesis_document(BERLIN)
    section = {"blockperiodseconds": 1, "epochlength": epoch_length, "requesttimeoutseconds": 4}
    document["config"]["ibft2"] = section
    if start_block is not None:
        document["config"]["qbft"] = {**section, "startBlock": start_block, **(qbft or {})}
    document["config"]["transitions"] = dict(transitions or {})
    document["alloc"] |= {to_hex(address): account for address, account in (alloc or {}).items()}
    document["extraData"] = to_hex(IBFT2.encode_extra_data(ExtraData(bytes(32), VALIDATORS)))
    return document


def sealed(at: RpcTestNode, block: Block, keys: Sequence[NodeKey] = FOUR, round_: int = 0) -> Block:
    """`block` as `keys` decided on it by the protocol of its height."""
    protocol = at.chain.protocols.protocol_at(block.number)
    digest = seal_digest(protocol, block, round_)
    return with_seals(protocol, with_round(protocol, block, round_), tuple(key.sign(digest) for key in keys))


def grow_to(at: RpcTestNode, number: int, creators: Sequence[NodeKey] = FOUR, keys: Sequence[NodeKey] = FOUR) -> None:
    """Import blocks up to block `number`. `creators` take turns."""
    while (following := at.chain.head.header.number + 1) <= number:
        assert at.chain.import_block(sealed(at, draft(at, creators[following % len(creators)]), keys))
