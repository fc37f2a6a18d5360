"""The two hashes of an IBFT 2.0 header, and the header fields that they do not cover (Besu's `BftBlockHashing`).

The on-chain hash does not cover seals and round: a block has one hash, for any set of seals and any round that agreed on
it. The committed-seal hash does not cover the seals. A validator commits to this hash.
"""

from lacnode.consensus.ibft2.extra_data import (
    decode_extra_data,
    encode_without_seals,
    encode_without_seals_and_round,
)
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256

_EXTRA_DATA_FIELD = 12


def on_chain_hash(header: BlockHeader) -> bytes:
    """The block's hash (32 bytes) everywhere outside consensus messages: of the header without its seals and its round.
    The hash of the genesis covers all its fields. Raises RlpError if the extra data of any other header is not IBFT 2.0's.
    """
    if header.number == 0:
        # Besu hashes the genesis with the extra data as written in the file. That data may contain seals.
        return keccak256(header.encode())
    return _hash_with(header, encode_without_seals_and_round(decode_extra_data(header.extra_data)))


def committed_seal_hash(header: BlockHeader) -> bytes:
    """The digest (32 bytes) that proposals, prepares and commits name, and that each commit seal signs: the hash of the
    header without its commit seals, but with its round. The hash of the genesis covers all its fields. Raises RlpError
    if the extra data of any other header is not IBFT 2.0's."""
    if header.number == 0:
        return keccak256(header.encode())
    return _hash_with(header, encode_without_seals(decode_extra_data(header.extra_data)))


def committed_seal_hash_in_round(header: BlockHeader, round_: int) -> bytes:
    """The digest (32 bytes) that the block would have in messages if it was proposed in `round_`. Raises RlpError if
    the extra data is not IBFT 2.0's."""
    return _hash_with(header, encode_without_seals(decode_extra_data(header.extra_data).with_round(round_)))


def _hash_with(header: BlockHeader, extra_data: bytes) -> bytes:
    fields = header.fields()
    # Only the extra data changes: every other field is written as the header has it, in every fork.
    fields[_EXTRA_DATA_FIELD] = extra_data
    return keccak256(rlp.encode(fields))
