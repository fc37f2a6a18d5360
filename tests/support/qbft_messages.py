"""Blocks and messages of a QBFT height with four validators, for tests."""

from collections.abc import Sequence
from typing import TypeVar

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.header_rules import MIX_HASH
from lacnode.consensus.bft.messages import Commit, Justification, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.payload_signing import sign_payload
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT

P = TypeVar("P", ProposalPayload, PreparePayload, CommitPayload, RoundChangePayload)

A, B, C, D = FOUR = sorted(
    (NodeKey.from_private_key(number.to_bytes(32)) for number in range(1, 5)), key=lambda key: key.address
)
STRANGER = NodeKey.from_private_key((99).to_bytes(32))
VALIDATORS = tuple(key.address for key in FOUR)
COMMITTEE = Committee(1, VALIDATORS, bytes(20), proposer_prepares=True)
"""A proposes in round 0, B in 1, C in 2, D in 3."""


def make_block(creator: NodeKey, round_: int = 0, name: bytes = b"", *, number: int = 1) -> Block:
    """An empty block. `round_` is the one in its extra data."""
    header = BlockHeader(
        parent_hash=bytes(32),
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=creator.address,
        state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=1,
        number=number,
        gas_limit=10_000_000,
        gas_used=0,
        timestamp=1_600_000_000,
        extra_data=QBFT.encode_extra_data(ExtraData(name.ljust(32, b"\0"), VALIDATORS, None, round_)),
        mix_hash=MIX_HASH,
        nonce=bytes(8),
    )
    return Block(header, BlockBody())


def digest_of(block: Block) -> bytes:
    return QBFT.committed_seal_hash(block.header)


def signed(payload: P, key: NodeKey) -> SignedPayload[P]:
    result = sign_payload(QBFT, payload, key)
    assert isinstance(result.payload, type(payload))
    return SignedPayload(result.payload, result.signature, result.author)


def propose(key: NodeKey, block: Block, round_: int = 0, asked: Sequence[RoundChange] | None = None) -> Proposal:
    """`block` proposed by `key` for `round_`, which the authors of `asked` want."""
    payload = QBFT.justifications.proposal_payload(RoundId(block.number, round_), digest_of(block), block)
    justification = Justification((), ()) if asked is None else QBFT.justifications.justification(asked)
    return Proposal(signed(payload, key), block, justification)


def prepare(key: NodeKey, block: Block, round_: int = 0) -> Prepare:
    return Prepare(signed(PreparePayload(RoundId(block.number, round_), digest_of(block)), key))


def commit(key: NodeKey, block: Block, round_: int = 0) -> Commit:
    return Commit(signed(CommitPayload(RoundId(block.number, round_), digest_of(block)), key))


def prepared_by(block: Block, round_: int, *keys: NodeKey) -> PreparedBlock:
    """`block` with the prepares of `keys` in `round_`."""
    prepares = tuple(prepare(key, block, round_).signed for key in keys)
    return PreparedBlock(PreparedCertificate(round_, digest_of(block), prepares), block)


def round_change(key: NodeKey, target: int, prepared: PreparedBlock | None = None, *, height: int = 1) -> RoundChange:
    payload = QBFT.justifications.round_change_payload(RoundId(height, target), prepared)
    return QBFT.justifications.round_change(signed(payload, key), prepared)
