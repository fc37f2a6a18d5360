"""The object for a log, and the filters that choose logs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from lacnode.chain.log_filter import LogFilter
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.graphql.objects.account import GraphQlAccount, account_at
from lacnode.graphql.query_context import QueryContext, QueryEndedError
from lacnode.rpc.errors import LIMIT_EXCEEDED, RpcError, block_not_found
from lacnode.rpc.methods.eth_transactions import LOG_OVERHEAD_BYTES, MAX_LOGS, MAX_LOGS_BYTES
from lacnode.rpc.parameters import MAX_ADDRESSES, MAX_TOPICS

Filter = Mapping[str, object]


class GraphQlLog:
    """A log of a block, with the fields of `Log` in the GraphQL schema. `index` counts from 0 through the logs of the
    whole block. Topics have 32 bytes."""

    def __init__(self, context: QueryContext, found: LogWithMetadata) -> None:
        self._context = context
        self._found = found
        self.index = found.log_index
        self.topics = found.log.topics
        self.data = found.log.data

    def account(self, block: int | None = None) -> GraphQlAccount:
        """Return the account of the contract that wrote the log, in the state after block `block`, or after the log's
        block if that is None. RpcError "Block not found" if there is no such block."""
        header = self._context.chain.header_of(self._found.block_hash)
        if header is None:
            raise block_not_found()
        return account_at(self._context, self._found.log.address, block, header)

    def transaction(self) -> object:
        """Return the transaction that wrote the log (`MinedTransaction`)."""
        return self._context.transaction(self._found.block_hash, self._found.transaction_index)


def log_filter(criteria: Filter) -> LogFilter:
    """Return the filter for `criteria`: `addresses` (20 bytes each) and `topics` (for each position those of 32 bytes
    that fit). Missing ones fit everything. RpcError (`LIMIT_EXCEEDED`) if `criteria` name too many addresses or topics.
    """
    addresses = cast("Sequence[bytes]", criteria.get("addresses") or ())
    topics = cast("Sequence[Sequence[bytes]]", criteria.get("topics") or ())
    if len(addresses) > MAX_ADDRESSES:
        raise RpcError(LIMIT_EXCEEDED, f"Number of addresses exceeds maximum of {MAX_ADDRESSES}")
    # Empty positions count too: a list of a million empty positions would take memory as well.
    if len(topics) + sum(map(len, topics)) > MAX_TOPICS:
        raise RpcError(LIMIT_EXCEEDED, f"Number of topics exceeds maximum of {MAX_TOPICS}")
    return LogFilter(tuple(addresses), tuple(tuple(position) for position in topics))


def logs_to_objects(context: QueryContext, found: Iterable[LogWithMetadata]) -> list[GraphQlLog]:
    """Return `found` as objects of the schema, in their order. QueryEndedError if there are more than `MAX_LOGS` or
    `MAX_LOGS_BYTES`, or if the time is over."""
    # The search is lazy, so the check of the time stands inside the loop.
    shown: list[GraphQlLog] = []
    size = 0
    for log in found:
        context.check_deadline()
        size += LOG_OVERHEAD_BYTES + 2 * len(log.log.data)
        if len(shown) == MAX_LOGS or size > MAX_LOGS_BYTES:
            raise QueryEndedError(context.too_large_error(f"more than {MAX_LOGS} logs or {MAX_LOGS_BYTES} bytes match"))
        shown.append(GraphQlLog(context, log))
    return shown
