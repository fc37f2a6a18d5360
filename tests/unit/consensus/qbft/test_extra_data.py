"""Extra data of every wrong shape is refused, and of the right one it is read back as it was written."""

import pytest

from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.qbft.block_hash import committed_seal_hash, committed_seal_hash_in_round, on_chain_hash
from lacnode.consensus.qbft.extra_data import decode_extra_data, encode_extra_data
from lacnode.crypto.secp256k1 import CURVE_ORDER
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpValue
from tests.support.qbft_messages import A, make_block

VANITY, ADDRESS = bytes(range(32)), b"\x11" * 20
SEAL = (1).to_bytes(32) + (2).to_bytes(32) + b"\0"


@pytest.mark.parametrize(
    "extra",
    [
        ExtraData(VANITY, ()),
        ExtraData(b"", (ADDRESS,), Vote(ADDRESS, VoteType.ADD), 1, (SEAL,)),
        ExtraData(VANITY, (ADDRESS, b"\x22" * 20), Vote(ADDRESS, VoteType.DROP), 2**31 - 1, (SEAL, SEAL)),
    ],
)
def test_is_read_back_as_written(extra: ExtraData) -> None:
    assert decode_extra_data(encode_extra_data(extra)) == extra


def items(**changed: RlpValue) -> list[RlpValue]:
    fields: dict[str, RlpValue] = {"vanity": VANITY, "validators": [ADDRESS], "vote": [], "round": b"", "seals": []}
    return [*(fields | changed).values()]


@pytest.mark.parametrize(
    "wrong",
    [
        items()[:4],
        [*items(), b""],
        items(vanity=[]),
        items(validators=b""),
        items(validators=[ADDRESS[:19]]),
        items(validators=[[ADDRESS]]),
        # IBFT 2.0 writes an absent vote as an empty string, the round as four bytes, and a vote to drop as the byte 00.
        items(vote=b""),
        items(round=bytes(4)),
        items(round=bytes([0, 1])),
        items(round=(2**31).to_bytes(4)),
        items(round=bytes([1] * 5)),
        items(vote=[ADDRESS, b"\0"]),
        items(vote=[ADDRESS, b"\x01"]),
        items(vote=[ADDRESS]),
        items(vote=[ADDRESS, b"", b""]),
        items(vote=[ADDRESS[:19], b""]),
        items(seals=[SEAL[:64]]),
        items(seals=[SEAL[:64] + b"\x02"]),
        items(seals=[SEAL[:64] + b"\x1b"]),
        items(seals=[bytes(32) + SEAL[32:]]),
        items(seals=[SEAL[:32] + CURVE_ORDER.to_bytes(32) + b"\0"]),
        items(seals=b""),
    ],
)
def test_other_shapes_are_refused(wrong: RlpValue) -> None:
    with pytest.raises(RlpError):
        decode_extra_data(rlp.encode(wrong))


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\x80", bytes(32), rlp.encode(items()) + b"\0", rlp.encode(items())[:-1]]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RlpError):
        decode_extra_data(data)


def test_the_on_chain_hash_covers_neither_round_nor_seals() -> None:
    plain = make_block(A, 0)
    extra = decode_extra_data(plain.header.extra_data)
    sealed = plain.header.with_changes(extra_data=encode_extra_data(extra.with_round(3).with_seals((SEAL,))))
    assert on_chain_hash(sealed) == on_chain_hash(plain.header) == committed_seal_hash(plain.header)


def test_the_committed_seal_hash_covers_the_round_but_not_the_seals() -> None:
    first, third = make_block(A, 0).header, make_block(A, 3).header
    extra = decode_extra_data(third.extra_data).with_seals((SEAL,))
    sealed = third.with_changes(extra_data=encode_extra_data(extra))
    assert committed_seal_hash(sealed) == committed_seal_hash(third) == committed_seal_hash_in_round(first, 3)
    assert committed_seal_hash(third) != committed_seal_hash(first)
