"""The accounts of an open block of the native library, as py-evm's `State` reads them.

Changes that py-evm makes stay here and never reach the library: this is for messages that leave the block as it is.
"""

from typing import Any

from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_trie_accounts import Account
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT

_SOME_ROOT = bytes(32)
"""The root of any storage that is not empty: the library reads the slots, so the true root is not needed."""


class _NoNodes:
    """A node store that is never asked: the library reads the tries."""

    def get(self, key: bytes) -> bytes | None:
        return None


class NativeAccounts(Accounts):
    """The accounts of `native`, a block of the library, as they are now. Changes stay in this object. No state root can
    be made of it."""

    def __init__(self, native: Any) -> None:
        super().__init__(_NoNodes(), EMPTY_TRIE_ROOT)
        self._native = native

    def get(self, key: bytes) -> bytes | None:
        """Return the code with the hash `key` (32 bytes). py-evm asks for no nodes of a trie here. MissingNodeError if
        the store does not have it."""
        return self._new_codes.get(key) or bytes(self._native.code(key))

    def _found(self, address: bytes) -> Account | None:
        found = self._native.account(address)
        if found is None:
            return None
        nonce, balance, code_hash, has_storage = found
        # The base class reads a slot only where the root is not that of an empty trie. Which root it is does not matter
        # here.
        return Account(nonce, int.from_bytes(balance), _SOME_ROOT if has_storage else EMPTY_TRIE_ROOT, code_hash)

    def _stored(self, address: bytes, slot: int) -> int:
        return int.from_bytes(self._native.storage(address, slot.to_bytes(32)))
