"""Walking a state from its root: which of its nodes are missing.

What one trie node refers to stands in it as a hash, or as the node itself where that is short. Must not keep in memory more
than the way down and the storage roots and codes seen, which several accounts may share.
"""

from collections.abc import Callable, Iterator

from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT
from lacnode.primitives.rlp import RlpFields, RlpItem

BRANCH_ITEMS = 17
LEAF_FLAG = 0x20
"""In the first byte of a short node's path."""


def find_missing_nodes(
    root: bytes, read: Callable[[bytes], bytes | None], progress: Callable[[str, int], None]
) -> Iterator[tuple[bytes, str]]:
    """Hashes of what `read` does not find of the state at `root`, and what it is."""
    walk = _Walk(read, progress)
    for leaf in walk.leaves(root, "account"):
        fields = RlpFields(rlp.decode_list(leaf, "account"), "account")
        fields.scalar("nonce")
        fields.scalar("balance")
        storage_root, code_hash = fields.bytes("root"), fields.bytes("code")
        for _ in walk.leaves(storage_root, "storage"):
            pass
        walk.check_code(code_hash)
        yield from walk.pop_missing()
    yield from walk.pop_missing()


class _Walk:
    def __init__(self, read: Callable[[bytes], bytes | None], progress: Callable[[str, int], None]) -> None:
        self._read = read
        self._progress = progress
        self._seen: set[bytes] = {EMPTY_TRIE_ROOT, EMPTY_KECCAK}
        self._missing: list[tuple[bytes, str]] = []
        self._count = 0

    def pop_missing(self) -> list[tuple[bytes, str]]:
        missing, self._missing = self._missing, []
        return missing

    def check_code(self, code_hash: bytes) -> None:
        if code_hash not in self._seen:
            self._seen.add(code_hash)
            self._load(code_hash, "code")

    def leaves(self, root: bytes, what: str) -> Iterator[bytes]:
        """The values of the trie at `root`; none for a root that was walked before."""
        if root in self._seen:
            return
        self._seen.add(root)
        waiting: list[RlpItem] = [root]
        while waiting:
            node = self._node(waiting.pop(), f"{what} node")
            if len(node) == BRANCH_ITEMS:
                waiting += [child for child in node[:16] if child]
            elif len(node) == 2:
                path, target = rlp.as_bytes(node[0], "path"), node[1]
                if path[0] & LEAF_FLAG:
                    yield rlp.as_bytes(target, "value")
                else:
                    waiting.append(target)

    def _node(self, reference: RlpItem, what: str) -> list[RlpItem]:
        """The node behind `reference`; empty if it is missing."""
        if isinstance(reference, list):
            return reference
        encoded = self._load(reference, what)
        return [] if encoded is None else rlp.as_list(rlp.decode(encoded), "trie node")

    def _load(self, hash_: bytes, what: str) -> bytes | None:
        self._count += 1
        self._progress("nodes of the head's state", self._count)
        value = self._read(hash_)
        if value is None:
            self._missing.append((hash_, f"{what} is missing or altered"))
        return value
