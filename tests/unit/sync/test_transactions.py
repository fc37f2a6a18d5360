"""Transactions on their way: who is told in how many messages, who is asked, and what a flood costs."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import pytest
import trio
import trio.lowlevel
import trio.testing

from lacnode.p2p.peer import Peer
from lacnode.primitives.transaction import Transaction
from lacnode.sync.transaction_gossip import TransactionGossip
from lacnode.sync.transaction_intake import (
    LONG_BYTES_PER_SECOND,
    LONG_SHARES,
    MAX_PEER_QUEUE_BYTES,
    MAX_WAITING_BYTES,
    TRANSACTIONS_PER_TURN,
    TransactionIntake,
)
from lacnode.txpool.pool_settings import MAX_TRANSACTION_BYTES
from tests.support.p2p_nodes import transaction


@dataclass(eq=False)
class GossipPeer:
    """Remembers what it is told, and gives what it is asked for, if it is not silent."""

    name: str
    pooled: dict[bytes, Transaction] = field(default_factory=dict)
    silent: bool = False
    seconds: float = 0.001
    gives: Sequence[Transaction] | None = None
    messages: list[Sequence[Transaction]] = field(default_factory=list)
    whole: list[Transaction] = field(default_factory=list)
    asked: list[Sequence[bytes]] = field(default_factory=list)
    useless: int = 0

    def __post_init__(self) -> None:
        self.id = self.name.encode()
        self.enode_text = self.name
        self.requests = self

    def send_transactions(self, transactions: Sequence[Transaction]) -> None:
        self.whole += transactions
        self.send_transaction_hashes(transactions)

    def send_transaction_hashes(self, transactions: Sequence[Transaction]) -> None:
        if transactions:
            self.messages.append(transactions)

    def report_useless_answer(self) -> None:
        self.useless += 1

    async def request_pooled_transactions(self, hashes: Sequence[bytes]) -> Sequence[Transaction]:
        self.asked.append(hashes)
        if self.silent:
            await trio.sleep_forever()
        await trio.sleep(self.seconds)
        return self.gives if self.gives is not None else [self.pooled[hash_] for hash_ in hashes]

    def as_peer(self) -> Peer:
        return cast("Peer", self)


class Pool:
    """Takes everything, and has `gossip` told, as a node does."""

    def __init__(self, *peers: GossipPeer, seconds_each: float = 0.0) -> None:
        self.taken: dict[bytes, Transaction] = {}
        self.changed = threading.Event()
        self._pause = seconds_each
        self.gossip = TransactionGossip(
            lambda: [peer.as_peer() for peer in peers],
            admit=self.admit,
            known=self.taken.__contains__,
            pooled=list,
            rng=random.Random(1),
        )

    def admit_here(self, *transactions: Transaction) -> None:
        for each in transactions:
            self.taken[each.hash] = each
            self.gossip.pending_added(each, is_local=True)

    def admit(self, transactions: Sequence[Transaction]) -> None:
        for each in transactions:
            if self._pause:
                threading.Event().wait(self._pause)
            self.taken[each.hash] = each
            trio.from_thread.run_sync(partial(self.gossip.pending_added, each, is_local=False))

    async def until(self, count: int) -> None:
        with trio.fail_after(60):
            while len(self.taken) < count:  # noqa: ASYNC110
                await trio.sleep(0.01)


async def until_asked(peer: GossipPeer) -> None:
    with trio.fail_after(60):
        while not peer.asked:  # noqa: ASYNC110
            await trio.sleep(0.01)


def many(count: int, start: int = 0) -> list[Transaction]:
    return [transaction(number) for number in range(start, start + count)]


async def now() -> float:
    return trio.current_time()


async def running(pool: Pool, nursery: trio.Nursery) -> None:
    nursery.start_soon(pool.gossip.run)
    await trio.lowlevel.checkpoint()


class TestGossip:
    async def test_two_thousand_at_once_go_out_in_three_messages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As geth's test of devp2p, `LargeTxRequest`, wants it."""
        # Longer than a busy machine may hold up the pool between two of the transactions.
        monkeypatch.setattr("lacnode.sync.transaction_gossip.SEND_WINDOW_SECONDS", 1.0)
        monkeypatch.setattr("lacnode.sync.transaction_gossip.MAX_SEND_DELAY_SECONDS", 60.0)
        listener = GossipPeer("listener")
        pool = Pool(listener, seconds_each=0.0001)
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            pool.gossip.transactions_received(GossipPeer("sender").as_peer(), many(2_000))
            with trio.fail_after(60):
                while sum(map(len, listener.messages)) < 2_000:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert len(listener.messages) <= 3

    async def test_one_transaction_is_not_held_back(self) -> None:
        listener = GossipPeer("listener")
        pool = Pool(listener)
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            pool.admit_here(transaction(1))
            with trio.fail_after(60):
                while not listener.messages:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert [len(message) for message in listener.messages] == [1]

    async def test_what_peers_send_is_gathered_until_a_client_sends_something(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.sync.transaction_gossip.RELAY_WINDOW_SECONDS", 60.0)
        monkeypatch.setattr("lacnode.sync.transaction_gossip.MAX_SEND_DELAY_SECONDS", 60.0)
        listener = GossipPeer("listener")
        pool = Pool(listener)
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            for each in many(3):
                pool.gossip.transactions_received(GossipPeer("sender").as_peer(), [each])
            with trio.fail_after(60):
                while len(pool.gossip._outgoing) < 3:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            assert not listener.messages
            pool.admit_here(transaction(3))
            with trio.fail_after(60):
                while not listener.messages:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert [len(message) for message in listener.messages] == [4]

    async def test_a_peer_that_does_not_answer_holds_up_no_other(self) -> None:
        silent, honest = GossipPeer("silent", silent=True), GossipPeer("honest")
        pool = Pool()
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            pool.gossip.hashes_announced(silent.as_peer(), [number.to_bytes(32) for number in range(100)])
            await until_asked(silent)
            for each in many(3):
                honest.pooled = {each.hash: each}
                pool.gossip.hashes_announced(honest.as_peer(), [each.hash])
                await pool.until(len(pool.taken) + 1)
            nursery.cancel_scope.cancel()
        assert len(pool.taken) == 3

    async def test_what_was_not_asked_for_is_useless_and_not_looked_at(self) -> None:
        wanted, other = many(2)
        peer = GossipPeer("peer", gives=[wanted, other])
        pool = Pool()
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            pool.gossip.hashes_announced(peer.as_peer(), [wanted.hash])
            await pool.until(1)
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        assert list(pool.taken) == [wanted.hash]
        assert peer.useless == 1


def long_ones(count: int, length: int = 2**17) -> list[Transaction]:
    return [transaction(number, bytes(length)) for number in range(count)]


def announce(pool: Pool, peer: GossipPeer, transactions: Sequence[Transaction]) -> None:
    peer.pooled |= {each.hash: each for each in transactions}
    sizes = [len(each.raw) for each in transactions]
    pool.gossip.hashes_announced(peer.as_peer(), [each.hash for each in transactions], sizes)


class TestLongTransactions:
    async def test_they_are_announced_to_all_and_pushed_to_none(self) -> None:
        listener = GossipPeer("listener")
        pool = Pool(listener)
        short, long = transaction(1), transaction(2, bytes(5_000))
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            pool.admit_here(short, long)
            with trio.fail_after(60):
                while sum(map(len, listener.messages)) < 2:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert listener.whole == [short]

    async def test_what_found_no_room_in_the_pool_is_not_passed_on(self) -> None:
        listener = GossipPeer("listener")
        pool = Pool(listener)
        dropped, kept = many(2)
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            pool.admit_here(dropped, kept)
            del pool.taken[dropped.hash]
            with trio.fail_after(60):
                while not listener.messages:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert listener.messages == [[kept]]

    async def test_one_peer_is_asked_and_the_next_one_when_it_does_not_give(self) -> None:
        (long,) = long_ones(1)
        liar, first, second = GossipPeer("liar", gives=[], seconds=0.5), GossipPeer("first"), GossipPeer("second")
        pool = Pool()
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            announce(pool, liar, [long])
            with trio.fail_after(60):
                while not liar.asked:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            announce(pool, first, [long])
            announce(pool, second, [long])
            await trio.sleep(0.3)
            assert first.asked + second.asked == []
            await pool.until(1)
            await trio.sleep(0.3)
            nursery.cancel_scope.cancel()
        assert liar.asked + first.asked + second.asked == [[long.hash]] * 2

    async def test_a_request_is_for_a_mebibyte_at_most(self) -> None:
        longs = long_ones(5, 250_000)
        peer, pool = GossipPeer("peer"), Pool()
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            announce(pool, peer, longs)
            await pool.until(5)
            nursery.cancel_scope.cancel()
        assert [len(hashes) for hashes in peer.asked] == [4, 1]

    async def test_one_that_the_pool_would_refuse_is_not_fetched(self) -> None:
        short, long = transaction(1), transaction(2, bytes(MAX_TRANSACTION_BYTES))
        peer, pool = GossipPeer("peer"), Pool()
        async with trio.open_nursery() as nursery:
            await running(pool, nursery)
            announce(pool, peer, [long, short])
            await pool.until(1)
            nursery.cancel_scope.cancel()
        assert peer.asked == [[short.hash]]


class TestIntake:
    async def test_long_ones_come_in_as_fast_as_blocks_carry_them_away_and_hold_up_no_short_one(self) -> None:
        admitted: list[Transaction] = []
        intake = TransactionIntake(admitted.extend)
        short, at_once = transaction(1_000), int(LONG_SHARES.most * LONG_SHARES.burst_seconds / 2**17)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(intake.run)
            intake.put(b"flood", long_ones(at_once + 3))
            with trio.fail_after(60):
                while len(admitted) < at_once:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            intake.put(b"flood", [short])
            with trio.fail_after(60):
                while short not in admitted:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            assert len(admitted) <= at_once + 2
            with trio.fail_after(60):
                while len(admitted) < at_once + 3:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    async def test_a_key_for_each_long_one_brings_no_more_of_them(
        self, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Attack: each of them comes from a peer that was never here, as one stranger with many keys is."""

        async def run_here(work: Callable[..., float], *arguments: object, limiter: object) -> float:
            """The clock of the test would go on while a thread works."""
            await trio.lowlevel.checkpoint()
            return work(*arguments)

        monkeypatch.setattr(trio.to_thread, "run_sync", run_here)
        admitted_at: list[float] = []
        intake = TransactionIntake(lambda transactions: admitted_at.append(trio.current_time()))
        size, strangers, began = 2**19, 8, trio.current_time()
        for number in range(strangers):
            intake.peer_joined(bytes([number]))
            intake.put(bytes([number]), long_ones(1, size - 500))
            intake.peer_left(bytes([number]))
        with trio.move_on_after(600):
            await intake.run()
        at_once = LONG_BYTES_PER_SECOND * LONG_SHARES.burst_seconds // size
        assert len(admitted_at) == strangers
        assert sum(at == began for at in admitted_at) <= at_once + 1

    async def test_all_long_ones_together_are_bounded(self) -> None:
        intake = TransactionIntake(lambda transactions: None)
        for number in range(20):
            intake.put(bytes([number]), long_ones(1, 2**20))
        assert intake.dropped == 20 - MAX_WAITING_BYTES // 2**20 + 1

    async def test_those_who_send_much_cannot_keep_out_those_who_send_little(self) -> None:
        admitted: list[Transaction] = []
        intake = TransactionIntake(admitted.extend)
        for number in range(20):
            intake.put(bytes([number]), long_ones(3, 2**20 - 200))
        dropped = intake.dropped
        honest = transaction(1_000, bytes(20_000))
        intake.put(b"honest", [honest])
        assert intake.dropped == dropped + 1, "the newest one of the peer that has the most"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(intake.run)
            with trio.fail_after(60):
                while honest not in admitted:  # noqa: ASYNC110
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    async def test_no_more_is_fetched_from_a_peer_of_which_much_waits(self) -> None:
        intake = TransactionIntake(lambda transactions: None)
        intake.put(b"peer", long_ones(1, MAX_PEER_QUEUE_BYTES // 2 - 1_000))
        assert intake.may_request_long_from(b"peer")
        intake.put(b"peer", long_ones(1, 5_000))
        assert not intake.may_request_long_from(b"peer")
        assert intake.may_request_long_from(b"other")

    async def test_peers_take_turns(self) -> None:
        order: list[bytes] = []
        intake = TransactionIntake(lambda transactions: order.extend(each.hash for each in transactions))
        flood, honest = many(10 * TRANSACTIONS_PER_TURN), many(1, start=100_000)
        intake.put(b"flood", flood)
        intake.put(b"honest", honest)
        with trio.move_on_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(intake.run)
                while len(order) < len(flood) + 1:  # noqa: ASYNC110
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
        assert order.index(honest[0].hash) <= 2 * TRANSACTIONS_PER_TURN

    async def test_a_flood_is_bounded_in_bytes_for_each_peer(self) -> None:
        intake = TransactionIntake(lambda transactions: None)
        large = [transaction(number, bytes(2**20)) for number in range(10)]
        intake.put(b"flood", large)
        assert intake.dropped == 10 - (MAX_PEER_QUEUE_BYTES // len(large[0].raw))
        intake.put(b"honest", large[:1])
        assert intake.dropped == 10 - (MAX_PEER_QUEUE_BYTES // len(large[0].raw))
