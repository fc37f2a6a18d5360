"""The extra data of an IBFT 2.0 header: `[vanity, validators, vote, round, seals]` (Besu's `IbftExtraDataCodec`).

Three encodings of it go under three hashes; see `block_hash`. Decoding is as strict as Besu's, so that no other bytes
can stand for the same content.
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
"""Longest extra data whose decoding is remembered: there is no rule on its length, so a stranger may send megabytes."""


class VoteType(Enum):
    """What a vote wants; the value is its byte in the extra data."""

    ADD = b"\xff"
    DROP = b"\x00"


@dataclass(frozen=True, slots=True)
class Vote:
    """A proposer's wish that `recipient` (20 bytes) become or stop being a validator."""

    recipient: bytes
    type: VoteType


@dataclass(frozen=True, slots=True)
class ExtraData:
    """Decoded extra data. `round` is a signed 32-bit number; `seals` are 65 bytes `r || s || v` each."""

    vanity: bytes
    validators: tuple[bytes, ...]
    vote: Vote | None = None
    round: int = 0
    seals: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """All five items: what stands in the header."""
        return rlp.encode([*self._without_round(), _round_bytes(self.round), list(self.seals)])

    def encode_without_seals(self) -> bytes:
        """Four items: what the commit seals sign."""
        return rlp.encode([*self._without_round(), _round_bytes(self.round)])

    def encode_without_seals_and_round(self) -> bytes:
        """Three items: what the block hash covers."""
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
        """The extra data of these bytes; RlpError if Besu would refuse them."""
        return _remembered(data) if len(data) <= CACHED_EXTRA_DATA_BYTES else _decode(data)


@lru_cache(maxsize=512)
def _remembered(data: bytes) -> ExtraData:
    return _decode(data)


def _decode(data: bytes) -> ExtraData:
    fields = RlpFields(rlp.decode_list(data, "extraData"), "extraData")
    extra = ExtraData(
        vanity=fields.bytes("vanity"),
        validators=tuple(rlp.as_bytes(item, "validator", 20) for item in fields.list("validators")),
        vote=_vote(fields.item("vote")),
        round=int.from_bytes(fields.bytes("round", 4), signed=True),
        seals=tuple(_seal(item) for item in fields.list("seals")),
    )
    fields.end()
    return extra


def _round_bytes(round_: int) -> bytes:
    return round_.to_bytes(4, signed=True)


def _vote(item: RlpItem) -> Vote | None:
    if item == b"":
        return None
    fields = RlpFields(rlp.as_list(item, "vote"), "vote")
    recipient, kind = fields.bytes("recipient", 20), fields.bytes("type", 1)
    fields.end()
    try:
        return Vote(recipient, VoteType(kind))
    except ValueError:
        raise RlpError(f"vote.type: ff or 00 was expected, found {kind.hex()}") from None


def _seal(item: RlpItem) -> bytes:
    seal = rlp.as_bytes(item, "seal", SEAL_BYTES)
    r, s = int.from_bytes(seal[:32]), int.from_bytes(seal[32:64])
    if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER and seal[64] <= 1):
        raise RlpError("seal: r and s between 1 and the curve's order, and v 0 or 1, were expected")
    return seal
