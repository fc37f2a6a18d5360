"""Hands the transactions that wait in the pool of one node of a devnet to the others.

Peers announce transactions to each other too, but at their own pace. Without this, the validator whose turn it is may not
have the transaction that a block is made for, and its block is empty.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from lacnode.devnet.control_channel import MAX_LINE_BYTES, ControlError
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.node.node import Node
from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from lacnode.txpool.transaction_pool import TransactionPool

MAX_WAITING = 1000
"""Transactions of the pool that are looked at."""

MAX_HANDED_BYTES = MAX_LINE_BYTES // 4
"""Bytes of the transactions of one command. It writes them in hexadecimal. The rest is left to the announcements."""

MAX_HANDED = 200
"""Transactions of one command."""


def transactions_for_next_block(node: Node | None, now: float) -> Iterator[Transaction]:
    """Yield the transactions that may be in the next block of `node` at `now` (Unix seconds), in their order, at most
    `MAX_WAITING`. Nothing if the node is closed (`node` is None).
    """
    if node is not None:
        candidates = node.pool.candidates(node.chain.next_base_fee(int(now)), time.time())
        for candidate in islice(candidates, MAX_WAITING):
            yield candidate.pooled.transaction


def encode_first_transactions(transactions: Iterable[Transaction]) -> list[str]:
    """Return the first of `transactions`, each as hexadecimal digits without 0x of its encoding, in their order: at
    most `MAX_HANDED`, with `MAX_HANDED_BYTES` together. From the first that does not fit, all are left out."""
    encoded: list[str] = []
    free_bytes = MAX_HANDED_BYTES
    for transaction in transactions:
        free_bytes -= len(transaction.raw)
        if free_bytes < 0 or len(encoded) == MAX_HANDED:
            break
        encoded.append(transaction.raw.hex())
    return encoded


def offer_transactions(pool: TransactionPool, encoded: Iterable[str]) -> None:
    """Offer transactions in hexadecimal digits without 0x to `pool`, in their order. Safe to use from any thread.

    The pool may refuse one, for example because it has it: that is no error, and the next one is offered. ControlError
    if one is no transaction, ValueError if one is not hexadecimal. The earlier ones stay offered then.
    """
    for text in encoded:
        try:
            pool.add(Transaction.decode(bytes.fromhex(text)), local=False, now=time.time())
        except TransactionRejectedError:
            continue
        except RlpError as error:
            raise ControlError(f"a transaction was expected: {error}") from None
