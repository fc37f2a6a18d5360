"""Pub/sub: who wants to hear what, and what they are told (Besu's `SubscriptionManager`).

Ids count up through the whole node. Clients subscribe from worker threads, what happened is put into words in a worker
thread too (`notices_of_...`), and only the finished words reach a client on the event loop. Must not wait for a client.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import orjson

from lacnode.chain.blockchain import Blockchain, NewHead
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.rpc import results
from lacnode.rpc.errors import (
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    RpcError,
    internal_error,
    method_not_enabled,
    subscription_not_found,
)
from lacnode.rpc.parameters import LogQuery, boolean, log_query, optional, quantity, required, text
from lacnode.rpc.privacy_parameters import check_member, group_id, in_base64, room
from lacnode.rpc.registry import Handler, Params
from lacnode.rpc.services import RpcServices, SyncView
from lacnode.txpool.pooled import PooledTransaction

NEW_HEADS, LOGS, SYNCING = "newHeads", "logs", "syncing"
PENDING, DROPPED = "newPendingTransactions", "droppedPendingTransactions"
PRIVATE_LOGS = "private logs"
TYPES = (NEW_HEADS, LOGS, PENDING, DROPPED, SYNCING)

PER_CONNECTION = 1_000
"""Subscriptions that one connection may hold."""


class Listener(Protocol):
    """A connection. On the event loop."""

    def notify(self, message: bytes) -> None:
        """Have `message` sent, without waiting; a client that does not read is cut off instead."""

    def cut(self) -> None:
        """End the connection."""


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
    may_know: Callable[[], bool] | None = None
    """Whether its tenant is still a member of the group."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one subscriber is told: the JSON text of the result, shared with other notices."""

    subscription: Subscription
    result: bytes

    def deliver(self) -> None:
        """Hand it to the connection."""
        number = b'"0x%x"' % self.subscription.number
        name, members = b"eth_subscription", number
        if self.subscription.group is not None:
            name = b"priv_subscription"
            members += b',"privacyGroupId":"%b"' % in_base64(self.subscription.group).encode("ascii")
        self.subscription.listener.notify(
            b'{"jsonrpc":"2.0","method":"%b","params":{"subscription":%b,"result":%b}}' % (name, members, self.result)
        )


class Subscriptions:
    """All subscriptions of a node, safe to use from several threads."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._subscriptions: dict[int, Subscription] = {}

    def wanted(self, *kinds: str) -> bool:
        """Whether anybody listens to one of `kinds`."""
        return any(subscription.kind in kinds for subscription in self._all())

    def add(
        self,
        kind: str,
        whole: bool,
        query: LogQuery | None,
        listener: Listener,
        group: bytes | None = None,
        may_know: Callable[[], bool] | None = None,
    ) -> int:
        """A new subscription, silent until `activate`; its number."""
        with self._lock:
            if sum(s.listener is listener for s in self._subscriptions.values()) >= PER_CONNECTION:
                raise RpcError(LIMIT_EXCEEDED, f"More than {PER_CONNECTION} subscriptions")
            number = next(self._numbers)
            self._subscriptions[number] = Subscription(
                number, kind, whole, query, listener, group=group, may_know=may_know
            )
        return number

    def activate(self, listener: Listener) -> None:
        """The client has been told its new ids."""
        for subscription in self._all():
            if subscription.listener is listener:
                subscription.active = True

    def remove(self, number: int, listener: Listener, group: bytes | None = None) -> None:
        """End a subscription; RpcError if `listener` has none of that number (and `group`)."""
        with self._lock:
            subscription = self._subscriptions.get(number)
            if subscription is None or subscription.listener is not listener or subscription.group != group:
                raise subscription_not_found()
            del self._subscriptions[number]

    def forget(self, listener: Listener) -> None:
        """The connection is gone."""
        with self._lock:
            self._subscriptions = {n: s for n, s in self._subscriptions.items() if s.listener is not listener}

    def cut_all(self) -> None:
        """End every connection that listens to something: it has missed what happened. On the event loop."""
        for listener in {subscription.listener for subscription in self._all()}:
            listener.cut()

    def _all(self) -> list[Subscription]:
        with self._lock:
            return list(self._subscriptions.values())

    def _of(self, kind: str) -> list[Subscription]:
        return [subscription for subscription in self._all() if subscription.active and subscription.kind == kind]

    # -- what happened, in words -------------------------------------------------------------------------------------

    def notices_of_block(self, new_head: NewHead) -> Iterator[Notice]:
        """A block was imported."""
        by_kind: dict[bool, bytes] = {}
        for subscription in self._of(NEW_HEADS):
            whole = subscription.whole
            if whole not in by_kind:
                by_kind[whole] = orjson.dumps(results.block(self._chain, new_head.block, new_head.hash, whole))
            yield Notice(subscription, by_kind[whole])
        listening = [s for s in self._of(LOGS) if s.query is not None and _within(s.query, new_head.header.number)]
        for found in new_head.logs if listening else ():
            shown = orjson.dumps(results.log(found))
            for subscription in listening:
                if subscription.query is not None and subscription.query.wanted.matches(found.log):
                    yield Notice(subscription, shown)

    def notices_of_private_block(self, private_block: PrivateBlock) -> Iterator[Notice]:
        """A block was executed privately."""
        number = private_block.header.number
        for subscription in self._of(PRIVATE_LOGS):
            query = subscription.query
            if subscription.group is None or query is None or not _within(query, number):
                continue
            logs = private_block.logs.get(subscription.group, ())
            if logs and subscription.may_know is not None and not subscription.may_know():
                continue
            for found in logs:
                if query.wanted.matches(found.log):
                    yield Notice(subscription, orjson.dumps(results.log(found)))

    def notices_of_pending(self, pooled: PooledTransaction) -> Iterator[Notice]:
        """A transaction entered the pool."""
        for subscription in self._of(PENDING):
            hash_ = to_hex(pooled.transaction.hash)
            yield Notice(
                subscription, orjson.dumps(results.pending_notification(pooled) if subscription.whole else hash_)
            )

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
        return (Notice(subscription, shown) for subscription in self._of(kind))


class SubscriptionMethods:
    """`eth_subscribe`, `eth_unsubscribe` and their private twins of one connection. Besu answers every bad parameter with
    -32600 here."""

    def __init__(self, subscriptions: Subscriptions, listener: Listener) -> None:
        self._subscriptions = subscriptions
        self._listener = listener
        self._gone = threading.Event()
        self.handlers: Mapping[str, Handler] = {
            "eth_subscribe": self._subscribe,
            "eth_unsubscribe": self._unsubscribe,
            "priv_subscribe": self._subscribe_privately,
            "priv_unsubscribe": self._unsubscribe_privately,
        }

    def close(self) -> None:
        """The connection is gone; a call of it that is still running must not leave a subscription behind."""
        self._gone.set()
        self._subscriptions.forget(self._listener)

    def _subscribe(self, services: RpcServices, params: Params) -> object:
        try:
            kind, whole, query = _wish(services, params)
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        return self._added(kind, whole, query, None)

    def _added(
        self,
        kind: str,
        whole: bool,
        query: LogQuery | None,
        group: bytes | None,
        may_know: Callable[[], bool] | None = None,
    ) -> str:
        number = self._subscriptions.add(kind, whole, query, self._listener, group, may_know)
        if self._gone.is_set():
            self._subscriptions.forget(self._listener)
            raise internal_error()
        return hex(number)

    def _unsubscribe(self, services: RpcServices, params: Params) -> object:
        try:
            number = quantity(required(params, 0, "subscription id"), "subscription id", 2**63 - 1)
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        self._subscriptions.remove(number, self._listener)
        return True

    def _subscribe_privately(self, services: RpcServices, params: Params) -> object:
        _check_private(services)
        try:
            group, kind = group_id(required(params, 0, "privacyGroupId")), required(params, 1, "subscription type")
            if kind != LOGS:
                raise RpcError(INVALID_REQUEST, "Invalid Request", f"subscription type: {LOGS} was expected")
            query = log_query(services, required(params, 2, "filter"))
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        private_room = room(services)
        check_member(private_room, group)
        is_lasting = private_room.flexible is None or not private_room.has_tenants
        may_know = None if is_lasting else partial(private_room.sees, group)
        return self._added(PRIVATE_LOGS, False, query, group, may_know)

    def _unsubscribe_privately(self, services: RpcServices, params: Params) -> object:
        _check_private(services)
        try:
            group = group_id(required(params, 0, "privacyGroupId"))
            number = quantity(required(params, 1, "subscription id"), "subscription id", 2**63 - 1)
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        check_member(room(services), group)
        self._subscriptions.remove(number, self._listener, group)
        return True


def _check_private(services: RpcServices) -> None:
    """These come before the registry's methods, so the group they belong to is looked at here."""
    if "PRIV" not in services.groups:
        raise method_not_enabled()
    room(services)


def _wish(services: RpcServices, params: Params) -> tuple[str, bool, LogQuery | None]:
    """Kind, whether transactions are wanted whole, and the filter for logs."""
    kind = text(required(params, 0, "subscription type"), "subscription type")
    if kind not in TYPES:
        raise RpcError(INVALID_REQUEST, "Invalid Request", f"subscription type: one of {', '.join(TYPES)} was expected")
    if kind == LOGS:
        return kind, False, log_query(services, required(params, 1, "filter"))
    options = optional(params, 1)
    if options is None:
        return kind, False, None
    if not isinstance(options, Mapping):
        raise RpcError(INVALID_REQUEST, "Invalid Request", "subscription options: an object was expected")
    return kind, boolean(options.get("includeTransactions", False), "includeTransactions"), None


def _within(query: LogQuery, number: int) -> bool:
    """Only numbers restrict; tags mean no bound."""
    return not (query.fixed_from and number < query.from_block) and not (query.fixed_to and number > query.to_block)
