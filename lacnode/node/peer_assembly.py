"""Builds the parts that work with peers: synchronisation, permissioning of connections, gossip, and the network itself.

Must not open a port: the network does when it runs.
"""

from dataclasses import dataclass
from functools import partial

import structlog

from lacnode.node.block_exchange import BlockExchange
from lacnode.node.chain_assembly import ChainParts
from lacnode.node.chain_views import PermissioningContextReader, read_local_status
from lacnode.node.client_version import client_version
from lacnode.node.consensus_message_filter import ConsensusMessageFilter
from lacnode.node.known_nodes import KnownNodes
from lacnode.node.network_handler import NodeNetworkHandler
from lacnode.node.peer_expulsion import PeerExpulsion
from lacnode.node.permissioning_policy import PermissioningPolicy
from lacnode.node.permissioning_rules import PermissionQueries
from lacnode.node.shared_objects import SharedObjects
from lacnode.p2p.chain_reader import NoTransactions
from lacnode.p2p.connection_policies import CombinedPolicy, DenyListPolicy
from lacnode.p2p.p2p_network import P2pNetwork, P2pNetworkConfig
from lacnode.p2p.supported_capabilities import supported_capabilities
from lacnode.sync.synchronizer import Synchronizer
from lacnode.sync.transaction_gossip import TransactionGossip
from lacnode.txpool.pool_counters import PoolCounters
from lacnode.txpool.transaction_submission import SubmittedTransaction, TransactionSource, TransactionSubmission
from lacnode.validator.validator import Validator
from lacnode.workers.worker import ThreadWorker

log = structlog.get_logger("node")


@dataclass(frozen=True, slots=True)
class PeerParts:
    """The parts that work with peers, without the network itself.

    `context` reads the state that permissioning rules look at. `queries` answers RPC methods about permissions. `blocks`
    announces and receives blocks, and `gossip` transactions.
    """

    synchronizer: Synchronizer
    context: PermissioningContextReader
    queries: PermissionQueries
    policy: PermissioningPolicy
    submission: TransactionSubmission
    blocks: BlockExchange
    gossip: TransactionGossip


def build_peer_parts(shared: SharedObjects, chain: ChainParts) -> PeerParts:
    """Return the parts that work with peers. They read the peers from `shared`, so they need no network."""
    events = shared.events
    synchronizer = Synchronizer(
        chain.chain,
        shared.peers,
        worker=shared.state_worker,
        # A thread of its own: checking headers must not wait for an import in the thread that writes state.
        check_worker=ThreadWorker(),
        on_syncing=events.syncing_changed.publish,
        on_importing=events.hold_back_heads.publish,
        on_caught_up=partial(events.caught_up.publish, None),
    )
    context = PermissioningContextReader(chain.chain, shared.peers, synchronizer, chain.permissions, shared.key.address)
    queries = PermissionQueries(chain.permissions, context.read, chain.chain.simulate)
    submission = TransactionSubmission(chain.pool, queries.explain_transaction)
    submission.on_submitted(_log_rejected_gossip)
    submission.on_submitted(partial(_count_rejected, chain.pool.counters))
    return PeerParts(
        synchronizer=synchronizer,
        context=context,
        queries=queries,
        policy=PermissioningPolicy(chain.permissions, context.read),
        submission=submission,
        blocks=BlockExchange(chain.chain, shared.peers, synchronizer, shared.spec.genesis.difficulty),
        gossip=TransactionGossip(
            shared.peers,
            admit=submission.submit_gossip,
            known=chain.pool.is_pooled_or_refused,
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


def _count_rejected(counters: PoolCounters, submitted: SubmittedTransaction) -> None:
    if submitted.rejection is not None:
        counters.count_rejected(submitted.source.is_local, submitted.rejection.reason)


def build_network(
    shared: SharedObjects,
    chain: ChainParts,
    peers: PeerParts,
    validator: Validator,
    faults: DenyListPolicy,
    known_nodes: KnownNodes,
) -> P2pNetwork:
    """Return the network. It passes consensus messages to `validator`, and refuses the nodes that `faults` lists."""
    p2p, duties = shared.config.p2p, shared.duties
    # A node without rules asks no policy, so that no connection waits for a look-up.
    permissioned = [peers.policy] if chain.permissions.nodes.are_enabled else []
    consensus_filter = ConsensusMessageFilter(
        receive=validator.message_received,
        # A node that does not run its validator reads no consensus messages, although its key may be in the validator
        # set.
        is_validator=lambda address: duties.runs_validator and validator.is_validator(address),
        expulsion=PeerExpulsion(shared.peer_set.deny),
    )
    return P2pNetwork(
        P2pNetworkConfig(
            client_id=client_version(shared.config, chain.engine.name),
            capabilities=supported_capabilities(chain.chain.protocols),
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
            shared.events, peers.blocks, consensus_filter, peers.gossip if duties.relays_transactions else None
        ),
        policy=CombinedPolicy([DenyListPolicy("banned by --banned-node-ids", p2p.banned_ids), faults, *permissioned]),
        peer_set=shared.peer_set,
        rng=shared.rng,
    )
