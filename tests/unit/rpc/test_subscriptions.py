"""Subscriptions of a connection: what a client hears and when, and what is matched once."""

from typing import cast

import pytest

from lacnode.chain.log_filter import LogFilter
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.receipt import Log
from lacnode.rpc.errors import RpcError
from lacnode.rpc.parameters import parse_log_query
from lacnode.rpc.services import RpcServices
from lacnode.rpc.settings import ApiSettings
from lacnode.rpc.subscription_methods import SubscriptionMethods
from lacnode.rpc.subscriptions import LOGS, NEW_HEADS, Subscriptions
from tests.support.chain_genesis import LOGGER_ADDRESS
from tests.unit.rpc.test_filters import Listener, Polling, Services, notices_of


class TestSubscriptionsOfAConnection:
    def test_a_call_that_outlives_its_connection_leaves_nothing_behind(self) -> None:
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        methods = SubscriptionMethods(subscriptions, listener)
        methods.close()
        with pytest.raises(RpcError, match="Internal error"):
            methods.handlers["eth_subscribe"](cast(RpcServices, None), ["newHeads"])
        assert not subscriptions.has_any(NEW_HEADS)

    def test_a_client_hears_nothing_before_it_knows_the_id(self) -> None:
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        methods = SubscriptionMethods(subscriptions, listener)
        assert methods.handlers["eth_subscribe"](cast(RpcServices, None), ["newHeads"]) == "0x1"
        head = polling.log(0)
        assert notices_of(subscriptions, head) == []
        subscriptions.activate(listener)
        assert len(notices_of(subscriptions, head)) == 1


class TestManySubscriptions:
    def test_share_one_text(self) -> None:
        polling, listeners = Polling(), [Listener() for _ in range(3)]
        subscriptions = Subscriptions(polling.net.chain)
        for listener in listeners:
            for _ in range(10):
                subscriptions.add(NEW_HEADS, False, None, listener)
            subscriptions.activate(listener)
        notices = notices_of(subscriptions, polling.log(0))
        assert [len(notice.subscription_numbers) for notice in notices] == [10, 10, 10]
        assert len({id(notice.result) for notice in notices}) == 1

    def test_to_the_same_logs_are_matched_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        services = cast(RpcServices, Services(polling.net.chain, ApiSettings()))
        wished = (
            {"address": to_hex(LOGGER_ADDRESS)},
            {"address": to_hex(bytes(20))},
            {"address": to_hex(LOGGER_ADDRESS)},
        )
        for document in wished:
            subscriptions.add(LOGS, False, parse_log_query(services, document), listener)
        subscriptions.activate(listener)
        asked: list[LogFilter] = []
        matches = LogFilter.matches

        def noted(self: LogFilter, log: Log) -> bool:
            asked.append(self)
            return matches(self, log)

        monkeypatch.setattr(LogFilter, "matches", noted)
        (notice,) = notices_of(subscriptions, polling.log(0))
        assert notice.subscription_numbers == (1, 3)
        assert len(asked) == 2

    def test_may_name_only_so_many_topics(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.subscriptions.MAX_FILTER_ITEMS_PER_CONNECTION", 3)
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        services = cast(RpcServices, Services(polling.net.chain, ApiSettings()))
        two = parse_log_query(services, {"topics": [["0x" + "11" * 32, "0x" + "22" * 32]]})
        subscriptions.add(LOGS, False, two, listener)
        with pytest.raises(RpcError) as refused:
            subscriptions.add(LOGS, False, two, listener)
        assert refused.value.code == -32005
        subscriptions.add(LOGS, False, two, Listener())
        subscriptions.add(LOGS, False, parse_log_query(services, {}), listener)

    def test_leave_nothing_behind(self) -> None:
        polling, listener = Polling(), Listener()
        subscriptions = Subscriptions(polling.net.chain)
        number = subscriptions.add(NEW_HEADS, False, None, listener)
        subscriptions.add(NEW_HEADS, False, None, listener)
        subscriptions.remove(number, listener)
        assert subscriptions.has_any(NEW_HEADS)
        subscriptions.remove_all_of(listener)
        assert not subscriptions.has_any(NEW_HEADS)
