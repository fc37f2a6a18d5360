"""The series of the transaction pool. Must not count anything itself.

Besu's layered pool names a layer in each series. This node's pool has one layer, and its name here is that of Besu's first
one, so that the dashboards of both kinds of pool have data.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricSample, MetricSeries, MetricType, gauge
from lacnode.sync.transaction_gossip import TransactionGossip
from lacnode.txpool.pool_counters import Removal
from lacnode.txpool.transaction_pool import TransactionPool

_LAYER = {"layer": "prioritized"}
_CATEGORY = MetricCategory.TRANSACTION_POOL
_GAUGE, _COUNTER = MetricType.GAUGE, MetricType.COUNTER


def pool_series(pool: TransactionPool, gossip: TransactionGossip) -> Iterator[MetricSeries]:
    """Yield the series of the pool under the names of Besu's layered pool and of its sequenced pool, and of the
    transactions that peers sent or announced to `gossip` and that the pool had already."""
    yield _series(
        "number_of_transactions", _GAUGE, "Pooled transactions", lambda: [MetricSample(pool.statistics.size, _LAYER)]
    )
    yield _series(
        "space_used",
        _GAUGE,
        "Bytes of the pooled transactions",
        lambda: [MetricSample(pool.statistics.memory_bytes, _LAYER)],
    )
    yield _series(
        "unique_senders",
        _GAUGE,
        "Senders with a pooled transaction",
        lambda: [MetricSample(pool.statistics.senders, _LAYER)],
    )
    yield _series("added_total", _COUNTER, "Transactions that entered the pool", lambda: _added(pool))
    yield _series("removed_total", _COUNTER, "Transactions that left the pool", lambda: _removed(pool))
    yield _series("rejected_total", _COUNTER, "Transactions that the pool rejected", lambda: _rejected(pool))
    yield from _sequenced(pool)
    yield gauge(
        MetricCategory.ETHEREUM,
        "min_gas_price",
        "Lowest price for a block of this node, in wei",
        lambda: pool.settings.block_min_gas_price,
    )
    yield gauge(
        MetricCategory.ETHEREUM,
        "min_priority_fee",
        "Lowest price above the base fee for a block of this node, in wei",
        lambda: pool.settings.min_priority_fee,
    )
    yield _series(
        "remote_transactions_already_seen_total",
        _COUNTER,
        "Transactions of peers that the pool had already",
        lambda: [MetricSample(count, {"message": message}) for message, count in gossip.already_known.copy().items()],
    )


def _sequenced(pool: TransactionPool) -> Iterator[MetricSeries]:
    yield _series("transactions", _GAUGE, "Pooled transactions", lambda: [MetricSample(pool.statistics.size)])
    yield _series(
        "transactions_added_total", _COUNTER, "Transactions that entered the pool", lambda: _sequenced_added(pool)
    )
    yield _series(
        "transactions_removed_total", _COUNTER, "Transactions that left the pool", lambda: _sequenced_removed(pool)
    )


def _added(pool: TransactionPool) -> Iterator[MetricSample]:
    for (local, priority), count in pool.counters.added_counts().items():
        yield MetricSample(count, {"source": _source(local), "priority": _yes(priority), **_LAYER})


def _removed(pool: TransactionPool) -> Iterator[MetricSample]:
    for ((local, priority), removal), count in pool.counters.removed_counts().items():
        labels = {"source": _source(local), "priority": _yes(priority), "operation": removal.value, **_LAYER}
        yield MetricSample(count, labels)


def _rejected(pool: TransactionPool) -> Iterator[MetricSample]:
    for (local, reason), count in pool.counters.rejected_counts().items():
        # Besu names the pool as the layer of a refusal that the sender sees. The priority of such a transaction is not
        # known yet.
        labels = {"source": _source(local), "priority": "no", "reason": reason.name, "layer": "txpool"}
        yield MetricSample(count, labels)


def _sequenced_added(pool: TransactionPool) -> Iterator[MetricSample]:
    counts: Counter[bool] = Counter()
    for (local, _), count in pool.counters.added_counts().items():
        counts[local] += count
    return (MetricSample(count, {"source": _source(local)}) for local, count in counts.items())


def _sequenced_removed(pool: TransactionPool) -> Iterator[MetricSample]:
    counts: Counter[tuple[bool, str]] = Counter()
    for ((local, _), removal), count in pool.counters.removed_counts().items():
        counts[local, "addedToBlock" if removal is Removal.CONFIRMED else "dropped"] += count
    for (local, operation), count in counts.items():
        yield MetricSample(count, {"source": _source(local), "operation": operation})


def _series(name: str, kind: MetricType, text: str, read: Callable[[], Iterable[MetricSample]]) -> MetricSeries:
    return MetricSeries(_CATEGORY, _CATEGORY.value + name, kind, text, read)


def _source(local: bool) -> str:
    return "local" if local else "remote"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
