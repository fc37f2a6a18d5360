"""The two hashes of an IBFT 2.0 header, and the header fields that they do not cover (Besu's `BftBlockHashing`).

The on-chain hash does not cover seals and round: a block has one hash, for any set of seals and any round that agreed on
it. The committed-seal hash does not cover the seals. A validator commits to this hash.
"""

from lacnode.consensus.ibft2.extra_data import ExtraData
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256

_EXTRA_DATA_FIELD = 12


def on_chain_hash(header: BlockHeader) -> bytes:
    """The block's hash (32 bytes) everywhere outside consensus messages. The hash of the genesis covers all its fields.

    Raises RlpError if the extra data is not IBFT 2.0's.
    """
    if header.number == 0:
        # Besu hashes the genesis with the extra data as written in the file. That data may contain seals.
        return keccak256(header.encode())
    return _hash_with(header, ExtraData.decode(header.extra_data).encode_without_seals_and_round())


def committed_seal_hash(header: BlockHeader) -> bytes:
    """The digest (32 bytes) of consensus messages. Each commit seal signs it. Raises RlpError like `on_chain_hash`."""
    if header.number == 0:
        return keccak256(header.encode())
    return _hash_with(header, ExtraData.decode(header.extra_data).encode_without_seals())


def with_round(block: Block, round_: int) -> Block:
    """The same block, proposed in `round_`, without seals."""
    # Seals sign the digest of one round. They are worth nothing in another round.
    extra = ExtraData.decode(block.header.extra_data).with_round(round_).with_seals(())
    return block.with_header(block.header.with_changes(extra_data=extra.encode()))


def with_seals(block: Block, seals: tuple[bytes, ...]) -> Block:
    """The same block with these seals (65 bytes each)."""
    # The on-chain hash stays the same, so the sealed block is the block that was proposed.
    extra = ExtraData.decode(block.header.extra_data).with_seals(seals)
    return block.with_header(block.header.with_changes(extra_data=extra.encode()))


def _hash_with(header: BlockHeader, extra_data: bytes) -> bytes:
    fields = header.fields()
    # Only the extra data changes: every other field is written as the header has it, in every fork.
    fields[_EXTRA_DATA_FIELD] = extra_data
    return keccak256(rlp.encode(fields))
