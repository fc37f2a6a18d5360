"""Blocks, transactions, receipts and logs as Besu's JSON-RPC shows them. The order and the presence of members are
Besu's, unless a function says otherwise."""

from collections.abc import Sequence
from typing import Protocol

from lacnode.chain.receipt_record import LogWithMetadata, ReceiptRecord
from lacnode.crypto.secp256k1 import recover_public_key
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockOutline
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import BLOB, LEGACY, Transaction
from lacnode.rpc.answer_size import AnswerSize
from lacnode.txpool.pooled_transaction import PooledTransaction

Json = dict[str, object]

HASH_CHARACTERS = 70
"""Characters of JSON text that a hash takes."""


class BlockFacts(Protocol):
    """The facts about a block that are not part of it: its total difficulty, and the records of its receipts."""

    def total_difficulty_of(self, header: BlockHeader) -> int:
        """The sum of the difficulties of all blocks up to `header`, itself included."""

    def receipt_records_of(self, hash_: bytes) -> tuple[ReceiptRecord, ...] | None:
        """One record for each transaction of the block with this hash (32 bytes), in order. None for an unknown hash."""


def quantity(value: int) -> str:
    """Return a number in hexadecimal digits after 0x, without leading zeros. 0 is "0x0". The number must not be
    negative."""
    return hex(value)


def _optional_quantity(value: int | None) -> str | None:
    """Return a number in hexadecimal digits after 0x, without leading zeros. None for None."""
    return None if value is None else hex(value)


def optional_data(value: bytes | None) -> str | None:
    """Return bytes in hexadecimal digits after 0x, two for each byte. None for None."""
    return None if value is None else to_hex(value)


# -- blocks --------------------------------------------------------------------------------------------------------


def block(chain: BlockFacts, found: Block, hash_: bytes, full: bool, max_bytes: float | None = None) -> Json:
    """Return a block in Besu's form, with whole transactions if `full`, else with their hashes. `hash_` (32 bytes) is
    its hash. `max_bytes` bounds whole transactions together: None for `MAX_ANSWER_BYTES`, `math.inf` for no bound.
    Hashes have no bound here.

    With `full`, RpcError if the transactions are larger than `max_bytes`, and ValueError if `chain` does not have a
    record for each transaction.
    """
    shown = _block_transactions(chain, found, hash_, AnswerSize(max_bytes)) if full else None
    return block_from_outline(chain, BlockOutline.from_block(found), hash_, shown)


def block_from_outline(
    chain: BlockFacts, found: BlockOutline, hash_: bytes, full_transactions: list[Json] | None = None
) -> Json:
    """Return a block in Besu's form. `full_transactions` are its transactions as `mined_transaction` returns them, or
    None to show their hashes only. `hash_` (32 bytes) is the block's hash."""
    header = found.header
    shown = {**_header_first(header, hash_), "totalDifficulty": quantity(chain.total_difficulty_of(header))}
    shown["extraData"] = to_hex(header.extra_data)
    return {**shown, **_header_last(found, full_transactions)}


def simulated_block_from_outline(
    found: BlockOutline, hash_: bytes, full_transactions: list[Json] | None = None
) -> Json:
    """Return a simulated block, which is on no chain, without a total difficulty. `full_transactions` are its
    transactions as `mined_transaction` returns them, or None to show their hashes only. `hash_` (32 bytes) is the
    block's hash."""
    shown = {**_header_first(found.header, hash_), "extraData": to_hex(found.header.extra_data)}
    requests = found.header.requests_hash
    return {
        **shown,
        **_header_last(found, full_transactions),
        **({} if requests is None else {"requestsHash": to_hex(requests)}),
    }


def _header_last(found: BlockOutline, transactions: list[Json] | None) -> Json:
    header, shown = found.header, Json()
    if header.base_fee is not None:
        shown["baseFeePerGas"] = quantity(header.base_fee)
    shown["size"] = quantity(found.size_bytes)
    shown["gasLimit"] = quantity(header.gas_limit)
    shown["gasUsed"] = quantity(header.gas_used)
    shown["timestamp"] = quantity(header.timestamp)
    # Blocks of IBFT 2.0 have no ommers, but the member must be there.
    shown["uncles"] = []
    shown["transactions"] = (
        [to_hex(hash_) for hash_ in found.transaction_hashes] if transactions is None else transactions
    )
    # The members below exist from Shanghai and from Cancun on. Besu leaves them out of earlier blocks.
    if header.withdrawals_root is not None:
        shown["withdrawalsRoot"] = to_hex(header.withdrawals_root)
        shown["withdrawals"] = []
    if header.blob_gas_used is not None and header.excess_blob_gas is not None:
        shown["blobGasUsed"] = quantity(header.blob_gas_used)
        shown["excessBlobGas"] = quantity(header.excess_blob_gas)
        shown["parentBeaconBlockRoot"] = optional_data(header.parent_beacon_block_root)
    return shown


def _header_first(header: BlockHeader, hash_: bytes) -> Json:
    return {
        "number": quantity(header.number),
        "hash": to_hex(hash_),
        "mixHash": to_hex(header.mix_hash),
        "parentHash": to_hex(header.parent_hash),
        "nonce": to_hex(header.nonce),
        "sha3Uncles": to_hex(header.ommers_hash),
        "logsBloom": to_hex(header.logs_bloom),
        "transactionsRoot": to_hex(header.transactions_root),
        "stateRoot": to_hex(header.state_root),
        "receiptsRoot": to_hex(header.receipts_root),
        "miner": to_hex(header.coinbase),
        "difficulty": quantity(header.difficulty),
    }


def _block_transactions(chain: BlockFacts, found: Block, hash_: bytes, size: AnswerSize) -> list[Json]:
    shown = list[Json]()
    # `strict` finds a block whose outcomes are damaged. Without it senders could be shown with wrong transactions.
    for index, (transaction, outcome) in enumerate(
        zip(found.transactions, chain.receipt_records_of(hash_) or (), strict=True)
    ):
        # Counted before it is made, so that an answer that is too large is never in memory.
        size.add_transaction(transaction)
        shown.append(mined_transaction(transaction, outcome.sender, found.header, hash_, index))
    return shown


def receipts(found: Block, hash_: bytes, receipt_records: Sequence[ReceiptRecord]) -> list[Json]:
    """Return the receipts of all transactions of the block `found` in Besu's form, in order. `hash_` (32 bytes) is its
    hash. `receipt_records` are those of the block. RpcError if all receipts together are too large for an answer."""
    size, shown = AnswerSize(), list[Json]()
    first_log = 0
    for index, outcome in enumerate(receipt_records):
        size.add_receipt(outcome)
        shown.append(_receipt(found, hash_, outcome, index, first_log))
        # Logs are numbered through the whole block, not from zero in each transaction.
        first_log += len(outcome.receipt.logs)
    return shown


# -- transactions --------------------------------------------------------------------------------------------------


def mined_transaction(transaction: Transaction, sender: bytes, header: BlockHeader, hash_: bytes, index: int) -> Json:
    """Return a transaction of a block in Besu's form. `sender` is its 20-byte address, `header` and `hash_` (32 bytes)
    are the block's, and `index` is the transaction's place in it."""
    shown: Json = {}
    if transaction.type != LEGACY:
        shown["accessList"] = _access_list(transaction)
    shown["blockHash"] = to_hex(hash_)
    shown["blockNumber"] = quantity(header.number)
    if transaction.chain_id is not None:
        shown["chainId"] = quantity(transaction.chain_id)
    price = transaction.effective_gas_price(header.base_fee)
    _sender_and_fees(shown, transaction, sender, price)
    _content(shown, transaction)
    shown["transactionIndex"] = quantity(index)
    shown["type"] = quantity(transaction.type)
    _value_and_signature(shown, transaction)
    return shown


def pending_transaction(pooled: PooledTransaction) -> Json:
    """Return a transaction of the pool in Besu's form, with its encoding and the sender's public key. The key is
    recovered from the signature in this call. The last members are not in Besu's order."""
    transaction = pooled.transaction
    shown: Json = {"blockHash": None, "blockNumber": None}
    _sender_and_fees(shown, transaction, pooled.sender, transaction.max_gas_price)
    _content(shown, transaction)
    shown["transactionIndex"] = None
    _value_and_signature(shown, transaction)
    if transaction.type != LEGACY:
        shown["accessList"] = _access_list(transaction)
    shown["chainId"] = _optional_quantity(transaction.chain_id)
    # The pool keeps the sender's address but not its key, so the key is recovered for each answer.
    shown["publicKey"] = to_hex(_public_key(transaction))
    shown["raw"] = to_hex(transaction.raw)
    shown["type"] = quantity(transaction.type)
    return shown


def pending_notification(pooled: PooledTransaction) -> Json:
    """Return a pending transaction for a subscription that asked for whole transactions. It has fewer members than
    `pending_transaction`."""
    transaction = pooled.transaction
    shown: Json = {}
    _sender_and_fees(shown, transaction, pooled.sender, transaction.max_gas_price)
    _content(shown, transaction)
    shown["type"] = quantity(transaction.type)
    _value_and_signature(shown, transaction)
    return shown


def _sender_and_fees(shown: Json, transaction: Transaction, sender: bytes, price: int) -> None:
    shown["from"] = to_hex(sender)
    shown["gas"] = quantity(transaction.gas_limit)
    shown["gasPrice"] = quantity(price)
    if transaction.max_priority_fee_per_gas is not None and transaction.max_fee_per_gas is not None:
        shown["maxPriorityFeePerGas"] = quantity(transaction.max_priority_fee_per_gas)
        shown["maxFeePerGas"] = quantity(transaction.max_fee_per_gas)
    if transaction.max_fee_per_blob_gas is not None:
        shown["maxFeePerBlobGas"] = quantity(transaction.max_fee_per_blob_gas)
    shown["hash"] = to_hex(transaction.hash)


def _content(shown: Json, transaction: Transaction) -> None:
    shown["input"] = to_hex(transaction.data)
    shown["nonce"] = quantity(transaction.nonce)
    shown["to"] = optional_data(transaction.to)


def _value_and_signature(shown: Json, transaction: Transaction) -> None:
    shown["value"] = quantity(transaction.value)
    if transaction.type != LEGACY:
        shown["yParity"] = quantity(transaction.y_parity)
    shown["v"] = quantity(transaction.v)
    shown["r"] = quantity(transaction.r)
    shown["s"] = quantity(transaction.s)
    if transaction.type == BLOB:
        shown["blobVersionedHashes"] = [to_hex(hash_) for hash_ in transaction.blob_versioned_hashes]


def _access_list(transaction: Transaction) -> list[Json]:
    return [
        {"address": to_hex(address), "storageKeys": [to_hex(key) for key in keys]}
        for address, keys in transaction.access_list
    ]


def _public_key(transaction: Transaction) -> bytes:
    signature = transaction.r.to_bytes(32) + transaction.s.to_bytes(32) + bytes([transaction.y_parity])
    return recover_public_key(transaction.signing_hash(), signature)


# -- receipts and logs ---------------------------------------------------------------------------------------------


def receipt(found: Block, hash_: bytes, receipt_records: Sequence[ReceiptRecord], index: int) -> Json:
    """Return the receipt of the transaction at `index` of the block `found` in Besu's form. `hash_` (32 bytes) is the
    block's hash. `receipt_records` are those of the whole block. `index` is 0 or more. RpcError if the receipt is too
    large for an answer. IndexError if there is no such transaction."""
    AnswerSize().add_receipt(receipt_records[index])
    first_log = sum(len(earlier.receipt.logs) for earlier in receipt_records[:index])
    return _receipt(found, hash_, receipt_records[index], index, first_log)


def _receipt(found: Block, hash_: bytes, outcome: ReceiptRecord, index: int, first_log: int) -> Json:
    transaction, header = found.transactions[index], found.header
    shown: Json = {
        "blockHash": to_hex(hash_),
        "blockNumber": quantity(header.number),
        "contractAddress": optional_data(outcome.created),
        "cumulativeGasUsed": quantity(outcome.receipt.cumulative_gas_used),
        "from": to_hex(outcome.sender),
        "gasUsed": quantity(outcome.gas_used),
        "effectiveGasPrice": quantity(transaction.effective_gas_price(header.base_fee)),
        "logs": [
            {
                "address": to_hex(entry.address),
                "topics": [to_hex(topic) for topic in entry.topics],
                "data": to_hex(entry.data),
                "blockNumber": quantity(header.number),
                "transactionHash": to_hex(transaction.hash),
                "transactionIndex": quantity(index),
                "blockHash": to_hex(hash_),
                "logIndex": quantity(first_log + position),
                "removed": False,
            }
            for position, entry in enumerate(outcome.receipt.logs)
        ],
        "logsBloom": to_hex(outcome.receipt.logs_bloom),
    }
    # Receipts before Byzantium have a state root in the place of the status (EIP-658).
    if outcome.receipt.status is not None:
        shown["status"] = quantity(outcome.receipt.status)
    else:
        shown["root"] = optional_data(outcome.receipt.state_root)
    shown["to"] = optional_data(transaction.to)
    shown["transactionHash"] = to_hex(transaction.hash)
    shown["transactionIndex"] = quantity(index)
    # The reason is there only if the node was started with the option that stores it. It is no part
    # of the receipt's hash.
    if outcome.revert_reason is not None:
        shown["revertReason"] = to_hex(outcome.revert_reason)
    shown["type"] = quantity(transaction.type)
    return shown


def log(found: LogWithMetadata) -> Json:
    """Return a log in Besu's form for a query, a filter or a subscription. `removed` is always False."""
    return {
        "logIndex": quantity(found.log_index),
        "removed": False,
        "blockNumber": quantity(found.block_number),
        "blockHash": to_hex(found.block_hash),
        "transactionHash": to_hex(found.transaction_hash),
        "transactionIndex": quantity(found.transaction_index),
        "address": to_hex(found.log.address),
        "data": to_hex(found.log.data),
        "topics": [to_hex(topic) for topic in found.log.topics],
    }


def minimal_key(slot: int) -> str:
    """Return a storage key in the form of `eth_getProof`: 0x-hexadecimal without leading zero bytes. Slot 0 is "0x"."""
    return to_hex(rlp.encode_scalar(slot))
