"""The ports of the networks on this machine: a hundred numbers for each, so that two networks never share one.

The first network has the well-known ports (p2p from 30303, RPC from 8545), the next one those a hundred higher, and so
on. All stay below the range from which the system picks ports for outgoing connections: a node that is down for a while
finds its port free when it returns.
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
"""The last one that `claimed_ports` gives out."""

HIGHEST_OFFSET = 35_000
"""The highest one with which every port is a port number."""

MAX_DEVNET_NODES = 50


class NoFreePortsError(Exception):
    """Every hundred is taken."""


class NodePorts(NamedTuple):
    """Where one node listens: p2p on TCP and UDP, the others on TCP. `privacy` is its transaction manager's, if any."""

    p2p: int
    rpc: int
    ws: int
    privacy: int

    def are_free(self) -> bool:
        """Whether nothing listens on any of them on 127.0.0.1."""
        kinds = [(port, socket.SOCK_STREAM) for port in self]
        return all(_can_bind(port, kind) for port, kind in [*kinds, (self.p2p, socket.SOCK_DGRAM)])


def node_ports(index: int, offset: int) -> NodePorts:
    """The ports of the node with the 0-based `index` in the network whose ports are `offset` above the well-known."""
    rpc = FIRST_RPC_PORT + offset + 2 * index
    return NodePorts(FIRST_P2P_PORT + offset + index, rpc, rpc + 1, FIRST_PRIVACY_PORT + offset + index)


@contextmanager
def claimed_ports(nodes: int) -> Iterator[int]:
    """The offset of the first hundred whose first `nodes` nodes' ports are free.

    Nobody else gets that hundred before the block is left. By then the nodes should listen. Raises NoFreePortsError.
    """
    for offset in range(0, LAST_OFFSET + 1, PORTS_PER_NETWORK):
        with _lock_file(offset).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if all(node_ports(index, offset).are_free() for index in range(nodes)):
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
