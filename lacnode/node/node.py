"""One node: who knows whom.

Everything that can fail because of a bad file, key or database fails in `open_node`, before a port is opened. The event
loop runs no EVM code and waits for no disk: imports have one worker thread, reads have others.
"""

import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog
import trio

from lacnode import __version__
from lacnode.chain.block_repair import BlockRepair
from lacnode.chain.blockchain import Blockchain, ChainSettings, NewHead
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.ibft import Ibft
from lacnode.consensus.journal import Journal
from lacnode.consensus.message_buffers import MessageLimits as ConsensusLimits
from lacnode.consensus.vote_proposer import VoteProposer
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.signer import KeySigner
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import PYTHON, ExecutionEngine
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.graphql.server import GraphQlServer
from lacnode.metrics.endpoint import MetricsEndpoint
from lacnode.metrics.push import MetricsPush
from lacnode.metrics.series import MetricSeries
from lacnode.node.block_exchange import BlockExchange
from lacnode.node.configuration import NodeConfig
from lacnode.node.consensus_peers import ConsensusPeers
from lacnode.node.database_repair import DatabaseRepair, read_again
from lacnode.node.faults import watch_faults
from lacnode.node.known_nodes import KnownNodes
from lacnode.node.node_metrics import chain_series, manager_series, permission_series, privacy_series
from lacnode.node.opened_manager import OpenedManager
from lacnode.node.permissioning_policy import PermissioningPolicy
from lacnode.node.permissioning_rules import PermissioningRules, PermissionQueries
from lacnode.node.privacy_service import PrivacyService, PublicChain
from lacnode.node.role import DUTIES
from lacnode.node.role_monitor import RoleMonitor
from lacnode.node.signing_wait import SigningWait
from lacnode.p2p.chain_reader import LocalStatus, NoTransactions
from lacnode.p2p.connection_policies import CombinedPolicy, DenyListPolicy
from lacnode.p2p.p2p_network import P2pNetwork, P2pNetworkConfig
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_set import PeerLimits
from lacnode.permissioning.host_names import LOOK_UP_INTERVAL_SECONDS
from lacnode.permissioning.local_allowlists import LocalPermissions, NodeAllowlist
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.readers.reader_messages import ReaderSetup
from lacnode.rpc.readers.reader_processes import NodeDatabase, ReaderProcesses
from lacnode.rpc.server import RpcServers
from lacnode.rpc.services import RpcServices
from lacnode.storage.consensus_log import ConsensusLog, MemoryConsensusLog
from lacnode.storage.database import CheckedDatabase
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.sync.synchronizer import Synchronizer
from lacnode.sync.transaction_gossip import TransactionGossip
from lacnode.txpool.admission import HeadState, TransactionAdmission
from lacnode.txpool.pooled_transaction import PooledTransaction
from lacnode.txpool.transaction_pool import TransactionPool
from lacnode.validator.block_creator import PoolBlockCreator
from lacnode.validator.validator import ConsensusNetwork, Validator
from lacnode.workers.worker import ThreadWorker

log = structlog.get_logger("node")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeResources:
    """What a node stands on, opened and checked. `manager` is None where private transactions are off."""

    spec: ChainSpec
    key: NodeKey
    database: CheckedDatabase
    records: ConsensusLog | MemoryConsensusLog
    manager: OpenedManager | None = None
    local_permissions: LocalPermissions = field(default_factory=LocalPermissions)


class Node:
    """A node that runs in whatever nursery it is given. `started` is when it was made, in Unix seconds."""

    def __init__(self, config: NodeConfig, parts: NodeResources) -> None:
        self.config = config
        self.spec = parts.spec
        self.key = parts.key
        self.network_id = parts.spec.network_id if config.network_id is None else config.network_id
        self.local_permissions = parts.local_permissions
        self._parts = parts
        self._execution = ExecutionBudget()
        engine = make_engine(parts.spec, DatabaseNodeStore(parts.database), self._execution, config.evm)
        self.engine_name = engine.name
        self.permissions = PermissioningRules(
            config.permissioning,
            ChainContracts(parts.spec, engine, lambda number: self.chain.hash_at(number)),
            own_id=parts.key.public_key,
            bootnodes=config.p2p.bootnodes,
            static_nodes=config.p2p.static_nodes,
            local_accounts=self.local_permissions.accounts,
            local_nodes=self.local_permissions.nodes,
            schedule=parts.spec.permissioning,
        )
        settings = ChainSettings(
            gas_limit_target=config.mining.gas_limit_target,
            min_occupancy_ratio=config.mining.min_occupancy_ratio,
            keep_revert_reasons=config.keep_revert_reasons,
        )
        self.chain = Blockchain(
            parts.spec, parts.database, engine, settings=settings, permissions=self.permissions.accounts
        )
        admission = TransactionAdmission(parts.spec, config.pool, self._head_state, self.permissions.accounts)
        self.pool = TransactionPool(config.pool, admission, self._head_state)
        self.private = self._make_private(engine)
        self.duties = DUTIES[config.role]
        self._role = RoleMonitor(config.role, self.key.address, self.chain, self.permissions)
        self.vote_proposer = VoteProposer()
        self._state_worker = ThreadWorker()
        self._rng = random.Random()
        self._faults = DenyListPolicy("cut off on request")
        self._known_nodes = KnownNodes(parts.database)
        self._policy = PermissioningPolicy(
            self.permissions,
            own=lambda: self.network.local_enode,
            context=self._permissioning_context,
            changed=lambda: self.network.recheck(),
        )
        self.network = self._make_network()
        self.synchronizer = Synchronizer(
            self.chain,
            lambda: self.network.peers,
            worker=self._state_worker,
            check_worker=ThreadWorker(),
            on_syncing=lambda _: self.rpc.subscriptions.sync_changed(self.synchronizer.status),
            on_importing=lambda importing: self.validator.importing_changed(importing),
            on_caught_up=self._policy.mark_stale,
        )
        self._blocks = BlockExchange(
            self.chain, lambda: self.network.peers, self.synchronizer, parts.spec.genesis.difficulty
        )
        self._consensus_peers = ConsensusPeers(
            lambda: self.network.peers,
            receive=lambda code, data, sender: self.validator.message_received(code, data, sender),
            is_validator=lambda address: self.duties.runs_validator and self.validator.is_validator(address),
            deny=lambda id_, reason, seconds: self.network.peer_set.deny(id_, reason, seconds),
        )
        self.gossip = TransactionGossip(
            lambda: self.network.peers,
            admit=self._admit,
            known=self.pool.knows,
            pooled=lambda: [pooled.transaction for pooled in self.pool.all()],
            rng=self._rng,
            max_bytes=config.pool.max_transaction_bytes,
        )
        self._database_repair = DatabaseRepair(
            BlockRepair(self.chain, parts.database), lambda: self.network.peers, self._state_worker
        )
        self._log_worker = ThreadWorker()
        journal = Journal.restore(parts.records.records())
        self.validator = self._make_validator(journal)
        self._start_of_signing = SigningWait(
            self.chain,
            lambda: self.network.peers,
            self.key.address,
            lambda: self._state_changed,
            journal,
            lambda record: self._log_worker.run(lambda: parts.records.append(record)),
        )
        services = self._services()
        self.rpc = RpcServers(config.http, config.websocket, services, self._make_readers(parts.database))
        self.graphql = (
            None
            if config.graphql is None
            else GraphQlServer(config.graphql, services, self.rpc.runner, self.rpc.trials)
        )
        self.metrics = None if config.metrics is None else MetricsEndpoint(config.metrics, self._series())
        self._metrics_push = None if config.metrics_push is None else MetricsPush(config.metrics_push, self._series())

    # -- putting it together -----------------------------------------------------------------------------------------

    @property
    def client_version(self) -> str:
        """Name, version, system and runtime, in the pattern of Besu's."""
        identity = f"{self.config.identity}/" if self.config.identity else ""
        system = f"{platform.system().lower()}-{platform.machine()}"
        native = "" if self.engine_name == PYTHON else f"-{self.engine_name}"
        runtime = f"python-{platform.python_version()}{native}"
        return f"lacnode/{identity}v{__version__}/{system}/{runtime}"

    def _make_network(self) -> P2pNetwork:
        p2p = self.config.p2p
        permissioned = [self._policy] if self.permissions.nodes.are_enabled else []
        return P2pNetwork(
            P2pNetworkConfig(
                client_id=self.client_version,
                host=p2p.host,
                interface=p2p.interface,
                port=p2p.port,
                peer_limits=PeerLimits(p2p.max_peers, p2p.inbound_share),
                bootnodes=p2p.bootnodes if p2p.discovery else (),
                static_nodes=p2p.static_nodes,
                known_nodes=self._known_nodes.enodes,
                discovery=p2p.discovery,
                dial_discovered=self.duties.dials_discovered,
                max_transaction_bytes=self.config.pool.max_transaction_bytes,
            ),
            self.key,
            status=self.local_status,
            chain=self.chain,
            pool=self.pool if self.duties.relays_transactions else NoTransactions(),
            handler=self,
            policy=CombinedPolicy(
                [DenyListPolicy("banned by --banned-node-ids", p2p.banned_ids), self._faults, *permissioned]
            ),
            rng=self._rng,
        )

    def _make_private(self, engine: ExecutionEngine) -> PrivacyService | None:
        settings, manager = self.config.privacy, self._parts.manager
        if settings is None or manager is None:
            return None
        public = PublicChain(self.chain, engine, self._parts.database, self.pool)
        return PrivacyService(settings, manager.manager, public, manager.hosted)

    def _make_validator(self, journal: Journal) -> Validator:
        parameters = self.spec.ibft.at(0)
        limits = ConsensusLimits(
            gossiped_history=parameters.gossiped_history_limit,
            duplicate_messages=parameters.duplicate_message_limit,
            future_messages=parameters.future_messages_limit,
            future_distance=parameters.future_messages_max_distance,
        )
        return Validator(
            Ibft(self.key.address, journal, limits),
            journal=journal,
            records=self._parts.records,
            signer=KeySigner(self.key),
            chain=self.chain,
            maker=PoolBlockCreator(
                self.chain,
                self.key.address,
                self.vote_proposer,
                lambda base_fee: self.pool.candidates(base_fee, time.time()),
                vanity=self.config.mining.vanity,
                selection_share=self.config.mining.selection_share,
            ),
            outside=ConsensusNetwork(
                self._blocks.send_consensus,
                self._blocks.peer_is_ahead,
                self._blocks.announce,
                self._consensus_peers.blame,
            ),
            proposal_worker=ThreadWorker(),
            state_worker=self._state_worker,
            log_worker=self._log_worker,
            signing_worker=ThreadWorker(abandons_on_cancel=True),
            now_ms=lambda: int(time.time() * 1000),
            message_limit=parameters.message_queue_limit,
        )

    def _series(self) -> list[MetricSeries]:
        hosted = None if self._parts.manager is None else self._parts.manager.hosted
        return [
            *chain_series(self.chain, self.network),
            *permission_series(self.permissions, self._permissioning_context),
            *(() if self.private is None else privacy_series(self.private.privacy_controller)),
            *(() if hosted is None else manager_series(hosted.quota)),
        ]

    def _make_readers(self, database: CheckedDatabase) -> ReaderProcesses | None:
        """Processes that answer heavy calls; None where no other process can read the database, or none is wanted."""
        if not isinstance(database, LmdbDatabase) or self.config.api.reader_processes < 1:
            return None
        setup = ReaderSetup(self.spec, database.directory.absolute(), self.config.api, self.config.evm)
        around = NodeDatabase(
            lambda: self.chain.head.hash,
            database.flush,
            database.forget_dead_readers,
            partial(read_again, database),
        )
        return ReaderProcesses(setup, around, self.config.api.reader_processes)

    def _services(self) -> RpcServices:
        return RpcServices(
            chain=self.chain,
            pool=self.pool,
            network=self.network if self.config.p2p.enabled else None,
            vote_proposer=self.vote_proposer,
            permissions=PermissionQueries(self.permissions, self._permissioning_context, self.chain.simulate),
            role=lambda: self._role.view,
            accepts_transactions=self.duties.accepts_transactions,
            sync_status=lambda: self.synchronizer.status,
            consensus_status=lambda: (
                self.validator.machine.status if self._start_of_signing.is_over else self._start_of_signing.status
            ),
            network_id=self.network_id,
            client_version=self.client_version,
            engine_name=self.engine_name,
            coinbase=self.key.address,
            settings=self.config.api,
            privacy=None if self.private is None else self.private.privacy_controller,
            local_permissions=self.local_permissions,
        )

    # -- running -----------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. Started means that every port is open."""
        self._token = trio.lowlevel.current_trio_token()
        self._state_changed = trio.Event()
        head = self.chain.head.header
        for trouble in await trio.to_thread.run_sync(self.permissions.find_contract_errors, head):
            log.error(trouble)
        local_nodes = self.local_permissions.nodes
        if local_nodes is not None:
            local_nodes.on_change(lambda: self._on_loop(lambda _: self._policy.mark_stale(), None))
        self._parts.database.on_damage(lambda error: self._on_loop(self._database_repair.damaged, error))
        self.chain.on_head(self._head_in_thread)
        self.pool.on_added(self._added_in_thread)
        self.pool.on_dropped(self._dropped_in_thread)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_execution_on_exit)
            if self.config.p2p.enabled:
                await nursery.start(self.network.run)
            await nursery.start(self.rpc.run)
            if self.graphql is not None:
                await nursery.start(self.graphql.run)
            if self.metrics is not None:
                await nursery.start(self.metrics.run)
            if self._metrics_push is not None:
                nursery.start_soon(self._metrics_push.run)
            nursery.start_soon(self.synchronizer.run)
            nursery.start_soon(self._policy.run)
            nursery.start_soon(self._role.run, lambda: self._state_changed)
            nursery.start_soon(self._run_validator)
            nursery.start_soon(self.gossip.run)
            nursery.start_soon(self._blocks.run)
            nursery.start_soon(self._expire_pool)
            nursery.start_soon(self._known_nodes.run)
            nursery.start_soon(self._database_repair.run)
            if local_nodes is not None and local_nodes.refreshes_addresses:
                nursery.start_soon(self._refresh_host_names, local_nodes)
            if self.private is not None:
                await self._start_manager(nursery, self.private)
                nursery.start_soon(self.private.run, self.rpc.subscriptions.private_block_added)
                nursery.start_soon(self.private.compare)
            if self.config.faults_file is not None:
                nursery.start_soon(watch_faults, self.config.faults_file, self._faults, self.network.recheck)
            task_status.started()

    async def _cancel_execution_on_exit(self) -> None:
        """A cancelled task waits for its thread, and a block may take minutes: the threads have to be told."""
        try:
            await trio.sleep_forever()
        finally:
            self._execution.cancel()

    async def _start_manager(self, nursery: trio.Nursery, private: PrivacyService) -> None:
        """A manager in this process opens its port to its peers, and tells of payloads as they come."""
        hosted = None if self._parts.manager is None else self._parts.manager.hosted
        if hosted is not None:
            hosted.manager.on_payload_stored(lambda key: self._on_loop(private.payload_arrived, key))
            await nursery.start(hosted.run)

    async def wait_for_block(self, number: int) -> None:
        """Return once the chain has block `number`; call while the node runs."""
        while self.chain.head.header.number < number:
            await self._state_changed.wait()

    def close(self) -> None:
        """Let go of the files; call after `run` has ended."""
        self._parts.records.close()
        self._parts.database.close()
        if self._parts.manager is not None and self._parts.manager.hosted is not None:
            self._parts.manager.hosted.close()

    async def _run_validator(self) -> None:
        """Be a validator."""
        if self.duties.runs_validator:
            await self._start_of_signing.wait()
            await self.validator.run()

    def _wake_waiting_tasks(self) -> None:
        """A peer has joined or left, or the head has moved: wake those who wait for it."""
        self._state_changed.set()
        self._state_changed = trio.Event()

    async def _expire_pool(self) -> None:
        while True:
            await trio.sleep(60)
            await trio.to_thread.run_sync(self.pool.expire, time.time())

    async def _refresh_host_names(self, local_nodes: NodeAllowlist) -> None:
        """Follow the host names of the local list to their new addresses."""
        while True:
            await trio.sleep(LOOK_UP_INTERVAL_SECONDS)
            await trio.to_thread.run_sync(local_nodes.refresh_addresses, abandon_on_cancel=True)

    # -- what the chain and the pool say, from their threads ---------------------------------------------------------

    def _head_in_thread(self, new_head: NewHead) -> None:
        senders = [outcome.sender for outcome in new_head.receipt_records]
        self.pool.block_imported(new_head.block.transactions, senders)
        self._on_loop(self._new_head, new_head)

    def _new_head(self, new_head: NewHead) -> None:
        self._wake_waiting_tasks()
        self.validator.head_changed()
        self._policy.mark_stale()
        self.rpc.subscriptions.block_added(new_head)
        if self.private is not None:
            self.private.head_moved()
        header = new_head.header
        share = 100 * header.gas_used / header.gas_limit
        level = log.debug if self.synchronizer.status is not None else log.info
        level(
            f"Imported #{header.number:,} / {len(new_head.block.transactions)} tx / 0 om / {header.gas_used:,} "
            f"({share:.1f}%) gas / (0x{new_head.hash.hex()}). Peers: {len(self.network.peers)}"
        )

    def _added_in_thread(self, pooled: PooledTransaction) -> None:
        self._on_loop(self._pending_added, pooled)

    def _pending_added(self, pooled: PooledTransaction) -> None:
        if self.duties.relays_transactions:
            self.gossip.pending_added(pooled.transaction)
        self.rpc.subscriptions.pending_added(pooled)

    def _dropped_in_thread(self, pooled: PooledTransaction) -> None:
        self._on_loop(self.rpc.subscriptions.pending_dropped, pooled)

    def _on_loop(self, work: Callable[[T], None], value: T) -> None:
        try:
            self._token.run_sync_soon(work, value)
        except trio.RunFinishedError:
            log.debug("the node has stopped; nobody to tell")

    def _admit(self, transactions: Sequence[Transaction]) -> None:
        """Offer remote transactions to the pool; what it refuses is forgotten in silence, as Besu does."""
        now = time.time()
        for transaction in transactions:
            try:
                self.pool.add(transaction, local=False, now=now)
            except TransactionRejectedError as rejected:
                log.debug("gossiped transaction refused", hash=transaction.hash.hex(), reason=rejected.reason.name)

    # -- what the network says ---------------------------------------------------------------------------------------

    def peer_joined(self, peer: Peer) -> None:
        """A session has begun."""
        self._known_nodes.met(peer.enode)
        self._wake_waiting_tasks()
        self._policy.mark_stale()
        if self.duties.relays_transactions:
            self.gossip.peer_joined(peer)
        self.validator.peer_connected(peer.address)
        self.synchronizer.wake()

    def peer_left(self, peer: Peer, reason: str) -> None:
        """A session has ended."""
        self._wake_waiting_tasks()
        self._policy.mark_stale()
        self.gossip.peer_left(peer)
        self._blocks.peer_left(peer)
        log.debug("peer left", peer=peer.enode_text, reason=reason)

    def hears_consensus(self, peer: Peer) -> bool:
        """Whether the validator reads messages of this peer."""
        return self._consensus_peers.hears(peer)

    def consensus_received(self, peer: Peer, code: int, data: bytes) -> None:
        """A message for the validator."""
        self._consensus_peers.received(peer, code, data)

    def block_received(self, peer: Peer, block: Block) -> None:
        """A block was announced whole."""
        self._blocks.block_received(peer, block)

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Blocks were announced by hash."""
        self._blocks.block_hashes_received(peer, blocks)

    def transactions_received(self, peer: Peer, transactions: Sequence[Transaction]) -> None:
        """Transactions were sent whole."""
        if self.duties.relays_transactions:
            self.gossip.received(peer, transactions)

    def transaction_hashes_received(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int]) -> None:
        """Transactions were announced by hash, and by length from eth/68 on."""
        if self.duties.relays_transactions:
            self.gossip.hashes_received(peer, hashes, sizes)

    def _permissioning_context(self) -> PermissioningContext:
        """What the rules about connections look at."""
        header = self.chain.head.header
        validators = self.chain.validators_after(header)
        peers = self.network.peers
        return PermissioningContext(
            header=header,
            validators=validators,
            is_current=self.synchronizer.has_caught_up or self.key.address in validators,
            is_isolated=self.permissions.nodes.are_bootnodes(peer.id for peer in peers),
        )

    # -- what consensus and sync want --------------------------------------------------------------------------------

    def _head_state(self) -> HeadState:
        header = self.chain.head.header
        return HeadState(header, self.chain.state_at(header))

    def local_status(self) -> LocalStatus:
        """What this node says of its chain to its peers."""
        head = self.chain.head
        number, timestamp = head.header.number, head.header.timestamp
        genesis_hash = self.chain.genesis_hash
        return LocalStatus(
            network_id=self.network_id,
            genesis_hash=genesis_hash,
            genesis_difficulty=self.spec.genesis.difficulty,
            head_hash=head.hash,
            head_number=number,
            total_difficulty=head.total_difficulty,
            fork_id=self.spec.forks.fork_id_at(genesis_hash, number, timestamp),
            accepts=lambda theirs: self.spec.forks.accepts(genesis_hash, number, timestamp, theirs),
        )
