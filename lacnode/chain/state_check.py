"""Walks through a state from its root, and finds the missing nodes.

A trie node refers to another node by its hash, or contains it if it is short. This file must not keep much in memory: only
the way down, and the storage roots and the codes that several accounts may share.
"""

from collections.abc import Callable, Iterator

from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem

BRANCH_ITEMS = 17
LEAF_FLAG = 0x20
"""A flag in the first byte of the path of a node with two items."""


def find_missing_nodes(
    root: bytes, read: Callable[[bytes], bytes | None], progress: Callable[[str, int], None]
) -> Iterator[tuple[bytes, str]]:
    """Yield the hash (32 bytes) and a description of every missing node or code of the state at `root` (32 bytes).
    `read` returns the node with a hash, None if it is missing. `progress` is called with a text and the number of the
    nodes that were read. Raises RlpError if a node is malformed, which ends the walk."""
    walk = _Walk(read, progress)
    for leaf in walk.leaves(root, "account"):
        fields = RlpFields(rlp.decode_list(leaf, "account"), "account")
        fields.scalar("nonce")
        fields.scalar("balance")
        storage_root, code_hash = fields.bytes("root"), fields.bytes("code")
        # Storage and code of an account are checked before the next account, so findings are close to their account.
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
        """Yield the values of the trie at `root`. Nothing if this root was walked before."""
        # Contracts of one kind often have the same storage. Each is walked once, or the check would take hours.
        if root in self._seen:
            return
        self._seen.add(root)
        waiting: list[RlpItem] = [root]
        # A stack and no recursion: the depth of a trie is up to 64 nodes, and a damaged one may be deeper.
        while waiting:
            node = self._node(waiting.pop(), f"{what} node")
            if len(node) == BRANCH_ITEMS:
                waiting += [child for child in node[:16] if child]
            elif len(node) == 2:
                path, target = rlp.as_bytes(node[0], "path"), node[1]
                if not path:
                    raise RlpError("path: at least one byte was expected, found none")
                if path[0] & LEAF_FLAG:
                    yield rlp.as_bytes(target, "value")
                else:
                    waiting.append(target)
            # An empty list stands for a missing node.
            elif node:
                raise RlpError(f"trie node: 2 or {BRANCH_ITEMS} items were expected, found {len(node)}")

    def _node(self, reference: RlpItem, what: str) -> list[RlpItem]:
        """The node behind `reference`. Empty if it is missing."""
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
