"""Every reaction of one part of a node to an event of another part.

A listener runs on the event loop, returns at once and does not raise. Must not build a part.
"""

from lacnode.node.imported_block_log import log_imported_block
from lacnode.node.node import NodeParts
from lacnode.node.node_events import NodeEvents, forward_chain_and_pool


def subscribe_parts(parts: NodeParts) -> None:
    """Subscribe every part to the events that it reacts to. The listeners of an event are called in the order in which
    this module subscribes them."""
    shared, events = parts.shared, parts.shared.events
    forward_chain_and_pool(events, shared.event_loop, parts.chain.chain, parts.chain.pool)
    _subscribe_to_head(events, parts)
    _subscribe_to_peers(parts)
    if shared.duties.relays_transactions:
        gossip = parts.peers.gossip
        events.pending_added.subscribe(lambda pooled: gossip.pending_added(pooled.transaction, is_local=pooled.local))
    events.pending_added.subscribe(parts.rpc.subscriptions.pending_added)
    events.pending_dropped.subscribe(parts.rpc.subscriptions.pending_dropped)
    events.syncing_changed.subscribe(lambda _: parts.rpc.subscriptions.sync_changed(parts.peers.synchronizer.status))
    events.hold_back_heads.subscribe(parts.consensus.validator.hold_back_heads)
    events.caught_up.subscribe(lambda _: parts.peers.policy.mark_stale())
    parts.peers.policy.on_change(parts.network.recheck_connections)
    _subscribe_to_threads(parts)


def _subscribe_to_head(events: NodeEvents, parts: NodeParts) -> None:
    # The validator comes before the interfaces: it must not wait until all subscribers are served.
    events.new_head.subscribe(parts.shared.state_change.notify)
    events.new_head.subscribe(lambda _: parts.consensus.validator.head_changed())
    events.new_head.subscribe(lambda _: parts.peers.policy.mark_stale())
    events.new_head.subscribe(parts.rpc.subscriptions.block_added)
    private, synchronizer, network = parts.private, parts.peers.synchronizer, parts.network
    if private is not None:
        events.new_head.subscribe(lambda _: private.head_moved())
    events.new_head.subscribe(
        lambda new_head: log_imported_block(new_head, synchronizer.status is not None, len(network.peers))
    )


def _subscribe_to_peers(parts: NodeParts) -> None:
    joined, left = parts.shared.events.peer_joined, parts.shared.events.peer_left
    joined.subscribe(lambda peer: parts.known_nodes.record_session(peer.enode))
    for source in (joined, left):
        source.subscribe(parts.shared.state_change.notify)
        source.subscribe(lambda _: parts.peers.policy.mark_stale())
    joined.subscribe(parts.peers.gossip.peer_joined)
    if parts.shared.duties.relays_transactions:
        joined.subscribe(parts.peers.gossip.announce_pool)
    joined.subscribe(lambda peer: parts.consensus.validator.peer_connected(peer.address))
    joined.subscribe(lambda _: parts.peers.synchronizer.wake())
    left.subscribe(parts.peers.gossip.peer_left)
    left.subscribe(parts.peers.blocks.peer_left)


def _subscribe_to_threads(parts: NodeParts) -> None:
    """Reports that come from worker threads reach the event loop by `call_soon`."""
    call_soon, resources = parts.shared.event_loop.call_soon, parts.shared.resources
    if resources.local_permissions.nodes is not None:
        resources.local_permissions.nodes.on_change(lambda: call_soon(parts.peers.policy.mark_stale))
    resources.database.on_damage(lambda error: call_soon(parts.database_repair.report_damage, error))
    private, manager = parts.private, resources.manager
    if private is not None and manager is not None and manager.hosted is not None:
        manager.hosted.manager.intake.on_payload_stored(lambda key: call_soon(private.payload_arrived, key))
