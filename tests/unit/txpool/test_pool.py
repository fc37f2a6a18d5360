"""What the pool holds, what makes room for what, and what blocks are offered, on a real chain."""

import sys
import threading
from dataclasses import replace

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.rejection import RejectionReason as Reason
from lacnode.primitives import rlp
from lacnode.primitives.transaction import Transaction
from lacnode.txpool import pool_settings
from lacnode.txpool.importance_order import ImportanceOrder
from lacnode.txpool.pool_settings import PoolSettings
from lacnode.txpool.pooled_transaction import PooledTransaction
from lacnode.txpool.replacement import may_replace
from tests.support.rpc_chain import ETHER, FREE, LONDON, POOR, RICH, RpcTestNode, node, signed, small_pool, typed

SENDERS = [NodeKey.from_private_key(bytes([n]) * 32) for n in range(0x60, 0x70)]
PAID = PoolSettings(sender_share=1.0)


NOW = 1_700_000_000.0


def offered(at: RpcTestNode, base_fee: int | None = None) -> list[Transaction]:
    """What a block would take if everything fitted."""
    taken = []
    for candidate in at.pool.candidates(base_fee, NOW):
        candidate.included()
        taken.append(candidate.transaction)
    return taken


class TestReplacement:
    def test_on_free_gas_the_last_one_wins(self) -> None:
        at = node(replace(FREE, price_bump=10))
        first, second = signed(), signed(data=b"second")
        at.send(first, second)
        assert at.pooled == [second]
        assert at.dropped == [first]

    @pytest.mark.parametrize(("price", "wins"), [(1099, False), (1100, True)])
    def test_otherwise_it_must_pay_a_tenth_more(self, price: int, wins: bool) -> None:
        at = node(PAID)
        at.send(signed(price=1000))
        refusal = at.refusal(signed(price=price))
        assert refusal == (None if wins else Reason.TRANSACTION_REPLACEMENT_UNDERPRICED)
        assert [transaction.gas_price for transaction in at.pooled] == [price if wins else 1000]

    def test_a_plain_price_is_compared_with_a_rounded_threshold(self) -> None:
        old = signed(price=1005)
        assert may_replace(signed(price=1105), old, 10, None)
        assert not may_replace(signed(price=1104), old, 10, None)

    @pytest.mark.parametrize(
        ("fees", "wins"),
        [((120, 220), True), ((119, 300), False), ((120, 219), False), ((200, 230), True)],
        ids=["a tenth more", "too little tip", "too low a maximum", "more of both"],
    )
    def test_under_a_base_fee_the_effective_price_must_rise(self, fees: tuple[int, int], wins: bool) -> None:
        """The old one pays 200 of which 100 are tip."""
        assert may_replace(typed(fees=fees), typed(fees=(100, 210)), 10, 100) is wins

    def test_a_higher_price_with_less_tip_is_none(self) -> None:
        assert not may_replace(typed(fees=(0, 500)), typed(fees=(1, 500)), 0, 100)

    def test_an_equal_price_needs_a_higher_tip(self) -> None:
        old = typed(fees=(0, 100))
        assert may_replace(typed(fees=(5, 100)), old, 10, 100)
        assert not may_replace(typed(fees=(100, 105)), old, 10, 100)

    def test_a_type_2_replaces_nothing_where_there_is_no_base_fee(self) -> None:
        assert not may_replace(typed(fees=(9, 9)), signed(), 0, None)


class TestOverflow:
    def test_on_free_gas_the_last_come_goes_and_its_sender_is_not_told(self) -> None:
        at = node(small_pool(3))
        transactions = [signed(key) for key in SENDERS[:4]]
        at.send(*transactions)
        assert at.pooled == transactions[:3]
        assert at.added == transactions
        assert at.dropped == transactions[3:]

    def test_remote_ones_go_first_and_of_them_the_cheapest(self) -> None:
        at = node(small_pool(3))
        cheap, dear = signed(RICH, gas=21_000, price=5), signed(RICH, 1, gas=21_000, price=9)
        at.send(cheap, local=False)
        at.send(signed(SENDERS[0]), signed(SENDERS[1]))
        at.send(dear, local=False)
        assert at.dropped == [dear, cheap], "the cheapest goes with what follows it, the last first"
        assert at.pooled == [signed(SENDERS[0]), signed(SENDERS[1])]

    def test_a_late_nonce_that_is_cheap_goes_alone(self) -> None:
        at = node(small_pool(3))
        dear, cheap = signed(RICH, price=9), signed(RICH, 1, price=5)
        at.send(dear, cheap, local=False)
        at.send(signed(SENDERS[0]), signed(SENDERS[1]))
        assert at.dropped == [cheap]

    def test_of_too_many_bytes_the_last_long_one_goes_and_short_ones_have_their_place(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_settings, "MIN_POOL_BYTES", 20_400)
        monkeypatch.setattr(pool_settings, "BYTES_OF_EACH", 0)
        at = node(small_pool(10))
        long = [signed(key, data=bytes(3_000), gas=200_000) for key in SENDERS[:3]]
        short = [signed(key, data=bytes(800)) for key in SENDERS[3:7]]
        at.send(*long)
        assert at.pooled == long
        at.send(short[0])
        assert (at.pooled, at.dropped) == ([*long, short[0]], [])
        at.send(*short[1:])
        assert (at.pooled, at.dropped) == ([*long[:2], *short], long[2:])
        at.send(long[2])
        assert (at.pooled, at.dropped) == ([*long[:2], *short], [long[2], long[2]])
        at.pool.drop(at.pool.all()[0], Reason.NONCE_TOO_LOW)
        at.send(long[2])
        assert at.pooled == [long[1], *short, long[2]]

    def test_a_larger_pool_has_more_bytes_and_a_small_one_no_fewer_than_16_mebibytes(self) -> None:
        assert small_pool(1024).max_bytes == small_pool(4096).max_bytes == 16 * 2**20
        assert small_pool(40_960).max_bytes == 160 * 2**20

    def test_a_new_base_fee_ranks_everything_anew(self) -> None:
        """A tip counts while the maximum covers it; above that the maximum does."""
        tipping = PooledTransaction(typed(fees=(9, 50)), RICH.address, False, False, 1, 0.0)
        lasting = PooledTransaction(typed(nonce=1, fees=(1, 500)), RICH.address, False, False, 2, 0.0)
        late = PooledTransaction(typed(nonce=2, fees=(1, 500)), RICH.address, False, False, 3, 0.0)
        order = ImportanceOrder()
        order.add(tipping, 10)
        order.add(lasting, 10)
        assert order.least_important() == lasting
        order.add(late, 100)
        assert order.least_important() == tipping
        order.remove(tipping)
        assert order.least_important() == late

    def test_keeps_its_indexes_together_through_many_changes(self) -> None:
        at = node(small_pool(8), forks=LONDON)
        base_fee = at.chain.head.header.base_fee or 0
        for step in range(40):
            fees = (step * 7 % 11, base_fee + step * 5 % 13)
            at.refusal(typed(RICH, step % 5, fees=fees), local=step % 3 == 0)
            if step % 10 == 9:
                at.grow()
        left = at.pooled
        assert len(left) <= 8
        assert len(set(left)) == len(left)
        at.pool.expire(float("inf"))
        assert at.pooled == []
        assert at.pool.next_nonce(RICH.address) is None


class TestGaps:
    def test_transactions_after_a_gap_do_not_keep_executable_ones_out(self) -> None:
        """Attack: each of many accounts sends transactions with later nonces only. No block can ever have them."""
        at = node(small_pool(8))
        gapped = [signed(key, nonce) for key in SENDERS[:4] for nonce in (1, 2)]
        at.send(*gapped)
        executable = [signed(key) for key in SENDERS[4:12]]
        at.send(*executable, local=False)
        assert at.pooled == executable
        assert set(at.dropped) == set(gapped)
        at.send(gapped[0])
        assert (at.pooled, at.dropped[-1]) == (executable, gapped[0])

    def test_of_those_with_a_gap_the_one_that_waited_longest_goes_and_local_ones_last(self) -> None:
        at = node(small_pool(4))
        local, first, second, third = (signed(key, 1) for key in SENDERS[:4])
        at.send(local)
        at.send(first, second, third, local=False)
        for number, gone in enumerate([first, second, third, local]):
            at.send(signed(SENDERS[4 + number]), local=False)
            assert at.dropped[-1] == gone

    @pytest.mark.parametrize("filled_by", ["the pool", "a block"])
    def test_a_gap_that_closes_makes_the_later_ones_as_good_as_others(self, filled_by: str) -> None:
        at, other = node(small_pool(4)), node()
        at.send(signed(nonce=1), signed(nonce=2), signed(SENDERS[0], nonce=1))
        if filled_by == "the pool":
            at.send(signed(nonce=0))
        else:
            other.send(signed(nonce=0))
            at.chain.import_block(other.grow())
            at.send(signed(SENDERS[1]))
        at.send(signed(SENDERS[2]), local=False)
        assert at.dropped == [signed(SENDERS[0], nonce=1)]
        assert signed(nonce=2) in at.pooled

    def test_a_transaction_that_leaves_makes_a_gap(self) -> None:
        at = node(small_pool(3))
        at.send(signed(nonce=0), signed(nonce=1), signed(SENDERS[0]), now=1000.0)
        at.pool.drop(at.pool.all()[0], Reason.UPFRONT_COST_EXCEEDS_BALANCE)
        at.send(signed(SENDERS[1]), signed(SENDERS[2]), local=False)
        assert at.dropped == [signed(nonce=0), signed(nonce=1)]

    def test_one_whose_nonce_the_chain_has_used_makes_none(self) -> None:
        at = node(small_pool(3))
        at.send(signed(nonce=0), signed(nonce=1), signed(SENDERS[0]))
        at.pool.drop(at.pool.all()[0], Reason.NONCE_TOO_LOW)
        at.send(signed(SENDERS[1]), signed(SENDERS[2]), local=False)
        assert at.dropped == [signed(nonce=0), signed(SENDERS[2])]

    def test_a_replacement_makes_none(self) -> None:
        at = node(small_pool(3))
        at.send(signed(nonce=0), signed(nonce=1), signed(SENDERS[0]), signed(nonce=0, data=b"again"))
        at.send(signed(SENDERS[1]), local=False)
        assert at.dropped == [signed(nonce=0), signed(SENDERS[1])]

    def test_short_ones_with_a_gap_make_space_for_a_long_one_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool_settings, "MIN_POOL_BYTES", 20_400)
        monkeypatch.setattr(pool_settings, "BYTES_OF_EACH", 0)
        at = node(small_pool(10))
        gapped = [signed(key, 1, data=bytes(900)) for key in SENDERS[:9]]
        long = signed(SENDERS[9], data=bytes(3_000), gas=200_000)
        at.send(*gapped, long)
        assert at.pooled == [*gapped[2:], long]
        long_gapped = signed(SENDERS[10], 1, data=bytes(3_000), gas=200_000)
        at.send(long_gapped)
        assert at.dropped == [*gapped[:2], long_gapped]


class TestAge:
    def test_what_is_older_than_the_retention_goes(self) -> None:
        at = node(replace(FREE, retention_hours=1))
        old, young = signed(SENDERS[0]), signed(SENDERS[1])
        at.send(old, now=1000.0)
        at.send(young, now=2000.0)
        at.pool.expire(1000.0 + 3600)
        assert at.pooled == [old, young]
        at.pool.expire(2000.0 + 3600)
        assert at.pooled == [young]
        assert at.dropped == [old]

    def test_no_retention_keeps_nothing_beyond_a_sweep(self) -> None:
        at = node(replace(FREE, retention_hours=0))
        at.send(signed(), now=1000.0)
        at.pool.expire(1000.5)
        assert at.pooled == []


class TestNextNonce:
    def test_is_the_first_gap(self) -> None:
        at = node()
        assert at.pool.next_nonce(RICH.address) is None
        at.send(signed(nonce=1), signed(nonce=2))
        assert at.pool.next_nonce(RICH.address) == 0
        at.send(signed(nonce=0))
        assert at.pool.next_nonce(RICH.address) == 3

    def test_forgets_a_sender_with_its_last_transaction(self) -> None:
        at = node()
        at.send(signed(nonce=0), signed(nonce=1))
        at.grow()
        assert at.pool.next_nonce(RICH.address) is None


class TestOffering:
    def test_on_free_gas_first_come_first_served_local_ones_first(self) -> None:
        at = node()
        remote = [signed(key) for key in SENDERS[:3]]
        at.send(*remote, local=False)
        local = [signed(key) for key in SENDERS[3:6]]
        at.send(*local)
        assert offered(at) == [*local, *remote]

    def test_the_dearest_first_and_each_senders_in_order(self) -> None:
        at = node(replace(FREE, local_priority=False))
        rich = [signed(nonce=0, price=1), signed(nonce=1, price=7)]
        poor = signed(POOR)
        at.send(poor, *rich)
        assert offered(at) == [*rich, poor]

    def test_what_follows_a_gap_waits(self) -> None:
        at = node()
        first, third = signed(nonce=0), signed(nonce=2)
        at.send(third, first)
        assert offered(at) == [first]
        at.send(signed(nonce=1))
        assert [t.nonce for t in offered(at)] == [0, 1, 2]

    def test_a_skipped_one_keeps_its_senders_later_ones_back(self) -> None:
        at = node()
        at.send(signed(nonce=0), signed(nonce=1), signed(POOR))
        taken = []
        for candidate in at.pool.candidates(None, NOW):
            taken.append(candidate.transaction)
            if candidate.sender == RICH.address:
                candidate.skipped()
            else:
                candidate.included()
        assert taken == [signed(nonce=0), signed(POOR)]
        assert len(at.pooled) == 3

    def test_a_dropped_one_leaves_the_pool(self) -> None:
        at = node()
        at.send(signed(nonce=0), signed(nonce=1))
        for candidate in at.pool.candidates(None, NOW):
            candidate.dropped(Reason.UPFRONT_COST_EXCEEDS_BALANCE)
        assert at.pooled == [signed(nonce=1)]
        assert at.dropped == [signed(nonce=0)]

    def test_remote_ones_below_the_blocks_floor_stay_in_the_pool(self) -> None:
        at = node(replace(FREE, block_min_gas_price=1000))
        at.send(signed(RICH, price=999), local=False)
        at.send(signed(POOR), local=True)
        assert offered(at) == [signed(POOR)]
        assert len(at.pooled) == 2

    def test_remote_ones_below_the_least_tip_stay_too(self) -> None:
        at = node(replace(FREE, min_priority_fee=5), forks=LONDON)
        base_fee = at.chain.head.header.base_fee or 0
        at.send(typed(fees=(4, 2 * base_fee)), local=False)
        assert offered(at, base_fee) == []
        at.send(typed(fees=(5, 2 * base_fee)), local=False)
        assert [t.max_priority_fee_per_gas for t in offered(at, base_fee)] == [5]

    def test_the_operators_floors_can_change_while_it_runs(self) -> None:
        at = node(PAID)
        at.send(signed(price=2000), local=False)
        at.pool.set_block_min_gas_price(3000)
        assert offered(at) == []
        at.pool.set_block_min_gas_price(0)
        at.pool.set_min_priority_fee(2001)
        assert offered(at) == []
        at.pool.set_min_priority_fee(2000)
        assert len(offered(at)) == 1

    def test_who_can_no_longer_pay_is_dropped_by_the_block(self) -> None:
        at = node()
        at.send(signed(nonce=0, value=999 * ETHER), signed(nonce=1, value=999 * ETHER))
        assert len(at.grow().transactions) == 1
        assert at.pooled == []
        assert [t.nonce for t in at.dropped] == [1]


class TestImported:
    def test_what_is_in_a_block_is_gone_and_not_dropped(self) -> None:
        at = node()
        at.send(signed(nonce=0), signed(nonce=1), signed(nonce=3))
        assert len(at.grow().transactions) == 2
        assert at.pooled == [signed(nonce=3)]
        assert at.dropped == []

    def test_a_rival_with_the_same_nonce_is_dropped(self) -> None:
        at, other = node(), node()
        rival = signed(data=b"rival")
        other.send(signed())
        at.send(rival)
        at.chain.import_block(other.grow())
        assert at.pooled == []
        assert at.dropped == [rival]


def test_a_block_imported_between_the_door_and_the_shelf_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    at, other = node(), node()
    transaction = signed()
    other.send(transaction)
    block = other.grow()
    check = at.pool._admission.check

    def check_then_import(*args: object, **kwargs: object) -> object:
        admitted = check(*args, **kwargs)  # type: ignore[arg-type]
        at.chain.import_block(block)
        return admitted

    monkeypatch.setattr(at.pool._admission, "check", check_then_import)
    assert at.refusal(transaction) == Reason.NONCE_TOO_LOW
    assert at.pooled == []


def test_many_threads_add_while_blocks_are_built() -> None:
    at = node()
    batches = [[signed(key, nonce) for nonce in range(20)] for key in SENDERS[:4]]
    threads = [threading.Thread(target=at.send, args=batch) for batch in batches]
    for thread in threads:
        thread.start()
    mined = 0
    while any(thread.is_alive() for thread in threads):
        mined += len(at.grow().transactions)
    while at.pooled:
        mined += len(at.grow().transactions)
    assert mined == 80
    assert at.dropped == []
    assert len(at.added) == 80


def test_statistics_tell_local_from_remote() -> None:
    at = node(small_pool(10))
    at.send(signed(RICH))
    at.send(signed(POOR), local=False)
    statistics = at.pool.statistics
    assert (statistics.max_size, statistics.local, statistics.remote) == (10, 1, 1)


@pytest.mark.parametrize("keys", [0, 1, 40])
def test_an_access_list_counts_with_what_it_takes_in_memory(keys: int) -> None:
    """It takes several times its encoding, and a pool of such transactions would be as much larger than its bound."""
    entries = [(bytes([n % 256]) * 20, tuple(bytes([n % 256, key]) * 16 for key in range(keys))) for n in range(300)]
    transaction = typed(nonce=0, gas=10_000_000, access_list=entries)
    pooled = PooledTransaction(transaction, bytes(20), local=False, priority=False, sequence=0, added_at=0.0)
    taken = sys.getsizeof(transaction.raw) + sys.getsizeof(transaction.access_list)
    for entry in transaction.access_list:
        taken += sum(map(sys.getsizeof, (entry, *entry, *entry[1])))
    assert pooled.memory_bytes > 0.95 * taken


def test_authorizations_count_with_what_they_take_in_memory() -> None:
    """A pool of transactions of many short authorizations would take six times its bound."""
    long = [b"\x01", bytes(20), b"\x05", b"\x01", b"\xf1" * 32, b"\x11" * 32]
    short = [b"\x01", bytes(20), b"", b"", b"\x01", b"\x01"]
    for authorization in (long, short):
        fields: list[rlp.RlpValue] = [b"\x01", b"", b"", b"", rlp.encode_scalar(10_000_000), bytes(20), b"", b"", []]
        fields += [[authorization] * 1_000, b"", b"\x01", b"\x01"]
        transaction = Transaction.decode(b"\x04" + rlp.encode(fields))
        taken = sys.getsizeof(transaction.raw) + sys.getsizeof(transaction.authorizations)
        for each in transaction.authorizations:
            taken += sum(map(sys.getsizeof, (each, each.address, each.r, each.s)))
        pooled = PooledTransaction(transaction, bytes(20), local=False, priority=False, sequence=0, added_at=0.0)
        assert pooled.memory_bytes > 0.95 * taken
