"""The ports of the networks on this machine: a hundred numbers for each network, so that two networks never share one.

The first network has the well-known ports (p2p from 30303, RPC from 8545). The ports of the next one are a hundred higher,
and so on. All are below the range from which the system chooses ports for outgoing connections: a node that is down for a
while finds its port free when it returns.
"""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

FIRST_P2P_PORT, FIRST_RPC_PORT, FIRST_PRIVACY_PORT = 30303, 8545, 19_000
PORTS_PER_NETWORK = 100
LAST_OFFSET = 2400
"""The last offset that `claim_port_offset` gives out."""

HIGHEST_OFFSET = 35_000
"""The highest offset with which every port is a valid port number."""

MAX_DEVNET_NODES = 49
"""With one more, the last node of a network would have a port of the next network."""


class NoFreePortsError(Exception):
    """The ports of every offset are in use."""


class NodePorts(NamedTuple):
    """The ports of one node: p2p on TCP and UDP, the others on TCP. `privacy` is the port of its transaction manager."""

    p2p: int
    rpc: int
    ws: int
    privacy: int

    def are_free(self) -> bool:
        """Return True if no process listens on any of these ports on 127.0.0.1."""
        kinds = [(port, socket.SOCK_STREAM) for port in self]
        return all(_can_bind(port, kind) for port, kind in [*kinds, (self.p2p, socket.SOCK_DGRAM)])


def node_ports(index: int, offset: int) -> NodePorts:
    """Return the ports of the node with the 0-based `index` in the network whose ports are `offset` above the
    well-known ones. The RPC port of the first node is one lower than that: `developer_port` has its place."""
    rpc = FIRST_RPC_PORT + offset + 2 * index
    # Tools expect a network for developers at the first port. The first node has the one below it.
    own_rpc = rpc if index else rpc - 1
    return NodePorts(FIRST_P2P_PORT + offset + index, own_rpc, rpc + 1, FIRST_PRIVACY_PORT + offset + index)


def developer_port(offset: int) -> int:
    """Return the port of the developer endpoint of the network whose ports are `offset` above the well-known ones."""
    return FIRST_RPC_PORT + offset


@contextmanager
def claim_port_offset(nodes: int) -> Iterator[int]:
    """Yield the first offset (a multiple of `PORTS_PER_NETWORK`) at which the developer port and the ports of `nodes`
    nodes are free.

    No other process that calls this gets that offset before the `with` block is left. By then the nodes should listen.
    NoFreePortsError if no offset has free ports.
    """
    for offset in range(0, LAST_OFFSET + 1, PORTS_PER_NETWORK):
        # The lock ends with the file, also if this process is killed. The check of the ports alone would leave a gap:
        # two commands could both find the ports free before their nodes listen.
        with _lock_file(offset).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _can_bind(developer_port(offset), socket.SOCK_STREAM) and all(
                node_ports(index, offset).are_free() for index in range(nodes)
            ):
                yield offset
                return
    raise NoFreePortsError(
        f"no {nodes} nodes' ports are free on 127.0.0.1 from any of {LAST_OFFSET // PORTS_PER_NETWORK + 1} offsets"
    )


def _lock_file(offset: int) -> Path:
    return Path(tempfile.gettempdir()) / f"lacnode-ports-{os.getuid()}-{offset}.lock"


def _can_bind(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # Connections of a node that has just stopped do not hold its port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
