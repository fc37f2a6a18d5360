"""A node that has been built: running it and closing it.

`node.assembly.build_node` builds the parts. The event loop runs no EVM code and waits for no disk: imports have one worker
thread, and reads have others.
"""

import time
from dataclasses import dataclass

import structlog
import trio

from lacnode.ethstats.ethstats_client import EthstatsClient
from lacnode.graphql.server import GraphQlServer
from lacnode.metrics.endpoint import MetricsEndpoint
from lacnode.metrics.push import MetricsPush
from lacnode.node.chain_assembly import ChainParts
from lacnode.node.configuration import NodeConfig
from lacnode.node.consensus_assembly import ConsensusParts
from lacnode.node.database_repair import DatabaseRepair
from lacnode.node.faults import follow_faults_file
from lacnode.node.known_nodes import KnownNodes
from lacnode.node.node_resources import NodeResources
from lacnode.node.peer_assembly import PeerParts
from lacnode.node.privacy_service import PrivacyService
from lacnode.node.role_monitor import RoleMonitor
from lacnode.node.shared_objects import SharedObjects
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.connection_policies import DenyListPolicy
from lacnode.p2p.p2p_network import P2pNetwork
from lacnode.permissioning.host_names import LOOK_UP_INTERVAL_SECONDS
from lacnode.permissioning.local_allowlists import NodeAllowlist
from lacnode.rpc.server import RpcServers

log = structlog.get_logger("node")

POOL_EXPIRY_INTERVAL_SECONDS = 60.0
"""Seconds between two searches for transactions that have been in the pool for too long."""


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The parts that a node runs. `private`, `graphql`, `metrics`, `metrics_push` and `ethstats` are None if
    they are off."""

    shared: SharedObjects
    chain: ChainParts
    peers: PeerParts
    consensus: ConsensusParts
    network: P2pNetwork
    faults: DenyListPolicy
    known_nodes: KnownNodes
    database_repair: DatabaseRepair
    role: RoleMonitor
    rpc: RpcServers
    private: PrivacyService | None
    graphql: GraphQlServer | None
    metrics: MetricsEndpoint | None
    metrics_push: MetricsPush | None
    ethstats: EthstatsClient | None


class Node:
    """A node that has been built. `run` runs it in the nursery of the caller, and `close` closes its files. One process
    may hold several nodes."""

    def __init__(self, config: NodeConfig, resources: NodeResources, parts: NodeParts) -> None:
        self.config = config
        self.resources = resources
        self.spec = resources.spec
        self.key = resources.key
        self.network_id = parts.shared.network_id
        self.engine_name = parts.chain.engine.name
        self.local_permissions = resources.local_permissions
        self.chain = parts.chain.chain
        self.pool = parts.chain.pool
        self.synchronizer = parts.peers.synchronizer
        self.validator = parts.consensus.validator
        self.network = parts.network
        self.rpc = parts.rpc
        self.graphql = parts.graphql
        self.metrics = parts.metrics
        self._parts = parts

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. The node has started when every port is open.

        Raises P2pPortUnavailableError or PortUnavailableError if a port is taken, and StorageError if the disk is full
        or fails. Each comes in an exception group.
        """
        parts = self._parts
        # First: worker threads report by it, and the parts below begin to work in threads.
        parts.shared.event_loop.attach()
        head = self.chain.head.header
        # Before the ports are open, so that the operator reads it near the start. It does not stop the node: the
        # contract may be mended by a block that this node has not seen.
        for trouble in await trio.to_thread.run_sync(parts.chain.permissions.find_contract_errors, head):
            log.error(trouble)
        async with trio.open_nursery() as nursery:
            # This task comes first. A part that fails to start ends the nursery, and executions must end with it.
            nursery.start_soon(self._cancel_execution_on_exit)
            # Ports come before tasks. A port that is taken ends the start before anything was signed or imported.
            await self._open_ports(nursery)
            self._start_tasks(nursery)
            # Private transactions come last. The public chain does not wait for them.
            if parts.private is not None:
                await self._start_private(nursery, parts.private)
            task_status.started()

    async def _open_ports(self, nursery: trio.Nursery) -> None:
        parts = self._parts
        if self.config.p2p.enabled:
            await nursery.start(parts.network.run)
        await nursery.start(parts.rpc.run)
        if parts.graphql is not None:
            await nursery.start(parts.graphql.run)
        if parts.metrics is not None:
            await nursery.start(parts.metrics.run)

    def _start_tasks(self, nursery: trio.Nursery) -> None:
        parts = self._parts
        if parts.metrics_push is not None:
            nursery.start_soon(parts.metrics_push.run)
        if parts.ethstats is not None:
            nursery.start_soon(parts.ethstats.run)
        nursery.start_soon(parts.peers.synchronizer.run)
        nursery.start_soon(parts.peers.policy.run)
        nursery.start_soon(parts.role.run, parts.shared.state_change)
        if parts.shared.duties.runs_validator:
            nursery.start_soon(self._run_validator)
        nursery.start_soon(parts.peers.gossip.run)
        nursery.start_soon(parts.peers.blocks.run)
        nursery.start_soon(self._expire_pool)
        nursery.start_soon(parts.known_nodes.run)
        nursery.start_soon(parts.database_repair.run)
        local_nodes = self.local_permissions.nodes
        if local_nodes is not None and local_nodes.refreshes_addresses:
            nursery.start_soon(_refresh_host_names, local_nodes)
        if self.config.faults_file is not None:
            nursery.start_soon(
                follow_faults_file, self.config.faults_file, parts.faults, parts.network.recheck_connections
            )

    async def _start_private(self, nursery: trio.Nursery, private: PrivacyService) -> None:
        """Start private transactions. A manager in this process opens its port for other managers."""
        manager = self.resources.manager
        if manager is not None and manager.hosted is not None:
            await nursery.start(manager.hosted.run)
        nursery.start_soon(private.run, self.rpc.subscriptions.private_block_added)
        nursery.start_soon(private.compare_state_roots)

    async def _cancel_execution_on_exit(self) -> None:
        """End executions when the node stops. A cancelled task waits for its thread, and a block may take minutes."""
        try:
            await trio.sleep_forever()
        finally:
            self._parts.shared.execution.cancel()

    async def _run_validator(self) -> None:
        # The validator does not run before this: it must first know that it contradicts no earlier signature.
        await self._parts.consensus.signing_wait.wait()
        await self.validator.run()

    async def _expire_pool(self) -> None:
        while True:
            await trio.sleep(POOL_EXPIRY_INTERVAL_SECONDS)
            await trio.to_thread.run_sync(self.pool.expire, time.time())

    def local_status(self) -> LocalStatus:
        """The Status that this node sends to its peers."""
        return self.network.own_status()

    async def wait_for_block(self, number: int) -> None:
        """Return once the chain has block `number`. Call while the node runs. It has no deadline."""
        while self.chain.head.header.number < number:
            await self._parts.shared.state_change.next_event().wait()

    def close(self) -> None:
        """Close the files. Call after `run` has ended."""
        self.resources.close()


async def _refresh_host_names(local_nodes: NodeAllowlist) -> None:
    """Follow the host names of the local list to their new addresses."""
    while True:
        await trio.sleep(LOOK_UP_INTERVAL_SECONDS)
        await trio.to_thread.run_sync(local_nodes.refresh_addresses, abandon_on_cancel=True)
