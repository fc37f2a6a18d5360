"""The objects that many parts of a node share: the events, the set of peers, the budget of all executions, the threads.

They need no part of the node themselves, so they are made first. Must not open files or ports.
"""

import random
from collections.abc import Callable, Sequence

from lacnode.evm.budget import ExecutionBudget
from lacnode.node.configuration import NodeConfig
from lacnode.node.node_events import HeadAndPeersSignal, NodeEvents
from lacnode.node.node_resources import NodeResources
from lacnode.node.role import DUTIES, RoleDuties
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_set import PeerLimits, PeerSet
from lacnode.workers.event_loop import EventLoop
from lacnode.workers.worker import ThreadWorker


class SharedObjects:
    """The objects that many parts of one node share. `duties` are those of the node's role. `state_change` is a signal
    of a new head or of other peers. `execution` is the budget of the engine: all executions end when the node stops.
    `state_worker` is the one thread that writes state, and `log_worker` the one that writes the consensus log."""

    def __init__(self, config: NodeConfig, resources: NodeResources) -> None:
        self.config = config
        self.resources = resources
        self.spec = resources.spec
        self.key = resources.key
        self.network_id = resources.spec.network_id if config.network_id is None else config.network_id
        self.duties: RoleDuties = DUTIES[config.role]
        self.event_loop = EventLoop()
        self.events = NodeEvents()
        self.state_change = HeadAndPeersSignal()
        self.execution = ExecutionBudget()
        self.peer_set = PeerSet(self.key.public_key, PeerLimits(config.p2p.max_peers, config.p2p.inbound_share))
        self.peers: Callable[[], Sequence[Peer]] = self.peer_set.connected_peers
        self.rng = random.Random()
        # One thread writes state, for consensus and for the synchronizer: an import never meets another.
        self.state_worker = ThreadWorker()
        # One thread writes the consensus log, so that a signature never waits for an execution.
        self.log_worker = ThreadWorker()
