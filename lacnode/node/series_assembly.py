"""The metrics of a node, gathered from all parts. Must not make a series itself: the modules of each topic do."""

from collections.abc import Iterator, Sequence

from lacnode.metrics.process_series import process_series, runtime_series
from lacnode.metrics.series import MetricSeries
from lacnode.node.chain_assembly import ChainParts
from lacnode.node.client_version import client_version
from lacnode.node.consensus_assembly import ConsensusParts
from lacnode.node.consensus_metrics import consensus_series
from lacnode.node.network_metrics import network_series, synchronizer_series
from lacnode.node.node_metrics import (
    chain_series,
    engine_series,
    manager_quota_series,
    permission_series,
    privacy_series,
)
from lacnode.node.peer_assembly import PeerParts
from lacnode.node.pool_metrics import pool_series
from lacnode.node.privacy_service import PrivacyService
from lacnode.node.rpc_metrics import rpc_series
from lacnode.node.shared_objects import SharedObjects
from lacnode.p2p.p2p_network import P2pNetwork
from lacnode.rpc.server import RpcServers
from lacnode.rpc.services import MetricValue


def build_series(
    shared: SharedObjects,
    chain: ChainParts,
    peers: PeerParts,
    consensus: ConsensusParts,
    network: P2pNetwork,
    rpc: RpcServers,
    private: PrivacyService | None,
) -> list[MetricSeries]:
    """Return every metric series of a node with these parts. Their values are read in worker threads once the node
    runs."""
    return [
        *process_series(client_version(shared.config, chain.engine.name)),
        *runtime_series(),
        *chain_series(chain.chain),
        *network_series(network, shared.config.p2p.max_peers),
        *synchronizer_series(chain.chain, peers.synchronizer),
        *pool_series(chain.pool, peers.gossip),
        *engine_series(chain.engine.name, chain.differences, chain.chain.counters),
        *permission_series(chain.permissions, peers.context.read),
        *consensus_series(chain.chain, consensus.validator, consensus.status, shared.peers, shared.key.address),
        *rpc_series(rpc),
        *_private_series(shared, private),
    ]


def metric_values(series: Sequence[MetricSeries]) -> Iterator[MetricValue]:
    """Yield the present values of `series`, each as (category, name, values of its labels, number). Must be called in a
    worker thread.
    """
    for one in series:
        for sample in one.read():
            yield one.category.short_name, one.short_name, tuple(sample.labels.values()), sample.value


def _private_series(shared: SharedObjects, private: PrivacyService | None) -> list[MetricSeries]:
    manager = shared.resources.manager
    hosted = None if manager is None else manager.hosted
    return [
        *(() if private is None else privacy_series(private.privacy_controller.statuses)),
        *(() if hosted is None else manager_quota_series(hosted.quota)),
    ]
