"""The extra data of a QBFT header: `[vanity, validators, vote, round, seals]` (Besu's `QbftExtraDataCodec`).

The five items stand in every encoding. A hash that does not cover the seals has an empty list of seals, and a hash that
does not cover the round has round 0. IBFT 2.0 leaves these items out instead. Round and vote have other encodings, too.

Decoding is stricter than Besu's in two places. Besu ignores items after the seals, and reads the byte 00 as a vote to drop.
GoQuorum refuses both. Besu writes neither, so no final block has them.
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

MAX_ROUND_NUMBER = 2**31 - 1
"""The largest round that fits into the signed 32-bit number of Besu."""

_VOTE_BYTES = {VoteType.ADD: b"\xff", VoteType.DROP: b""}
_VOTE_TYPES = {value: type_ for type_, value in _VOTE_BYTES.items()}


def encode_extra_data(extra: ExtraData) -> bytes:
    """Encode the RLP list of all five items, as in a header."""
    vote: RlpValue = [] if extra.vote is None else [extra.vote.recipient, _VOTE_BYTES[extra.vote.type]]
    return rlp.encode([extra.vanity, list(extra.validators), vote, rlp.encode_scalar(extra.round), list(extra.seals)])


def decode_extra_data(data: bytes) -> ExtraData:
    """Decode extra data. Raises RlpError if the bytes are not QBFT's."""
    # A header is decoded for each of its hashes and rules. The cache makes it one decoding.
    return _decode_cached(data) if len(data) <= CACHED_EXTRA_DATA_BYTES else _decode(data)


def check_round_number(value: int) -> int:
    """`value` as a round. Raises RlpError if it is larger than `MAX_ROUND_NUMBER`."""
    if value > MAX_ROUND_NUMBER:
        raise RlpError(f"round: {value} is larger than {MAX_ROUND_NUMBER}")
    return value


@lru_cache(maxsize=512)
def _decode_cached(data: bytes) -> ExtraData:
    return _decode(data)


def _decode(data: bytes) -> ExtraData:
    fields = decode_items(data)
    extra = ExtraData(
        vanity=fields.bytes("vanity"),
        validators=tuple(rlp.as_bytes(item, "validator", 20) for item in fields.list("validators")),
        # An absent vote is an empty list, and not an empty string.
        vote=_vote(fields.list("vote")),
        round=check_round_number(fields.scalar("round", 4)),
        seals=tuple(decode_seal(item) for item in fields.list("seals")),
    )
    # More items would give one block two encodings: the hashes are made of the decoded items.
    fields.check_no_fields_left()
    return extra


def _vote(items: list[RlpItem]) -> Vote | None:
    if not items:
        return None
    fields = RlpFields(items, "vote")
    recipient, kind = fields.bytes("recipient", 20), fields.bytes("type")
    fields.check_no_fields_left()
    type_ = _VOTE_TYPES.get(kind)
    if type_ is None:
        raise RlpError(f"vote.type: ff or an empty string was expected, found {kind[:8].hex()}")
    return Vote(recipient, type_)
