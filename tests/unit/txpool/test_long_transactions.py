"""Transactions that took too long: put off, dropped, and remembered for a while; their senders come last."""

from dataclasses import replace

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.rejection import RejectionReason as Reason
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives.transaction import Transaction
from lacnode.txpool import slow_transactions
from lacnode.txpool.pooled_transaction import LARGE_GAS, PoolCandidate
from lacnode.txpool.slow_transactions import MAX_TRIES, REFUSED_SECONDS, SENDER_LAST_SECONDS, SlowTransactions
from tests.support.rpc_chain import FREE, POOR, RICH, RpcTestNode, node, signed

NOW = 1_700_000_000.0
OTHER = NodeKey.from_private_key(b"\x77" * 32)


def order(at: RpcTestNode, now: float = NOW) -> list[PoolCandidate]:
    candidates = []
    for candidate in at.pool.candidates(None, now):
        candidate.included()
        candidates.append(candidate)
    return candidates


def transactions(candidates: list[PoolCandidate]) -> list[Transaction]:
    return [candidate.transaction for candidate in candidates]


def large(key: NodeKey = RICH, nonce: int = 0) -> Transaction:
    return signed(key, nonce=nonce, gas=LARGE_GAS + 1)


def test_free_transactions_that_announce_much_gas_come_last() -> None:
    at = node(FREE)
    at.send(large(RICH), signed(POOR), signed(OTHER, gas=LARGE_GAS))
    candidates = order(at)
    assert transactions(candidates) == [signed(POOR), signed(OTHER, gas=LARGE_GAS), large(RICH)]
    assert [candidate.is_expected_slow for candidate in candidates] == [False, False, True]


def test_a_sender_that_the_chain_knows_may_announce_as_much_as_it_likes() -> None:
    """Some networks demand much gas of every transaction."""
    at = node(FREE)
    at.send(signed(RICH))
    at.grow()
    later = [large(RICH, nonce) for nonce in (1, 2)]
    at.send(*later, signed(POOR), large(OTHER), signed(OTHER, nonce=1))
    candidates = order(at)
    assert transactions(candidates) == [*later, signed(POOR), large(OTHER), signed(OTHER, nonce=1)]
    assert [candidate.is_expected_slow for candidate in candidates] == [False, False, False, True, False]


def test_until_one_of_its_transactions_takes_too_long() -> None:
    at = node(FREE)
    at.send(signed(RICH))
    at.grow()
    at.send(large(RICH, 1), large(POOR))
    interrupt(at, large(RICH, 1))
    assert [candidate.is_expected_slow for candidate in order(at)] == [True, True]
    assert [candidate.is_expected_slow for candidate in order(at, NOW + SENDER_LAST_SECONDS)] == [False, True]


def test_one_that_pays_keeps_its_place() -> None:
    at = node(replace(FREE, local_priority=False))
    paying = signed(RICH, gas=LARGE_GAS + 1, price=5)
    at.send(signed(POOR), paying)
    assert transactions(order(at)) == [paying, signed(POOR)]


def interrupt(at: RpcTestNode, which: Transaction, now: float = NOW, *, was_held_up: bool = False) -> None:
    for candidate in at.pool.candidates(None, now):
        if candidate.transaction == which:
            candidate.interrupted(1.5, "too long", was_held_up=was_held_up)
        else:
            candidate.included()


def test_one_that_was_interrupted_is_put_off_with_its_sender_and_then_dropped() -> None:
    at = node(FREE)
    slow = signed(RICH)
    at.send(slow, signed(RICH, nonce=1), signed(POOR))
    interrupt(at, slow)
    assert at.dropped == []
    candidates = order(at)
    assert transactions(candidates) == [signed(POOR), slow, signed(RICH, nonce=1)]
    assert [candidate.is_expected_slow for candidate in candidates] == [False, True, True]
    interrupt(at, slow)
    assert at.dropped == [slow]
    assert slow not in at.pooled


def test_one_that_the_machine_held_up_is_tried_a_few_times() -> None:
    at = node(FREE)
    at.send(large())
    for _ in range(MAX_TRIES - 1):
        interrupt(at, large(), was_held_up=True)
        assert at.pooled == [large()]
    interrupt(at, large(), was_held_up=True)
    assert at.dropped == [large()]


def test_one_that_was_dropped_does_not_come_back_for_a_while() -> None:
    at = node(FREE)
    at.send(large())
    interrupt(at, large())
    assert at.dropped == [large()]
    assert at.pool.is_pooled_or_refused(large().hash)
    for local in (True, False):
        with pytest.raises(TransactionRejectedError, match=f"sent again in {REFUSED_SECONDS} s") as rejected:
            at.pool.add(large(), local=local, now=NOW)
        assert rejected.value.reason is Reason.TX_EVALUATION_TOO_LONG
    at.send(large(), now=NOW + REFUSED_SECONDS)
    assert at.pooled == [large()]


def test_its_sender_is_told_why() -> None:
    at = node(FREE)
    at.send(large())
    interrupt(at, large(), now=4_000_000_000.0)
    code, message = at.fails("eth_sendRawTransaction", "0x" + large().raw.hex())
    assert (code, message) == (-32000, "Transaction took too long to execute")


def test_its_sender_comes_last_for_a_while_only() -> None:
    at = node(FREE)
    at.send(large(), signed(POOR))
    interrupt(at, large())
    at.send(signed(RICH))
    assert [candidate.is_expected_slow for candidate in order(at)] == [False, True]
    assert [candidate.is_expected_slow for candidate in order(at, NOW + SENDER_LAST_SECONDS)] == [False, False]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_transactions, "MAX_REMEMBERED_HASHES", 3)
    monkeypatch.setattr(slow_transactions, "MAX_REMEMBERED_SENDERS", 3)
    memory = SlowTransactions()
    for number in range(5):
        memory.record_drop(bytes([number]), NOW)
        memory.record_interruption(bytes([number]), bytes([number]), NOW)
    assert [bool(memory.refused_seconds(bytes([number]), NOW)) for number in range(5)] == [False] * 2 + [True] * 3
    assert [memory.is_sender_slow(bytes([number]), NOW) for number in range(5)] == [False] * 2 + [True] * 3


def test_a_clock_that_is_set_back_makes_nothing_last_longer() -> None:
    memory = SlowTransactions()
    memory.record_drop(b"hash", NOW)
    assert memory.refused_seconds(b"hash", NOW - 10**6) == REFUSED_SECONDS
