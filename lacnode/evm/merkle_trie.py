"""The Merkle Patricia trie, written once a block (yellow paper, appendix D).

Why not the `trie` package, which is the oracle in this module's tests: it hashes the whole path again for every key, and
an IBFT block changes a thousand at once. Here a sorted batch of changes goes down the trie together and every changed
node is encoded once. Old nodes are never deleted: earlier states stay readable.

A node is a decoded RLP list: two items for a leaf or an extension (path in hex-prefix form), seventeen for a branch. What
refers to a node is its hash, or the node itself when its encoding is shorter than 32 bytes.
"""

from collections.abc import Callable, Mapping, Sequence

from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.rlp import RlpItem

Node = list[RlpItem]
ReadNode = Callable[[bytes], bytes | None]
Change = tuple[bytes, bytes]
"""Nibbles of a key (one a byte) and its new value, empty to delete."""

CHECK_EVERY_BRANCHES = 100
"""Branches that are changed between two looks at the budget: about a thousand nodes, 20 ms."""

_NIBBLES = [bytes([byte >> 4, byte & 15]) for byte in range(256)]


class MissingNodeError(KeyError):
    """A node that the trie refers to is not in the store."""


def to_nibbles(key: bytes) -> bytes:
    """Return the nibbles of `key`, each as one byte below 16, the high one first."""
    return b"".join([_NIBBLES[byte] for byte in key])


def lookup(root: bytes, key: bytes, read: ReadNode) -> bytes:
    """Return the value of `key` in the trie of `root` (32 bytes), empty if it has none. The key is used as it is: the
    caller hashes it. `read` gives a node by its hash, None if it is missing. MissingNodeError if a node on the way is
    missing."""
    value, _ = _walk(root, to_nibbles(key), read)
    return value


def prove(root: bytes, key: bytes, read: ReadNode) -> tuple[bytes, ...]:
    """Return the encoded nodes from the root (`root`, 32 bytes) towards `key` that prove its value, or that it has
    none. The key is used as it is: the caller hashes it. A node shorter than 32 bytes is a part of its parent and has no
    entry of its own. Empty for an empty trie. MissingNodeError if a node on the way is missing."""
    _, nodes = _walk(root, to_nibbles(key), read)
    return tuple(nodes)


def _walk(root: bytes, path: bytes, read: ReadNode) -> tuple[bytes, list[bytes]]:
    nodes: list[bytes] = []
    reference: RlpItem = b"" if root == EMPTY_TRIE_ROOT else root
    while reference:
        # A node shorter than 32 bytes is part of its parent, which is already in the proof.
        if isinstance(reference, list):
            node = reference
        else:
            encoded = _encoded(reference, read)
            nodes.append(encoded)
            node = rlp.as_list(rlp.decode(encoded), "trie node")
        if len(node) == 17:
            if not path:
                return rlp.as_bytes(node[16], "value"), nodes
            reference, path = node[path[0]], path[1:]
            continue
        part, is_leaf = _unpacked(rlp.as_bytes(node[0], "path"))
        if is_leaf:
            return (rlp.as_bytes(node[1], "value") if part == path else b""), nodes
        # The key would leave the extension here, so it has no value. The nodes so far prove that.
        if not path.startswith(part):
            break
        reference, path = node[1], path[len(part) :]
    return b"", nodes


def update(
    root: bytes, changes: Mapping[bytes, bytes], read: ReadNode, budget: ExecutionBudget = UNLIMITED
) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the root (32 bytes) of the trie of `root` after `changes`, and the new nodes by hash, which the caller
    must store. `changes` maps keys, used as they are, to values. An empty value deletes its key. MissingNodeError if a
    node of the trie is missing, ExecutionInterruptedError if `budget` is used up or cancelled."""
    budget.check()
    if not changes:
        return root, {}
    writer = _Writer(read, budget)
    # Sorted, the changes below one node are a slice of the batch. Each node is visited once, however many keys go
    # through it.
    batch = sorted((to_nibbles(key), value) for key, value in changes.items())
    node = writer.changed(None if root == EMPTY_TRIE_ROOT else writer.load(root), batch, 0)
    return writer.finish(node), writer.nodes


class _Writer:
    """One batch. `Node` values not yet referred to are kept as lists. `refer` turns one into a reference."""

    def __init__(self, read: ReadNode, budget: ExecutionBudget) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self._read = read
        self._budget = budget
        self._branches = 0

    def load(self, reference: RlpItem) -> Node:
        """The node behind a reference."""
        if isinstance(reference, list):
            return reference
        # Nodes of this batch are found before those of the store, which does not have them yet.
        encoded = self.nodes.get(reference) or _encoded(reference, self._read)
        return rlp.as_list(rlp.decode(encoded), "trie node")

    def finish(self, node: Node | None) -> bytes:
        """The root hash."""
        if node is None:
            return EMPTY_TRIE_ROOT
        encoded = rlp.encode(node)
        root = keccak256(encoded)
        # The root has a hash even if it is shorter than 32 bytes: it has no parent to be part of.
        self.nodes[root] = encoded
        return root

    def refer(self, node: Node | None) -> RlpItem:
        """Return the reference to `node` in its parent."""
        if node is None:
            return b""
        encoded = rlp.encode(node)
        if len(encoded) < 32:
            return node
        hash_ = keccak256(encoded)
        self.nodes[hash_] = encoded
        return hash_

    def changed(self, node: Node | None, changes: Sequence[Change], depth: int) -> Node | None:
        """Return `node`, which is `depth` nibbles down, after `changes`, which are sorted and not empty."""
        if node is None:
            # Deletions of keys that are not there change nothing.
            return self._built([change for change in changes if change[1]], depth)
        if len(node) == 17:
            return self._changed_branch(list(node), changes, depth)
        part, is_leaf = _unpacked(rlp.as_bytes(node[0], "path"))
        if is_leaf:
            return self._changed_leaf(part, rlp.as_bytes(node[1], "value"), changes, depth)
        # The changes are sorted: if the first and the last have the extension's path, all of them have it.
        if all(path.startswith(part, depth) for path in (changes[0][0], changes[-1][0])):
            child = self.changed(self.load(node[1]), changes, depth + len(part))
            return self._extended(part, child)
        return self._changed_branch(self._split(part, node[1]), changes, depth)

    def _changed_leaf(self, part: bytes, value: bytes, changes: Sequence[Change], depth: int) -> Node | None:
        # The first `depth` nibbles are common to all changes, and to the leaf.
        path = changes[0][0][:depth] + part
        # The change wins over the old value of the same key. An empty one drops out below, which deletes the leaf.
        merged = {path: value, **dict(changes)}
        return self._built(sorted((key, kept) for key, kept in merged.items() if kept), depth)

    def _split(self, part: bytes, child: RlpItem) -> Node:
        """Return an extension as a branch with one child, for changes that leave its path."""
        branch: Node = [b""] * 17
        branch[part[0]] = child if len(part) == 1 else self.refer([_packed(part[1:], False), child])
        return branch

    def _changed_branch(self, branch: Node, changes: Sequence[Change], depth: int) -> Node | None:
        self._branches += 1
        if self._branches % CHECK_EVERY_BRANCHES == 0:
            self._budget.check()
        fresh: dict[int, Node | None] = {}
        position = 0
        # A key that ends at this branch sorts before all longer ones.
        if len(changes[0][0]) == depth:
            branch[16] = changes[0][1]
            position = 1
        while position < len(changes):
            nibble = changes[position][0][depth]
            end = position + 1
            while end < len(changes) and changes[end][0][depth] == nibble:
                end += 1
            child = branch[nibble]
            # Children stay nodes until the shape of the branch is known: a child that is merged into its parent must
            # not be hashed.
            fresh[nibble] = self.changed(self.load(child) if child else None, changes[position:end], depth + 1)
            position = end
        return self._settled(branch, fresh)

    def _settled(self, branch: Node, fresh: dict[int, Node | None]) -> Node | None:
        """Return a branch with its changed children, or a smaller node if it has fewer than two children and values.
        None if it has none."""
        children = [n for n in range(16) if (fresh[n] is not None if n in fresh else branch[n])]
        # A trie has one root for its content. So a branch with one child left must become what a trie without the
        # deleted keys would have.
        if len(children) + bool(branch[16]) >= 2:
            for nibble, node in fresh.items():
                branch[nibble] = self.refer(node)
            return branch
        if not children:
            return [_packed(b"", True), branch[16]] if branch[16] else None
        only = children[0]
        # The only child may be unchanged: it has to be loaded, because its path grows by this nibble.
        return self._extended(bytes([only]), fresh[only] if only in fresh else self.load(branch[only]))

    def _extended(self, part: bytes, child: Node | None) -> Node | None:
        """`child` with `part` before its path."""
        if child is None:
            return None
        # A branch has no path to extend, so an extension is put before it. Paths of leaves and extensions are joined.
        if len(child) == 17:
            return [_packed(part, False), self.refer(child)]
        rest, is_leaf = _unpacked(rlp.as_bytes(child[0], "path"))
        return [_packed(part + rest, is_leaf), child[1]]

    def _built(self, entries: Sequence[Change], depth: int) -> Node | None:
        """Return a new subtree of `entries`, which are sorted and have no deletions."""
        if not entries:
            return None
        first, last = entries[0][0], entries[-1][0]
        if len(entries) == 1:
            return [_packed(first[depth:], True), entries[0][1]]
        # The first and the last of sorted keys differ earliest. So all entries share the beginning that these two
        # share.
        shared = depth
        while shared < len(first) and first[shared] == last[shared]:
            shared += 1
        branch = self._changed_branch([b""] * 17, entries, shared)
        return branch if shared == depth else self._extended(first[depth:shared], branch)


def _encoded(reference: bytes, read: ReadNode) -> bytes:
    encoded = read(reference)
    if encoded is None:
        raise MissingNodeError(f"trie node 0x{reference.hex()} is missing")
    return encoded


def _packed(path: bytes, is_leaf: bool) -> bytes:
    """Hex-prefix encoding of a path."""
    # The first nibble is the flag. It is followed by the path if that has an odd length, otherwise by a zero
    # nibble.
    flag = 2 if is_leaf else 0
    if len(path) % 2:
        nibbles = bytes([flag + 1]) + path
    else:
        nibbles = bytes([flag, 0]) + path
    return bytes([high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True)])


def _unpacked(packed: bytes) -> tuple[bytes, bool]:
    """The path of a leaf or extension, and whether it is a leaf."""
    nibbles = to_nibbles(packed)
    return nibbles[1 if nibbles[0] & 1 else 2 :], nibbles[0] >= 2
