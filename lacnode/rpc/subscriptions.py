"""Pub/sub over WebSocket: who wants to hear what, and what they are told (Besu's `SubscriptionManager`).

Ids count up through the whole node. A notification goes into the connection's queue; a client that does not read has its
connection closed, and the node never waits for it.
"""

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from lacnode.chain.blockchain import Blockchain, NewHead
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.errors import invalid_params, invalid_request, subscription_not_found
from lacnode.rpc.parameters import LogQuery, boolean, log_query, optional, required, text
from lacnode.rpc.registry import Handler, Params
from lacnode.rpc.services import RpcServices, SyncView
from lacnode.txpool.pooled import PooledTransaction

Notify = Callable[[bytes], None]
"""Puts one message into a connection's queue. Called on the event loop."""

TYPES = ("newHeads", "logs", "newPendingTransactions", "droppedPendingTransactions", "syncing")


@dataclass(frozen=True, slots=True)
class _Subscription:
    id: str
    kind: str
    whole: bool
    query: LogQuery | None
    notify: Notify


class Subscriptions:
    """All subscriptions of a node. Told of events on the event loop; subscribed to from worker threads."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._subscriptions: dict[str, _Subscription] = {}

    def connection_methods(self, notify: Notify) -> Mapping[str, Handler]:
        """`eth_subscribe` and `eth_unsubscribe` for one connection."""

        def subscribe(services: RpcServices, params: Params) -> object:
            return self._subscribe(services, params, notify)

        def unsubscribe(services: RpcServices, params: Params) -> object:
            return self._unsubscribe(params, notify)

        return {"eth_subscribe": subscribe, "eth_unsubscribe": unsubscribe}

    def forget(self, notify: Notify) -> None:
        """The connection is gone."""
        with self._lock:
            gone = [id_ for id_, subscription in self._subscriptions.items() if subscription.notify is notify]
            for id_ in gone:
                del self._subscriptions[id_]

    def _subscribe(self, services: RpcServices, params: Params, notify: Notify) -> str:
        kind = text(required(params, 0, "subscription type"), "subscription type")
        options = optional(params, 1)
        if kind not in TYPES:
            raise invalid_request()
        query, whole = None, False
        if kind == "logs":
            query = log_query(services, {} if options is None else options)
        elif options is not None:
            if not isinstance(options, Mapping):
                raise invalid_params("subscription options: an object was expected")
            whole = boolean(options.get("includeTransactions", False), "includeTransactions")
        with self._lock:
            id_ = hex(next(self._ids))
            self._subscriptions[id_] = _Subscription(id_, kind, whole, query, notify)
        return id_

    def _unsubscribe(self, params: Params, notify: Notify) -> bool:
        id_ = text(required(params, 0, "subscription id"), "subscription id").lower()
        try:
            int(id_, 16)
        except ValueError:
            raise invalid_request() from None
        with self._lock:
            subscription = self._subscriptions.get(id_)
            if subscription is None or subscription.notify is not notify:
                raise subscription_not_found()
            del self._subscriptions[id_]
        return True

    # -- told ------------------------------------------------------------------------------------------------------

    def block_added(self, new_head: NewHead) -> None:
        """A block was imported."""
        for subscription in self._of("newHeads"):
            shown = results.block(self._chain, new_head.block, new_head.hash, subscription.whole)
            self._tell(subscription, shown)
        for subscription in self._of("logs") if new_head.logs else ():
            query = subscription.query
            assert query is not None
            number = new_head.header.number
            if (query.numeric_from and number < query.from_block) or (query.numeric_to and number > query.to_block):
                continue
            for found in new_head.logs:
                if query.wanted.matches(found.log):
                    self._tell(subscription, results.log(found))

    def pending_added(self, pooled: PooledTransaction) -> None:
        """A transaction entered the pool."""
        for subscription in self._of("newPendingTransactions"):
            whole = subscription.whole
            self._tell(subscription, results.pending_notification(pooled) if whole else to_hex(pooled.transaction.hash))

    def pending_dropped(self, pooled: PooledTransaction) -> None:
        """A transaction left the pool without having been in a block."""
        for subscription in self._of("droppedPendingTransactions"):
            self._tell(subscription, to_hex(pooled.transaction.hash))

    def sync_changed(self, status: SyncView | None) -> None:
        """Synchronisation began or ended."""
        shown: object = False
        if status is not None:
            shown = {
                "startingBlock": results.quantity(status.starting_block),
                "currentBlock": results.quantity(status.current_block),
                "highestBlock": results.quantity(status.highest_block),
            }
        for subscription in self._of("syncing"):
            self._tell(subscription, shown)

    def _of(self, kind: str) -> list[_Subscription]:
        with self._lock:
            return [subscription for subscription in self._subscriptions.values() if subscription.kind == kind]

    def _tell(self, subscription: _Subscription, result: object) -> None:
        subscription.notify(
            orjson.dumps(
                {
                    "jsonrpc": "2.0",
                    "method": "eth_subscription",
                    "params": {"subscription": subscription.id, "result": result},
                }
            )
        )
