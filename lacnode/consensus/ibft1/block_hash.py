"""The hashes of an IBFT 1 header (GoQuorum's `IstanbulFilteredHeader`).

The block's hash covers the proposer seal, and not the commit seals. A genesis block in the form of IBFT 1 is hashed
in the same way.
"""

from dataclasses import replace

from lacnode.consensus.bft.header_rules import MIX_HASH
from lacnode.consensus.ibft1.extra_data import Ibft1ExtraData, decode_extra_data, encode_extra_data
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError

_EXTRA_DATA_FIELD = 12
_COMMIT_CODE = b"\x02"
"""The code of a commit message. It is signed with the hash, so that a seal is no other message."""


def on_chain_hash(header: BlockHeader) -> bytes:
    """The block's hash (32 bytes): of the header without its commit seals. If the mix hash or the extra data of a genesis
    block is not that of IBFT 1, its hash covers all its fields. Raises RlpError if the extra data of a later block is not
    that of IBFT 1."""
    if header.number == 0 and not _is_istanbul_genesis(header):
        return keccak256(header.encode())
    return _hash_with(header, replace(decode_extra_data(header.extra_data), seals=()))


def commit_seal_digest(header: BlockHeader) -> bytes:
    """The digest (32 bytes) that a commit seal signs: the hash of the on-chain hash and the code of a commit message.

    Raises the RlpError of `on_chain_hash`.
    """
    return keccak256(on_chain_hash(header) + _COMMIT_CODE)


def proposer_seal_digest(header: BlockHeader) -> bytes:
    """The digest (32 bytes) that the proposer seal signs: the hash of the header without any seal, hashed once more.

    Raises RlpError if the extra data is not that of IBFT 1.
    """
    extra = replace(decode_extra_data(header.extra_data), seals=(), proposer_seal=b"")
    # GoQuorum hashes what it is given to sign, and it is given a hash.
    return keccak256(_hash_with(header, extra))


def _is_istanbul_genesis(header: BlockHeader) -> bool:
    if header.mix_hash != MIX_HASH:
        return False
    try:
        decode_extra_data(header.extra_data)
    except RlpError:
        return False
    return True


def _hash_with(header: BlockHeader, extra: Ibft1ExtraData) -> bytes:
    fields = header.fields()
    fields[_EXTRA_DATA_FIELD] = encode_extra_data(extra)
    return keccak256(rlp.encode(fields))
