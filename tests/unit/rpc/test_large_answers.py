"""Answers that are large: where they are made, and how large they may become."""

from dataclasses import replace

import pytest

from lacnode.chain.blockchain import ChainSettings
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.errors import RpcError
from lacnode.rpc.read_calls import Params, ReadCall
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.short_read_trials import ShortReadTrials
from tests.support.rpc_chain import LOGGER_ADDRESS, RpcTestNode, node, signed, typed

DATA = bytes(range(256)) * 8


@pytest.fixture
def full() -> RpcTestNode:
    """A node whose head has transactions of several kinds, legacy and typed, long and short."""
    at = node(chain=ChainSettings(keep_revert_reasons=True))
    at.send(
        signed(nonce=0, value=5),
        signed(nonce=1, to=LOGGER_ADDRESS, data=bytes(32)),
        signed(nonce=2, gas=200_000, data=DATA),
        typed(nonce=3, gas=200_000, data=DATA, access_list=[(LOGGER_ADDRESS, (bytes(32),))]),
    )
    assert len(at.grow().transactions) == 4
    return at


def questions(at: RpcTestNode) -> list[tuple[str, tuple[object, ...]]]:
    """Everything that can be asked about the head."""
    block = at.chain.block_of(at.chain.head.hash)
    assert block is not None
    hash_ = to_hex(at.chain.head.hash)
    transaction = to_hex(block.transactions[3].hash)
    return [
        ("eth_getBlockByNumber", ("latest", True)),
        ("eth_getBlockByHash", (hash_, True)),
        ("eth_getBlockReceipts", (hash_,)),
        ("eth_getTransactionReceipt", (transaction,)),
        ("eth_getTransactionByHash", (transaction,)),
        ("eth_getTransactionByBlockHashAndIndex", (hash_, "0x1")),
        ("eth_getTransactionByBlockNumberAndIndex", ("latest", "0x9")),
        ("eth_getBlockByNumber", ("latest", False)),
        ("eth_getBlockByHash", (hash_, False)),
        ("eth_getBlockTransactionCountByHash", (hash_,)),
        ("eth_getBlockTransactionCountByNumber", ("latest",)),
    ]


def asks_a_reader(at: RpcTestNode, method: str, params: tuple[object, ...]) -> bool:
    return isinstance(at.registry.find(method).handler(at.services, params), ReadCall)


def is_answered_in_a_trial(at: RpcTestNode, method: str, params: tuple[object, ...]) -> bool:
    call = at.registry.find(method).handler(at.services, params)
    assert isinstance(call, ReadCall)
    # The clock of the trials stands still, and that of the call has an hour: this is about bytes.
    return ShortReadTrials(lambda: 0.0).try_answer(call, at.services, "10.0.0.1")[0]


class TestALargeBlock:
    def test_has_the_same_answers_as_a_small_one(self, full: RpcTestNode, monkeypatch: pytest.MonkeyPatch) -> None:
        small = [full.call(method, *params) for method, params in questions(full)]
        full.services = replace(full.services, caches=replace(full.services.caches, blocks=RecentBlocks(full.chain)))
        monkeypatch.setattr("lacnode.rpc.block_answers.LARGE_BLOCK_BYTES", 0)
        for (method, params), expected in zip(questions(full), small, strict=True):
            full.services.caches.blocks.clear()
            assert full.call(method, *params) == expected, method

    def test_is_decoded_by_a_reader(self, full: RpcTestNode, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = questions(full)
        assert not any(asks_a_reader(full, method, params) for method, params in asked)
        full.services.caches.blocks.clear()
        monkeypatch.setattr("lacnode.rpc.block_answers.LARGE_BLOCK_BYTES", 0)
        monkeypatch.setattr(full.services.caches.blocks, "load_block", None)
        assert [asks_a_reader(full, method, params) for method, params in asked] == [True] * 7 + [False] * 4

    def test_that_is_not_there_is_no_block(self, full: RpcTestNode, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.block_answers.LARGE_BLOCK_BYTES", -1)
        unknown = "0x" + "ab" * 32
        assert full.call("eth_getBlockByHash", unknown, True) is None
        assert full.call("eth_getBlockByHash", unknown, False) is None
        assert full.call("eth_getBlockTransactionCountByHash", unknown) is None
        assert full.call("eth_getTransactionByBlockHashAndIndex", unknown, "0x0") is None

    def test_ends_the_trial_of_a_call_that_must_decode_it(
        self, full: RpcTestNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hash_, unknown = to_hex(full.chain.head.hash), "0x" + "77" * 32
        decoding = [
            ("eth_getLogs", ({"blockHash": hash_},)),
            ("eth_getLogs", ({"fromBlock": "0x0", "toBlock": "latest"},)),
            ("eth_feeHistory", ("0x1", "latest", [50])),
        ]
        looking = [
            ("eth_getLogs", ({"blockHash": hash_, "topics": [unknown]},)),
            ("eth_getLogs", ({"fromBlock": "0x0", "topics": [unknown]},)),
            ("eth_feeHistory", ("0x1", "latest")),
        ]
        monkeypatch.setattr("lacnode.rpc.short_read_trials.TRIAL_SECONDS", 3_600)
        assert all(is_answered_in_a_trial(full, method, params) for method, params in decoding + looking)
        monkeypatch.setattr("lacnode.rpc.short_read_trials.LARGE_BLOCK_BYTES", 0)
        assert not any(is_answered_in_a_trial(full, method, params) for method, params in decoding)
        assert all(is_answered_in_a_trial(full, method, params) for method, params in looking)


class TestAnAnswerThatIsTooLarge:
    def test_about_a_block_is_refused(self, full: RpcTestNode, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.answer_size.MAX_ANSWER_BYTES", 1_000)
        for method, params in questions(full)[:5]:
            code, message = full.fails(method, *params)
            assert (code, message) == (-32005, "Requested range exceeds maximum RPC range limit"), method

    def test_about_one_of_its_small_transactions_is_given(
        self, full: RpcTestNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.rpc.answer_size.MAX_ANSWER_BYTES", 2_000)
        block = full.chain.block_of(full.chain.head.hash)
        assert block is not None
        assert full.call("eth_getTransactionReceipt", to_hex(block.transactions[1].hash))
        assert full.call("eth_getTransactionByHash", to_hex(block.transactions[1].hash))

    def test_about_the_pool_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        at = node()
        waiting = [signed(nonce=nonce, gas=200_000, data=DATA) for nonce in range(3)]
        at.send(*waiting)
        sender = to_hex(at.pool.all()[0].sender)
        asked: list[tuple[str, tuple[object, ...]]] = [
            ("txpool_content", ()),
            ("txpool_contentFrom", (sender,)),
            ("txpool_besuPendingTransactions", ()),
            ("eth_getTransactionByHash", (to_hex(waiting[0].hash),)),
        ]
        for method, params in asked:
            assert at.call(method, *params)
        monkeypatch.setattr("lacnode.rpc.answer_size.MAX_ANSWER_BYTES", 4_000)
        for method, params in asked:
            assert at.fails(method, *params)[0] == -32005, method
        assert at.call("txpool_contentFrom", "0x" + "01" * 20) == {"pending": {}, "queued": {}}


class TestParametersThatAreTooMany:
    """They are refused before they wait for a reader: waiting, they would take memory."""

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_getLogs", [{"topics": [["0x" + "ab" * 32] * 1_001]}]),
            ("eth_getLogs", [{"address": ["0x" + "ab" * 20] * 1_001}]),
            ("eth_getProof", ["0x" + "ab" * 20, ["0x1"] * 1_025, "latest"]),
        ],
    )
    def test_are_refused_by_the_node(self, method: str, params: Params) -> None:
        at = node()
        with pytest.raises(RpcError) as refused:
            at.registry.find(method).handler(at.services, params)
        assert refused.value.code == -32005
