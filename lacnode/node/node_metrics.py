"""The series of a node: counts of its parts, under Besu's names, and under this project's own where Besu has none.

Must not count anything itself.
"""

from collections.abc import Callable, Iterable, Iterator

from lacnode.chain.blockchain import Blockchain
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.metrics.metrics_settings import MetricCategory
from lacnode.metrics.series import MetricSample, MetricSeries, MetricType
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.p2p.p2p_network import P2pNetwork
from lacnode.permissioning.check_counters import CheckCounters
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.privacy.manager.quota import Quota
from lacnode.privacy.state.group_statuses import GroupStatuses


def chain_series(chain: Blockchain, network: P2pNetwork) -> Iterator[MetricSeries]:
    """The height of the chain, and the number of peers."""
    yield _gauge(
        MetricCategory.ETHEREUM,
        "blockchain_height",
        "Number of the chain's last block",
        lambda: chain.head.header.number,
    )
    yield _gauge(MetricCategory.ETHEREUM, "peer_count", "Peers in session", lambda: len(network.peers))


def engine_series(name: str, differences: EngineDifferences) -> Iterator[MetricSeries]:
    """The engine that executes contracts, and the blocks on which the two engines differed: worth an alarm."""
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


def permission_series(
    permissions: PermissioningRules, context: Callable[[], PermissioningContext]
) -> Iterator[MetricSeries]:
    """Besu's counters of permission checks, and decisions by their rule. Explanations do not count."""
    for counts in (permissions.nodes.counts, permissions.accounts.counts):
        for name in counts.as_dict():
            yield _checks(counts, name)
    yield _gauge(
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
    """The private groups of this node by their condition. No series names a group."""

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
    yield _gauge(
        MetricCategory.PRIVACY,
        "missing_payloads",
        "Private payloads that this node waits for",
        lambda: statuses.health().missing,
    )


def manager_series(quota: Quota) -> Iterator[MetricSeries]:
    """The bytes that the transaction manager in this node keeps for other managers."""
    usage = quota.usage
    kept = "Bytes of payloads that others pushed"
    yield _gauge(MetricCategory.PRIVACY, "pushed_bytes_known_keys", f"{kept}, of known keys", lambda: usage.known_bytes)
    yield _gauge(
        MetricCategory.PRIVACY, "pushed_bytes_unknown_keys", f"{kept}, of unknown keys", lambda: usage.unknown_bytes
    )


def _gauge(category: MetricCategory, name: str, text: str, value: Callable[[], float]) -> MetricSeries:
    return MetricSeries(category, category.value + name, MetricType.GAUGE, text, lambda: [MetricSample(value())])
