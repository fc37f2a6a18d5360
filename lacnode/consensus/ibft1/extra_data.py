"""The extra data of an IBFT 1 header: 32 bytes of vanity, then the RLP list `[validators, proposer seal, commit seals]`.

It is GoQuorum's `IstanbulExtra`. There is no round, and the vote is in coinbase and nonce of the header.
"""

from dataclasses import dataclass
from functools import lru_cache

from lacnode.consensus.bft.extra_data import (
    CACHED_EXTRA_DATA_BYTES,
    SEAL_BYTES,
    VANITY_BYTES,
    ExtraData,
    decode_items,
    decode_seal,
)
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError


@dataclass(frozen=True, slots=True)
class Ibft1ExtraData(ExtraData):
    """Decoded extra data of IBFT 1. `proposer_seal` has 65 bytes, or is empty as in a genesis block."""

    proposer_seal: bytes = b""


def encode_extra_data(extra: ExtraData) -> bytes:
    """Encode all items, as in a header: the vanity, then the RLP list of the others. Vote and round are left out. The
    proposer seal is empty if `extra` is no `Ibft1ExtraData`."""
    proposer_seal = extra.proposer_seal if isinstance(extra, Ibft1ExtraData) else b""
    return extra.vanity + rlp.encode([list(extra.validators), proposer_seal, list(extra.seals)])


def decode_extra_data(data: bytes) -> Ibft1ExtraData:
    """Decode extra data. Raises RlpError if the bytes are not those of IBFT 1."""
    return _decode_cached(data) if len(data) <= CACHED_EXTRA_DATA_BYTES else _decode(data)


@lru_cache(maxsize=512)
def _decode_cached(data: bytes) -> Ibft1ExtraData:
    return _decode(data)


def _decode(data: bytes) -> Ibft1ExtraData:
    if len(data) <= VANITY_BYTES:
        raise RlpError(f"extraData: {VANITY_BYTES} bytes and a list were expected, found {len(data)} bytes")
    fields = decode_items(data[VANITY_BYTES:])
    validators = tuple(rlp.as_bytes(item, "validator", 20) for item in fields.list("validators"))
    proposer_seal = fields.bytes("proposerSeal")
    seals = tuple(decode_seal(item) for item in fields.list("commitSeals"))
    # More items would give one block two encodings: the hashes are made of the decoded items.
    fields.check_no_fields_left()
    if proposer_seal and len(proposer_seal) != SEAL_BYTES:
        raise RlpError(f"proposerSeal: {SEAL_BYTES} bytes were expected, found {len(proposer_seal)}")
    return Ibft1ExtraData(data[:VANITY_BYTES], validators, seals=seals, proposer_seal=proposer_seal)
