"""The parts that all sessions of one node share. A session knows these, and not the network that owns it."""

from typing import Protocol

from lacnode.crypto.node_identity import NodeIdentity
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.connection_policies import Connection, ConnectionPolicy
from lacnode.p2p.eth_server import EthServer
from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.network_counters import NetworkCounters
from lacnode.p2p.peer_set import PeerSet
from lacnode.p2p.peer_shares import PeerShares
from lacnode.p2p.rlpx import ConnectionTimeouts
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.p2p_messages import Hello


class SessionContext(Protocol):
    """The network, seen from a session. `max_transaction_bytes` is the length up to which this node accepts transactions."""

    key: NodeIdentity
    limits: ConnectionTimeouts
    policy: ConnectionPolicy
    peer_set: PeerSet
    handler: NetworkHandler
    server: EthServer
    shares: PeerShares
    counters: NetworkCounters
    max_transaction_bytes: int

    def own_hello(self) -> Hello:
        """Return the Hello of this node to send, with its real port once it listens."""

    def own_status(self) -> LocalStatus:
        """Return this node's Status at this moment."""

    def connection_for_policy(self, remote: Enode, is_inbound: bool) -> Connection:
        """Return the connection with the node `remote`, as the connection policy sees it."""

    def dial_when_permitted(self, enode: Enode) -> None:
        """Remember the node `enode`, which the connection policy refuses, and dial it once the policy allows it.
        Nothing for a node that does not listen, or if this node dials only the nodes of its configuration."""
