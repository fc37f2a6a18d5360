"""The content of the extra data of a header: vanity, validators, vote, round and seals.

A protocol has the encoding (`protocol.BftProtocol.encode_extra_data`). A block for another round, and a block with its
seals, differ in the extra data only.
"""

from dataclasses import dataclass, replace
from enum import Enum

from lacnode.crypto.secp256k1 import CURVE_ORDER
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, TooManyItemsError

VANITY_BYTES = 32
SEAL_BYTES = 65
CACHED_EXTRA_DATA_BYTES = 32 * 1024
"""The longest extra data whose decoding is cached. No rule limits the length, so a peer may send megabytes."""

_BYTES_PER_ITEM = 21
"""A validator takes 21 bytes in extra data, and a seal 67. No other item occurs more than once."""

_SINGLE_ITEMS = 9
"""The whole list, the lists of validators and seals, vanity, vote with its two items, round and proposer seal."""


class VoteType(Enum):
    """Whether a vote adds a validator or drops one. The values are not the bytes on the wire: each protocol encodes a
    vote in its own way."""

    ADD = "add"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Vote:
    """A proposer's vote that `recipient` (20 bytes) becomes a validator, or is one no longer."""

    recipient: bytes
    type: VoteType


@dataclass(frozen=True, slots=True)
class ExtraData:
    """Decoded extra data. `vanity` are free bytes of the proposer, 32 in the blocks of this node. `validators` are
    20-byte addresses, empty if a contract names them. `vote` is None if the block votes for no change, or if the vote
    stands in another field of the header (IBFT 1). `round` is a signed 32-bit number, 0 in IBFT 1. Each seal has 65
    bytes, `r || s || v`.
    """

    vanity: bytes
    validators: tuple[bytes, ...]
    vote: Vote | None = None
    round: int = 0
    seals: tuple[bytes, ...] = ()

    def with_round(self, round_: int) -> "ExtraData":
        """The same extra data with another round."""
        return replace(self, round=round_)

    def with_seals(self, seals: tuple[bytes, ...]) -> "ExtraData":
        """The same extra data with these commit seals (65 bytes each)."""
        return replace(self, seals=seals)


def decode_items(data: bytes) -> RlpFields:
    """The items of the list in `data`: whole extra data, or in IBFT 1 what follows the vanity. Raises RlpError if `data`
    is no list or malformed, or has more items than extra data of this length can have."""
    most = len(data) // _BYTES_PER_ITEM + _SINGLE_ITEMS
    # Counted before anything is built. A stranger's header may have 256 KiB of empty lists, and 0.2 s of the event loop
    # would go into them.
    try:
        return RlpFields(rlp.decode_list(data, "extraData", most), "extraData")
    except TooManyItemsError as error:
        # No implementation accepts these bytes, so a validator that sent them is at fault.
        raise RlpError(f"extraData of {len(data)} bytes: {error}") from None


def decode_seal(item: RlpItem) -> bytes:
    """The commit seal (65 bytes) in an item of extra data. A high s is accepted. Raises RlpError if the item has
    another length, r or s is out of range, or v is not 0 or 1."""
    seal = rlp.as_bytes(item, "seal", SEAL_BYTES)
    # The high half of s is legal here, as in Besu: a seal of either form recovers to the same validator.
    r, s = int.from_bytes(seal[:32]), int.from_bytes(seal[32:64])
    # Besu makes a signature object of each seal and refuses the whole header if the numbers are out of range.
    if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER and seal[64] <= 1):
        raise RlpError("seal: r and s between 1 and the curve's order, and v 0 or 1, were expected")
    return seal
