"""The hashes of a QBFT header (Besu's `BftBlockHashing` and `BftBlockHeaderFunctions`).

The on-chain hash covers neither seals nor round: a block has one hash, for any set of seals and any round that agreed on
it. The committed-seal hash does not cover the seals. It is the digest of messages, made of the block as it was proposed.
"""

from dataclasses import replace

from lacnode.consensus.qbft.extra_data import decode_extra_data, encode_extra_data
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256

_EXTRA_DATA_FIELD = 12


def on_chain_hash(header: BlockHeader) -> bytes:
    """The block's hash (32 bytes) everywhere outside consensus messages: of the header without its seals and with round 0.
    The hash of the genesis covers all its fields. Raises RlpError if the extra data of any other header is not QBFT's.
    """
    return committed_seal_hash_in_round(header, 0)


def committed_seal_hash(header: BlockHeader) -> bytes:
    """The digest (32 bytes) that messages name: the hash of the header with its round and without its seals. The hash of
    the genesis covers all its fields. Raises RlpError if the extra data is not QBFT's, also for the genesis."""
    return committed_seal_hash_in_round(header, decode_extra_data(header.extra_data).round)


def committed_seal_hash_in_round(header: BlockHeader, round_: int) -> bytes:
    """The digest (32 bytes) that the block would have in messages if its extra data had the round `round_`. The hash of
    the genesis covers all its fields. Raises RlpError if the extra data of any other header is not QBFT's."""
    if header.number == 0:
        # Besu hashes the genesis with the extra data as written in the file. That data may contain seals.
        return keccak256(header.encode())
    fields = header.fields()
    # Only the extra data changes: every other field is written as the header has it, in every fork.
    extra = replace(decode_extra_data(header.extra_data), round=round_, seals=())
    fields[_EXTRA_DATA_FIELD] = encode_extra_data(extra)
    return keccak256(rlp.encode(fields))
