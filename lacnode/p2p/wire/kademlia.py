"""The table of known nodes by distance to this one: 256 buckets of 16 (devp2p discv4.md, "Node Table").

Distance is that of the keccak hashes of the ids. Knows neither time nor who is reachable.
"""

from collections.abc import Iterator

from lacnode.p2p.wire.enode import Enode
from lacnode.primitives.keccak import keccak256

BUCKET_NODES = 16
HASH_BITS = 256


def distance(left: bytes, right: bytes) -> int:
    """The XOR of the hashes of two node ids, as an integer: smaller is nearer."""
    return int.from_bytes(keccak256(left)) ^ int.from_bytes(keccak256(right))


class RoutingTable:
    """At most 16 nodes for each magnitude of distance. In a full bucket the node heard of least recently goes, as in
    Besu. Never holds this node itself."""

    def __init__(self, own_id: bytes) -> None:
        self._own_id = own_id
        self._buckets: dict[int, dict[bytes, Enode]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __iter__(self) -> Iterator[Enode]:
        for bucket in self._buckets.values():
            yield from bucket.values()

    def get(self, node_id: bytes) -> Enode | None:
        """The node of that id, if it is in the table."""
        return self._buckets.get(self._magnitude(node_id), {}).get(node_id)

    def add(self, enode: Enode) -> None:
        """Put `enode` in as the most recent of its bucket, in place of what was known of its id."""
        if enode.id == self._own_id:
            return
        bucket = self._buckets.setdefault(self._magnitude(enode.id), {})
        bucket.pop(enode.id, None)
        if len(bucket) >= BUCKET_NODES:
            del bucket[next(iter(bucket))]
        bucket[enode.id] = enode

    def remove(self, node_id: bytes) -> None:
        """Forget the node of that id, if it is there."""
        self._buckets.get(self._magnitude(node_id), {}).pop(node_id, None)

    def nearest(self, target: bytes) -> list[Enode]:
        """All nodes, those nearest to the 64-byte id `target` first."""
        return sorted(self, key=lambda enode: distance(enode.id, target))

    def _magnitude(self, node_id: bytes) -> int:
        return distance(self._own_id, node_id).bit_length()
