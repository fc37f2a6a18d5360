"""The entries of a trie in the order of their keys, from any key on."""

from collections.abc import Iterator

from lacnode.evm.merkle_trie import MissingNodeError, Node, ReadNode, _unpacked, to_nibbles
from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.rlp import RlpItem


def trie_entries_from(root: bytes, start: bytes, read: ReadNode) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys (32-byte hashes) of the trie of `root` (32 bytes) from `start` on with their values, in ascending
    order. Without an entry nothing is yielded. MissingNodeError, when the iteration comes to it, if the trie is not
    whole."""
    if root == EMPTY_TRIE_ROOT:
        return
    for path, value in _entries(root, b"", to_nibbles(start), read):
        yield bytes(high << 4 | low for high, low in zip(path[::2], path[1::2], strict=True)), value


def _entries(reference: RlpItem, path: bytes, start: bytes, read: ReadNode) -> Iterator[tuple[bytes, bytes]]:
    # A subtree is passed over if all of its keys are below `start`.
    if path < start[: len(path)]:
        return
    node = _node(reference, read)
    if len(node) == 17:
        for nibble, child in enumerate(node[:16]):
            if child:
                yield from _entries(child, path + bytes([nibble]), start, read)
        return
    rest, is_leaf = _unpacked(rlp.as_bytes(node[0], "path"))
    if not is_leaf:
        yield from _entries(node[1], path + rest, start, read)
    elif path + rest >= start:
        yield path + rest, rlp.as_bytes(node[1], "value")


def _node(reference: RlpItem, read: ReadNode) -> Node:
    # A node shorter than 32 bytes is part of its parent.
    if isinstance(reference, list):
        return reference
    encoded = read(rlp.as_bytes(reference, "reference"))
    if encoded is None:
        raise MissingNodeError(f"trie node 0x{rlp.as_bytes(reference, 'reference').hex()} is missing")
    return list(rlp.decode_list(encoded, "node"))
