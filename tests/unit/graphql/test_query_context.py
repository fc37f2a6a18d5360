"""What one query may read and answer: the work for a block, and the size of names, values and errors."""

import math
from dataclasses import replace
from typing import Any

import pytest

from lacnode.chain.chain_history import ChainHistory
from lacnode.graphql import query_context
from lacnode.graphql.answer import answer_query
from lacnode.graphql.live import LiveFacts
from lacnode.primitives.block import Block
from lacnode.rpc import short_read_trials
from lacnode.rpc.errors import RpcError
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.short_read_trials import ShortReadTrials
from tests.support.rpc_chain import LOGGER_ADDRESS, RpcTestNode, node, signed

TRANSACTIONS = 12


@pytest.fixture
def full() -> RpcTestNode:
    """A node whose head has transactions with a log each."""
    at = node()
    at.send(*(signed(nonce=nonce, to=LOGGER_ADDRESS, data=bytes(32)) for nonce in range(TRANSACTIONS)))
    assert len(at.grow().transactions) == TRANSACTIONS
    at.services.caches.blocks.clear()
    return at


def query(text: str) -> ReadCall:
    return ReadCall(answer_query, [text, None, None, LiveFacts()])


def answered(at: RpcTestNode, text: str) -> Any:
    """The answer to a query that has all the time."""
    return query(text).answer(replace(at.services.read_context(0), deadline=math.inf))


@pytest.mark.parametrize(
    "text",
    ["{ block { transactions { hash } } }", "{ logs(filter: {fromBlock: 1}) { transaction { hash } } }"],
)
def test_a_block_is_not_decoded_for_each_of_its_transactions(
    full: RpcTestNode, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    decode = ChainHistory.block_of

    def noted(self: ChainHistory, hash_: bytes) -> Block | None:
        decoded.append(hash_)
        return decode(self, hash_)

    monkeypatch.setattr(ChainHistory, "block_of", noted)
    caches = replace(full.services.caches, blocks=RecentBlocks(full.chain))
    full.services = replace(full.services, caches=caches)
    assert str(answered(full, text)).count("0x") == TRANSACTIONS
    assert len(decoded) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "{ block { transactionCount } }",
        "{ block { transactions { hash } } }",
        "{ block { logs(filter: {}) { index } } }",
        "{ logs(filter: {fromBlock: 1}) { index } }",
    ],
)
def test_a_trial_does_not_decode_a_large_block(full: RpcTestNode, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_read_trials, "TRIAL_SECONDS", 3_600)
    at_rest = ShortReadTrials(lambda: 0.0)
    assert at_rest.try_answer(query(text), full.services, "10.0.0.1")[0]
    monkeypatch.setattr(short_read_trials, "LARGE_BLOCK_BYTES", 100)
    assert at_rest.try_answer(query(text), full.services, "10.0.0.1") == (False, None)


def test_logs_of_a_transaction_are_numbered_through_the_block(full: RpcTestNode) -> None:
    answer = answered(full, "{ block { transactions { logs { index transaction { index } } } } }")
    shown = [log for found in answer["data"]["block"]["transactions"] for log in found["logs"]]
    numbers = [hex(number) for number in range(TRANSACTIONS)]
    assert [(log["index"], log["transaction"]["index"]) for log in shown] == [(number, number) for number in numbers]


@pytest.mark.parametrize("field", ["index", "__typename", "block { __typename }", "to(block: 99) { address }"])
def test_an_answer_is_bounded_by_its_names_too(full: RpcTestNode, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_context, "MAX_RESULT_BYTES", 50_000)
    assert answered(full, f"{{ block {{ transactions {{ short: {field} }} }} }}")["data"]
    with pytest.raises(RpcError, match="Requested range exceeds"):
        answered(full, f"{{ block {{ transactions {{ {'a' * 5_000}: {field} }} }} }}")


def test_the_fields_that_fail_are_bounded(full: RpcTestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{ block { transactions { to(block: 99) { address } } } }"
    assert len(answered(full, text)["errors"]) == TRANSACTIONS
    monkeypatch.setattr(query_context, "MAX_RESULT_BYTES", query_context.ERROR_BYTES * TRANSACTIONS)
    with pytest.raises(RpcError, match="Requested range exceeds"):
        answered(full, text)
