"""The content of the extra data of a header: vanity, validators, vote, round and seals.

A protocol has the encoding (`protocol.BftProtocol.encode_extra_data`). A block for another round, and a block with its
seals, differ in the extra data only.
"""

from dataclasses import dataclass, replace
from enum import Enum

VANITY_BYTES = 32
SEAL_BYTES = 65
CACHED_EXTRA_DATA_BYTES = 32 * 1024
"""The longest extra data whose decoding is cached. No rule limits the length, so a peer may send megabytes."""


class VoteType(Enum):
    """The kind of a vote."""

    ADD = "add"
    DROP = "drop"


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

    def with_round(self, round_: int) -> "ExtraData":
        return replace(self, round=round_)

    def with_seals(self, seals: tuple[bytes, ...]) -> "ExtraData":
        return replace(self, seals=seals)
