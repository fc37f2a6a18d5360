"""What a question may ask for that only the node's own process knows. It is gathered before the question is answered, and
goes to the reader with it.
"""

from dataclasses import dataclass

from lacnode.rpc.methods.gas_prices import eth_gasPrice, eth_maxPriorityFeePerGas
from lacnode.rpc.services import RpcServices

MAX_PENDING = 5_000
"""Transactions that wait, of one answer."""

MAX_PENDING_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class PendingTransaction:
    """A transaction that waits (as it travels) and its sender."""

    raw: bytes
    sender: bytes


@dataclass(frozen=True, slots=True)
class Live:
    """Prices in wei; `syncing` are the first block, the current and the highest block of a synchronisation; `pending` are
    transactions that wait, of `pending_count` in all. What the question does not name is left at its default."""

    gas_price: int = 0
    priority_fee: int = 0
    syncing: tuple[int, int, int] | None = None
    pending_count: int = 0
    pending: tuple[PendingTransaction, ...] = ()


def gather(services: RpcServices, text: str) -> Live:
    """What a question with `text` can ask for."""
    asks_for_pending = "pending" in text
    return Live(
        gas_price=_number(eth_gasPrice(services, [])) if "gasPrice" in text else 0,
        priority_fee=_number(eth_maxPriorityFeePerGas(services, [])) if "maxPriorityFeePerGas" in text else 0,
        syncing=_syncing(services) if "syncing" in text else None,
        pending_count=len(services.pool.all()) if asks_for_pending else 0,
        pending=_pending(services) if asks_for_pending and "transactions" in text else (),
    )


def _number(quantity: object) -> int:
    return int(str(quantity), 16)


def _syncing(services: RpcServices) -> tuple[int, int, int] | None:
    status = services.sync_status()
    return None if status is None else (status.starting_block, status.current_block, status.highest_block)


def _pending(services: RpcServices) -> tuple[PendingTransaction, ...]:
    found: list[PendingTransaction] = []
    size = 0
    for pooled in services.pool.all():
        size += len(pooled.transaction.raw)
        if len(found) == MAX_PENDING or size > MAX_PENDING_BYTES:
            break
        found.append(PendingTransaction(pooled.transaction.raw, pooled.sender))
    return tuple(found)
