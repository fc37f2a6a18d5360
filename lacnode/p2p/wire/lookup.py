"""One search for the nodes nearest to a target: it chooses the nodes to ask next, three at a time (Kademlia's alpha).

Asks only the nodes that the caller adds, which must be bonded. `discovery` finds addresses and waits for proofs.
"""

from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.kademlia import distance

CONCURRENT_QUERIES = 3
MAX_QUERIES = 48
"""The number of nodes that one search asks."""

MAX_CANDIDATES = 256
ANSWER_TIMEOUT_SECONDS = 5.0
"""Seconds for which this node accepts Neighbors of a node that it asked."""


class Lookup:
    """A search for the nodes nearest to the 64-byte id `target`. It chooses the nodes to ask and sends nothing. A node
    may answer in several Neighbors packets: all are accepted until `ANSWER_TIMEOUT_SECONDS` after it was asked."""

    def __init__(self, target: bytes) -> None:
        self.target = target
        self._candidates: dict[bytes, Enode] = {}
        self._ready_at: dict[bytes, float] = {}
        self._asked: set[bytes] = set()
        self._waiting: dict[bytes, float] = {}
        self._open: dict[bytes, float] = {}

    def add(self, enode: Enode, ready_at: float) -> None:
        """Add a bonded node that may be asked from `ready_at` (Unix seconds) on. An earlier time replaces a later one.
        Beyond `MAX_CANDIDATES` a new node is ignored.
        """
        if len(self._candidates) < MAX_CANDIDATES:
            self._candidates.setdefault(enode.id, enode)
        if enode.id in self._candidates:
            self._ready_at[enode.id] = min(ready_at, self._ready_at.get(enode.id, ready_at))

    def remove(self, node_id: bytes) -> None:
        """Take the node with this id (64 bytes) off the nodes to ask. Its Neighbors are not accepted any more."""
        self._candidates.pop(node_id, None)
        self._open.pop(node_id, None)

    def pop_next(self, now: float) -> list[Enode]:
        """Return the nodes to ask at `now` (Unix seconds), nearest first. They count as asked from then on, and are not
        returned again. Empty if no node is ready, if `CONCURRENT_QUERIES` nodes have not answered yet, or if
        `MAX_QUERIES` were asked."""
        # A node that does not answer gives its place to another one after the timeout.
        for deadlines in (self._waiting, self._open):
            for node_id in [node_id for node_id, deadline in deadlines.items() if deadline <= now]:
                del deadlines[node_id]
        free = min(CONCURRENT_QUERIES - len(self._waiting), MAX_QUERIES - len(self._asked))
        if free <= 0:
            return []
        unasked = [
            enode
            for node_id, enode in self._candidates.items()
            if node_id not in self._asked and self._ready_at[node_id] <= now
        ]
        chosen = sorted(unasked, key=lambda enode: distance(enode.id, self.target))[:free]
        for enode in chosen:
            self._asked.add(enode.id)
            # `_waiting` ends with the first answer, which lets the next node be asked. `_open` stays for further
            # packets of the answer.
            self._waiting[enode.id] = self._open[enode.id] = now + ANSWER_TIMEOUT_SECONDS
        return chosen

    def accept_neighbors(self, node_id: bytes, now: float) -> bool:
        """Record that a Neighbors packet of the node with this id (64 bytes) has arrived. Return True if the packet
        answers this search: the node was asked less than `ANSWER_TIMEOUT_SECONDS` before `now` (Unix seconds). The
        caller adds the nodes in it."""
        self._waiting.pop(node_id, None)
        return self._open.get(node_id, 0.0) > now
