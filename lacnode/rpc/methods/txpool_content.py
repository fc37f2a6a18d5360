"""TXPOOL: the methods of the pool that geth has. Besu has none of them. Foundry's `cast tx-pool` and block explorers
use them.

A transaction is pending if the next block could contain it after the earlier ones of its sender. It is queued if a nonce
before its own is missing.
"""

from collections import defaultdict
from collections.abc import Callable

from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import parse_address, required
from lacnode.rpc.services import RpcServices
from lacnode.txpool.pooled_transaction import PooledTransaction

BySender = dict[str, dict[str, PooledTransaction]]
"""Transactions by the sender's address and by nonce, as text in decimal digits."""


def txpool_status(services: RpcServices, params: Params) -> object:
    """Return the numbers of pending and of queued transactions as 0x quantities. A transaction is queued if a nonce
    between the account's and its own is missing."""
    pending, queued = _sorted(services)
    return {"pending": results.quantity(_count(pending)), "queued": results.quantity(_count(queued))}


def txpool_content(services: RpcServices, params: Params) -> object:
    """Return the pending and the queued transactions in Besu's form, by sender (0x-hexadecimal) and nonce (decimal
    text). A transaction is queued if a nonce between the account's and its own is missing. RpcError if the answer is
    too large."""
    return _shown(services, _sized(AnswerSize()))


def txpool_contentFrom(services: RpcServices, params: Params) -> object:
    """Return the pending and the queued transactions of an address in Besu's form, by nonce (decimal text). Empty for
    an unknown address. RpcError if the parameter does not fit, or the answer is too large."""
    sender = to_hex(parse_address(required(params, 0, "address")))
    show = _sized(AnswerSize())
    return {
        name: {nonce: show(one) for nonce, one in found.get(sender, {}).items()}
        for name, found in zip(("pending", "queued"), _sorted(services), strict=True)
    }


def _sized(size: AnswerSize) -> Callable[[PooledTransaction], object]:
    """Return a function that shows a transaction and adds it to `size`. It raises RpcError once the answer is too large."""

    def show(pooled: PooledTransaction) -> object:
        size.add_transaction(pooled.transaction, with_raw=True)
        return results.pending_transaction(pooled)

    return show


def txpool_inspect(services: RpcServices, params: Params) -> object:
    """Return a sentence about each pending and queued transaction, by sender (0x-hexadecimal) and nonce (decimal text)."""
    return _shown(services, _summary)


def _summary(pooled: PooledTransaction) -> str:
    transaction = pooled.transaction
    to = "contract creation" if transaction.to is None else to_hex(transaction.to)
    price = f"{transaction.gas_limit} gas \N{MULTIPLICATION SIGN} {transaction.max_gas_price} wei"
    return f"{to}: {transaction.value} wei + {price}"


def _shown(services: RpcServices, show: Callable[[PooledTransaction], object]) -> dict[str, dict[str, object]]:
    pending, queued = _sorted(services)
    return {
        name: {sender: {nonce: show(one) for nonce, one in by_nonce.items()} for sender, by_nonce in found.items()}
        for name, found in (("pending", pending), ("queued", queued))
    }


def _sorted(services: RpcServices) -> tuple[BySender, BySender]:
    """Return the pending transactions and the queued ones."""
    pending: BySender = defaultdict(dict)
    queued: BySender = defaultdict(dict)
    state = services.chain.state_at(services.chain.head.header)
    following: dict[bytes, int] = {}
    # The order by nonce makes one pass enough: a sender's next expected nonce is known at each of its transactions.
    for pooled in sorted(services.pool.all(), key=lambda pooled: pooled.transaction.nonce):
        sender, nonce = pooled.sender, pooled.transaction.nonce
        expected = following[sender] if sender in following else state.nonce(sender)
        is_next = nonce <= expected
        # A nonce below the expected one is of a transaction that a block has just taken. It must not lower the
        # expectation.
        following[sender] = max(expected, nonce + 1) if is_next else expected
        (pending if is_next else queued)[to_hex(sender)][str(nonce)] = pooled
    return pending, queued


def _count(found: BySender) -> int:
    return sum(map(len, found.values()))


TXPOOL_CONTENT_METHODS = (
    Method("txpool_status", "TXPOOL", txpool_status),
    Method("txpool_content", "TXPOOL", txpool_content),
    Method("txpool_contentFrom", "TXPOOL", txpool_contentFrom),
    Method("txpool_inspect", "TXPOOL", txpool_inspect),
)
