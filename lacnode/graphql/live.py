"""The facts that only the node's own process knows: prices, the synchronisation, and the pool.

They are gathered before a query is answered, and go to the reader with it.
"""

from dataclasses import dataclass

from lacnode.rpc.methods.gas_prices import eth_gasPrice, eth_maxPriorityFeePerGas
from lacnode.rpc.services import RpcServices

MAX_PENDING = 5_000
"""Number of the pool's transactions in one answer."""

MAX_PENDING_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class PendingTransaction:
    """A transaction of the pool: its encoding (EIP-2718) and its sender (20 bytes)."""

    raw: bytes
    sender: bytes


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """The gathered facts. A fact that the query does not name has its default.

    Prices are in wei. `syncing` are three block numbers of a synchronisation: the head when it began, the head now, and
    the highest one that the followed peer claims. It is None if the node is not syncing. `pending` are transactions of
    the pool, which has `pending_count` in all.
    """

    gas_price: int = 0
    priority_fee: int = 0
    syncing: tuple[int, int, int] | None = None
    pending_count: int = 0
    pending: tuple[PendingTransaction, ...] = ()


def gather_live_facts(services: RpcServices, text: str) -> LiveFacts:
    """Gather the facts that a query with `text` can ask for. It reads the pool and recent blocks: use a worker
    thread. At most `MAX_PENDING` transactions with `MAX_PENDING_BYTES` are in the result."""
    # The text is searched and not parsed, because parsing belongs into the reader. A name in another place of the text
    # only gathers one fact more than the query needs.
    asks_for_pending = "pending" in text
    return LiveFacts(
        gas_price=_number(eth_gasPrice(services, [])) if "gasPrice" in text else 0,
        priority_fee=_number(eth_maxPriorityFeePerGas(services, [])) if "maxPriorityFeePerGas" in text else 0,
        syncing=_syncing(services) if "syncing" in text else None,
        pending_count=len(services.pool.all()) if asks_for_pending else 0,
        pending=_pending(services) if asks_for_pending and "transactions" in text else (),
    )


def _number(quantity: object) -> int:
    return int(str(quantity), 16)


def _syncing(services: RpcServices) -> tuple[int, int, int] | None:
    status = services.status.synchronisation()
    return None if status is None else (status.starting_block, status.current_block, status.highest_block)


def _pending(services: RpcServices) -> tuple[PendingTransaction, ...]:
    # The facts go through a pipe to the reader, so they are bounded. The pool can be much larger.
    found: list[PendingTransaction] = []
    size = 0
    for pooled in services.pool.all():
        size += len(pooled.transaction.raw)
        if len(found) == MAX_PENDING or size > MAX_PENDING_BYTES:
            break
        found.append(PendingTransaction(pooled.transaction.raw, pooled.sender))
    return tuple(found)
