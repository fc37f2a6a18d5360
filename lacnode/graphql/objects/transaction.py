"""The objects for transactions: those of a block, and those of the pool."""

from dataclasses import dataclass
from functools import cached_property

from lacnode.chain.receipt_record import LogWithMetadata, ReceiptRecord
from lacnode.evm.transaction_validation import blob_gas
from lacnode.graphql.live import PendingTransaction
from lacnode.graphql.objects.account import GraphQlAccount, account_at
from lacnode.graphql.objects.logs import GraphQlLog, logs_to_objects
from lacnode.graphql.query_context import QueryContext
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import BLOB, LEGACY, Transaction
from lacnode.rpc.errors import block_not_found
from lacnode.rpc.methods.gas_prices import BLOB_BASE_FEE


@dataclass(frozen=True, slots=True)
class AccessTuple:
    """An entry of a transaction's access list: an address (20 bytes) and its slots (32 bytes each)."""

    address: bytes
    storageKeys: tuple[bytes, ...]


class SignedTransactionFields:
    """The fields that every transaction has, in a block or in the pool. Prices and values are in wei. A field that the
    type of the transaction does not have is None, except `gasPrice`, which is 0 then, and `accessList` and
    `blobVersionedHashes`, which are empty. Sender and receiver are not among the fields: a subclass chooses the block
    of their state."""

    def __init__(self, context: QueryContext, transaction: Transaction) -> None:
        self._context = context
        self._signed = transaction
        self.hash = transaction.hash
        self.nonce = transaction.nonce
        self.value = transaction.value
        self.gasPrice = transaction.gas_price or 0
        self.maxFeePerGas = transaction.max_fee_per_gas
        self.maxPriorityFeePerGas = transaction.max_priority_fee_per_gas
        self.maxFeePerBlobGas = transaction.max_fee_per_blob_gas
        self.gas = transaction.gas_limit
        self.inputData = transaction.data
        self.r, self.s = transaction.r, transaction.s
        self.v = None if transaction.type >= BLOB else transaction.v
        self.yParity = None if transaction.type == LEGACY else transaction.y_parity
        self.type = transaction.type
        self.raw = transaction.raw
        self.blobVersionedHashes = transaction.blob_versioned_hashes

    def accessList(self) -> list[AccessTuple]:
        """Return the entries of the access list, in order. Empty if there is none."""
        return [AccessTuple(address, keys) for address, keys in self._signed.access_list]

    # `number` is the block of the state in which the query wants to see the account.
    def _receiver(self, number: int | None, own: BlockHeader) -> GraphQlAccount | None:
        to = self._signed.to
        return None if to is None else account_at(self._context, to, number, own)


class WaitingTransaction(SignedTransactionFields):
    """A transaction of the pool. Fields that depend on a block are None, and `rawReceipt` is empty bytes."""

    index = block = status = gasUsed = cumulativeGasUsed = effectiveGasPrice = effectiveTip = None
    blobGasUsed = blobGasPrice = logs = revertReason = None
    rawReceipt = b""

    def __init__(self, context: QueryContext, pending: PendingTransaction) -> None:
        # The transaction came from the node as bytes (`live`). It is decoded only if the query shows it.
        super().__init__(context, Transaction.decode(pending.raw))
        self._sender = pending.sender

    def from_(self, block: int | None = None) -> GraphQlAccount:
        """Return the sender's account, in the state after block `block`, or after the head if that is None. RpcError
        "Block not found" if there is no such block."""
        return account_at(self._context, self._sender, block, self._context.chain.head.header)

    def to(self, block: int | None = None) -> GraphQlAccount | None:
        """Return the recipient's account, in the state after block `block`, or after the head if that is None. None for
        a creation. RpcError "Block not found" if there is no such block."""
        return self._receiver(block, self._context.chain.head.header)

    def createdContract(self, block: int | None = None) -> None:
        """Return None: no block has the transaction."""
        return


class MinedTransaction(SignedTransactionFields):
    """The transaction at `index` of the block with `block_hash` (32 bytes). Its receipt is read when a field needs it.

    RpcError "Block not found" if there is no such block or no transaction at `index`. QueryEndedError if the block is
    too long for a short trial in the node's process.
    """

    def __init__(self, context: QueryContext, block_hash: bytes, index: int) -> None:
        found = context.block_of(block_hash)
        if found is None or index >= len(found.transactions):
            raise block_not_found()
        super().__init__(context, found.transactions[index])
        self._block: Block = found
        self._block_hash = block_hash
        self.index = index

    # The outcomes of the whole block are read at the first field that needs one of them, and kept for the others.
    @cached_property
    def _outcomes(self) -> tuple[ReceiptRecord, ...]:
        return self._context.receipt_records_of(self._block_hash)

    @property
    def _outcome(self) -> ReceiptRecord:
        return self._outcomes[self.index]

    @property
    def _header(self) -> BlockHeader:
        return self._block.header

    def from_(self, block: int | None = None) -> GraphQlAccount:
        """Return the sender's account, in the state after block `block`, or after the transaction's block if that is
        None. RpcError "Block not found" if there is no such block."""
        return account_at(self._context, self._outcome.sender, block, self._header)

    def to(self, block: int | None = None) -> GraphQlAccount | None:
        """Return the recipient's account, in the state after block `block`, or after the transaction's block if that is
        None. None for a creation. RpcError "Block not found" if there is no such block."""
        return self._receiver(block, self._header)

    def createdContract(self, block: int | None = None) -> GraphQlAccount | None:
        """Return the account of the created contract, in the state after block `block`, or after the transaction's
        block if that is None. None if no contract was created. RpcError "Block not found" if there is no such block."""
        created = self._outcome.created
        return None if created is None else account_at(self._context, created, block, self._header)

    def block(self) -> object:
        """Return the block that has the transaction (`BlockObject`)."""
        return self._context.block(self._header, self._block_hash)

    def status(self) -> int | None:
        """Return 1 for success and 0 for failure. None before Byzantium."""
        return self._outcome.receipt.status

    def gasUsed(self) -> int:
        """Return the gas that this transaction used."""
        return self._outcome.gas_used

    def cumulativeGasUsed(self) -> int:
        """Return the gas that this transaction and all before it in the block used."""
        return self._outcome.receipt.cumulative_gas_used

    def effectiveGasPrice(self) -> int:
        """Return the price that the sender paid, in wei per gas, the base fee included."""
        return self._signed.effective_gas_price(self._header.base_fee)

    def effectiveTip(self) -> int:
        """Return the price above the base fee, in wei per gas: before London the whole price."""
        return self.effectiveGasPrice() - (self._header.base_fee or 0)

    def blobGasUsed(self) -> int | None:
        """Return the blob gas of the transaction. None for a transaction without blobs."""
        return blob_gas(self._signed) if self._signed.type == BLOB else None

    def blobGasPrice(self) -> int | None:
        """Return the price in wei of a unit of blob gas. None for a transaction without blobs."""
        if self._signed.type != BLOB:
            return None
        return BLOB_BASE_FEE if self._context.chain.spec.constant_base_fee is None else 0

    def logs(self) -> list[GraphQlLog]:
        """Return the logs of the transaction, in order. Empty if there is none. QueryEndedError if there are too many,
        or if the time is over."""
        header, hash_ = self._header, self._block_hash
        # A log's index counts through the whole block.
        first = sum(len(record.receipt.logs) for record in self._outcomes[: self.index])
        found = (
            LogWithMetadata(log, number, hash_, header.number, header.timestamp, self.hash, self.index)
            for number, log in enumerate(self._outcome.receipt.logs, first)
        )
        return logs_to_objects(self._context, found)

    def rawReceipt(self) -> bytes:
        """Return the encoded receipt (EIP-2718)."""
        return self._outcome.receipt.encode()

    def revertReason(self) -> bytes | None:
        """Return the data of REVERT. None if the transaction did not revert or the node does not keep reasons."""
        return self._outcome.revert_reason
