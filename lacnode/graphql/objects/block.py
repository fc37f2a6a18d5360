"""The object for a block. Its attributes and methods have the names of the schema's fields."""

from functools import cached_property

from lacnode.evm.base_fee import next_base_fee
from lacnode.graphql.objects.account import GraphQlAccount, account_at
from lacnode.graphql.objects.call import CallData, CallOutcome, call, estimate
from lacnode.graphql.objects.logs import Filter, GraphQlLog, log_filter, logs_to_objects
from lacnode.graphql.objects.transaction import MinedTransaction
from lacnode.graphql.query_context import QueryContext
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.errors import block_not_found

WITHDRAWAL_FIELDS = ("index", "validator", "address", "amount")


class BlockObject:
    """The block of `header` with the fields of `Block` in the GraphQL schema. `hash_` (32 bytes) is its hash. Its body
    is read when a field needs it. Such a field raises RpcError "Block not found" if there is no body, and
    QueryEndedError if the block is too long for a short trial in the node's process."""

    ommerCount = 0
    """Blocks of a BFT network have no ommers."""

    def __init__(self, context: QueryContext, header: BlockHeader, hash_: bytes) -> None:
        self._context = context
        self._header = header
        self.number = header.number
        self.hash = hash_
        self.nonce = header.nonce
        self.transactionsRoot = header.transactions_root
        self.stateRoot = header.state_root
        self.receiptsRoot = header.receipts_root
        self.extraData = header.extra_data
        self.gasLimit = header.gas_limit
        self.gasUsed = header.gas_used
        self.baseFeePerGas = header.base_fee
        self.timestamp = header.timestamp
        self.logsBloom = header.logs_bloom
        self.mixHash = header.mix_hash
        self.difficulty = header.difficulty
        self.ommerHash = header.ommers_hash
        self.withdrawalsRoot = header.withdrawals_root
        self.blobGasUsed = header.blob_gas_used
        self.excessBlobGas = header.excess_blob_gas

    # Several fields need the body. It is decoded once for the query.
    @cached_property
    def _block(self) -> Block:
        found = self._context.block_of(self.hash)
        if found is None:
            raise block_not_found()
        return found

    def parent(self) -> "BlockObject | None":
        """Return the block before this one. None for the genesis."""
        header = self._context.chain.header_of(self._header.parent_hash)
        # The parent's hash is in this header already, so it is not computed again.
        return None if header is None else BlockObject(self._context, header, self._header.parent_hash)

    def transactionCount(self) -> int:
        """Return the number of transactions in the block."""
        return len(self._block.transactions)

    def totalDifficulty(self) -> int:
        """Return the sum of the difficulties of all blocks up to this one."""
        return self._context.chain.total_difficulty_of(self._header)

    def nextBaseFeePerGas(self) -> int | None:
        """Return the base fee in wei per gas of the block after this one. None if that is before London."""
        return next_base_fee(self._context.chain.spec, self._header, self._header.timestamp)

    def miner(self, block: int | None = None) -> GraphQlAccount:
        """Return the account of the header's coinbase, in the state after block `block`, or after this block if that is
        None. The coinbase is the proposer, but in IBFT 1 the address that the block votes about. RpcError "Block not
        found" if there is no such block."""
        return account_at(self._context, self._header.coinbase, block, self._header)

    def ommers(self) -> list[object]:
        """Return an empty list: blocks of a BFT network have no ommers."""
        return []

    def ommerAt(self, index: int) -> None:
        """Return None: blocks of a BFT network have no ommers."""
        return

    def transactions(self) -> list[MinedTransaction]:
        """Return the transactions of the block, in order. Empty if there is none."""
        return [self._counted(index) for index in range(len(self._block.transactions))]

    def _counted(self, index: int) -> MinedTransaction:
        # The list is one field, so the time is checked here for each of its transactions.
        self._context.check_deadline()
        return MinedTransaction(self._context, self.hash, index)

    def transactionAt(self, index: int) -> MinedTransaction | None:
        """Return the transaction at `index`, None if the block has none there."""
        within = index < len(self._block.transactions)
        return MinedTransaction(self._context, self.hash, index) if within else None

    def logs(self, filter: Filter) -> list[GraphQlLog]:
        """Return the logs of the block that fit `filter`, in order. RpcError if the filter names too much.
        QueryEndedError if there are too many logs, the time is over, or the block is too long for a short trial in the
        node's process."""
        found = self._context.chain.logs_of_block(self.hash, log_filter(filter), self._context.check_block_size)
        return logs_to_objects(self._context, found)

    def account(self, address: bytes) -> GraphQlAccount:
        """Return the account at `address` (20 bytes) in the state after this block."""
        return GraphQlAccount(self._context, address, self._header)

    def call(self, data: CallData) -> CallOutcome:
        """Execute the call `data` on the state after this block, and return its outcome (`call.call`). Nothing is
        stored. It raises the errors of `call.call`: RpcError, CallTimeoutError, MissingNodeError."""
        return call(self._context, self._header, data)

    def estimateGas(self, data: CallData) -> int:
        """Return gas with which the call `data` succeeds on the state after this block (`call.estimate`). RpcError if
        it does not succeed with any gas, CallTimeoutError if it takes too long, MissingNodeError if the state is not
        kept."""
        return estimate(self._context, self._header, data)

    def rawHeader(self) -> bytes:
        """Return the header in RLP."""
        return self._header.encode()

    def raw(self) -> bytes:
        """Return the whole block in RLP."""
        return self._block.encode()

    def withdrawals(self) -> list[dict[str, object]] | None:
        """Return the withdrawals with the members of `WITHDRAWAL_FIELDS`, None before Shanghai. Blocks of a BFT network
        have an empty list."""
        found = self._block.body.withdrawals
        return None if found is None else [_withdrawal(encoded) for encoded in found]


def _withdrawal(encoded: bytes) -> dict[str, object]:
    index, validator, address, amount = (bytes(field) for field in rlp.as_list(rlp.decode(encoded), "withdrawal"))  # type: ignore[arg-type]
    values = (int.from_bytes(index), int.from_bytes(validator), address, int.from_bytes(amount))
    return dict(zip(WITHDRAWAL_FIELDS, values, strict=True))
