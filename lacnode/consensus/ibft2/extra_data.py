"""The extra data of an IBFT 2.0 header: `[vanity, validators, vote, round, seals]` (Besu's `IbftExtraDataCodec`).

It has three encodings for three hashes (see `block_hash`). Decoding is as strict as Besu's, so that each content has one
encoding only.
"""

from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from lacnode.crypto.secp256k1 import CURVE_ORDER
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

VANITY_BYTES = 32
SEAL_BYTES = 65
CACHED_EXTRA_DATA_BYTES = 32 * 1024
"""The longest extra data whose decoding is cached. No rule limits the length, so a peer may send megabytes."""


class VoteType(Enum):
    """The kind of a vote. The value is its byte in the extra data."""

    ADD = b"\xff"
    DROP = b"\x00"


@dataclass(frozen=True, slots=True)
class Vote:
    """A proposer's vote that `recipient` (20 bytes) becomes a validator, or is one no longer."""

    recipient: bytes
    type: VoteType


@dataclass(frozen=True, slots=True)
class ExtraData:
    """Decoded extra data. `round` is a signed 32-bit number. Each seal has 65 bytes, `r || s || v`."""

    vanity: bytes
    validators: tuple[bytes, ...]
    vote: Vote | None = None
    round: int = 0
    seals: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Encode all five items, as in a header."""
        return rlp.encode([*self._without_round(), _round_bytes(self.round), list(self.seals)])

    def encode_without_seals(self) -> bytes:
        """Encode four items. The commit seals sign a hash of this."""
        return rlp.encode([*self._without_round(), _round_bytes(self.round)])

    def encode_without_seals_and_round(self) -> bytes:
        """Encode three items. The block hash covers these."""
        return rlp.encode(self._without_round())

    def with_round(self, round_: int) -> "ExtraData":
        return replace(self, round=round_)

    def with_seals(self, seals: tuple[bytes, ...]) -> "ExtraData":
        return replace(self, seals=seals)

    def _without_round(self) -> list[RlpValue]:
        vote: RlpValue = b"" if self.vote is None else [self.vote.recipient, self.vote.type.value]
        return [self.vanity, list(self.validators), vote]

    @classmethod
    def decode(cls, data: bytes) -> "ExtraData":
        """Decode extra data. Raises RlpError if Besu would refuse these bytes."""
        # A header is decoded for each of its hashes and rules. The cache makes it one decoding.
        return _decode_cached(data) if len(data) <= CACHED_EXTRA_DATA_BYTES else _decode(data)


@lru_cache(maxsize=512)
def _decode_cached(data: bytes) -> ExtraData:
    return _decode(data)


def _decode(data: bytes) -> ExtraData:
    fields = RlpFields(rlp.decode_list(data, "extraData"), "extraData")
    extra = ExtraData(
        vanity=fields.bytes("vanity"),
        validators=tuple(rlp.as_bytes(item, "validator", 20) for item in fields.list("validators")),
        # An absent vote is an empty string, and not an empty list.
        vote=_vote(fields.item("vote")),
        round=int.from_bytes(fields.bytes("round", 4), signed=True),
        seals=tuple(_seal(item) for item in fields.list("seals")),
    )
    fields.end()
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
    fields.end()
    try:
        return Vote(recipient, VoteType(kind))
    except ValueError:
        raise RlpError(f"vote.type: ff or 00 was expected, found {kind.hex()}") from None


def _seal(item: RlpItem) -> bytes:
    seal = rlp.as_bytes(item, "seal", SEAL_BYTES)
    # The high half of s is legal here, as in Besu: a seal of either form recovers to the same validator.
    r, s = int.from_bytes(seal[:32]), int.from_bytes(seal[32:64])
    # Besu builds a signature object of each seal and refuses the whole header if the numbers are out of range.
    if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER and seal[64] <= 1):
        raise RlpError("seal: r and s between 1 and the curve's order, and v 0 or 1, were expected")
    return seal
