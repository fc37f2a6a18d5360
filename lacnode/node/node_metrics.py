"""The series of a node: counts of its parts, under Besu's names, and under this project's own where Besu has none.

Must not count anything itself.
"""

from collections.abc import Callable, Iterable, Iterator

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.execution_counters import ExecutionCounters
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricSample, MetricSeries, MetricType, counter, gauge
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.permissioning.check_counters import CheckCounters
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.privacy.manager.quota import Quota
from lacnode.privacy.state.group_statuses import GroupStatuses


def chain_series(chain: Blockchain) -> Iterator[MetricSeries]:
    """Yield the series of the last block of the chain and of the imported blocks, under Besu's names."""
    yield gauge(
        MetricCategory.ETHEREUM,
        "blockchain_height",
        "Number of the chain's last block",
        lambda: chain.head.header.number,
    )
    category, counters = MetricCategory.BLOCKCHAIN, chain.counters
    yield gauge(category, "difficulty_total", "Total difficulty", lambda: chain.head.total_difficulty)
    yield gauge(
        category, "chain_head_timestamp", "Time of the last block in seconds", lambda: chain.head.header.timestamp
    )
    yield gauge(category, "chain_head_gas_used", "Gas of the last block", lambda: chain.head.header.gas_used)
    yield gauge(category, "chain_head_gas_limit", "Gas limit of the last block", lambda: chain.head.header.gas_limit)
    yield gauge(category, "chain_head_transaction_count", "Transactions of the last block", _head_transactions(chain))
    yield gauge(category, "chain_head_ommer_count", "Ommers of the last block. IBFT has none", lambda: 0)
    yield counter(category, "chain_head_gas_used_counter", "Gas of the imported blocks", lambda: counters.imported_gas)
    yield counter(
        category,
        "chain_head_transaction_count_counter",
        "Transactions of the imported blocks",
        lambda: counters.imported_transactions,
    )


def _head_transactions(chain: Blockchain) -> Callable[[], int]:
    counted: dict[bytes, int] = {}

    def count() -> int:
        head = chain.head
        if chain.counters.imported_blocks:
            return chain.counters.head_transactions
        # Nothing was imported since the start, so the last block is read from the database. That is done once.
        if head.hash not in counted:
            block = chain.block_of(head.hash)
            counted[head.hash] = 0 if block is None else len(block.transactions)
        return counted[head.hash]

    return count


def engine_series(name: str, differences: EngineDifferences, executions: ExecutionCounters) -> Iterator[MetricSeries]:
    """Yield the series of the engine that executes contracts (`name`), of the blocks that were executed with their gas
    and seconds, of the blocks and calls on which the two engines differed, and of the native library's panics."""
    yield MetricSeries(
        MetricCategory.BLOCKCHAIN,
        "lacnode_evm_engine",
        MetricType.GAUGE,
        "1 for the engine that executes contracts",
        lambda: [MetricSample(1, {"engine": name})],
    )
    yield MetricSeries(
        MetricCategory.BLOCKCHAIN,
        "lacnode_evm_differences_total",
        MetricType.COUNTER,
        "Blocks on which the native engine and py-evm differed",
        lambda: [MetricSample(differences.count)],
    )
    yield _own_counter(
        "lacnode_evm_call_differences_total",
        "Calls on which the native engine and py-evm differed",
        lambda: differences.call_count,
    )
    yield _own_counter(
        "lacnode_evm_library_panics_total", "Panics of the native library", lambda: differences.panic_count
    )
    yield _own_counter("lacnode_evm_executed_blocks_total", "Blocks executed", lambda: executions.executed_blocks)
    yield _own_counter("lacnode_evm_executed_gas_total", "Gas of these blocks", lambda: executions.executed_gas)
    yield _own_counter(
        "lacnode_evm_execution_seconds_total", "Seconds of these executions", lambda: executions.executed_seconds
    )


def permission_series(
    permissions: PermissioningRules, context: Callable[[], PermissioningContext]
) -> Iterator[MetricSeries]:
    """Yield the series with Besu's counters of permission checks, with the decisions by their rule, and with
    `is_current` of `context`. Explanations do not count."""
    for counts in (permissions.nodes.counts, permissions.accounts.counts):
        for name in counts.as_dict():
            yield _checks(counts, name)
    yield gauge(
        MetricCategory.PERMISSIONING,
        "sync_status_node_sync_reached",
        "Whether this node has once been as far as its peers",
        lambda: int(context().is_current),
    )
    yield MetricSeries(
        MetricCategory.PERMISSIONING,
        "lacnode_permissioning_decisions_total",
        MetricType.COUNTER,
        "Decisions about connections and transactions, by the rule that decided",
        lambda: [
            *_decisions("connection", permissions.nodes.counts),
            *_decisions("transaction", permissions.accounts.counts),
        ],
    )


def _checks(counts: CheckCounters, name: str) -> MetricSeries:
    text = f"Permission checks: {name.replace('_', ' ')}"
    full = MetricCategory.PERMISSIONING.value + name
    return MetricSeries(
        MetricCategory.PERMISSIONING, full, MetricType.COUNTER, text, lambda: [MetricSample(counts.as_dict()[name])]
    )


def _decisions(about: str, counts: CheckCounters) -> Iterator[MetricSample]:
    # The rules are a fixed set, so this label has few values.
    for (rule, allowed), number in counts.decisions().items():
        yield MetricSample(number, {"about": about, "rule": rule, "permitted": "yes" if allowed else "no"})


def privacy_series(statuses: GroupStatuses) -> Iterator[MetricSeries]:
    """Yield the series of privacy: the groups of this node by their condition, the payloads that are missing, and the
    unexpected errors. No series names a group."""

    def groups() -> Iterable[MetricSample]:
        health = statuses.health()
        return [MetricSample(number, {"status": condition.value}) for condition, number in health.groups.items()]

    yield MetricSeries(
        MetricCategory.PRIVACY,
        "lacnode_privacy_groups",
        MetricType.GAUGE,
        "Privacy groups of this node, by how they stand",
        groups,
    )
    yield gauge(
        MetricCategory.PRIVACY,
        "missing_payloads",
        "Private payloads that this node waits for",
        lambda: statuses.health().missing,
    )
    yield MetricSeries(
        MetricCategory.PRIVACY,
        "lacnode_privacy_group_failures_total",
        MetricType.COUNTER,
        "Unexpected errors in the work for one private group. The work went on with the others",
        lambda: [MetricSample(statuses.health().failures)],
    )


def manager_quota_series(quota: Quota) -> Iterator[MetricSeries]:
    """Yield the series of the bytes of payloads that the transaction manager in this node keeps for other managers:
    those that came from known keys, and those from unknown keys."""
    usage = quota.usage
    kept = "Bytes of payloads that others pushed"
    yield gauge(MetricCategory.PRIVACY, "pushed_bytes_known_keys", f"{kept}, of known keys", lambda: usage.known_bytes)
    yield gauge(
        MetricCategory.PRIVACY, "pushed_bytes_unknown_keys", f"{kept}, of unknown keys", lambda: usage.unknown_bytes
    )


def _own_counter(name: str, text: str, value: Callable[[], float]) -> MetricSeries:
    """A counter of the engine. Besu has no such series, so its name does not begin as those of the category do."""
    return MetricSeries(MetricCategory.BLOCKCHAIN, name, MetricType.COUNTER, text, lambda: [MetricSample(value())])
