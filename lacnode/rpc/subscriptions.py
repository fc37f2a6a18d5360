"""Pub/sub: who wants to hear what, and what they are told (Besu's `SubscriptionManager`).

Ids count up through the whole node. Clients subscribe from worker threads, what happened is put into words in a worker
thread too (`notices_of_...`), and only the finished words reach a client on the event loop. Must not wait for a client.
"""

import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import orjson

from lacnode.chain.blockchain import Blockchain, NewHead
from lacnode.chain.log_filter import LogFilter
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.rpc import results
from lacnode.rpc.errors import LIMIT_EXCEEDED, RpcError, subscription_not_found
from lacnode.rpc.notice import Listener, Notice
from lacnode.rpc.parameters import LogQuery
from lacnode.rpc.services import SyncView
from lacnode.txpool.pooled_transaction import PooledTransaction

NEW_HEADS, LOGS, SYNCING = "newHeads", "logs", "syncing"
PENDING, DROPPED = "newPendingTransactions", "droppedPendingTransactions"
PRIVATE_LOGS = "private logs"
TYPES = (NEW_HEADS, LOGS, PENDING, DROPPED, SYNCING)

MAX_SUBSCRIPTIONS_PER_CONNECTION = 1_000
"""Subscriptions that one connection may hold."""

MAX_FILTER_ITEMS_PER_CONNECTION = 4_000
"""Addresses and topics that all subscriptions of one connection may name."""


@dataclass(slots=True, eq=False)
class Subscription:
    """`active` once the client knows the id; `whole` if it wants whole transactions; `group` for private logs."""

    number: int
    kind: str
    whole: bool
    query: LogQuery | None
    listener: Listener
    active: bool = False
    group: bytes | None = None
    may_receive: Callable[[], bool] | None = None
    """Whether its tenant is still a member of the group."""


class Subscriptions:
    """All subscriptions of a node, safe to use from several threads."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._of_listener: dict[Listener, dict[int, Subscription]] = {}
        self._count_of_kind: Counter[str] = Counter()

    def wanted(self, *kinds: str) -> bool:
        """Whether a client listens to one of `kinds`."""
        return any(self._count_of_kind[kind] for kind in kinds)

    def add(
        self,
        kind: str,
        whole: bool,
        query: LogQuery | None,
        listener: Listener,
        group: bytes | None = None,
        may_receive: Callable[[], bool] | None = None,
    ) -> int:
        """A new subscription, silent until `activate`; its number."""
        with self._lock:
            own = self._of_listener.setdefault(listener, {})
            _check_limits(own.values(), query)
            number = next(self._numbers)
            own[number] = Subscription(number, kind, whole, query, listener, group=group, may_receive=may_receive)
            self._count_of_kind[kind] += 1
        return number

    def activate(self, listener: Listener) -> None:
        """The client has been told its new ids."""
        with self._lock:
            for subscription in self._of_listener.get(listener, {}).values():
                subscription.active = True

    def remove(self, number: int, listener: Listener, group: bytes | None = None) -> None:
        """End a subscription; RpcError if `listener` has none of that number (and `group`)."""
        with self._lock:
            own = self._of_listener.get(listener, {})
            subscription = own.get(number)
            if subscription is None or subscription.group != group:
                raise subscription_not_found()
            del own[number]
            self._count_of_kind[subscription.kind] -= 1

    def forget(self, listener: Listener) -> None:
        """The connection is gone."""
        with self._lock:
            for subscription in self._of_listener.pop(listener, {}).values():
                self._count_of_kind[subscription.kind] -= 1

    def cut_all(self) -> None:
        """End every connection that listens to something: it has missed what happened. On the event loop."""
        with self._lock:
            listeners = [listener for listener, own in self._of_listener.items() if own]
        for listener in listeners:
            listener.cut()

    def _of(self, kind: str) -> Iterator[tuple[Listener, list[Subscription]]]:
        """The active subscriptions of a kind, by listener."""
        with self._lock:
            owned = [(listener, list(own.values())) for listener, own in self._of_listener.items() if own]
        for listener, subscriptions in owned:
            found = [
                subscription for subscription in subscriptions if subscription.active and subscription.kind == kind
            ]
            if found:
                yield listener, found

    # -- what happened, in words -------------------------------------------------------------------------------------

    def notices_of_block(self, new_head: NewHead) -> Iterator[Notice]:
        """A block was imported."""
        shown: dict[bool, bytes] = {}
        for listener, subscriptions in self._of(NEW_HEADS):
            for whole in (False, True):
                numbers = tuple(subscription.number for subscription in subscriptions if subscription.whole is whole)
                if numbers and whole not in shown:
                    block = results.block(self._chain, new_head.block, new_head.hash, whole, max_bytes=math.inf)
                    shown[whole] = orjson.dumps(block)
                if numbers:
                    yield Notice(listener, numbers, shown[whole])
        if new_head.logs:
            yield from self._notices_of_logs(new_head.logs, new_head.header.number)

    def _notices_of_logs(self, logs: Sequence[LogWithMetadata], block_number: int) -> Iterator[Notice]:
        """Filters that are equal are matched once."""
        wanted: dict[LogFilter, list[tuple[Listener, tuple[int, ...]]]] = {}
        for listener, subscriptions in self._of(LOGS):
            for filter_, numbers in _by_filter(subscriptions, block_number).items():
                wanted.setdefault(filter_, []).append((listener, tuple(numbers)))
        for found in logs if wanted else ():
            shown = orjson.dumps(results.log(found))
            for filter_, listening in wanted.items():
                if filter_.matches(found.log):
                    yield from (Notice(listener, numbers, shown) for listener, numbers in listening)

    def notices_of_private_block(self, private_block: PrivateBlock) -> Iterator[Notice]:
        """A block was executed privately."""
        number = private_block.header.number
        for listener, subscriptions in self._of(PRIVATE_LOGS):
            for subscription in subscriptions:
                query, group = subscription.query, subscription.group
                if group is None or query is None or not _within(query, number):
                    continue
                logs = private_block.logs.get(group, ())
                if logs and subscription.may_receive is not None and not subscription.may_receive():
                    continue
                for found in logs:
                    if query.wanted.matches(found.log):
                        yield Notice(listener, (subscription.number,), orjson.dumps(results.log(found)), group)

    def notices_of_pending(self, pooled: PooledTransaction) -> Iterator[Notice]:
        """A transaction entered the pool."""
        shown = {False: orjson.dumps(to_hex(pooled.transaction.hash))}
        for listener, subscriptions in self._of(PENDING):
            for whole in (False, True):
                numbers = tuple(subscription.number for subscription in subscriptions if subscription.whole is whole)
                if numbers and whole not in shown:
                    shown[whole] = orjson.dumps(results.pending_notification(pooled))
                if numbers:
                    yield Notice(listener, numbers, shown[whole])

    def notices_of_dropped(self, pooled: PooledTransaction) -> Iterator[Notice]:
        """A transaction left the pool without having been in a block."""
        return self._same(DROPPED, to_hex(pooled.transaction.hash))

    def notices_of_sync(self, status: SyncView | None) -> Iterator[Notice]:
        """Synchronisation began, moved on, or ended: then `status` is None."""
        if status is None:
            return self._same(SYNCING, False)
        numbers = {
            "startingBlock": results.quantity(status.starting_block),
            "currentBlock": results.quantity(status.current_block),
            "highestBlock": results.quantity(status.highest_block),
        }
        return self._same(SYNCING, numbers)

    def _same(self, kind: str, result: object) -> Iterator[Notice]:
        shown = orjson.dumps(result)
        for listener, subscriptions in self._of(kind):
            yield Notice(listener, tuple(subscription.number for subscription in subscriptions), shown)


def _check_limits(own: Collection[Subscription], query: LogQuery | None) -> None:
    """RpcError if a connection with the subscriptions `own` may not have one more."""
    if len(own) >= MAX_SUBSCRIPTIONS_PER_CONNECTION:
        raise RpcError(LIMIT_EXCEEDED, f"More than {MAX_SUBSCRIPTIONS_PER_CONNECTION} subscriptions")
    if query is not None and query.wanted.items:
        items = sum(subscription.query.wanted.items for subscription in own if subscription.query is not None)
        if items + query.wanted.items > MAX_FILTER_ITEMS_PER_CONNECTION:
            raise RpcError(LIMIT_EXCEEDED, f"More than {MAX_FILTER_ITEMS_PER_CONNECTION} addresses and topics")


def _by_filter(subscriptions: Sequence[Subscription], block_number: int) -> dict[LogFilter, list[int]]:
    """The numbers of subscriptions to logs of a block, by what they want."""
    found: dict[LogFilter, list[int]] = {}
    for subscription in subscriptions:
        if subscription.query is not None and _within(subscription.query, block_number):
            found.setdefault(subscription.query.wanted, []).append(subscription.number)
    return found


def _within(query: LogQuery, number: int) -> bool:
    """Only numbers restrict; tags mean no bound."""
    return not (query.fixed_from and number < query.from_block) and not (query.fixed_to and number > query.to_block)
