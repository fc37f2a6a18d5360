"""Simulated blocks as `eth_simulateV1` of Besu 25.5.0 shows them. Members are in the order of their names, as in Besu."""

from collections.abc import Sequence

from lacnode.evm.py_evm_simulation import SimulatedCall
from lacnode.primitives.block import Block, BlockBody, BlockOutline
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.receipt import Log
from lacnode.primitives.revert_text import revert_text
from lacnode.rpc import results
from lacnode.rpc.answer_size import LOG_BYTES, RECEIPT_BYTES, AnswerSize
from lacnode.rpc.errors import RpcError, reverted

HALTED = -32015
"""Besu's code for a call that the EVM halted, inside the result of a simulation."""

Json = dict[str, object]


def simulated_block(
    header: BlockHeader, hash_: bytes, calls: Sequence[SimulatedCall], size: AnswerSize, *, shows_transactions: bool
) -> Json:
    """Return a finished block in Besu's form with its calls and their outcomes, in order. `hash_` (32 bytes) is its
    hash. `shows_transactions` shows transactions whole instead of their hashes. The bytes of the block are added to
    `size`. RpcError if `size` is above its bound then."""
    transactions = tuple(call.transaction for call in calls)
    block = Block(header, BlockBody(transactions, withdrawals=None if header.withdrawals_root is None else ()))
    size.add(RECEIPT_BYTES + results.HASH_CHARACTERS * len(calls) + 2 * len(header.extra_data))
    shown_transactions = None
    if shows_transactions:
        for transaction in transactions:
            size.add_transaction(transaction)
        shown_transactions = [
            results.mined_transaction(call.transaction, call.sender, header, hash_, index)
            for index, call in enumerate(calls)
        ]
    shown = results.simulated_block_from_outline(BlockOutline.from_block(block), hash_, shown_transactions)
    return dict(sorted((shown | {"calls": _calls(header, hash_, calls, size)}).items()))


def _calls(header: BlockHeader, hash_: bytes, calls: Sequence[SimulatedCall], size: AnswerSize) -> list[Json]:
    shown, first_log = list[Json](), 0
    for index, call in enumerate(calls):
        # Counted before it is made, so that an answer that is too large is never in memory.
        size.add(RECEIPT_BYTES // 4 + 4 * len(call.output) + sum(LOG_BYTES + 2 * len(log.data) for log in call.logs))
        logs = [_log(header, hash_, call, index, log, first_log + position) for position, log in enumerate(call.logs)]
        first_log += len(logs)
        shown.append(_call(call, logs))
    return shown


def _call(call: SimulatedCall, logs: list[Json]) -> Json:
    shown: Json = {
        "gasUsed": results.quantity(call.gas_used),
        "logs": logs,
        "returnData": to_hex(call.output if call.is_success else b""),
        "status": results.quantity(int(call.is_success)),
    }
    return shown if call.is_success else {"error": _error(call), **shown}


def _error(call: SimulatedCall) -> Json:
    if call.is_reverted:
        error = reverted(revert_text(call.output), to_hex(call.output))
    else:
        error = RpcError(HALTED, call.halt or "", call.explanation)
    data = {} if error.data is None else {"data": error.data}
    return {"code": error.code, "message": error.message, **data}


def _log(header: BlockHeader, hash_: bytes, call: SimulatedCall, index: int, log: Log, log_index: int) -> Json:
    return {
        "address": to_hex(log.address),
        "blockHash": to_hex(hash_),
        "blockNumber": results.quantity(header.number),
        "data": to_hex(log.data),
        "logIndex": results.quantity(log_index),
        "removed": False,
        "topics": [to_hex(topic) for topic in log.topics],
        "transactionHash": to_hex(call.transaction.hash),
        "transactionIndex": results.quantity(index),
    }
