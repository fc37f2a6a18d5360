"""The table of known nodes by distance to this one: 256 buckets of 16 nodes (devp2p discv4.md, "Node Table").

The distance is that of the keccak hashes of the ids. Must not know times, or which nodes can be reached.
"""

from collections.abc import Iterator

from lacnode.p2p.wire.enode import Enode
from lacnode.primitives.keccak import keccak256

BUCKET_NODES = 16
HASH_BITS = 256


def distance(left: bytes, right: bytes) -> int:
    """Return the XOR of the hashes of two 64-byte node ids, as an integer. A smaller one is nearer."""
    return int.from_bytes(keccak256(left)) ^ int.from_bytes(keccak256(right))


class RoutingTable:
    """At most 16 nodes for each magnitude of distance. A full bucket drops the node that was added longest ago, as in Besu.
    Never holds this node itself."""

    def __init__(self, own_id: bytes) -> None:
        self._own_id = own_id
        self._buckets: dict[int, dict[bytes, Enode]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __iter__(self) -> Iterator[Enode]:
        for bucket in self._buckets.values():
            yield from bucket.values()

    def get(self, node_id: bytes) -> Enode | None:
        """Return the node with that id (64 bytes), None if it is not in the table."""
        return self._buckets.get(self._magnitude(node_id), {}).get(node_id)

    def add(self, enode: Enode) -> None:
        """Add `enode` as the most recent node of its bucket. It replaces an entry with the same id. Nothing for this
        node itself. A full bucket drops its oldest node.
        """
        if enode.id == self._own_id:
            return
        bucket = self._buckets.setdefault(self._magnitude(enode.id), {})
        bucket.pop(enode.id, None)
        if len(bucket) >= BUCKET_NODES:
            # A dictionary keeps the order of insertion, and each node is taken out before it is put in: the first one
            # is the oldest.
            del bucket[next(iter(bucket))]
        bucket[enode.id] = enode

    def remove(self, node_id: bytes) -> None:
        """Remove the node with that id (64 bytes), if it is in the table."""
        self._buckets.get(self._magnitude(node_id), {}).pop(node_id, None)

    def nodes_by_distance(self, target: bytes) -> list[Enode]:
        """Return all nodes, the nearest to the 64-byte id `target` first."""
        return sorted(self, key=lambda enode: distance(enode.id, target))

    def _magnitude(self, node_id: bytes) -> int:
        return distance(self._own_id, node_id).bit_length()
