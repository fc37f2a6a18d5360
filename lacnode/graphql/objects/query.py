"""The root of a query. Its methods have the names of the schema's fields."""

from dataclasses import dataclass

from lacnode.graphql.errors import NotFoundError
from lacnode.graphql.live import PendingTransaction
from lacnode.graphql.objects.account import GraphQlAccount
from lacnode.graphql.objects.block import BlockObject
from lacnode.graphql.objects.call import CallData, CallOutcome, call, estimate
from lacnode.graphql.objects.logs import Filter, GraphQlLog, log_filter, logs_to_objects
from lacnode.graphql.objects.transaction import MinedTransaction, WaitingTransaction
from lacnode.graphql.query_context import QueryContext, QueryEndedError
from lacnode.rpc.errors import invalid_params, range_too_large


@dataclass(frozen=True, slots=True)
class SyncState:
    """The block numbers of a synchronisation under way: the head when it began, the head now, and the highest one that
    the followed peer claims."""

    startingBlock: int
    currentBlock: int
    highestBlock: int


class Pending:
    """The transactions of the pool, with the fields of `Pending` in the GraphQL schema. Accounts and calls are those on
    the state of the last block."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context
        self.transactionCount = context.live.pending_count

    def transactions(self) -> list[WaitingTransaction]:
        """Return the transactions of the pool in the order of arrival, at most `MAX_PENDING` with `MAX_PENDING_BYTES`.
        `transactionCount` counts all of them."""
        return [self._counted(pending) for pending in self._context.live.pending]

    def _counted(self, pending: PendingTransaction) -> WaitingTransaction:
        # The list is one field, so the time is checked here for each of its transactions.
        self._context.check_deadline()
        return WaitingTransaction(self._context, pending)

    def account(self, address: bytes) -> GraphQlAccount:
        """Return the account at `address` (20 bytes) in the state after the head."""
        return GraphQlAccount(self._context, address, self._context.chain.head.header)

    def call(self, data: CallData) -> CallOutcome:
        """Execute the call `data` on the state after the head, and return its outcome, which may be a failure
        (`call.call`). Nothing is stored. It raises the errors of `call.call`: RpcError, CallTimeoutError,
        MissingNodeError."""
        return call(self._context, self._context.chain.head.header, data)

    def estimateGas(self, data: CallData) -> int:
        """Return gas with which the call `data` succeeds on the state after the head (`call.estimate`). RpcError if it
        does not succeed with any gas, CallTimeoutError if it takes too long, MissingNodeError if the state is not kept.
        """
        return estimate(self._context, self._context.chain.head.header, data)


class Query:
    """The queries of the GraphQL schema that a reader answers: one method for each. They read the chain of `context`."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def block(self, number: int | None = None, hash: bytes | None = None) -> BlockObject:
        """Return a block by its number or its hash (32 bytes), or the head if both are None. NotFoundError if there is
        no such block. RpcError "Invalid params" if both are given."""
        if number is not None and hash is not None:
            raise invalid_params()
        if number is not None:
            return self._block_at(number)
        head = self._context.chain.head
        found, hash_ = (head.header, head.hash) if hash is None else (self._context.chain.header_of(hash), hash)
        if found is None:
            raise NotFoundError(f"Block hash 0x{hash_.hex()} was not found")
        return BlockObject(self._context, found, hash_)

    def _block_at(self, number: int) -> BlockObject:
        hash_ = self._context.chain.hash_at(number)
        header = None if hash_ is None else self._context.chain.header_of(hash_)
        if header is None or hash_ is None:
            raise NotFoundError(f"Block number {number} was not found")
        return BlockObject(self._context, header, hash_)

    def blocks(self, **ends: int | None) -> list[BlockObject]:
        """Return the blocks of a range, in order. `ends` are the block numbers `from` and `to`, both included, each the
        head if it is missing. Numbers above the head are left out: empty if both are above the head.

        RpcError "Invalid params" if `from` is above `to`. QueryEndedError if the last number (the head, if `to` is
        above the head) minus the first is more than `max_logs_range` of the settings (0 for no bound), or if the time
        is over.
        """
        head = self._context.chain.head.header.number
        first, last = ends.get("from"), ends.get("to")
        first, last = head if first is None else first, head if last is None else last
        if first > last:
            raise invalid_params()
        # The range is bounded before the first block is read. Its end is cut to the head, because later
        # blocks do not exist.
        self._check_range(first, min(last, head))
        return [self._counted(self._block_at(number)) for number in range(first, min(last, head) + 1)]

    def _counted(self, block: BlockObject) -> BlockObject:
        # The list is one field, so the time is checked here for each of its blocks.
        self._context.check_deadline()
        return block

    def pending(self) -> Pending:
        """Return the object for the transactions of the pool, as they were when the query began."""
        return Pending(self._context)

    def transaction(self, hash: bytes) -> MinedTransaction | None:
        """Return the mined transaction with this hash (32 bytes), which is the transaction's own. None if no block has
        it: the pool is not searched. QueryEndedError if its block is too long for a short trial in the node's process.
        """
        place = self._context.chain.transaction_location(hash)
        return None if place is None else MinedTransaction(self._context, place.block_hash, place.index)

    def logs(self, filter: Filter) -> list[GraphQlLog]:
        """Return the logs that fit `filter`, in order. Its `fromBlock` and `toBlock` are the head if they are missing.

        RpcError if the first is above the last, or the filter names too much. QueryEndedError if the last minus the
        first is more than `max_logs_range` of the settings (0 for no bound), there are too many logs, the time is over,
        or a block is too long for a short trial in the node's process.
        """
        head = self._context.chain.head.header.number
        first, last = (filter.get(name) for name in ("fromBlock", "toBlock"))
        first = first if isinstance(first, int) else head
        last = last if isinstance(last, int) else head
        if first > last:
            raise invalid_params()
        self._check_range(first, last)
        context = self._context
        found = context.chain.logs(
            first, min(last, head), log_filter(filter), context.check_deadline, context.check_block_size
        )
        return logs_to_objects(self._context, found)

    def _check_range(self, first: int, last: int) -> None:
        # The bound of JSON-RPC's `eth_getLogs` holds for blocks too. It ends the whole query, not one field.
        limit = self._context.reading.settings.max_logs_range
        if 0 < limit < last - first:
            raise QueryEndedError(range_too_large())

    def gasPrice(self) -> int:
        """Return the price that is proposed to clients, in wei per gas, as it was when the query began."""
        return self._context.live.gas_price

    def maxPriorityFeePerGas(self) -> int:
        """Return the priority fee that is proposed to clients, in wei per gas, as it was when the query began."""
        return self._context.live.priority_fee

    def syncing(self) -> SyncState | None:
        """Return the block numbers of a synchronisation under way. None if the node is not syncing."""
        syncing = self._context.live.syncing
        return None if syncing is None else SyncState(*syncing)

    def chainID(self) -> int:
        """Return the chain id of the genesis."""
        return self._context.chain.spec.chain_id
