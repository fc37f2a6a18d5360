"""The two hashes of an IBFT 2.0 header, and the changes to it that they leave unnoticed (Besu's `BftBlockHashing`).

The on-chain hash leaves out seals and round, so that one block has one hash whoever sealed it and in whichever round it
was agreed on. The committed-seal hash leaves out the seals alone: it is what a validator commits to.
"""

from lacnode.consensus.extra_data import ExtraData
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256

_EXTRA_DATA_FIELD = 12


def on_chain_hash(header: BlockHeader) -> bytes:
    """The block's hash everywhere but inside consensus messages. RlpError if the extra data is not IBFT 2.0's.

    The genesis is hashed as it stands.
    """
    if header.number == 0:
        return keccak256(header.encode())
    return _hash_with(header, ExtraData.decode(header.extra_data).encode_without_seals_and_round())


def committed_seal_hash(header: BlockHeader) -> bytes:
    """The digest of consensus messages, which each commit seal signs. RlpError as above."""
    if header.number == 0:
        return keccak256(header.encode())
    return _hash_with(header, ExtraData.decode(header.extra_data).encode_without_seals())


def with_round(block: Block, round_: int) -> Block:
    """The same block as proposed in `round_`, without seals."""
    extra = ExtraData.decode(block.header.extra_data).with_round(round_).with_seals(())
    return block.with_header(block.header.with_changes(extra_data=extra.encode()))


def with_seals(block: Block, seals: tuple[bytes, ...]) -> Block:
    """The same block, sealed."""
    extra = ExtraData.decode(block.header.extra_data).with_seals(seals)
    return block.with_header(block.header.with_changes(extra_data=extra.encode()))


def _hash_with(header: BlockHeader, extra_data: bytes) -> bytes:
    fields = header.fields()
    fields[_EXTRA_DATA_FIELD] = extra_data
    return keccak256(rlp.encode(fields))
