"""ETH: transactions, receipts and logs."""

from collections.abc import Iterable
from functools import partial

from lacnode.chain.chain_store import TransactionLocation
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.crypto.secp256k1 import CURVE_ORDER
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from lacnode.rpc import results
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.block_answers import answer_about_block, block_hash_parameter
from lacnode.rpc.errors import (
    INVALID_TRANSACTION_HASH,
    METHOD_NOT_ENABLED,
    RpcError,
    block_not_found,
    internal_error,
    invalid_params,
    observer_refuses,
    range_too_large,
    rejected,
    with_error_message,
)
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import (
    LogQuery,
    parse_block_number,
    parse_bytes,
    parse_hash32,
    parse_log_query,
    parse_quantity,
    required,
)
from lacnode.rpc.read_calls import HasChain, ReadContext, check_time, run_in_reader
from lacnode.rpc.services import RpcServices
from lacnode.txpool.transaction_submission import TransactionSource

HIGHEST_INDEX = 2**31 - 1
"""The highest index of a transaction in a block that Besu reads."""

MAX_LOGS = 20_000
"""Number of logs in one answer."""

MAX_LOGS_BYTES, LOG_OVERHEAD_BYTES = 15 * 2**20, 600
"""Bytes of the logs in one answer, and estimated bytes of a log besides its data."""


def eth_sendRawTransaction(services: RpcServices, params: Params) -> object:
    """Offer a signed transaction (hexadecimal) to the pool, and return its hash as 0x-hexadecimal. It may ask the rules
    contract, which takes up to seconds.

    RpcError if this node takes no transactions, if the transaction cannot be read, or if it is rejected. In the last
    two cases `data` gives the reason. A wrong `v` is "Internal error" without `data`.
    """
    if not services.node.accepts_transactions:
        raise observer_refuses()
    raw = parse_bytes(required(params, 0, "transaction"), "transaction")
    try:
        transaction = Transaction.decode(raw)
    except RlpError as error:
        if str(error).startswith("transaction.v:"):
            # Besu finds a wrong `v` too late for its check of parameters, and answers "Internal error".
            raise internal_error() from None
        raise invalid_params(str(error)) from None
    if not (0 < transaction.r < CURVE_ORDER and 0 < transaction.s < CURVE_ORDER):
        # Besu finds this when it decodes the transaction, before the pool looks at it.
        raise invalid_params("transaction: no signature has these r and s")
    try:
        services.submission.submit(transaction, TransactionSource.RPC)
    except TransactionRejectedError as rejection:
        raise _refusal(services, transaction, rejection) from None
    return to_hex(transaction.hash)


def _refusal(services: RpcServices, transaction: Transaction, rejection: TransactionRejectedError) -> RpcError:
    """Return the error for a rejected transaction. A sender without permission gets the whole decision as `data`."""
    decision = services.submission.explain(transaction, rejection)
    return rejected(rejection.reason, str(rejection) if decision is None else decision.to_json())


def eth_sendTransaction(services: RpcServices, params: Params) -> object:
    """RpcError (-32604) always: the node has no keys of accounts."""
    raise RpcError(
        METHOD_NOT_ENABLED,
        "The method eth_sendTransaction is not supported. "
        "Use eth_sendRawTransaction to send a signed transaction to Besu.",
    )


def eth_getTransactionByHash(services: RpcServices, params: Params) -> object:
    """Return the transaction with a hash from the pool or from a block, in Besu's form. None if it is unknown. If the
    block is large and not decoded yet, return the `ReadCall` that a reader process answers. RpcError if the parameter
    is no hash, or the answer is too large."""
    hash_ = parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    # The pool is asked first. A transaction that enters a block in between is found in the chain then.
    pooled = services.pool.pooled(hash_)
    if pooled is not None:
        AnswerSize().add_transaction(pooled.transaction, with_raw=True)
        return results.pending_transaction(pooled)
    place = services.chain.transaction_location(hash_)
    return None if place is None else _at(services, place.block_hash, place.index)


def eth_getTransactionByBlockHashAndIndex(services: RpcServices, params: Params) -> object:
    # Besu's message names a transaction hash, though the parameter is a block's hash.
    """Return a transaction by its block's hash and its index, in Besu's form. None for an unknown hash, and for an index
    without a transaction. If the block is large and not decoded yet, return the `ReadCall` that a reader process
    answers. RpcError if a parameter does not fit, or the answer is too large."""
    with with_error_message(INVALID_TRANSACTION_HASH):
        hash_ = parse_hash32(required(params, 0, "block hash"), "block hash")
    return _at(services, hash_, _parse_index(params))


def eth_getTransactionByBlockNumberAndIndex(services: RpcServices, params: Params) -> object:
    """Return a transaction by its block's number or tag and its index, in Besu's form. None above the head, and for an
    index without a transaction. If the block is large and not decoded yet, return the `ReadCall` that a reader process
    answers. RpcError if a parameter does not fit, or the answer is too large."""
    hash_ = services.chain.hash_at(parse_block_number(services, required(params, 0, "block")))
    with with_error_message("Invalid transaction index params"):
        index = _parse_index(params)
    return None if hash_ is None else _at(services, hash_, index)


def _parse_index(params: Params) -> int:
    return parse_quantity(required(params, 1, "index"), "index", HIGHEST_INDEX)


def _at(services: RpcServices, hash_: bytes, index: int) -> object:
    return answer_about_block(services, hash_, transaction_at, index)


def transaction_at(reading: ReadContext, params: Params) -> object:
    """Return a transaction in Besu's form by its block's hash (32 bytes) and its index in `params`. None for an unknown
    hash, and for an index without a transaction. RpcError if the transaction is too large. It is the handler of
    `answer_about_block`, not a method."""
    hash_, index = block_hash_parameter(params), _index(params)
    found, receipt_records = reading.block_of(hash_), reading.receipt_records_of(hash_)
    if found is None or receipt_records is None or index >= len(found.transactions):
        return None
    AnswerSize().add_transaction(found.transactions[index])
    return results.mined_transaction(
        found.transactions[index], receipt_records[index].sender, found.header, hash_, index
    )


def eth_getTransactionReceipt(services: RpcServices, params: Params) -> object:
    """Return the receipt of the transaction with a hash, in Besu's form. None if no block has it. If the block is large
    and not decoded yet, return the `ReadCall` that a reader process answers. RpcError if the parameter is no hash, or
    the answer is too large."""
    place: TransactionLocation | None = services.chain.transaction_location(
        parse_hash32(required(params, 0, "transaction hash"), "transaction hash")
    )
    return None if place is None else answer_about_block(services, place.block_hash, receipt_at, place.index)


def receipt_at(reading: ReadContext, params: Params) -> object:
    """Return a receipt in Besu's form by its block's hash (32 bytes) and its index in `params`. None for an unknown
    hash. IndexError for an index without a transaction. RpcError if it is too large. It is the handler of
    `answer_about_block`, not a method."""
    hash_, index = block_hash_parameter(params), _index(params)
    found, receipt_records = reading.block_of(hash_), reading.receipt_records_of(hash_)
    return None if found is None or receipt_records is None else results.receipt(found, hash_, receipt_records, index)


def _index(params: Params) -> int:
    index = params[1]
    assert isinstance(index, int)
    return index


def _logs_question(context: HasChain, params: Params) -> LogQuery:
    """Parse the filter of a question for logs. RpcError if it does not fit."""
    return parse_log_query(context, required(params, 0, "filter"))


def eth_getLogs(reading: ReadContext, params: Params) -> object:
    """Return the logs that fit a filter object, in order: those of a range of blocks (without numbers the head alone),
    or of one block by its hash (32 bytes).

    RpcError if a member of the filter does not fit, the hash is unknown, the last minus the first block number is more
    than `max_logs_range` of the settings (0 for no bound), or there are more than `MAX_LOGS` or `MAX_LOGS_BYTES`.
    CallTimeoutError if it takes too long.
    """
    query = _logs_question(reading, params)
    if query.block_hash is not None and reading.chain.header_of(query.block_hash) is None:
        raise block_not_found()
    limit = reading.settings.max_logs_range
    # The limit is checked on the range as it was asked, before its end is cut to the head.
    if query.block_hash is None and 0 < limit < query.to_block - query.from_block:
        raise range_too_large()
    return _shown_logs(reading, query)


def read_filter_logs(reading: ReadContext, params: Params) -> object:
    """Return the logs for `eth_getFilterLogs` by the filter's object in `params`, in order. Its range may be of any
    length, as in Besu. RpcError if there are more than `MAX_LOGS` or `MAX_LOGS_BYTES`, CallTimeoutError if it takes too
    long."""
    return _shown_logs(reading, parse_log_query(reading, required(params, 0, "filter")))


def _shown_logs(reading: ReadContext, query: LogQuery) -> list[results.Json]:
    if query.block_hash is not None:
        return logs_to_json(
            reading, reading.chain.logs_of_block(query.block_hash, query.wanted, reading.check_block_size)
        )
    end = min(query.to_block, reading.chain.head.header.number)
    check = partial(check_time, reading)
    return logs_to_json(
        reading, reading.chain.logs(query.from_block, end, query.wanted, check, reading.check_block_size)
    )


def logs_to_json(reading: ReadContext, logs: Iterable[LogWithMetadata]) -> list[results.Json]:
    """Return `logs` as JSON in Besu's form, in their order. RpcError if there are more than `MAX_LOGS` or
    `MAX_LOGS_BYTES`, and CallTimeoutError if it takes too long. Besu has no such bounds and continues until its memory
    is full."""
    shown: list[results.Json] = []
    size = 0
    for found in logs:
        size += LOG_OVERHEAD_BYTES + 2 * len(found.log.data)
        if len(shown) == MAX_LOGS or size > MAX_LOGS_BYTES:
            raise range_too_large(f"more than {MAX_LOGS} logs or {MAX_LOGS_BYTES} bytes match")
        # The check is here and not only in the search: `logs` of one block come without a search.
        check_time(reading)
        shown.append(results.log(found))
    return shown


TRANSACTION_METHODS = (
    Method("eth_sendRawTransaction", "ETH", eth_sendRawTransaction, arity=1),
    Method("eth_sendTransaction", "ETH", eth_sendTransaction),
    Method("eth_getTransactionByHash", "ETH", eth_getTransactionByHash, arity=1),
    Method("eth_getTransactionByBlockHashAndIndex", "ETH", eth_getTransactionByBlockHashAndIndex),
    Method("eth_getTransactionByBlockNumberAndIndex", "ETH", eth_getTransactionByBlockNumberAndIndex),
    Method("eth_getTransactionReceipt", "ETH", eth_getTransactionReceipt),
    Method("eth_getLogs", "ETH", run_in_reader(eth_getLogs, _logs_question)),
)
