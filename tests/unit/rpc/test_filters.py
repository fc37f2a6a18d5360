"""Polling filters: what they gather, when they end, and what they may cost; and feeds that cannot keep up."""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
import trio

from lacnode.chain.blockchain import Blockchain, NewHead
from lacnode.chain.log_filter import LogFilter
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.receipt import Log
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.rpc.errors import RpcError
from lacnode.rpc.filters import EXPIRY_SECONDS, PollingFilter, PollingFilters
from lacnode.rpc.method_registry import Handler
from lacnode.rpc.notice import Notice
from lacnode.rpc.parameters import LogQuery, parse_log_query
from lacnode.rpc.private_filters import PrivateFilters
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.services import RpcServices
from lacnode.rpc.settings import ApiSettings
from lacnode.rpc.subscription_feeds import SubscriptionFeeds
from lacnode.rpc.subscriptions import LOGS, NEW_HEADS, Subscriptions
from lacnode.txpool.pooled_transaction import PooledTransaction
from tests.support.chain_genesis import LOGGER_ADDRESS, PAYER, TOPIC
from tests.support.chain_network import Network, network
from tests.support.chain_transactions import Offer, transaction
from tests.support.logs import captured_logs
from tests.support.rpc_chain import answered

GROUP = b"\x77" * 32


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def notices_of(subscriptions: Subscriptions, head: NewHead) -> list[Notice]:
    return [notice for notice in subscriptions.notices_of_block(head) if notice is not None]


@dataclass
class Services:
    """What filters touch of a node."""

    chain: Blockchain
    settings: ApiSettings
    client: str = "10.0.0.1"

    def read_context(self, seconds: float) -> ReadContext:
        return ReadContext(self.chain, self.settings, math.inf)


class Polling:
    """Filters on a real chain, and their methods as a client calls them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.filters = PollingFilters(self.clock)
        self.net: Network = network()
        self.net.chain.on_head(self.add_block)
        self.services = cast(RpcServices, Services(self.net.chain, ApiSettings()))
        self._handlers: dict[str, Handler] = {method.name: method.handler for method in self.filters.methods()}

    def add_block(self, head: NewHead) -> None:
        for _ in self.filters.add_block_in_steps(head):
            pass

    def call(self, method: str, *params: object) -> object:
        return answered(self._handlers[f"eth_{method}"](self.services, params), self.services)

    def changes(self, id_: object) -> list[object]:
        found = self.call("getFilterChanges", id_)
        assert isinstance(found, list)
        return found

    def log(self, nonce: int, *more: int) -> NewHead:
        """A block in which the logger logs once for every nonce."""
        self.net.grow([Offer(transaction(n, LOGGER_ADDRESS, data=bytes(32))) for n in (nonce, *more)])
        return self.net.heads[-1]


def pooled(nonce: int) -> PooledTransaction:
    return PooledTransaction(transaction(nonce), PAYER.address, True, False, nonce, 0.0)


class TestIds:
    def test_are_random_quantities(self) -> None:
        polling = Polling()
        ids = [polling.call("newBlockFilter") for _ in range(100)]
        assert len(set(ids)) == 100
        assert all(isinstance(id_, str) and re.fullmatch("0x[1-9a-f][0-9a-f]{0,31}", id_) for id_ in ids)

    def test_unknown_ones_are_told_apart_by_method(self) -> None:
        polling = Polling()
        with pytest.raises(RpcError, match="Filter not found"):
            polling.call("getFilterChanges", "0x1")
        with pytest.raises(RpcError, match="Logs filter not found"):
            polling.call("getFilterLogs", polling.call("newBlockFilter"))
        assert polling.call("uninstallFilter", "0x1") is False
        for wrong in ((), (None,), (7,), ("0x" + "1" * 100,)):
            with pytest.raises(RpcError, match="Invalid params"):
                polling.call("getFilterChanges", *wrong)


class TestChanges:
    def test_begin_with_the_filter_and_are_told_once(self) -> None:
        polling = Polling()
        polling.log(0)
        blocks, logs = polling.call("newBlockFilter"), polling.call("newFilter", {"fromBlock": "0x0"})
        second = polling.log(1, 2)
        assert polling.changes(blocks) == [to_hex(second.hash)]
        found = polling.changes(logs)
        assert [(log["blockNumber"], log["logIndex"]) for log in found if isinstance(log, dict)] == [
            ("0x2", "0x0"),
            ("0x2", "0x1"),
        ]
        assert polling.changes(blocks) == polling.changes(logs) == []

    def test_only_matching_logs_are_gathered(self) -> None:
        polling = Polling()
        address, topic = to_hex(LOGGER_ADDRESS), to_hex(TOPIC)
        wanted = [polling.call("newFilter", {"address": address, "topics": [[topic, "0x" + "22" * 32]]})]
        unwanted = [
            polling.call("newFilter", {"address": "0x" + "55" * 20}),
            polling.call("newFilter", {"topics": ["0x" + "22" * 32]}),
            polling.call("newFilter", {"topics": [topic, None]}),
        ]
        polling.log(0)
        assert [len(polling.changes(id_)) for id_ in wanted + unwanted] == [1, 0, 0, 0]

    def test_more_than_one_answer_may_have_comes_with_the_next_polls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Attack: logs without end make an answer that takes all memory. A refusal of it would lose the logs."""
        monkeypatch.setattr("lacnode.rpc.filters.MAX_CHANGES_BYTES", 6_000)
        polling = Polling()
        id_ = polling.call("newFilter", {})
        head = polling.log(0)
        polling.changes(id_)
        sizes = [1_000, 2_000, 10_000, 1_000]
        logs = [replace(head.logs[0], log=head.logs[0].log._replace(data=bytes(size))) for size in sizes]
        polling.add_block(replace(head, logs=tuple(logs)))
        answers = [[len(log["data"]) // 2 - 1 for log in cast(Any, polling.changes(id_))] for _ in range(5)]
        assert answers == [[1_000], [2_000], [10_000], [1_000], []]

    def test_what_waits_for_the_next_poll_counts_as_gathered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_CHANGES_BYTES", 6_000)
        monkeypatch.setattr("lacnode.rpc.filters.MAX_GATHERED_BYTES", 6_000)
        polling = Polling()
        id_ = polling.call("newFilter", {})
        head = polling.log(0)
        long = replace(head.logs[0], log=head.logs[0].log._replace(data=bytes(2_000)))
        for _ in range(3):
            # Two more come between two polls, and one answer has one of them.
            polling.add_block(replace(head, logs=(long, long)))
            with suppress(RpcError):
                polling.changes(id_)
        with pytest.raises(RpcError, match="Filter not found"):
            polling.changes(id_)

    def test_a_numeric_end_stops_gathering(self) -> None:
        polling = Polling()
        bounded = polling.call("newFilter", {"toBlock": "0x1"})
        unbounded = polling.call("newFilter", {"toBlock": "latest"})
        polling.log(0)
        polling.log(1)
        assert (len(polling.changes(bounded)), len(polling.changes(unbounded))) == (1, 2)

    def test_a_first_block_ahead_does_not_delay_gathering_as_in_besu(self) -> None:
        polling = Polling()
        ahead = polling.call("newFilter", {"fromBlock": "0x9"})
        polling.log(0)
        assert len(polling.changes(ahead)) == 1

    def test_earliest_as_the_end_is_the_genesis(self) -> None:
        polling = Polling()
        bounded, from_it = (
            polling.call("newFilter", {"toBlock": "earliest"}),
            polling.call("newFilter", {"fromBlock": "Earliest"}),
        )
        polling.log(0)
        assert polling.changes(bounded) == []
        assert len(polling.changes(from_it)) == 1

    def test_all_logs_are_those_of_the_range_as_it_is_now(self) -> None:
        polling = Polling()
        whole = polling.call("newFilter", {"fromBlock": "0x0"})
        newest = polling.call("newFilter", {})
        for nonce in range(3):
            polling.log(nonce)
        polling.changes(whole)
        for id_, numbers in ((whole, ["0x1", "0x2", "0x3"]), (newest, ["0x3"])):
            found = polling.call("getFilterLogs", id_)
            assert isinstance(found, list)
            assert [log["blockNumber"] for log in found] == numbers

    def test_pending_transactions_are_gathered_by_hash(self) -> None:
        polling = Polling()
        id_ = polling.call("newPendingTransactionFilter")
        polling.filters.pending_added(pooled(0))
        assert polling.changes(id_) == [to_hex(transaction(0).hash)]


class TestEnds:
    def test_ten_minutes_after_the_last_use(self) -> None:
        polling = Polling()
        used, unused, logs = (
            polling.call("newBlockFilter"),
            polling.call("newBlockFilter"),
            polling.call("newFilter", {}),
        )
        polling.clock.now = EXPIRY_SECONDS - 1
        polling.changes(used)
        polling.call("getFilterLogs", logs)
        polling.clock.now = EXPIRY_SECONDS + 1
        assert polling.changes(used) == []
        assert polling.call("getFilterLogs", logs) == []
        with pytest.raises(RpcError, match="Filter not found"):
            polling.changes(unused)
        assert len(polling.filters) == 2

    def test_uninstalled_ones_are_gone(self) -> None:
        polling = Polling()
        id_ = polling.call("newBlockFilter")
        assert polling.call("uninstallFilter", id_) is True
        assert polling.call("uninstallFilter", id_) is False
        with pytest.raises(RpcError, match="Filter not found"):
            polling.changes(id_)

    def test_who_does_not_poll_loses_the_filter_rather_than_a_part(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_GATHERED_ENTRIES", 2)
        polling = Polling()
        blocks, pending = polling.call("newBlockFilter"), polling.call("newPendingTransactionFilter")
        for nonce in range(2):
            polling.log(nonce)
            polling.filters.pending_added(pooled(nonce))
        assert (len(polling.changes(blocks)), len(polling.changes(pending))) == (2, 2)
        for nonce in range(2, 5):
            polling.log(nonce)
            polling.filters.pending_added(pooled(nonce))
        for id_ in (blocks, pending):
            with pytest.raises(RpcError, match="Filter not found"):
                polling.changes(id_)

    def test_methods_need_not_wait_for_all_filters_of_a_block(self) -> None:
        polling = Polling()
        first, second = polling.call("newFilter", {}), polling.call("newFilter", {})
        head = polling.log(0)
        assert [len(polling.changes(id_)) for id_ in (first, second)] == [1, 1]
        steps = polling.filters.add_block_in_steps(head)
        next(steps)
        assert [len(polling.changes(id_)) for id_ in (first, second)] == [1, 0]
        next(steps)
        assert len(polling.changes(second)) == 1

    def test_no_more_logs_of_a_block_are_gathered_than_a_filter_may_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_GATHERED_ENTRIES", 2)
        polling = Polling()
        id_ = polling.call("newFilter", {})
        head = polling.log(0)
        matched: list[Log] = []

        def noted(_: LogFilter, log: Log) -> bool:
            matched.append(log)
            return True

        monkeypatch.setattr(LogFilter, "matches", noted)
        polling.add_block(replace(head, logs=50 * head.logs))
        assert len(matched) == 3
        with pytest.raises(RpcError, match="Filter not found"):
            polling.changes(id_)

    def test_of_long_logs_the_filter_that_has_most_loses_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_GATHERED_BYTES", 6_000)
        polling = Polling()
        logs, blocks = polling.call("newFilter", {}), polling.call("newBlockFilter")
        head = polling.log(0)
        long = replace(head.logs[0], log=head.logs[0].log._replace(data=bytes(2_000)))
        for _ in range(2):
            polling.add_block(replace(head, logs=(long,)))
        assert len(polling.changes(logs)) == 3
        for _ in range(3):
            polling.add_block(replace(head, logs=(long,)))
        with pytest.raises(RpcError, match="Filter not found"):
            polling.changes(logs)
        assert len(polling.changes(blocks)) == 6

    def test_there_are_only_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_FILTERS", 2)
        polling = Polling()
        polling.call("newBlockFilter")
        id_ = polling.call("newBlockFilter")
        with pytest.raises(RpcError, match="More than 2 filters") as refused:
            polling.call("newBlockFilter")
        assert refused.value.code == -32005
        polling.call("uninstallFilter", id_)
        polling.call("newBlockFilter")

    def test_one_address_has_only_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_FILTERS_OF_CLIENT", 1)
        polling = Polling()
        polling.call("newBlockFilter")
        with pytest.raises(RpcError, match="of this client"):
            polling.call("newPendingTransactionFilter")
        polling.services = replace(cast(Any, polling.services), client="10.0.0.2")
        polling.call("newBlockFilter")

    def test_they_name_only_so_many_topics_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_FILTER_ITEMS", 3)
        polling, two = Polling(), {"topics": [["0x" + "11" * 32, "0x" + "22" * 32]]}
        id_ = polling.call("newFilter", two)
        with pytest.raises(RpcError) as refused:
            polling.call("newFilter", two)
        assert refused.value.code == -32005
        polling.call("newFilter", {})
        polling.call("uninstallFilter", id_)
        polling.call("newFilter", two)

    @pytest.mark.parametrize(
        "junk",
        [
            {"fromBlock": "0x0", "junk": "x" * 12_345},
            {"blockHash": "0x" + "11" * 32, "blockhash": "x" * 12_345},
            {"topics": [[None, "x" * 12_345]]},
        ],
        ids=["unknown member", "second spelling", "beside a null"],
    )
    def test_what_a_client_adds_to_its_object_is_not_kept(self, junk: dict[str, object]) -> None:
        polling = Polling()
        polling.call("newFilter", junk)
        assert not [kept for kept in polling.filters._filters.values() if "xxx" in repr(kept)]

    def test_empty_positions_of_topics_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_FILTER_ITEMS", 100)
        polling = Polling()
        polling.call("newFilter", {"topics": [[]] * 60})
        with pytest.raises(RpcError, match="More than 100 addresses and topics"):
            polling.call("newFilter", {"topics": [None] * 60})
        with pytest.raises(RpcError, match="Number of topics"):
            polling.call("newFilter", {"topics": [[]] * 1_001})


class Listener:
    """A connection that remembers."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.cut_off = False

    def notify(self, notice: Notice) -> None:
        self.messages += notice.messages()

    def cut(self) -> None:
        self.cut_off = True


def levels(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was worse than news: a network that other tests of this process share tells news of its own."""
    return [entry["log_level"] for entry in logs if entry["log_level"] not in ("debug", "info")]


class TestPrivateFilters:
    """Filters for private logs cost as little as those for public ones."""

    def test_methods_need_not_wait_for_all_filters_of_a_block(self) -> None:
        filters, (first, second) = private_filters(2)
        steps = filters.add_private_block_in_steps(private_block(Polling().log(0), 1))
        next(steps)
        assert not filters._lock.locked()
        assert (len(first.gathered), len(second.gathered)) == (1, 0)
        next(steps)
        assert len(second.gathered) == 1
        assert list(steps) == []

    def test_their_bytes_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.filters.MAX_GATHERED_BYTES", 2_000)
        filters, _ = private_filters(2)
        for _ in filters.add_private_block_in_steps(private_block(Polling().log(0), 3)):
            pass
        assert len(filters) == 1

    async def test_their_blocks_wait_in_a_bounded_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.subscription_feeds.MAX_WAITING_FEED_BYTES", 1_000)
        polling = Polling()
        filters, _ = private_filters(1)
        feeds = SubscriptionFeeds(polling.filters, Subscriptions(polling.net.chain), filters)
        block = private_block(polling.log(0), 2)
        with captured_logs() as logs:
            feeds.private_block_added(block)
            assert levels(logs) == []
            feeds.private_block_added(block)
        assert len(filters) == 0
        assert levels(logs) == ["warning"]


def private_filters(count: int) -> tuple[PrivateFilters, list[PollingFilter]]:
    filters = PrivateFilters()
    every_log = LogQuery(LogFilter(), 0, 0, None)
    added = [PollingFilter(GROUP.hex(), filters._now(), every_log) for _ in range(count)]
    for filter_ in added:
        filters._add(cast(RpcServices, Services(Polling().net.chain, ApiSettings())), filter_)
    return filters, added


def private_block(head: NewHead, logs: int) -> PrivateBlock:
    return PrivateBlock(head.header, head.hash, {GROUP: logs * head.logs})


class TestFeeds:
    async def test_what_cannot_be_told_in_time_ends_subscriptions_and_filters(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.rpc.subscription_feeds.MAX_WAITING_EVENTS", 2)
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        feeds = SubscriptionFeeds(polling.filters, subscriptions, PrivateFilters())
        polling.call("newBlockFilter")
        subscriptions.add(NEW_HEADS, False, None, listener)
        head = polling.log(0)
        with captured_logs() as logs:
            for _ in range(3):
                feeds.block_added(head)
        assert listener.cut_off
        assert len(polling.filters) == 0
        assert levels(logs) == ["warning"]

    async def test_logs_without_data_count_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.subscription_feeds.MAX_WAITING_FEED_BYTES", 10_000)
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        feeds = SubscriptionFeeds(polling.filters, subscriptions, PrivateFilters())
        subscriptions.add(NEW_HEADS, False, None, listener)
        head = polling.log(0)
        empty = replace(head, logs=100 * (replace(head.logs[0], log=head.logs[0].log._replace(data=b"")),))
        feeds.block_added(empty)
        assert not listener.cut_off
        feeds.block_added(empty)
        assert listener.cut_off

    async def test_filters_that_match_nothing_wait_for_their_share_of_the_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.rpc.subscription_feeds.CHUNK_SECONDS", -1.0)
        spent: list[float] = []
        monkeypatch.setattr("lacnode.rpc.subscription_feeds.TimeShare.spend", lambda _, seconds: spent.append(seconds))
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        feeds = SubscriptionFeeds(polling.filters, subscriptions, PrivateFilters())
        services = cast(RpcServices, Services(polling.net.chain, ApiSettings()))
        subscriptions.add(LOGS, False, parse_log_query(services, {"address": to_hex(bytes(20))}), listener)
        subscriptions.add(NEW_HEADS, False, None, listener)
        subscriptions.activate(listener)
        head = polling.log(0)
        feeds.block_added(replace(head, logs=50 * head.logs))
        feeds.block_added(head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feeds.run)
            with trio.fail_after(60):
                while len(listener.messages) < 2:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert len(spent) >= 50

    def test_a_search_ends_when_its_listeners_are_cut(self) -> None:
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        services = cast(RpcServices, Services(polling.net.chain, ApiSettings()))
        subscriptions.add(LOGS, False, parse_log_query(services, {"address": to_hex(bytes(20))}), listener)
        subscriptions.activate(listener)
        head = polling.log(0)
        search = subscriptions.notices_of_block(replace(head, logs=50 * head.logs))
        assert next(search) is None
        subscriptions.cut_all()
        assert list(search) == []

    async def test_only_so_many_bytes_of_blocks_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.subscription_feeds.MAX_WAITING_FEED_BYTES", 1_000)
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        feeds = SubscriptionFeeds(polling.filters, subscriptions, PrivateFilters())
        subscriptions.add(NEW_HEADS, False, None, listener)
        head = polling.log(0)
        large = replace(head, logs=(replace(head.logs[0], log=head.logs[0].log._replace(data=bytes(2_000))),))
        with captured_logs() as logs:
            feeds.block_added(large)  # the first one waits, however large it is
            assert levels(logs) == []
            feeds.block_added(head)
        assert listener.cut_off
        assert levels(logs) == ["warning"]

    def test_a_block_of_any_size_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A subscriber must not take a gap for silence."""
        monkeypatch.setattr("lacnode.rpc.answer_size.MAX_ANSWER_BYTES", 100)
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        subscriptions.add(NEW_HEADS, True, None, listener)
        subscriptions.activate(listener)
        (notice,) = notices_of(subscriptions, polling.log(0))
        assert b'"input"' in notice.result

    async def test_one_failure_does_not_stop_the_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        feeds = SubscriptionFeeds(polling.filters, subscriptions, PrivateFilters())
        subscriptions.add(NEW_HEADS, False, None, listener)
        subscriptions.activate(listener)
        head = polling.log(0)
        with captured_logs() as logs:
            feeds.block_added(replace(head, hash=cast(bytes, None)))
            feeds.block_added(head)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(feeds.run)
                with trio.fail_after(20):
                    while not listener.messages:
                        await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        assert levels(logs) == ["error"]
        assert b'"number":"0x1"' in listener.messages[0]

    async def test_nothing_is_noted_while_nobody_listens(self) -> None:
        polling = Polling()
        feeds = SubscriptionFeeds(polling.filters, Subscriptions(polling.net.chain), PrivateFilters())
        head = polling.log(0)
        with captured_logs() as logs:
            for _ in range(20_000):
                feeds.block_added(head)
        assert levels(logs) == []


class TestQueriesOfLogs:
    def test_name_only_so_many_addresses_and_topics(self) -> None:
        services = cast(RpcServices, Services(Polling().net.chain, ApiSettings()))
        topics = [to_hex(number.to_bytes(32)) for number in range(1_000)]
        parse_log_query(services, {"topics": [topics[:500], topics[500:]], "address": [to_hex(bytes(20))] * 1_000})
        for document in ({"topics": [topics, topics[:1]]}, {"topics": [*topics, None]}, {"address": ["0x1"] * 1_001}):
            with pytest.raises(RpcError) as refused:
                parse_log_query(services, document)
            assert refused.value.code == -32005
