"""Polling filters: what happened since the last poll (Besu's `FilterManager`).

Kept in memory for ten minutes after the last use, bounded in number and in what each may gather.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lacnode.chain.blockchain import NewHead
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.errors import LIMIT_EXCEEDED, RpcError, filter_not_found, logs_filter_not_found
from lacnode.rpc.methods.eth_transactions import matching_logs
from lacnode.rpc.parameters import LogQuery, log_query, required, text
from lacnode.rpc.registry import Method, Params
from lacnode.rpc.services import RpcServices
from lacnode.txpool.pooled import PooledTransaction

EXPIRY_SECONDS = 600.0
MAX_FILTERS = 10_000
MAX_GATHERED = 100_000
"""Entries that a filter keeps between two polls; the oldest go first."""


@dataclass(slots=True)
class _Filter:
    kind: str
    query: LogQuery | None
    last_used: float
    gathered: list[object] = field(default_factory=list)

    def gather(self, entry: object) -> None:
        self.gathered.append(entry)
        if len(self.gathered) > MAX_GATHERED:
            del self.gathered[0]


class Filters:
    """All polling filters of a node. Fed on the event loop, polled from worker threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._filters: dict[str, _Filter] = {}

    # -- fed -----------------------------------------------------------------------------------------------------

    def block_added(self, new_head: NewHead) -> None:
        """A block was imported."""
        with self._lock:
            for filter_ in self._live():
                if filter_.kind == "blocks":
                    filter_.gather(to_hex(new_head.hash))
                elif filter_.query is not None and _reaches(filter_.query, new_head.header.number):
                    for found in new_head.logs:
                        if filter_.query.wanted.matches(found.log):
                            filter_.gather(results.log(found))

    def pending_added(self, pooled: PooledTransaction) -> None:
        """A transaction entered the pool."""
        with self._lock:
            for filter_ in self._live():
                if filter_.kind == "pending":
                    filter_.gather(to_hex(pooled.transaction.hash))

    def _live(self) -> list[_Filter]:
        oldest = self._now() - EXPIRY_SECONDS
        self._filters = {id_: filter_ for id_, filter_ in self._filters.items() if filter_.last_used >= oldest}
        return list(self._filters.values())

    # -- methods -------------------------------------------------------------------------------------------------

    def methods(self) -> tuple[Method, ...]:
        """The RPC methods that work on these filters."""
        return (
            Method("eth_newBlockFilter", "ETH", lambda services, params: self._new("blocks", None)),
            Method("eth_newPendingTransactionFilter", "ETH", lambda services, params: self._new("pending", None)),
            Method("eth_newFilter", "ETH", self._new_log_filter),
            Method("eth_getFilterChanges", "ETH", self._changes),
            Method("eth_getFilterLogs", "ETH", self._logs),
            Method("eth_uninstallFilter", "ETH", self._uninstall),
        )

    def _new_log_filter(self, services: RpcServices, params: Params) -> object:
        return self._new("logs", log_query(services, required(params, 0, "filter")))

    def _new(self, kind: str, query: LogQuery | None) -> str:
        id_ = hex(int.from_bytes(secrets.token_bytes(16)))
        with self._lock:
            if len(self._live()) >= MAX_FILTERS:
                raise RpcError(LIMIT_EXCEEDED, f"more than {MAX_FILTERS} filters")
            self._filters[id_] = _Filter(kind, query, self._now())
        return id_

    def _changes(self, services: RpcServices, params: Params) -> object:
        with self._lock:
            filter_ = self._used(params)
            if filter_ is None:
                raise filter_not_found()
            gathered, filter_.gathered = filter_.gathered, []
        return gathered

    def _logs(self, services: RpcServices, params: Params) -> object:
        with self._lock:
            filter_ = self._used(params)
        if filter_ is None or filter_.query is None:
            raise logs_filter_not_found()
        return matching_logs(services, filter_.query, capped=False)

    def _uninstall(self, services: RpcServices, params: Params) -> object:
        with self._lock:
            return self._filters.pop(_id(params), None) is not None

    def _used(self, params: Params) -> _Filter | None:
        self._live()
        filter_ = self._filters.get(_id(params))
        if filter_ is not None:
            filter_.last_used = self._now()
        return filter_


def _id(params: Params) -> str:
    return text(required(params, 0, "filter id"), "filter id").lower()


def _reaches(query: LogQuery, number: int) -> bool:
    """Only a numeric end stops a filter; its start is not applied to changes."""
    return not query.numeric_to or number <= query.to_block
