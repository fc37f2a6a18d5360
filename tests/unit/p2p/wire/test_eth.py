"""The eth messages in each version: what is sent, what is taken, what is a breach of protocol."""

from collections.abc import Callable

import pytest
import rusty_rlp

from lacnode.chainspec.forks import ForkId
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.p2p.wire.eth_fields import MAX_TRANSACTIONS_IN_MESSAGE
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EncodedNewBlock,
    EthMessage,
    GetBlockBodies,
    GetBlockHeaders,
    GetNodeData,
    GetPooledTransactions,
    GetReceipts,
    NewBlock,
    NewBlockHashes,
    NewPooledTransactionHashes,
    NodeData,
    PooledTransactions,
    Receipts,
    Status,
    Transactions,
    decode_eth_message,
    header_of_new_block,
)
from lacnode.p2p.wire.p2p_messages import Disconnect
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.receipt import Log, Receipt
from lacnode.primitives.rlp import RlpError, RlpValue
from lacnode.primitives.transaction import Transaction, encode_signed_transaction
from lacnode.sync.download import BATCH_BLOCKS
from tests.support.p2p_nodes import block

KEY = NodeKey.from_private_key(b"\1" * 32)
HASHES = (bytes([1]) * 32, bytes([2]) * 32)


def transaction(type_: int, data: bytes = b"") -> Transaction:
    if type_ == 0:
        payload: list[RlpValue] = [b"", b"", rlp.encode_scalar(21_000), b"\2" * 20, b"", data]
        digest = keccak256(rlp.encode(payload))
    else:
        payload = [rlp.encode_scalar(648_541), b"\1", b"", b"", rlp.encode_scalar(21_000), b"\2" * 20, b"", data, []]
        digest = keccak256(bytes([type_]) + rlp.encode(payload))
    signature = sign(digest, KEY.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    v = signature[64] if type_ else 27 + signature[64]
    return Transaction.decode(encode_signed_transaction(type_, payload, v, r, s))


TRANSACTIONS = (transaction(0), transaction(2), transaction(0, b"x" * 70_000))
HEADER = BlockHeader(
    parent_hash=HASHES[0],
    ommers_hash=EMPTY_OMMERS_HASH,
    coinbase=bytes(20),
    state_root=EMPTY_TRIE_ROOT,
    transactions_root=EMPTY_TRIE_ROOT,
    receipts_root=EMPTY_TRIE_ROOT,
    logs_bloom=EMPTY_BLOOM,
    difficulty=1,
    number=7,
    gas_limit=350_000_000,
    gas_used=0,
    timestamp=1_700_000_000,
    extra_data=b"vanity and seals",
    mix_hash=HASHES[1],
    nonce=bytes(8),
)
BODY = BlockBody(TRANSACTIONS)
RECEIPTS = (
    Receipt.with_computed_bloom(0, 1, None, 21_000, (Log(bytes(20), (HASHES[0],), b"data"),)),
    Receipt.with_computed_bloom(2, 0, None, 42_000, ()),
)
STATUS = Status(66, 648_541, 8, HASHES[0], HASHES[1], ForkId(bytes(4), 0))

PUSHED: list[tuple[int, EthMessage]] = [
    (62, NewBlockHashes(((HASHES[0], 7), (HASHES[1], 0)))),
    (62, Transactions(TRANSACTIONS)),
    (62, Transactions(())),
    (62, NewBlock(Block(HEADER, BODY), 8)),
]
"""With the first version that has them."""


def requests(request_id: int) -> list[tuple[int, EthMessage]]:
    return [
        (62, GetBlockHeaders(request_id, HASHES[0], 201, 199)),
        (62, GetBlockHeaders(request_id, 0, 1, reverse=True)),
        (62, BlockHeaders(request_id, (HEADER, HEADER))),
        (62, GetBlockBodies(request_id, HASHES)),
        (62, BlockBodies(request_id, (BODY, BlockBody()))),
        (65, GetPooledTransactions(request_id, HASHES)),
        (65, PooledTransactions(request_id, TRANSACTIONS)),
        (63, GetReceipts(request_id, HASHES)),
        (63, Receipts(request_id, (RECEIPTS, ()))),
    ]


@pytest.mark.parametrize("version", range(62, 69))
class TestEveryVersion:
    def test_pushed_messages(self, version: int) -> None:
        for since, message in PUSHED:
            if since <= version:
                assert decode_eth_message(version, message.CODE, message.encode(version)) == message

    def test_requests_and_answers(self, version: int) -> None:
        for since, message in requests(1_000 if version >= 66 else 0):
            if since <= version:
                assert decode_eth_message(version, message.CODE, message.encode(version)) == message
            else:
                with pytest.raises(RlpError, match=f"eth/{version} has no message"):
                    decode_eth_message(version, message.CODE, message.encode(version))

    def test_request_ids_from_66_on(self, version: int) -> None:
        body = GetBlockBodies(5, HASHES).encode(version)
        plain = rlp.encode(HASHES)
        assert body == (plain if version < 66 else b"\xf8\x45\x05" + plain)

    def test_node_data_from_63_to_66(self, version: int) -> None:
        for message in (GetNodeData(0, HASHES), NodeData(0, ())):
            body = message.encode(version)
            if 63 <= version < 67:
                assert decode_eth_message(version, message.CODE, body) == message
            else:
                with pytest.raises(RlpError, match="has no message"):
                    decode_eth_message(version, message.CODE, body)

    def test_unknown_codes(self, version: int) -> None:
        for code in (0x0B, 0x0C, 0x11):
            with pytest.raises(RlpError, match="has no message"):
                decode_eth_message(version, code, b"\xc0")


class TestStatus:
    def test_fork_id_from_64_on(self) -> None:
        assert len(rlp.decode_list(STATUS.encode(63), "status")) == 5
        assert len(rlp.decode_list(STATUS.encode(64), "status")) == 6
        assert decode_eth_message(63, 0, STATUS.encode(63)) == Status(66, 648_541, 8, HASHES[0], HASHES[1], None)

    def test_a_status_without_the_fork_id_it_needs(self) -> None:
        with pytest.raises(RlpError, match="ends before forkId"):
            decode_eth_message(64, 0, STATUS.encode(63))
        with pytest.raises(RlpError, match="more than expected"):
            decode_eth_message(63, 0, STATUS.encode(64))
        with pytest.raises(ValueError, match="needs a fork id"):
            Status(66, 1, 1, HASHES[0], HASHES[1], None).encode(66)

    @pytest.mark.parametrize("fork_id", [[bytes(3), b""], [bytes(4)], [bytes(4), b"", b""], b""])
    def test_malformed_fork_ids(self, fork_id: RlpValue) -> None:
        with pytest.raises(RlpError, match="forkId"):
            decode_eth_message(66, 0, rlp.encode([b"\x42", b"\1", b"\1", HASHES[0], HASHES[1], fork_id]))


class TestAnnouncements:
    def test_hashes_alone_up_to_67(self) -> None:
        announcement = NewPooledTransactionHashes.from_transactions(TRANSACTIONS)
        assert decode_eth_message(67, 8, announcement.encode(67)) == NewPooledTransactionHashes(announcement.hashes)

    def test_types_and_sizes_from_68_on(self) -> None:
        announcement = NewPooledTransactionHashes.from_transactions(TRANSACTIONS)
        assert announcement.types == b"\0\2\0"
        assert announcement.sizes == tuple(len(each.raw) for each in TRANSACTIONS)
        assert decode_eth_message(68, 8, announcement.encode(68)) == announcement

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ([b"\0", [b"\1"], list(HASHES)], "1 types, 1 sizes and 2 hashes"),
            ([b"\0\0", [b"\1"], list(HASHES)], "2 types, 1 sizes and 2 hashes"),
            ([b"\5\0", [b"\1", b"\1"], list(HASHES)], "unknown transaction type 0x05"),
            ([b"\0", [b"\1\2\3\4\5"], [HASHES[0]]], "at most 4 bytes"),
            (list(HASHES), "list"),
        ],
    )
    def test_breaches(self, content: list[RlpValue], complaint: str) -> None:
        with pytest.raises(RlpError, match=complaint):
            decode_eth_message(68, 8, rlp.encode(content))


@pytest.mark.parametrize(
    ("version", "code", "content", "complaint"),
    [
        (65, 3, [HASHES[0], b"\1", b""], "ends before reverse"),
        (65, 3, [HASHES[0], b"\1", b"", b"", b""], "more than expected"),
        (65, 3, [HASHES[0][:31], b"\1", b"", b""], "at most 8 bytes"),
        (65, 3, [b"\0\1", b"\1", b"", b""], "leading zero"),
        (66, 5, [b"\1"], "ends before message"),
        (66, 5, [b"\1", list(HASHES), b""], "more than expected"),
        (66, 5, [bytes([1] * 9), []], "at most 8 bytes"),
        (66, 5, list(HASHES), "requestId"),
        (65, 5, [bytes(31)], "32 bytes"),
        (65, 1, [[HASHES[0]]], "ends before number"),
        (65, 7, [[HEADER.fields(), [], []]], "ends before totalDifficulty"),
        (65, 2, [b"\xf8\1"], "type byte"),
    ],
)
def test_breaches(version: int, code: int, content: list[RlpValue], complaint: str) -> None:
    with pytest.raises(RlpError, match=complaint):
        decode_eth_message(version, code, rlp.encode(content))


def test_trailing_bytes_are_a_breach() -> None:
    with pytest.raises(RlpError):
        decode_eth_message(65, 5, b"\xc0\0")


def test_requests_and_announcements_are_bounded() -> None:
    most = NewPooledTransactionHashes(tuple(bytes([1]) * 32 for _ in range(4_096)), b"\2" * 4_096, (131_072,) * 4_096)
    assert decode_eth_message(68, most.CODE, most.encode(68)) == most
    bomb = rlp.encode([[] for _ in range(300_000)])
    for message in (Status, NewBlockHashes, GetBlockHeaders, GetBlockBodies, GetReceipts, NewPooledTransactionHashes):
        with pytest.raises(RlpError, match=r"at most (262144|1024) bytes"):
            decode_eth_message(66, message.CODE, bomb)


def test_headers_have_no_more_items_than_this_node_asks_for() -> None:
    most = BlockHeaders(1, (HEADER,) * BATCH_BLOCKS)
    assert decode_eth_message(68, most.CODE, most.encode(68)) == most
    strings = rlp.encode([b"\1", [b"short"] * 20_000])
    with pytest.raises(RlpError, match="more than 10000 items"):
        decode_eth_message(68, BlockHeaders.CODE, strings)


class TestNewBlocks:
    def test_the_header_is_read_without_the_body(self) -> None:
        long = block(7, bytes(32), [transaction(0, bytes(2**20))])
        body = EncodedNewBlock.from_block(long, 8).body
        assert header_of_new_block(body) == long.header
        assert header_of_new_block(body[:5_000]) == long.header

    @pytest.mark.parametrize("body", [b"", b"\xc0", b"\x80", b"\xc1\xc0", b"\xf8", bytes(100), b"\xff" * 100])
    def test_a_body_without_a_header_is_malformed(self, body: bytes) -> None:
        with pytest.raises(RlpError):
            header_of_new_block(body)

    def test_it_is_encoded_as_one_that_is_encoded_for_each_peer(self) -> None:
        short = block(7, bytes(32), TRANSACTIONS)
        message = NewBlock(short, 9)
        assert EncodedNewBlock.from_block(short, 9).encode(68) == message.encode(68)
        assert decode_eth_message(68, NewBlock.CODE, message.encode(68)) == message


@pytest.mark.parametrize("code", [Transactions.CODE, PooledTransactions.CODE])
def test_very_many_tiny_transactions_are_refused_before_they_are_decoded(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: a mebibyte of transactions of twelve bytes. Each costs this node as much as one with a true signature."""
    decoded: list[object] = []
    monkeypatch.setattr(Transaction, "from_item", decoded.append)
    tiny = rlp.decode(encode_signed_transaction(0, [b"", b"", b"", b"", b"", b""], 27, 1, 1))
    most = [tiny] * MAX_TRANSACTIONS_IN_MESSAGE

    def body(items: list[rlp.RlpItem]) -> bytes:
        return rlp.encode(items if code == Transactions.CODE else [b"\x01", items])

    decode_eth_message(66, code, body(most))
    assert len(decoded) == MAX_TRANSACTIONS_IN_MESSAGE
    with pytest.raises(RlpError, match="at most"):
        decode_eth_message(66, code, body([*most, tiny]))
    assert len(decoded) == MAX_TRANSACTIONS_IN_MESSAGE


SMALL_LISTS = b"\xc1\x01" * 120_000


@pytest.mark.parametrize(
    "read",
    [
        lambda: decode_eth_message(66, Status.CODE, rlp.wrap_list(SMALL_LISTS)),
        lambda: Disconnect.decode(rlp.wrap_list(SMALL_LISTS)),
        lambda: header_of_new_block(rlp.wrap_list(rlp.wrap_list(rlp.wrap_list(SMALL_LISTS)))),
        lambda: header_of_new_block(rlp.wrap_list(rlp.wrap_list(rlp.wrap_list(rlp.wrap_list(SMALL_LISTS))))),
    ],
    ids=["status", "disconnect", "header of many fields", "header of a long field"],
)
def test_what_is_read_on_the_event_loop_is_refused_before_it_is_decoded(
    read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: strangers connect again and again, each with a message that takes a quarter of a second to decode."""
    decoded: list[int] = []
    decode_raw = rusty_rlp.decode_raw

    def watched(data: bytes, *arguments: bool) -> object:
        decoded.append(len(data))
        return decode_raw(data, *arguments)

    monkeypatch.setattr("lacnode.primitives.rlp.rusty_rlp.decode_raw", watched)
    with pytest.raises(RlpError, match="expected"):
        read()
    assert not decoded
