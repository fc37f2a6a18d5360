"""The root of a list, as a header commits to it: transactions, receipts, withdrawals (yellow paper, 4.3).

It is the root of the Merkle Patricia trie that holds each value under its RLP-encoded position. Only the root is
computed and nothing is kept, so that consensus can compare a body with its header without knowing any store.
"""

from collections.abc import Callable, Sequence

from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import Transaction

_Entry = tuple[str, bytes]
"""The nibbles of a position as hexadecimal digits, and the value there."""


MAX_ROOTS = 8
"""Roots of transactions that are remembered. The oldest is forgotten."""

_ROOTS: dict[tuple[bytes, ...], bytes] = {}


def _go_on() -> None:
    """Nothing interrupts it."""


def ordered_root(values: Sequence[bytes], check: Callable[[], None] = _go_on) -> bytes:
    """The 32-byte root of `values`, none of which is empty. `check` is called for every few of them: what it raises ends
    the work."""
    if not values:
        return EMPTY_TRIE_ROOT
    entries = sorted((rlp.encode(rlp.scalar(position)).hex(), value) for position, value in enumerate(values))
    return keccak256(rlp.encode(_node(entries, 0, check)))


def transactions_root(transactions: Sequence[Transaction], check: Callable[[], None] = _go_on) -> bytes:
    """The `ordered_root` of a block's transactions. It is remembered by their hashes, which name all bytes: the same
    transactions are looked at in the proposal, before and after the execution, and before the import."""
    key = tuple(transaction.hash for transaction in transactions)
    root = _ROOTS.get(key)
    if root is None:
        root = _ROOTS[key] = ordered_root([transaction.raw for transaction in transactions], check)
        while len(_ROOTS) > MAX_ROOTS:
            _ROOTS.pop(next(iter(_ROOTS), ()), None)
    return root


def _node(entries: Sequence[_Entry], depth: int, check: Callable[[], None]) -> RlpValue:
    """The node above `entries`, which are sorted and share their first `depth` nibbles."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return [_packed(first[depth:], is_leaf=True), entries[0][1]]
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    branch = _branch(entries, shared, check)
    return branch if shared == depth else [_packed(first[depth:shared], is_leaf=False), _reference(branch)]


def _branch(entries: Sequence[_Entry], depth: int, check: Callable[[], None]) -> RlpValue:
    """A node with a child for each nibble at `depth`. No position's encoding begins another's, so it has no value."""
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
    """What stands for `node` in its parent: its hash, or the node itself where that is shorter."""
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def _packed(nibbles: str, *, is_leaf: bool) -> bytes:
    """The hex-prefix encoding of a path."""
    flag = 2 if is_leaf else 0
    return bytes.fromhex(f"{flag + 1}{nibbles}" if len(nibbles) % 2 else f"{flag}0{nibbles}")
