"""Building a node: every part, in the order in which the parts need each other.

What many parts share is made first: the events, the set of peers, the budget of all executions. A part is made after the
parts that it uses. A part that has to react to a later one subscribes to an event instead of holding it. Must not open
files or ports: `open_node` opens the files, and `Node.run` opens the ports.
"""

import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from lacnode import __version__
from lacnode.chain.block_repair import BlockRepair
from lacnode.chain.blockchain import Blockchain, ChainSettings
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_history import stored_hash_at
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.consensus.bft.controller import BftController, ConsensusStatus
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.message_buffers import MessageLimits as ConsensusLimits
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import PYTHON, ExecutionEngine
from lacnode.evm.engine_differences import DIFFERENCES_DIRECTORY, EngineDifferences
from lacnode.evm.engine_factory import make_engine
from lacnode.graphql.server import GraphQlServer
from lacnode.metrics.endpoint import MetricsEndpoint
from lacnode.metrics.push import MetricsPush
from lacnode.metrics.series import MetricSeries
from lacnode.node.block_exchange import BlockExchange
from lacnode.node.chain_views import PermissioningContextReader, read_head_state, read_local_status
from lacnode.node.configuration import NodeConfig
from lacnode.node.consensus_network import PeerConsensusNetwork
from lacnode.node.consensus_peers import ConsensusPeers
from lacnode.node.database_repair import DatabaseRepair, read_again
from lacnode.node.imported_block_log import log_imported_block
from lacnode.node.known_nodes import KnownNodes
from lacnode.node.logs import change_log_level
from lacnode.node.network_handler import NodeNetworkHandler
from lacnode.node.node import Node, NodeParts
from lacnode.node.node_events import NodeEvents, StateChange, forward_chain_and_pool
from lacnode.node.node_metrics import chain_series, engine_series, manager_series, permission_series, privacy_series
from lacnode.node.node_resources import NodeResources
from lacnode.node.peer_expulsion import PeerExpulsion
from lacnode.node.permissioning_policy import PermissioningPolicy
from lacnode.node.permissioning_rules import PermissioningRules, PermissionQueries
from lacnode.node.privacy_service import PrivacyService, PublicChain
from lacnode.node.role import DUTIES, RoleDuties
from lacnode.node.role_monitor import RoleMonitor
from lacnode.node.signing_wait import SigningWait
from lacnode.p2p.chain_reader import NoTransactions
from lacnode.p2p.connection_policies import CombinedPolicy, DenyListPolicy
from lacnode.p2p.p2p_network import P2pNetwork, P2pNetworkConfig
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_set import PeerLimits, PeerSet
from lacnode.rpc.readers.reader_messages import ReaderSetup
from lacnode.rpc.readers.reader_processes import NodeDatabase, ReaderProcesses
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.recent_prices import RecentPrices
from lacnode.rpc.server import RpcServers
from lacnode.rpc.services import RpcServices
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.sync.synchronizer import Synchronizer
from lacnode.sync.transaction_gossip import TransactionGossip
from lacnode.txpool.admission import TransactionAdmission
from lacnode.txpool.transaction_pool import TransactionPool
from lacnode.txpool.transaction_submission import SubmittedTransaction, TransactionSource, TransactionSubmission
from lacnode.validator.block_creator import PoolBlockCreator
from lacnode.validator.validator import Validator
from lacnode.workers.event_loop import EventLoop
from lacnode.workers.worker import ThreadWorker

log = structlog.get_logger("node")


class _Shared:
    """The objects that many parts share. They need no part themselves."""

    def __init__(self, config: NodeConfig, resources: NodeResources) -> None:
        self.config = config
        self.resources = resources
        self.spec = resources.spec
        self.key = resources.key
        self.network_id = resources.spec.network_id if config.network_id is None else config.network_id
        self.duties: RoleDuties = DUTIES[config.role]
        self.event_loop = EventLoop()
        self.events = NodeEvents()
        self.state_change = StateChange()
        self.execution = ExecutionBudget()
        self.peer_set = PeerSet(self.key.public_key, PeerLimits(config.p2p.max_peers, config.p2p.inbound_share))
        self.peers: Callable[[], Sequence[Peer]] = self.peer_set.connected
        self.rng = random.Random()
        # One thread writes state, for consensus and for the synchronizer: an import never meets another.
        self.state_worker = ThreadWorker()
        # One thread writes the consensus log, so that a signature never waits for an execution.
        self.log_worker = ThreadWorker()


@dataclass(frozen=True, slots=True)
class _ChainParts:
    engine: ExecutionEngine
    differences: EngineDifferences
    permissions: PermissioningRules
    chain: Blockchain
    pool: TransactionPool


@dataclass(frozen=True, slots=True)
class _PeerParts:
    synchronizer: Synchronizer
    context: PermissioningContextReader
    queries: PermissionQueries
    policy: PermissioningPolicy
    submission: TransactionSubmission
    blocks: BlockExchange
    gossip: TransactionGossip


@dataclass(frozen=True, slots=True)
class _ConsensusParts:
    vote_proposer: VoteProposer
    validator: Validator
    signing_wait: SigningWait

    def status(self) -> ConsensusStatus:
        """The status of agreement, as RPC shows it."""
        return self.validator.machine.status if self.signing_wait.is_over else self.signing_wait.status


def build_node(config: NodeConfig, resources: NodeResources) -> Node:
    """Return the node of `config` on `resources`. It does not run yet.

    Raises WrongGenesisError if the database holds another chain, StorageError if it cannot be read, KeyFileError if
    the key of private markers cannot be read, and InvalidCorsOriginError or AuthenticationSetupError for the RPC
    settings.
    """
    shared = _Shared(config, resources)
    chain = _build_chain(shared)
    peers = _build_peer_parts(shared, chain)
    # Private markers are ordinary transactions of this node, so this part needs the submission and nothing of the
    # network.
    private = _build_private(shared, chain, peers.submission)
    # Before the network, which passes consensus messages to the validator as soon as it runs.
    consensus = _build_consensus(shared, chain, peers)
    faults, known_nodes = DenyListPolicy("cut off on request"), KnownNodes(resources.database)
    network = _build_network(shared, chain, peers, consensus.validator, faults, known_nodes)
    role = RoleMonitor(config.role, shared.key.address, chain.chain, chain.permissions)
    services = _build_services(shared, chain, peers, consensus, private, network, role)
    rpc = RpcServers(config.http, config.websocket, services, _build_readers(shared, chain.chain))
    series = _build_series(shared, chain, peers, network, private)
    parts = NodeParts(
        network_id=shared.network_id,
        engine_name=chain.engine.name,
        event_loop=shared.event_loop,
        state_change=shared.state_change,
        execution=shared.execution,
        permissions=chain.permissions,
        chain=chain.chain,
        pool=chain.pool,
        synchronizer=peers.synchronizer,
        policy=peers.policy,
        faults=faults,
        known_nodes=known_nodes,
        blocks=peers.blocks,
        gossip=peers.gossip,
        database_repair=_build_database_repair(shared, chain.chain),
        role=role,
        validator=consensus.validator,
        signing_wait=consensus.signing_wait,
        runs_validator=shared.duties.runs_validator,
        network=network,
        rpc=rpc,
        private=private,
        graphql=_build_graphql(config, services, rpc),
        metrics=None if config.metrics is None else MetricsEndpoint(config.metrics, series),
        metrics_push=None if config.metrics_push is None else MetricsPush(config.metrics_push, series),
    )
    # Last: an event finds all of its listeners. No part publishes one before the node runs.
    _subscribe(shared, parts)
    return Node(config, resources, parts)


# -- the chain and the pool ------------------------------------------------------------------------------------------


def _build_chain(shared: _Shared) -> _ChainParts:
    config, resources = shared.config, shared.resources
    differences = EngineDifferences(config.data_path / DIFFERENCES_DIRECTORY)
    store = DatabaseNodeStore(resources.database)
    engine = make_engine(shared.spec, store, shared.execution, config.evm, differences)
    permissions = PermissioningRules(
        config.permissioning,
        # The rules are older than the chain object, which checks senders by them. They read block hashes from the database.
        ChainContracts(shared.spec, engine, partial(stored_hash_at, resources.database)),
        own_id=shared.key.public_key,
        bootnodes=config.p2p.bootnodes,
        static_nodes=config.p2p.static_nodes,
        local_accounts=resources.local_permissions.accounts,
        local_nodes=resources.local_permissions.nodes,
        schedule=shared.spec.permissioning,
    )
    settings = ChainSettings(
        gas_limit_target=config.mining.gas_limit_target,
        min_occupancy_ratio=config.mining.min_occupancy_ratio,
        keep_revert_reasons=config.keep_revert_reasons,
    )
    chain = Blockchain(shared.spec, resources.database, engine, settings=settings, permissions=permissions.accounts)
    head_state = partial(read_head_state, chain)
    admission = TransactionAdmission(shared.spec, config.pool, head_state, permissions.accounts)
    return _ChainParts(engine, differences, permissions, chain, TransactionPool(config.pool, admission, head_state))


# -- the parts that work with peers ----------------------------------------------------------------------------------


def _build_peer_parts(shared: _Shared, chain: _ChainParts) -> _PeerParts:
    events = shared.events
    synchronizer = Synchronizer(
        chain.chain,
        shared.peers,
        worker=shared.state_worker,
        # A thread of its own: checking headers must not wait for an import in the thread that writes state.
        check_worker=ThreadWorker(),
        on_syncing=events.syncing_changed.publish,
        on_importing=events.importing_changed.publish,
        on_caught_up=partial(events.caught_up.publish, None),
    )
    context = PermissioningContextReader(chain.chain, shared.peers, synchronizer, chain.permissions, shared.key.address)
    queries = PermissionQueries(chain.permissions, context.read, chain.chain.simulate)
    submission = TransactionSubmission(chain.pool, queries.explain_transaction)
    submission.on_submitted(_log_rejected_gossip)
    return _PeerParts(
        synchronizer=synchronizer,
        context=context,
        queries=queries,
        policy=PermissioningPolicy(chain.permissions, context.read),
        submission=submission,
        blocks=BlockExchange(chain.chain, shared.peers, synchronizer, shared.spec.genesis.difficulty),
        gossip=TransactionGossip(
            shared.peers,
            admit=submission.submit_gossip,
            known=chain.pool.knows,
            pooled=lambda: [pooled.transaction for pooled in chain.pool.all()],
            rng=shared.rng,
            max_bytes=shared.config.pool.max_transaction_bytes,
        ),
    )


def _log_rejected_gossip(submitted: SubmittedTransaction) -> None:
    rejection = submitted.rejection
    if rejection is not None and submitted.source is TransactionSource.GOSSIP:
        hash_ = submitted.transaction.hash.hex()
        log.debug("gossiped transaction refused", hash=hash_, reason=rejection.reason.name)


def _build_database_repair(shared: _Shared, chain: Blockchain) -> DatabaseRepair:
    return DatabaseRepair(BlockRepair(chain, shared.resources.database), shared.peers, shared.state_worker)


def _build_network(
    shared: _Shared,
    chain: _ChainParts,
    peers: _PeerParts,
    validator: Validator,
    faults: DenyListPolicy,
    known_nodes: KnownNodes,
) -> P2pNetwork:
    p2p, duties = shared.config.p2p, shared.duties
    # A node without rules asks no policy, so that no connection waits for a look-up.
    permissioned = [peers.policy] if chain.permissions.nodes.are_enabled else []
    consensus_peers = ConsensusPeers(
        receive=validator.message_received,
        # A node that does not run its validator reads no consensus messages, although its key may be in the validator
        # set.
        is_validator=lambda address: duties.runs_validator and validator.is_validator(address),
        expulsion=PeerExpulsion(shared.peer_set.deny),
    )
    return P2pNetwork(
        P2pNetworkConfig(
            client_id=client_version(shared.config, chain.engine.name),
            host=p2p.host,
            interface=p2p.interface,
            port=p2p.port,
            # Without discovery Besu ignores bootnodes. The notices at the start say so.
            bootnodes=p2p.bootnodes if p2p.discovery else (),
            static_nodes=p2p.static_nodes,
            known_nodes=known_nodes.enodes,
            discovery=p2p.discovery,
            dial_discovered=duties.dials_discovered,
            max_transaction_bytes=shared.config.pool.max_transaction_bytes,
        ),
        shared.key,
        status=partial(read_local_status, shared.spec, chain.chain, shared.network_id),
        chain=chain.chain,
        # An observer relays no transactions, so its peers find none to ask for.
        pool=chain.pool if duties.relays_transactions else NoTransactions(),
        handler=NodeNetworkHandler(
            shared.events, peers.blocks, consensus_peers, peers.gossip if duties.relays_transactions else None
        ),
        policy=CombinedPolicy([DenyListPolicy("banned by --banned-node-ids", p2p.banned_ids), faults, *permissioned]),
        peer_set=shared.peer_set,
        rng=shared.rng,
    )


# -- consensus -------------------------------------------------------------------------------------------------------


def _build_consensus(shared: _Shared, chain: _ChainParts, peers: _PeerParts) -> _ConsensusParts:
    records, vote_proposer = shared.resources.records, VoteProposer()
    # The journal comes from the records on the disk: a restart must know every payload that may be signed.
    journal = Journal.restore(records.records())
    signing_wait = SigningWait(
        chain.chain,
        shared.peers,
        shared.key.address,
        shared.state_change.next_event,
        journal,
        lambda record: shared.log_worker.run(partial(records.append, record)),
    )
    validator = _build_validator(shared, chain, peers, journal, vote_proposer)
    return _ConsensusParts(vote_proposer, validator, signing_wait)


def _build_validator(
    shared: _Shared, chain: _ChainParts, peers: _PeerParts, journal: Journal, vote_proposer: VoteProposer
) -> Validator:
    parameters, mining = shared.spec.ibft.parameters_at(0), shared.config.mining
    limits = ConsensusLimits(
        gossiped_history=parameters.gossiped_history_limit,
        duplicate_messages=parameters.duplicate_message_limit,
        future_messages=parameters.future_messages_limit,
        future_distance=parameters.future_messages_max_distance,
    )
    return Validator(
        BftController(shared.key.address, journal, limits),
        journal=journal,
        records=shared.resources.records,
        signer=shared.key,
        chain=chain.chain,
        block_creator=PoolBlockCreator(
            chain.chain,
            shared.key.address,
            vote_proposer,
            lambda base_fee: chain.pool.candidates(base_fee, time.time()),
            vanity=mining.vanity,
            selection_share=mining.selection_share,
        ),
        network=PeerConsensusNetwork(
            shared.peers, peers.synchronizer, peers.blocks, PeerExpulsion(shared.peer_set.deny)
        ),
        proposal_worker=ThreadWorker(),
        state_worker=shared.state_worker,
        log_worker=shared.log_worker,
        # A key in an HSM may hang. The node's stop must not wait for it.
        signing_worker=ThreadWorker(abandons_on_cancel=True),
        now_ms=lambda: int(time.time() * 1000),
        message_limit=parameters.message_queue_limit,
    )


# -- private transactions --------------------------------------------------------------------------------------------


def _build_private(shared: _Shared, chain: _ChainParts, submission: TransactionSubmission) -> PrivacyService | None:
    settings, manager = shared.config.privacy, shared.resources.manager
    if settings is None or manager is None:
        return None
    public = PublicChain(chain.chain, chain.engine, shared.resources.database, chain.pool, submission)
    return PrivacyService(settings, manager.manager, public, manager.hosted)


# -- the interfaces --------------------------------------------------------------------------------------------------


def client_version(config: NodeConfig, engine_name: str) -> str:
    """Return the name, version, system and runtime of this program, in the pattern of Besu's."""
    identity = f"{config.identity}/" if config.identity else ""
    system = f"{platform.system().lower()}-{platform.machine()}"
    native = "" if engine_name == PYTHON else f"-{engine_name}"
    runtime = f"python-{platform.python_version()}{native}"
    return f"lacnode/{identity}v{__version__}/{system}/{runtime}"


def _build_services(
    shared: _Shared,
    chain: _ChainParts,
    peers: _PeerParts,
    consensus: _ConsensusParts,
    private: PrivacyService | None,
    network: P2pNetwork,
    role: RoleMonitor,
) -> RpcServices:
    config = shared.config
    return RpcServices(
        chain=chain.chain,
        pool=chain.pool,
        submission=peers.submission,
        network=network if config.p2p.enabled else None,
        vote_proposer=consensus.vote_proposer,
        permissions=peers.queries,
        role=lambda: role.view,
        accepts_transactions=shared.duties.accepts_transactions,
        sync_status=lambda: peers.synchronizer.status,
        consensus_status=consensus.status,
        network_id=shared.network_id,
        client_version=client_version(config, chain.engine.name),
        engine_name=chain.engine.name,
        coinbase=shared.key.address,
        settings=config.api,
        event_loop=shared.event_loop,
        blocks=RecentBlocks(chain.chain),
        prices=RecentPrices(chain.chain),
        privacy=None if private is None else private.privacy_controller,
        local_permissions=shared.resources.local_permissions,
        change_log_level=change_log_level,
    )


def _build_readers(shared: _Shared, chain: Blockchain) -> ReaderProcesses | None:
    """Return the processes that answer heavy calls. None if none are wanted, or if only this process can read the
    database."""
    database, api = shared.resources.database, shared.config.api
    # Another process can open the files of LMDB. A database in memory exists in this process alone.
    if not isinstance(database, LmdbDatabase) or api.reader_processes < 1:
        return None
    setup = ReaderSetup(shared.spec, database.directory.absolute(), api, shared.config.evm)
    node_database = NodeDatabase(
        lambda: chain.head.hash, database.flush, database.forget_dead_readers, partial(read_again, database)
    )
    return ReaderProcesses(setup, node_database, api.reader_processes)


def _build_graphql(config: NodeConfig, services: RpcServices, rpc: RpcServers) -> GraphQlServer | None:
    return None if config.graphql is None else GraphQlServer(config.graphql, services, rpc.runner, rpc.trials)


def _build_series(
    shared: _Shared, chain: _ChainParts, peers: _PeerParts, network: P2pNetwork, private: PrivacyService | None
) -> list[MetricSeries]:
    manager = shared.resources.manager
    hosted = None if manager is None else manager.hosted
    return [
        *chain_series(chain.chain, network),
        *engine_series(chain.engine.name, chain.differences),
        *permission_series(chain.permissions, peers.context.read),
        *(() if private is None else privacy_series(private.privacy_controller)),
        *(() if hosted is None else manager_series(hosted.quota)),
    ]


# -- the subscriptions -----------------------------------------------------------------------------------------------


def _subscribe(shared: _Shared, parts: NodeParts) -> None:
    """Every reaction of one part to an event of another. Listeners are called in the order of these lines."""
    events = shared.events
    forward_chain_and_pool(events, shared.event_loop, parts.chain, parts.pool)
    _subscribe_to_head(events, parts)
    _subscribe_to_peers(shared, parts)
    if shared.duties.relays_transactions:
        events.pending_added.subscribe(lambda pooled: parts.gossip.pending_added(pooled.transaction))
    events.pending_added.subscribe(parts.rpc.subscriptions.pending_added)
    events.pending_dropped.subscribe(parts.rpc.subscriptions.pending_dropped)
    events.syncing_changed.subscribe(lambda _: parts.rpc.subscriptions.sync_changed(parts.synchronizer.status))
    events.importing_changed.subscribe(parts.validator.importing_changed)
    events.caught_up.subscribe(lambda _: parts.policy.mark_stale())
    parts.policy.on_change(parts.network.recheck)
    _subscribe_to_threads(shared, parts)


def _subscribe_to_head(events: NodeEvents, parts: NodeParts) -> None:
    # The validator comes before the interfaces: it must not wait until all subscribers are served.
    events.new_head.subscribe(parts.state_change.notify)
    events.new_head.subscribe(lambda _: parts.validator.head_changed())
    events.new_head.subscribe(lambda _: parts.policy.mark_stale())
    events.new_head.subscribe(parts.rpc.subscriptions.block_added)
    private, synchronizer, network = parts.private, parts.synchronizer, parts.network
    if private is not None:
        events.new_head.subscribe(lambda _: private.head_moved())
    events.new_head.subscribe(
        lambda new_head: log_imported_block(new_head, synchronizer.status is not None, len(network.peers))
    )


def _subscribe_to_peers(shared: _Shared, parts: NodeParts) -> None:
    joined, left = shared.events.peer_joined, shared.events.peer_left
    joined.subscribe(lambda peer: parts.known_nodes.met(peer.enode))
    for source in (joined, left):
        source.subscribe(parts.state_change.notify)
        source.subscribe(lambda _: parts.policy.mark_stale())
    if shared.duties.relays_transactions:
        joined.subscribe(parts.gossip.peer_joined)
    joined.subscribe(lambda peer: parts.validator.peer_connected(peer.address))
    joined.subscribe(lambda _: parts.synchronizer.wake())
    left.subscribe(parts.gossip.peer_left)
    left.subscribe(parts.blocks.peer_left)


def _subscribe_to_threads(shared: _Shared, parts: NodeParts) -> None:
    """Reports that come from worker threads reach the event loop by `call_soon`."""
    call_soon, resources = shared.event_loop.call_soon, shared.resources
    if resources.local_permissions.nodes is not None:
        resources.local_permissions.nodes.on_change(lambda: call_soon(parts.policy.mark_stale))
    resources.database.on_damage(lambda error: call_soon(parts.database_repair.damaged, error))
    private, manager = parts.private, resources.manager
    if private is not None and manager is not None and manager.hosted is not None:
        manager.hosted.manager.on_payload_stored(lambda key: call_soon(private.payload_arrived, key))
