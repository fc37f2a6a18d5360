"""Which receipts a peer gets. The whole protocol is tested on connections."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from lacnode.p2p.chain_reader import NoTransactions
from lacnode.p2p.eth_server import MAX_BLOCK_RECEIPTS_BYTES, MAX_ETH_ANSWER_BYTES, EthServer
from lacnode.p2p.wire.eth_messages import EncodedReceipts, GetReceipts, Receipts, decode_eth_message
from lacnode.primitives.receipt import Log, Receipt

HASHES = tuple(bytes([number]) * 32 for number in range(3))


def receipt(type_: int = 0, data: bytes = b"data") -> Receipt:
    return Receipt.with_computed_bloom(type_, 1, None, 21_000, (Log(b"\3" * 20, (b"\4" * 32,), data),))


@dataclass
class Chain:
    """The receipts of blocks by hash."""

    blocks: dict[bytes, tuple[Receipt, ...]]
    reads: int = 0

    def encoded_receipts_of(self, hash_: bytes) -> tuple[bytes, ...] | None:
        self.reads += 1
        found = self.blocks.get(hash_)
        return None if found is None else tuple(each.encode() for each in found)


def answer(blocks: dict[bytes, tuple[Receipt, ...]], version: int = 68) -> tuple[tuple[Receipt, ...], ...]:
    request_id = 7 if version >= 66 else 0
    server = EthServer(cast(Any, Chain(blocks)), NoTransactions())
    message = server.answer(GetReceipts(request_id, HASHES))
    assert message.CODE == Receipts.CODE
    decoded = decode_eth_message(version, Receipts.CODE, message.encode(version))
    assert isinstance(decoded, Receipts)
    assert decoded.request_id == request_id
    return decoded.receipts


@pytest.mark.parametrize("version", [63, 65, 66, 68])
def test_receipts_of_every_type_in_the_order_of_the_request(version: int) -> None:
    blocks = {HASHES[2]: (receipt(), receipt(2), receipt(1, bytes(300))), HASHES[0]: ()}
    assert answer(blocks, version) == ((), blocks[HASHES[2]])


def test_an_answer_ends_when_it_is_long_but_has_one_block() -> None:
    half = (receipt(data=bytes(MAX_ETH_ANSWER_BYTES // 2)),)
    assert answer(dict.fromkeys(HASHES, half)) == (half,)
    long = (receipt(data=bytes(2 * MAX_ETH_ANSWER_BYTES)),)
    assert answer({HASHES[1]: long, HASHES[2]: half}) == (long,)


def test_a_block_whose_receipts_fit_into_no_message_is_left_out() -> None:
    small, huge = (receipt(),), (receipt(data=bytes(MAX_BLOCK_RECEIPTS_BYTES)),)
    assert answer({HASHES[0]: small, HASHES[1]: huge, HASHES[2]: small}) == (small, small)


def test_a_block_whose_receipts_fit_into_no_message_is_read_twice_at_most() -> None:
    """One hash may stand in a request 256 times, and each read takes time that no byte of the answer shows."""
    chain = Chain({HASHES[0]: (receipt(data=bytes(MAX_BLOCK_RECEIPTS_BYTES)),)})
    message = EthServer(cast(Any, chain), NoTransactions()).answer(GetReceipts(7, HASHES[:1] * 256))
    assert message == EncodedReceipts(7, ())
    assert chain.reads <= 2
