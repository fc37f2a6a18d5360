"""The extra data of an IBFT 2.0 header: `[vanity, validators, vote, round, seals]` (Besu's `IbftExtraDataCodec`).

It has three encodings for three hashes (see `block_hash`). Decoding is as strict as Besu's, so that each content has one
encoding only.
"""

from functools import lru_cache

from lacnode.consensus.bft.extra_data import (
    CACHED_EXTRA_DATA_BYTES,
    ExtraData,
    Vote,
    VoteType,
    decode_items,
    decode_seal,
)
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

VOTE_BYTES = {VoteType.ADD: b"\xff", VoteType.DROP: b"\x00"}


def encode_extra_data(extra: ExtraData) -> bytes:
    """Encode the RLP list of all five items, as in a header."""
    return rlp.encode([*_without_round(extra), _round_bytes(extra.round), list(extra.seals)])


def encode_without_seals(extra: ExtraData) -> bytes:
    """Encode the RLP list of four items: all but the seals. The commit seals sign a hash of this."""
    return rlp.encode([*_without_round(extra), _round_bytes(extra.round)])


def encode_without_seals_and_round(extra: ExtraData) -> bytes:
    """Encode the RLP list of three items: vanity, validators and vote. The block hash covers these."""
    return rlp.encode(_without_round(extra))


def decode_extra_data(data: bytes) -> ExtraData:
    """Decode extra data. Raises RlpError if Besu would refuse these bytes."""
    # A header is decoded for each of its hashes and rules. The cache makes it one decoding.
    return _decode_cached(data) if len(data) <= CACHED_EXTRA_DATA_BYTES else _decode(data)


def _without_round(extra: ExtraData) -> list[RlpValue]:
    vote: RlpValue = b"" if extra.vote is None else [extra.vote.recipient, VOTE_BYTES[extra.vote.type]]
    return [extra.vanity, list(extra.validators), vote]


@lru_cache(maxsize=512)
def _decode_cached(data: bytes) -> ExtraData:
    return _decode(data)


def _decode(data: bytes) -> ExtraData:
    fields = decode_items(data)
    extra = ExtraData(
        vanity=fields.bytes("vanity"),
        validators=tuple(rlp.as_bytes(item, "validator", 20) for item in fields.list("validators")),
        # An absent vote is an empty string, and not an empty list.
        vote=_vote(fields.item("vote")),
        round=int.from_bytes(fields.bytes("round", 4), signed=True),
        seals=tuple(decode_seal(item) for item in fields.list("seals")),
    )
    fields.check_no_fields_left()
    return extra


def _round_bytes(round_: int) -> bytes:
    # Always four bytes, and not an RLP number: leading zeros are part of the hash.
    return round_.to_bytes(4, signed=True)


def _vote(item: RlpItem) -> Vote | None:
    if item == b"":
        return None
    # Exactly two items: an encoding with more would give two hashes to one content.
    fields = RlpFields(rlp.as_list(item, "vote"), "vote")
    recipient, kind = fields.bytes("recipient", 20), fields.bytes("type", 1)
    fields.check_no_fields_left()
    for vote_type, byte in VOTE_BYTES.items():
        if byte == kind:
            return Vote(recipient, vote_type)
    raise RlpError(f"vote.type: ff or 00 was expected, found {kind.hex()}")
