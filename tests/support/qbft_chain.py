"""A QBFT chain in memory with a pool and the methods of the API on it. Its blocks are made and sealed by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lacnode.consensus.bft.blocks import seal_digest, with_round, with_seals
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import UNLIMITED
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.validator.block_creator import PoolBlockCreator
from tests.support.qbft_messages import FOUR, VALIDATORS
from tests.support.rpc_chain import BERLIN, RpcTestNode, genesis_document, node


def qbft_genesis(
    alloc: Mapping[bytes, object] | None = None,
    *steps: Mapping[str, object],
    listed: Sequence[bytes] = VALIDATORS,
    **section: object,
) -> dict[str, Any]:
    """A QBFT genesis with these accounts, transitions, validators in its extra data, and values in `config.qbft`."""
    document: dict[str, Any] = genesis_document(BERLIN)
    del document["config"]["ibft2"]
    document["config"] |= {
        "qbft": {"blockperiodseconds": 1, "epochlength": 10, "requesttimeoutseconds": 4, **section},
        "transitions": {"qbft": list(steps)},
    }
    document["alloc"] |= {to_hex(address): account for address, account in (alloc or {}).items()}
    document["extraData"] = to_hex(QBFT.encode_extra_data(ExtraData(bytes(32), tuple(listed))))
    return document


def qbft_node(*args: Any, **section: Any) -> RpcTestNode:
    """A node with the genesis that `qbft_genesis` makes of the arguments."""
    return node(genesis=qbft_genesis(*args, **section))


def goquorum_node(*args: Any, **section: Any) -> RpcTestNode:
    """Like `qbft_node`, with a genesis that is GoQuorum's."""
    document = qbft_genesis(*args, **section)
    document["config"]["isQuorum"] = True
    return node(genesis=document)


def with_extra(block: Block, **changes: object) -> Block:
    """`block` with other items in its extra data."""
    extra = replace(QBFT.decode_extra_data(block.header.extra_data), **changes)  # type: ignore[arg-type]
    return block.with_header(block.header.with_changes(extra_data=QBFT.encode_extra_data(extra)))


def draft(at: RpcTestNode, creator: NodeKey = FOUR[0], round_: int = 0) -> Block:
    """The next block of `creator`, with what the pool offers, without seals."""
    head = at.chain.head.header
    maker = PoolBlockCreator(
        at.chain,
        creator.address,
        at.services.vote_proposer,
        lambda base_fee: at.pool.candidates(base_fee, head.timestamp + 1),
    )
    return maker.build(head.number + 1, round_, head.timestamp + 1, UNLIMITED)


def sealed(block: Block, keys: Sequence[NodeKey], round_: int = 0) -> Block:
    """`block` as `keys` decided on it in `round_`."""
    digest = seal_digest(QBFT, block, round_)
    return with_seals(QBFT, with_round(QBFT, block, round_), tuple(key.sign(digest) for key in keys))


def grow(
    at: RpcTestNode, blocks: int = 1, creator: NodeKey = FOUR[0], keys: Sequence[NodeKey] = FOUR, round_: int = 0
) -> Block:
    """Import `blocks` blocks that `creator` makes and `keys` seal. Return the last one."""
    for _ in range(blocks):
        block = sealed(draft(at, creator, round_), keys, round_)
        assert at.chain.import_block(block)
    return block
