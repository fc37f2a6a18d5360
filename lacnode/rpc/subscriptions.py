"""Publish and subscribe: the subscriptions of all connections, and the notices for them (Besu's `SubscriptionManager`).

Ids count up through the whole node. Clients subscribe in worker threads. A worker thread makes the notices of an event too
(`notices_of_...`). The event loop only delivers finished notices. Must not wait for a client.
"""

import itertools
import math
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

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
"""Number of subscriptions that one connection may have."""

MAX_FILTER_ITEMS_PER_CONNECTION = 4_000
"""Number of addresses and topics that all subscriptions of one connection may name. A position of topics that accepts
every topic counts as one."""


class Membership(Protocol):
    """The membership of a tenant in a privacy group. It can be a key of a dictionary: the memberships of one tenant in one
    group are equal."""

    def is_member_after(self, number: int) -> bool:
        """Return True if the tenant is a member after block `number`: it may have the logs of that block then. False
        also if the members cannot be found out. It may ask the group's contract."""
        ...


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscription. `kind` is one of `TYPES` or `PRIVATE_LOGS`. `active` is set once the client knows the id.
    `whole` is set if the client wants whole transactions. `query` is the filter of logs, None for other kinds. `group`
    is the privacy group (32 bytes) of private logs, or None."""

    number: int
    kind: str
    whole: bool
    query: LogQuery | None
    listener: Listener
    active: bool = False
    group: bytes | None = None
    membership: Membership | None = None
    """The tenant's membership in the group. None if it cannot end."""


class Subscriptions:
    """All subscriptions of a node, by their connection. It makes their notices and sends none. Safe to use from several
    threads."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._of_listener: dict[Listener, dict[int, Subscription]] = {}
        self._cuts = 0
        self._count_of_kind: Counter[str] = Counter()
        self._added_of_kind: Counter[str] = Counter()

    def has_any(self, *kinds: str) -> bool:
        """Return True if there is a subscription of one of `kinds`, active or not."""
        return any(self._count_of_kind[kind] for kind in kinds)

    def count_totals(self) -> list[tuple[str, int, int]]:
        """Return one entry for each kind of subscription: the kind, how many have begun since the start, and how many
        of them have ended. A kind of which none has ever begun is absent."""
        with self._lock:
            return [(kind, added, added - self._count_of_kind[kind]) for kind, added in self._added_of_kind.items()]

    def add(
        self,
        kind: str,
        whole: bool,
        query: LogQuery | None,
        listener: Listener,
        group: bytes | None = None,
        membership: Membership | None = None,
    ) -> int:
        """Add a subscription of `listener` and return its number, which counts up from 1 through the whole node. The
        subscription gets no notices before `activate` is called.

        `kind` is one of `TYPES` or `PRIVATE_LOGS`. `whole`: whole transactions are wanted. `query` is the filter of
        logs, else None. `group` is the privacy group (32 bytes) of private logs, and `membership` says whether the
        tenant is still its member: None if that cannot end. RpcError `LIMIT_EXCEEDED` if the connection has too many
        subscriptions, or they name too many addresses and topics.
        """
        with self._lock:
            own = self._of_listener.setdefault(listener, {})
            _check_limits(own.values(), query)
            number = next(self._numbers)
            own[number] = Subscription(number, kind, whole, query, listener, group=group, membership=membership)
            self._count_of_kind[kind] += 1
            self._added_of_kind[kind] += 1
        return number

    def activate(self, listener: Listener) -> None:
        """Start all new subscriptions of a connection. Called once the reply with their ids is queued. Nothing if there
        are none."""
        # A notice before the reply would carry an id that the client does not know yet.
        with self._lock:
            for subscription in self._of_listener.get(listener, {}).values():
                subscription.active = True

    def remove(self, number: int, listener: Listener, group: bytes | None = None) -> None:
        """End a subscription. It gets no notices of later events. RpcError "Subscription not found" if `listener` has
        none with this number and `group`."""
        with self._lock:
            own = self._of_listener.get(listener, {})
            subscription = own.get(number)
            if subscription is None or subscription.group != group:
                raise subscription_not_found()
            del own[number]
            self._count_of_kind[subscription.kind] -= 1

    def remove_all_of(self, listener: Listener) -> None:
        """End all subscriptions of a connection that has ended. Nothing if it has none."""
        with self._lock:
            for subscription in self._of_listener.pop(listener, {}).values():
                self._count_of_kind[subscription.kind] -= 1

    def cut_all(self) -> None:
        """End every connection with subscriptions, because it has missed events. Must be called on the event loop."""
        self._cuts += 1
        # `cut` may call `remove_all_of` of this object, so the lock must not be held then.
        with self._lock:
            listeners = [listener for listener, own in self._of_listener.items() if own]
        for listener in listeners:
            listener.cut()

    def _of(self, kind: str) -> Iterator[tuple[Listener, list[Subscription]]]:
        """Yield the active subscriptions of a kind, by listener."""
        # The lists are copied under the lock. Formatting takes long, and clients must be able to subscribe meanwhile.
        with self._lock:
            owned = [(listener, list(own.values())) for listener, own in self._of_listener.items() if own]
        for listener, subscriptions in owned:
            found = [
                subscription for subscription in subscriptions if subscription.active and subscription.kind == kind
            ]
            if found:
                yield listener, found

    # -- notices -----------------------------------------------------------------------------------------------------

    def notices_of_block(self, new_head: NewHead) -> Iterator[Notice | None]:
        """Yield the notices of an imported block and then of its logs, for the active subscriptions of the kinds
        `NEW_HEADS` and `LOGS`, and None after each log, where the caller may pause. They are made while the iterator is
        used. The logs end if `cut_all` is called."""
        # Each form of the block is encoded once, when the first subscription wants it.
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

    def _notices_of_logs(self, logs: Sequence[LogWithMetadata], block_number: int) -> Iterator[Notice | None]:
        """Yield the notices of the logs of a block, and None after each log. The search ends if `cut_all` is called."""
        # Equal filters of all clients are matched once: many clients follow the same contract.
        wanted: dict[LogFilter, list[tuple[Listener, tuple[int, ...]]]] = {}
        for listener, subscriptions in self._of(LOGS):
            for filter_, numbers in _by_filter(subscriptions, block_number).items():
                wanted.setdefault(filter_, []).append((listener, tuple(numbers)))
        cuts = self._cuts
        for found in logs if wanted else ():
            # Its listeners are gone. Thousands of filters on a hundred thousand logs would take an hour.
            if self._cuts != cuts:
                return
            matching = [listening for filter_, listening in wanted.items() if filter_.matches(found.log)]
            if matching:
                shown = orjson.dumps(results.log(found))
                for listening in matching:
                    yield from (Notice(listener, numbers, shown) for listener, numbers in listening)
            yield None

    def notices_of_private_block(self, private_block: PrivateBlock) -> Iterator[Notice | None]:
        """Yield the notices of the private logs of a block, for the active subscriptions to logs of their groups, and
        None after each log, where the caller may pause. A subscription gets none if its tenant is no longer a member of
        the group. It may ask the group's contract, once for each membership. It ends if `cut_all` is called."""
        cuts = self._cuts
        holds: dict[Membership, bool] = {}
        number = private_block.header.number
        for listener, subscriptions in self._of(PRIVATE_LOGS):
            for subscription in subscriptions:
                query, group = subscription.query, subscription.group
                if group is None or query is None or not _within(query, number):
                    continue
                logs = private_block.logs.get(group, ())
                # The question whether a tenant is still a member can be slow, and a tenant may have a thousand
                # subscriptions. It is asked only if there are logs to send.
                membership = subscription.membership
                if logs and membership is not None:
                    if membership not in holds:
                        holds[membership] = membership.is_member_after(number)
                    if not holds[membership]:
                        continue
                for found in logs:
                    if self._cuts != cuts:
                        return
                    if query.wanted.matches(found.log):
                        yield Notice(listener, (subscription.number,), orjson.dumps(results.log(found)), group)
                    yield None

    def notices_of_pending(self, pooled: PooledTransaction) -> Iterator[Notice]:
        """Yield the notices of a transaction that entered the pool, for the active subscriptions of the kind `PENDING`.
        Each subscription gets the hash, or the whole transaction if it asked for that (`Subscription.whole`)."""
        shown = {False: orjson.dumps(to_hex(pooled.transaction.hash))}
        for listener, subscriptions in self._of(PENDING):
            for whole in (False, True):
                numbers = tuple(subscription.number for subscription in subscriptions if subscription.whole is whole)
                if numbers and whole not in shown:
                    shown[whole] = orjson.dumps(results.pending_notification(pooled))
                if numbers:
                    yield Notice(listener, numbers, shown[whole])

    def notices_of_dropped(self, pooled: PooledTransaction) -> Iterator[Notice]:
        """Yield the notices of a transaction that left the pool without a block, for the active subscriptions of the
        kind `DROPPED`. Each gets the hash."""
        return self._same(DROPPED, to_hex(pooled.transaction.hash))

    def notices_of_sync(self, status: SyncView | None) -> Iterator[Notice]:
        """Yield the notices of a new state of the synchronisation, for the active subscriptions of the kind `SYNCING`.
        Each gets an object with block numbers, or false if `status` is None: the synchronisation has ended."""
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
    """RpcError if a connection with the subscriptions `own` may not add one with `query`."""
    if len(own) >= MAX_SUBSCRIPTIONS_PER_CONNECTION:
        raise RpcError(LIMIT_EXCEEDED, f"More than {MAX_SUBSCRIPTIONS_PER_CONNECTION} subscriptions")
    if query is not None and query.wanted.item_count:
        items = sum(subscription.query.wanted.item_count for subscription in own if subscription.query is not None)
        if items + query.wanted.item_count > MAX_FILTER_ITEMS_PER_CONNECTION:
            raise RpcError(LIMIT_EXCEEDED, f"More than {MAX_FILTER_ITEMS_PER_CONNECTION} addresses and topics")


def _by_filter(subscriptions: Sequence[Subscription], block_number: int) -> dict[LogFilter, list[int]]:
    """Return the numbers of the subscriptions to logs of a block, by their filter."""
    found: dict[LogFilter, list[int]] = {}
    for subscription in subscriptions:
        if subscription.query is not None and _within(subscription.query, block_number):
            found.setdefault(subscription.query.wanted, []).append(subscription.number)
    return found


def _within(query: LogQuery, number: int) -> bool:
    """Return True if the block `number` is in the range of `query`."""
    # Only numbers restrict a subscription. A tag such as `latest` means that there is no bound.
    return not (query.fixed_from and number < query.from_block) and not (query.fixed_to and number > query.to_block)
