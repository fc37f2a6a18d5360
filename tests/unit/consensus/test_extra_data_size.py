"""Extra data of a stranger's header: what is not extra data is refused before it takes memory and time."""

import tracemalloc
from collections.abc import Callable
from types import ModuleType

import pytest

from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.ibft1 import extra_data as ibft1
from lacnode.consensus.ibft2 import extra_data as ibft2
from lacnode.consensus.qbft import extra_data as qbft
from lacnode.primitives import rlp
from lacnode.sync.announced_blocks import MAX_EXTRA_DATA_BYTES

DECODERS = pytest.mark.parametrize(
    "decode", [ibft1.decode_extra_data, ibft2.decode_extra_data, qbft.decode_extra_data], ids=["ibft1", "ibft2", "qbft"]
)
SMALL_ITEMS = (b"\xc0", b"\xc1\x01", b"\x01", b"\x81\xff")


@DECODERS
@pytest.mark.parametrize("item", SMALL_ITEMS, ids=bytes.hex)
@pytest.mark.parametrize("is_nested", [False, True], ids=["items", "validators"])
def test_many_small_items_take_no_memory(decode: Callable[[bytes], ExtraData], item: bytes, is_nested: bool) -> None:
    many = rlp.wrap_list(item * ((MAX_EXTRA_DATA_BYTES - 100) // len(item)))
    data = rlp.list_of_encoded(rlp.encode(bytes(32)), many) if is_nested else many
    # IBFT 1 has its vanity in front of the list.
    data = bytes(32) + data if decode is ibft1.decode_extra_data else data
    tracemalloc.start()
    try:
        with pytest.raises(rlp.RlpError, match="items in one message"):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(data)


# IBFT 1 has 32 bytes of vanity always.
@pytest.mark.parametrize(
    ("codec", "vanity_bytes"),
    [(ibft1, 32), (ibft2, 32), (ibft2, 0), (qbft, 32), (qbft, 0)],
    ids=["ibft1", "ibft2", "ibft2 without vanity", "qbft", "qbft without vanity"],
)
@pytest.mark.parametrize("count", [0, 1, 250, 2_000])
def test_extra_data_of_many_validators_is_read(codec: ModuleType, vanity_bytes: int, count: int) -> None:
    validators = tuple(number.to_bytes(20) for number in range(1, count + 1))
    seals = tuple(number.to_bytes(32) + number.to_bytes(32) + b"\1" for number in range(1, count + 1))
    extra = ExtraData(bytes(vanity_bytes), validators, Vote(bytes(20), VoteType.ADD), 5, seals)
    if codec is ibft1:
        extra = ibft1.Ibft1ExtraData(extra.vanity, validators, seals=seals, proposer_seal=bytes(65))
    assert codec.decode_extra_data(codec.encode_extra_data(extra)) == extra
