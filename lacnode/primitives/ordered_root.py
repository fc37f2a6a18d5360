"""The root of a list in a header: transactions, receipts, withdrawals (yellow paper, 4.3).

It is the root of the Merkle Patricia trie with each value under its RLP-encoded position. Only the root is computed, and no
node is stored. So consensus can compare a body with its header without a database.
"""

from collections.abc import Callable, Sequence

from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import Transaction

_Entry = tuple[str, bytes]
"""The nibbles of a position as hexadecimal digits, and the value of this position."""


MAX_ROOTS = 8
"""Cached roots of transactions. The oldest is removed."""

_ROOTS: dict[tuple[bytes, ...], bytes] = {}


def _do_nothing() -> None:
    """Do nothing: the work is not interrupted."""


def ordered_root(values: Sequence[bytes], check: Callable[[], None] = _do_nothing) -> bytes:
    """The root (32 bytes) of the trie of `values`, each under its position from 0. No value may be empty.
    `EMPTY_TRIE_ROOT` without values.

    `check` is called for every few values. It may raise an error to end the work, and the error reaches the caller.
    """
    if not values:
        return EMPTY_TRIE_ROOT
    # Sorted once. Every subtree is then a slice, and no node has to be inserted into a trie.
    entries = sorted((rlp.encode(rlp.encode_scalar(position)).hex(), value) for position, value in enumerate(values))
    return keccak256(rlp.encode(_node(entries, 0, check)))


def transactions_root(transactions: Sequence[Transaction], check: Callable[[], None] = _do_nothing) -> bytes:
    """The root of the transactions of a block (32 bytes), as a header has it. The last `MAX_ROOTS` results are
    remembered.

    `check` is called for every few transactions, and not at all for a remembered result. It may raise an error to end
    the work, and the error reaches the caller.
    """
    # The same transactions are checked in the proposal, before and after the execution, and before the import. Their
    # hashes cover all their bytes, so the hashes are a safe key.
    key = tuple(transaction.hash for transaction in transactions)
    root = _ROOTS.get(key)
    if root is None:
        root = _ROOTS[key] = ordered_root([transaction.raw for transaction in transactions], check)
        # Other threads change the dictionary too. The copy is made in one step, and an iterator would raise an error.
        for oldest in list(_ROOTS)[:-MAX_ROOTS]:
            _ROOTS.pop(oldest, None)
    return root


def _node(entries: Sequence[_Entry], depth: int, check: Callable[[], None]) -> RlpValue:
    """The node above `entries`. They are sorted, and their first `depth` nibbles are equal."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return [_hex_prefix(first[depth:], is_leaf=True), entries[0][1]]
    # In a sorted list, the first and the last entry show the nibbles that all entries share.
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    branch = _branch(entries, shared, check)
    return branch if shared == depth else [_hex_prefix(first[depth:shared], is_leaf=False), _reference(branch)]


def _branch(entries: Sequence[_Entry], depth: int, check: Callable[[], None]) -> RlpValue:
    """A node with a child for each nibble at `depth`. It has no value: no encoded position is the start of another."""
    check()
    children: list[RlpValue] = [b""] * 17
    begin = 0
    while begin < len(entries):
        nibble = entries[begin][0][depth]
        end = begin + 1
        while end < len(entries) and entries[end][0][depth] == nibble:
            end += 1
        children[int(nibble, 16)] = _reference(_node(entries[begin:end], depth + 1, check))
        begin = end
    return children


def _reference(node: RlpValue) -> RlpValue:
    """The reference to `node` in its parent: its hash, or the node itself if it is shorter than a hash."""
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def _hex_prefix(nibbles: str, *, is_leaf: bool) -> bytes:
    """The hex-prefix encoding of a path (yellow paper, appendix C)."""
    flag = 2 if is_leaf else 0
    # The first nibble has the kind of the node and whether the number of nibbles is odd.
    return bytes.fromhex(f"{flag + 1}{nibbles}" if len(nibbles) % 2 else f"{flag}0{nibbles}")
