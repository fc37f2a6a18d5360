"""Polling filters: they gather events until the next poll (Besu's `FilterManager`).

A filter is kept in memory for ten minutes after its last use. The number of filters and their entries are bounded. A filter
that gathers too much is deleted as a whole. Its owner then gets "Filter not found" and creates a new one. It would not
notice if only some logs were missing.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from lacnode.chain.blockchain import NewHead
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.errors import LIMIT_EXCEEDED, RpcError, filter_not_found, invalid_params, logs_filter_not_found
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.methods.eth_transactions import read_filter_logs
from lacnode.rpc.parameters import LogQuery, parse_log_query, parse_text, required
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.services import RpcServices
from lacnode.txpool.pooled_transaction import PooledTransaction

EXPIRY_SECONDS = 600.0
MAX_FILTERS = 1_000
MAX_FILTERS_OF_CLIENT = 250
"""Number of filters that one address may have."""

MAX_FILTER_ITEMS = 100_000
"""Number of addresses and topics that all filters together may name."""

MAX_GATHERED_ENTRIES = 20_000
"""Number of entries that a filter may gather between two polls."""

MAX_GATHERED_BYTES, ENTRY_BYTES, TOPIC_BYTES = 32 * 2**20, 250, 70
"""Bytes of memory that all filters together may gather, of one entry besides its topics and data, and of one topic. The
filter that has gathered most is deleted if the filters have more."""

MAX_CHANGES_BYTES, SHOWN_ENTRY_BYTES = 15 * 2**20, 600
"""Bytes of JSON text of one poll, and those of one entry besides its data. The rest waits for the next poll."""

BLOCKS, PENDING, LOGS = "blocks", "pending", "logs"


@dataclass(slots=True)
class PollingFilter:
    """A filter with its gathered entries: hashes as 0x-hexadecimal text, or logs. `kind` is `BLOCKS`, `PENDING` or
    `LOGS`, or the group for a private filter (`PrivateFilters`).

    `last_used` is in monotonic seconds. `query` is what a filter of logs asks for, None for `BLOCKS` and `PENDING`.
    `client` is the address of its owner.
    """

    kind: str
    last_used: float
    query: LogQuery | None = None
    gathered: list[str | LogWithMetadata] = field(default_factory=list)
    gathered_bytes: int = 0
    client: str = ""

    @property
    def item_count(self) -> int:
        """The number of addresses and topics in the filter. A position of topics that accepts every topic counts as
        one. 0 for a filter of blocks or of pending transactions."""
        return 0 if self.query is None else self.query.wanted.item_count

    def gather(self, entries: Sequence[str | LogWithMetadata]) -> None:
        """Add `entries` (hashes as text, or logs) for the next poll. The bounds are not checked here."""
        self.gathered += entries
        self.gathered_bytes += sum(map(_memory_bytes, entries))

    def pop_gathered(self) -> list[str | LogWithMetadata]:
        """Return the oldest gathered entries, as many as one answer may have, and drop them. The rest stays for the
        next call. The first entry may have any size. Empty if there are none."""
        # Counted before the answer is made. An answer that is refused afterwards would take its entries with it.
        left_bytes = MAX_CHANGES_BYTES
        for count, entry in enumerate(self.gathered):
            left_bytes -= SHOWN_ENTRY_BYTES + 2 * _data_bytes(entry)
            if left_bytes < 0 and count > 0:
                taken, self.gathered = self.gathered[:count], self.gathered[count:]
                self.gathered_bytes -= sum(map(_memory_bytes, taken))
                return taken
        taken, self.gathered, self.gathered_bytes = self.gathered, [], 0
        return taken


def _memory_bytes(entry: str | LogWithMetadata) -> int:
    topics = 0 if isinstance(entry, str) else TOPIC_BYTES * len(entry.log.topics)
    return ENTRY_BYTES + topics + _data_bytes(entry)


def _data_bytes(entry: str | LogWithMetadata) -> int:
    return 0 if isinstance(entry, str) else len(entry.log.data)


class PollingFilters:
    """All public polling filters of a node. Safe to use from several threads. `now` is a monotonic clock in seconds. A
    filter is deleted `EXPIRY_SECONDS` after its last use, or if it gathers too much."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._filters: dict[str, PollingFilter] = {}

    def __len__(self) -> int:
        return len(self._filters)

    # -- events ------------------------------------------------------------------------------------------------------

    def add_block_in_steps(self, new_head: NewHead) -> Iterator[None]:
        """Give an imported block and its logs to the filters of blocks and of logs, one filter in each step of the
        iterator: exhaust it. Filters that have expired or gathered too much are deleted.

        The lock is free between two steps: a block may have a hundred thousand logs, and a method that waits for the
        lock holds a worker thread of all clients.
        """
        number, hash_ = new_head.header.number, to_hex(new_head.hash)
        for id_, filter_ in self._each_filter():
            if filter_.kind == BLOCKS:
                self._gather(id_, [hash_])
            elif filter_.kind == LOGS:
                self._gather_matching(id_, filter_, number, new_head.logs)
            yield

    def _each_filter(self) -> Iterator[tuple[str, PollingFilter]]:
        """Yield the filters that are left when their turn comes, with their ids. The lock is free in between."""
        # `_sweep` comes first, so that filters without an owner do not gather.
        with self._lock:
            self._sweep()
            waiting = list(self._filters.items())
        for id_, filter_ in waiting:
            if id_ in self._filters:
                yield id_, filter_

    def _gather_matching(self, id_: str, filter_: PollingFilter, number: int, logs: Sequence[LogWithMetadata]) -> None:
        """Add those `logs` of block `number` to a log filter that it wants. They are matched without the lock."""
        query = filter_.query
        # As in Besu, the first block of the range does not count here, in contrast to a subscription's.
        if query is not None and (not query.fixed_to or number <= query.to_block):
            matching = (found for found in logs if query.wanted.matches(found.log))
            # One more than a filter may have: the next `_sweep` deletes the filter, and the rest takes no memory.
            self._gather(id_, list(islice(matching, MAX_GATHERED_ENTRIES + 1)))

    def _gather(self, id_: str, entries: Sequence[str | LogWithMetadata]) -> None:
        with self._lock:
            filter_ = self._filters.get(id_)
            if filter_ is not None and entries:
                filter_.gather(entries)
                # After each long filter, and not after all: a thousand would have all logs of a block at once. Short ones
                # together stay within the limit.
                if filter_.gathered_bytes > MAX_GATHERED_BYTES // MAX_FILTERS:
                    self._forget_largest()

    def pending_added(self, pooled: PooledTransaction) -> None:
        """Give the hash of a transaction that entered the pool to the filters of pending transactions."""
        hash_ = to_hex(pooled.transaction.hash)
        with self._lock:
            for filter_ in self._filters.values():
                # The filter stops growing here and is deleted by the next `_sweep`. A sweep for every transaction
                # would cost more than the transaction.
                if filter_.kind == PENDING and len(filter_.gathered) <= MAX_GATHERED_ENTRIES:
                    filter_.gather([hash_])

    def _forget_largest(self) -> None:
        gathered_bytes = sum(filter_.gathered_bytes for filter_ in self._filters.values())
        while gathered_bytes > MAX_GATHERED_BYTES:
            # The largest filter is deleted, not the newest: a client with one greedy filter must not end the filters
            # of others.
            id_ = max(self._filters, key=lambda id_: self._filters[id_].gathered_bytes)
            gathered_bytes -= self._filters.pop(id_).gathered_bytes

    def delete_all(self) -> None:
        """Delete all filters, because they missed an event. Their owners get "Filter not found" at the next poll and
        create new ones."""
        with self._lock:
            self._filters.clear()

    def _sweep(self) -> None:
        oldest = self._now() - EXPIRY_SECONDS
        self._filters = {
            id_: filter_
            for id_, filter_ in self._filters.items()
            if filter_.last_used >= oldest and len(filter_.gathered) <= MAX_GATHERED_ENTRIES
        }

    # -- methods -----------------------------------------------------------------------------------------------------

    def methods(self) -> tuple[Method, ...]:
        """Return the RPC methods that work on these filters. To create a filter raises RpcError (`LIMIT_EXCEEDED`) if
        there are too many, and RpcError for a wrong parameter. To use an unknown one raises RpcError "Filter not found"
        or "Logs filter not found", but `eth_uninstallFilter` returns False for it."""
        return (
            Method("eth_newBlockFilter", "ETH", self._new_block_filter),
            Method("eth_newPendingTransactionFilter", "ETH", self._new_pending_filter),
            Method("eth_newFilter", "ETH", self._new_log_filter),
            Method("eth_getFilterChanges", "ETH", self._changes),
            Method("eth_getFilterLogs", "ETH", self._logs),
            Method("eth_uninstallFilter", "ETH", self._uninstall),
        )

    def _new_block_filter(self, services: RpcServices, params: Params) -> object:
        return self._add(services, PollingFilter(BLOCKS, self._now()))

    def _new_pending_filter(self, services: RpcServices, params: Params) -> object:
        return self._add(services, PollingFilter(PENDING, self._now()))

    def _new_log_filter(self, services: RpcServices, params: Params) -> object:
        query = parse_log_query(services, required(params, 0, "filter"))
        return self._add(services, PollingFilter(LOGS, self._now(), query))

    def _add(self, services: RpcServices, filter_: PollingFilter) -> str:
        filter_.client = services.client
        # A random id cannot be guessed, so that no other client can poll or delete the filter.
        id_ = hex(int.from_bytes(secrets.token_bytes(16)))
        with self._lock:
            self._sweep()
            self._check_limits(filter_)
            self._filters[id_] = filter_
        return id_

    def _check_limits(self, added: PollingFilter) -> None:
        filters = self._filters.values()
        if len(filters) >= MAX_FILTERS:
            raise RpcError(LIMIT_EXCEEDED, f"More than {MAX_FILTERS} filters")
        if sum(filter_.client == added.client for filter_ in filters) >= MAX_FILTERS_OF_CLIENT:
            raise RpcError(LIMIT_EXCEEDED, f"More than {MAX_FILTERS_OF_CLIENT} filters of this client")
        if added.item_count and sum(filter_.item_count for filter_ in filters) + added.item_count > MAX_FILTER_ITEMS:
            raise RpcError(LIMIT_EXCEEDED, f"More than {MAX_FILTER_ITEMS} addresses and topics in all filters")

    def _changes(self, services: RpcServices, params: Params) -> object:
        with self._lock:
            filter_ = self._used(params)
            if filter_ is None:
                raise filter_not_found()
            gathered = filter_.pop_gathered()
        return [results.log(entry) if isinstance(entry, LogWithMetadata) else entry for entry in gathered]

    def _logs(self, services: RpcServices, params: Params) -> object:
        with self._lock:
            filter_ = self._used(params)
        if filter_ is None or filter_.query is None:
            raise logs_filter_not_found()
        # The query is parsed again when it is read: `latest` is then the head of that moment. The object of the client is
        # not kept: it may have megabytes that no rule reads.
        return ReadCall(read_filter_logs, [filter_.query.to_document()])

    def _uninstall(self, services: RpcServices, params: Params) -> object:
        with self._lock:
            return self._filters.pop(parse_filter_id(params), None) is not None

    def _used(self, params: Params, index: int = 0) -> PollingFilter | None:
        self._sweep()
        filter_ = self._filters.get(parse_filter_id(params, index))
        if filter_ is not None:
            filter_.last_used = self._now()
        return filter_


def parse_filter_id(params: Params, index: int = 0) -> str:
    """Return the filter id at `index` of `params`, a text that is not checked further. RpcError "Invalid params" if it
    is missing, no text, or longer than 64 characters."""
    id_ = parse_text(required(params, index, "filter id"), "filter id")
    if len(id_) > 64:
        raise invalid_params("filter id: at most 64 characters were expected")
    return id_
