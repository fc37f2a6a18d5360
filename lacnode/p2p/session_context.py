"""The parts that all sessions of one node share. A session knows these, and not the network that owns it."""

from typing import Protocol

import trio

from lacnode.crypto.node_identity import NodeIdentity
from lacnode.fair_share import FairShare
from lacnode.p2p.accepted_messages import UnaskedBytes
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.connection_policies import Connection, ConnectionPolicy
from lacnode.p2p.eth_server import EthServer
from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.peer_set import PeerSet
from lacnode.p2p.rlpx import ConnectionTimeouts
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.p2p_messages import Hello


class SessionContext(Protocol):
    """The network, seen from a session.

    `workers` limits the threads that serve peers and decode large messages. `reading` and `serving` are the peers' shares
    of the processor. `unasked` counts the bytes of long messages that this node did not ask for.
    """

    key: NodeIdentity
    limits: ConnectionTimeouts
    policy: ConnectionPolicy
    peer_set: PeerSet
    handler: NetworkHandler
    server: EthServer
    workers: trio.CapacityLimiter
    reading: FairShare
    serving: FairShare
    unasked: UnaskedBytes
    max_transaction_bytes: int

    def hello(self) -> Hello: ...
    def status(self) -> LocalStatus: ...
    def connection(self, remote: Enode, is_inbound: bool) -> Connection: ...
    def turned_away(self, enode: Enode) -> None: ...
