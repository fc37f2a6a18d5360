"""What the sessions of one node share, so that none of them needs to know the network they belong to."""

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
    """The network, seen from a session. `workers` are the threads for serving peers and opening large messages. `reading`
    and `serving` say how much of that each peer may cause, `unasked` what their long messages hold."""

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
