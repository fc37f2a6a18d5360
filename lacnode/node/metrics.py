"""The series of a node: what its rooms count anyhow, under Besu's names, and under our own where Besu has none.

Must not count anything itself.
"""

from collections.abc import Callable, Iterable, Iterator

from lacnode.chain.blockchain import Blockchain
from lacnode.metrics.series import Kind, Sample, Series
from lacnode.metrics.settings import Category
from lacnode.node.permissions import Permissions
from lacnode.p2p.network import Network
from lacnode.permissioning.counts import CheckCounts
from lacnode.permissioning.node_permissions import Moment
from lacnode.privacy.manager.quota import Quota
from lacnode.privacy.state.room import PrivateRoom


def chain_series(chain: Blockchain, network: Network) -> Iterator[Series]:
    """Where the chain stands, and with whom the node is connected."""
    yield _gauge(
        Category.ETHEREUM, "blockchain_height", "Number of the chain's last block", lambda: chain.head.header.number
    )
    yield _gauge(Category.ETHEREUM, "peer_count", "Peers in session", lambda: len(network.peers))


def permission_series(permissions: Permissions, moment: Callable[[], Moment]) -> Iterator[Series]:
    """Besu's counters of what was asked, and decisions by their rule. Explanations do not count."""
    for counts in (permissions.nodes.counts, permissions.accounts.counts):
        for name in counts.all():
            yield _checks(counts, name)
    yield _gauge(
        Category.PERMISSIONING,
        "sync_status_node_sync_reached",
        "Whether this node has once been as far as its peers",
        lambda: int(moment().is_current),
    )
    yield Series(
        Category.PERMISSIONING,
        "lacnode_permissioning_decisions_total",
        Kind.COUNTER,
        "Decisions about connections and transactions, by the rule that decided",
        lambda: [
            *_decisions("connection", permissions.nodes.counts),
            *_decisions("transaction", permissions.accounts.counts),
        ],
    )


def _checks(counts: CheckCounts, name: str) -> Series:
    text = f"Permission checks: {name.replace('_', ' ')}"
    full = Category.PERMISSIONING.value + name
    return Series(Category.PERMISSIONING, full, Kind.COUNTER, text, lambda: [Sample(counts.all()[name])])


def _decisions(about: str, counts: CheckCounts) -> Iterator[Sample]:
    for (rule, allowed), number in counts.decisions().items():
        yield Sample(number, {"about": about, "rule": rule, "permitted": "yes" if allowed else "no"})


def privacy_series(room: PrivateRoom) -> Iterator[Series]:
    """How the private groups of this node stand. No series names a group."""

    def groups() -> Iterable[Sample]:
        standing = room.standing()
        return [Sample(number, {"status": condition.value}) for condition, number in standing.groups.items()]

    yield Series(
        Category.PRIVACY, "lacnode_privacy_groups", Kind.GAUGE, "Privacy groups of this node, by how they stand", groups
    )
    yield _gauge(
        Category.PRIVACY,
        "missing_payloads",
        "Private payloads that this node waits for",
        lambda: room.standing().missing,
    )


def manager_series(quota: Quota) -> Iterator[Series]:
    """How much the transaction manager in this node keeps of what others push."""
    usage = quota.usage
    kept = "Bytes of payloads that others pushed"
    yield _gauge(Category.PRIVACY, "pushed_bytes_known_keys", f"{kept}, of known keys", lambda: usage.known_bytes)
    yield _gauge(Category.PRIVACY, "pushed_bytes_unknown_keys", f"{kept}, of unknown keys", lambda: usage.unknown_bytes)


def _gauge(category: Category, name: str, text: str, value: Callable[[], float]) -> Series:
    return Series(category, category.value + name, Kind.GAUGE, text, lambda: [Sample(value())])
