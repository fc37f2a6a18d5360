"""Building a node: every part, in the order in which the parts need each other.

The parts are built in groups: `chain_assembly`, `peer_assembly` and `consensus_assembly` have one each, and this file has
the interfaces. The objects that many parts share are made first (`shared_objects`). A part is made after the parts that it
uses. A part that has to react to a later one subscribes to an event instead of holding it (`event_subscriptions`).
Must not open files or ports: `open_node` opens the files, and `Node.run` opens the ports.
"""

from collections.abc import Sequence
from functools import partial

from lacnode.chain.block_repair import BlockRepair
from lacnode.chain.blockchain import Blockchain
from lacnode.ethstats.ethstats_client import EthstatsClient
from lacnode.ethstats.node_reports import NodeReports
from lacnode.graphql.server import GraphQlServer
from lacnode.metrics.endpoint import MetricsEndpoint
from lacnode.metrics.gateway import PushGateway
from lacnode.metrics.otlp_receiver import OtlpCollector
from lacnode.metrics.process_series import opentelemetry_series, process_start_seconds
from lacnode.metrics.push import MetricsPush
from lacnode.metrics.series import MetricSeries, MetricsRegistry
from lacnode.node.chain_assembly import ChainParts, build_chain_parts
from lacnode.node.client_version import client_version
from lacnode.node.configuration import NodeConfig
from lacnode.node.consensus_assembly import ConsensusParts, build_consensus_parts
from lacnode.node.database_repair import DatabaseRepair, reread_to_start_repair
from lacnode.node.event_subscriptions import subscribe_parts
from lacnode.node.known_nodes import KnownNodes
from lacnode.node.logs import change_log_level
from lacnode.node.node import Node, NodeParts
from lacnode.node.node_resources import NodeResources
from lacnode.node.peer_assembly import PeerParts, build_network, build_peer_parts
from lacnode.node.privacy_service import PrivacyService, PublicNodeParts
from lacnode.node.role_monitor import RoleMonitor
from lacnode.node.series_assembly import build_series, metric_values
from lacnode.node.shared_objects import SharedObjects
from lacnode.p2p.connection_policies import DenyListPolicy
from lacnode.p2p.p2p_network import P2pNetwork
from lacnode.rpc.readers.reader_messages import ReaderSetup
from lacnode.rpc.readers.reader_processes import NodeDatabaseFunctions, ReaderProcesses
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.recent_prices import RecentPrices
from lacnode.rpc.server import RpcServers
from lacnode.rpc.services import ChainCaches, NodeFacts, NodeStatusReaders, RpcServices
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.txpool.transaction_submission import TransactionSubmission


def build_node(config: NodeConfig, resources: NodeResources) -> Node:
    """Return the node of `config` on `resources`. It does not run yet. An empty database gets the genesis block.

    Raises WrongGenesisError if the database holds another chain, StorageError if it cannot be read, and KeyFileError if
    the key of private markers cannot be read. For the records of signatures, OSError if their file cannot be read,
    RlpError if they are malformed, and OtherProtocolError if they hold a prepared block of another protocol.
    NativeLibraryError if the native engine is wanted and missing, InvalidCorsOriginError, AuthenticationSetupError or
    RpcTlsError for the RPC settings, and EthstatsCertificateError or OtlpFileError for files of TLS.
    """
    shared = SharedObjects(config, resources)
    chain = build_chain_parts(shared)
    peers = build_peer_parts(shared, chain)
    # Private markers are ordinary transactions of this node, so this part needs the submission and nothing of the
    # network.
    private = _build_private(shared, chain, peers.submission)
    # Before the network, which passes consensus messages to the validator as soon as it runs.
    consensus = build_consensus_parts(shared, chain, peers)
    faults, known_nodes = DenyListPolicy("cut off on request"), KnownNodes(resources.database)
    network = build_network(shared, chain, peers, consensus.validator, faults, known_nodes)
    role = RoleMonitor(config.role, shared.key.address, chain.chain, chain.permissions)
    services = _build_services(shared, chain, peers, consensus, private, network, role)
    rpc = RpcServers(config.http, config.websocket, services, _build_readers(shared, chain), config.ipc)
    series = build_series(shared, chain, peers, consensus, network, rpc, private)
    services.node.metric_readers.append(partial(metric_values, series))
    parts = NodeParts(
        shared=shared,
        chain=chain,
        peers=peers,
        consensus=consensus,
        network=network,
        faults=faults,
        known_nodes=known_nodes,
        database_repair=_build_database_repair(shared, chain.chain),
        role=role,
        rpc=rpc,
        private=private,
        graphql=_build_graphql(config, services, rpc),
        metrics=None if config.metrics is None else MetricsEndpoint(config.metrics, series),
        ethstats=_build_ethstats(shared, services),
        metrics_push=_build_push(shared, chain, series),
    )
    # Last: an event finds all of its listeners. No part publishes one before the node runs.
    subscribe_parts(parts)
    return Node(config, resources, parts)


def _build_database_repair(shared: SharedObjects, chain: Blockchain) -> DatabaseRepair:
    return DatabaseRepair(BlockRepair(chain, shared.resources.database), shared.peers, shared.state_worker)


def _build_private(
    shared: SharedObjects, chain: ChainParts, submission: TransactionSubmission
) -> PrivacyService | None:
    settings, manager = shared.config.privacy, shared.resources.manager
    if settings is None or manager is None:
        return None
    public = PublicNodeParts(chain.chain, chain.engine, shared.resources.database, chain.pool, submission)
    return PrivacyService(settings, manager.manager, public, manager.hosted)


def _build_services(
    shared: SharedObjects,
    chain: ChainParts,
    peers: PeerParts,
    consensus: ConsensusParts,
    private: PrivacyService | None,
    network: P2pNetwork,
    role: RoleMonitor,
) -> RpcServices:
    config = shared.config
    prices = RecentPrices(chain.chain, config.api.gas_price_blocks)
    # In the importing thread: a block has thousands of prices, too many for the event loop.
    chain.chain.on_head(prices.block_imported)
    return RpcServices(
        chain=chain.chain,
        pool=chain.pool,
        submission=peers.submission,
        network=network if config.p2p.enabled else None,
        vote_proposer=consensus.vote_proposer,
        permissions=peers.queries,
        node=NodeFacts(
            network_id=shared.network_id,
            client_version=client_version(config, chain.engine.name),
            coinbase=shared.key.address,
            accepts_transactions=shared.duties.accepts_transactions,
            engine_name=chain.engine.name,
        ),
        status=NodeStatusReaders(
            role=lambda: role.view, synchronisation=lambda: peers.synchronizer.status, consensus=consensus.status
        ),
        settings=config.api,
        event_loop=shared.event_loop,
        caches=ChainCaches(RecentBlocks(chain.chain), prices),
        privacy=None if private is None else private.privacy_controller,
        local_permissions=shared.resources.local_permissions,
        change_log_level=change_log_level,
    )


def _build_readers(shared: SharedObjects, chain: ChainParts) -> ReaderProcesses | None:
    """Return the processes that answer heavy calls. None if none are wanted, or if only this process can read the
    database."""
    database, api = shared.resources.database, shared.config.api
    # Another process can open the files of LMDB. A database in memory exists in this process alone.
    if not isinstance(database, LmdbDatabase) or api.reader_processes < 1:
        return None
    setup = ReaderSetup(shared.spec, database.directory.absolute(), api, shared.config.evm)
    node_database = NodeDatabaseFunctions(
        lambda: chain.chain.head.hash,
        database.flush,
        database.forget_dead_readers,
        partial(reread_to_start_repair, database),
        chain.differences.add_counts,
    )
    return ReaderProcesses(setup, node_database, api.reader_processes)


def _build_push(shared: SharedObjects, chain: ChainParts, series: Sequence[MetricSeries]) -> MetricsPush | None:
    gateway, otlp = shared.config.metrics_push, shared.config.metrics_otlp
    if gateway is not None:
        registry = MetricsRegistry(series, gateway.categories)
        return MetricsPush(PushGateway(gateway), gateway.interval_seconds, registry)
    if otlp is None:
        return None
    resource = {
        "service.version": client_version(shared.config, chain.engine.name),
        # Nodes have the same service name unless their operator gives each its own. The address tells them apart.
        "service.instance.id": f"0x{shared.key.address.hex()}",
        **dict(otlp.resource),
    }
    collector = OtlpCollector(otlp, resource, int(process_start_seconds() * 1e9))
    registry = MetricsRegistry([*series, *opentelemetry_series()], otlp.categories)
    return MetricsPush(collector, otlp.interval_seconds, registry)


def _build_ethstats(shared: SharedObjects, services: RpcServices) -> EthstatsClient | None:
    settings = shared.config.ethstats
    if settings is None:
        return None
    return EthstatsClient(settings, NodeReports(services, settings, shared.key.public_key))


def _build_graphql(config: NodeConfig, services: RpcServices, rpc: RpcServers) -> GraphQlServer | None:
    return None if config.graphql is None else GraphQlServer(config.graphql, services, rpc.runner, rpc.trials)
