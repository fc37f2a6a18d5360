"""The nonce of an account in a state trie, without opening a state for an execution."""

from lacnode.evm.merkle_trie import ReadNode, lookup
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256


def account_nonce(root: bytes, address: bytes, read: ReadNode) -> int:
    """Return the nonce of the account at `address` (20 bytes) in the state trie of `root` (32 bytes), 0 without an
    account. `read` gives a node by its hash, None if it is missing. MissingNodeError if a node on the way is
    missing."""
    encoded = lookup(root, keccak256(address), read)
    return rlp.as_scalar(rlp.decode_list(encoded, "account")[0], "account.nonce") if encoded else 0
