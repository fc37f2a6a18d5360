"""The accounts of one block between the tries and the dictionaries that the execution changes.

An account or a slot is read from its trie once. The changes of a block are written to the tries once, at its end. Must not
undo anything, and must not know a transaction: `py_evm_accounts` does.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import NodeStore
from lacnode.evm.merkle_trie import lookup, update
from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.rlp import RlpFields

hashed = lru_cache(maxsize=16_384)(keccak256)
"""Trie keys: the same addresses and slots come again and again."""


class Account(NamedTuple):
    """An account, with the fields that it has in the state trie. The balance is in wei. Root and hash have 32 bytes."""

    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_TRIE_ROOT
    code_hash: bytes = EMPTY_KECCAK

    def encode(self) -> bytes:
        """Encode the account in RLP, as the state trie stores it."""
        return rlp.encode(
            [rlp.encode_scalar(self.nonce), rlp.encode_scalar(self.balance), self.storage_root, self.code_hash]
        )


def read_account(root: bytes, address: bytes, store: NodeStore) -> Account | None:
    """The account at `address` (20 bytes) in the trie of `root` (32 bytes), None if there is none. MissingNodeError if
    a node on the way is missing."""
    encoded = lookup(root, hashed(address), store.get)
    if not encoded:
        return None
    fields = RlpFields(rlp.decode_list(encoded, "account"), "account")
    return Account(fields.scalar("nonce"), fields.scalar("balance"), fields.bytes("root"), fields.bytes("code"))


def read_slot(storage_root: bytes, slot: int, store: NodeStore) -> int:
    """The value of a storage slot, a number of 256 bits like `slot`, in the trie of `storage_root` (32 bytes). 0 if it
    was never set. MissingNodeError if a node on the way is missing."""
    encoded = lookup(storage_root, hashed(slot.to_bytes(32)), store.get)
    return int.from_bytes(rlp.as_bytes(rlp.decode(encoded), "slot")) if encoded else 0


ACCOUNT_BYTES = 512
"""About how many bytes an account takes that was read."""

SLOT_BYTES = 256
"""About how many bytes a storage slot takes that was read."""

MAX_KEPT_READ_BYTES = 16 * 2**20
"""Bytes of accounts and slots that the last transactions only read. They are forgotten after the transaction that exceeds
it: a block of others could fill gigabytes with them."""


class TrieAccounts:
    """The accounts and slots of one block, from the state at `root` (32 bytes)."""

    def __init__(self, store: NodeStore, root: bytes) -> None:
        self.nodes: dict[bytes, bytes] = {}
        """New trie nodes and codes, by hash."""
        self._store = store
        self._root = root
        self._accounts: dict[bytes, Account | None] = {}
        self._storage: dict[bytes, dict[int, int]] = {}
        # What was changed since the tries were written. A cleared account has lost all slots that its trie still has.
        self._changed: set[bytes] = set()
        self._changed_slots: dict[bytes, set[int]] = {}
        self._cleared: set[bytes] = set()
        self._new_codes: dict[bytes, bytes] = {}
        # What was read since the transaction began, and what was read before it and is still kept.
        self._loaded_bytes = 0
        self._kept_read_bytes = 0

    def get(self, key: bytes) -> bytes | None:
        """The node or code with this hash (32 bytes), of this block or from the store. If neither has it, None or the
        error of the store."""
        return self.nodes.get(key) or self._new_codes.get(key) or self._store.get(key)

    def _read(self, address: bytes) -> Account | None:
        try:
            return self._accounts[address]
        except KeyError:
            account = self._accounts[address] = self._found(address)
            self._loaded_bytes += ACCOUNT_BYTES
            return account

    def _found(self, address: bytes) -> Account | None:
        return read_account(self._root, address, self)

    def _stored(self, address: bytes, slot: int) -> int:
        account = self._read(address)
        # A cleared account has none of its stored slots: the trie under its old root must not be read.
        if account is None or address in self._cleared or account.storage_root == EMPTY_TRIE_ROOT:
            return 0
        return read_slot(account.storage_root, slot, self)

    def _keep_code(self, account: Account | None) -> None:
        code = None if account is None else self._new_codes.get(account.code_hash)
        if account is not None and code is not None:
            self.nodes[account.code_hash] = code

    def _bound_reads(self) -> None:
        """End a transaction. Keep only what was changed since the tries were written if much more was read. It can be
        read again."""
        self._kept_read_bytes += self._loaded_bytes
        self._loaded_bytes = 0
        if self._kept_read_bytes <= MAX_KEPT_READ_BYTES:
            return
        slots, changed = self._storage, self._changed_slots
        self._accounts = {address: self._accounts[address] for address in self._changed}
        self._storage = {
            address: {slot: slots[address][slot] for slot in changed.get(address, ()) if slot in slots[address]}
            for address in changed.keys() | self._cleared
        }
        self._kept_read_bytes = 0

    def accessed_addresses(self) -> frozenset[bytes]:
        """The addresses (20 bytes) whose account the current transaction read or wrote, in calls that were undone too.
        Addresses of earlier transactions of the block are among them, unless they were forgotten because much was read
        (`MAX_KEPT_READ_BYTES`)."""
        return frozenset(self._accounts)

    def make_state_root(self, budget: ExecutionBudget = UNLIMITED) -> bytes:
        """Write the changes to tries in memory. Return the new root (32 bytes). The caller stores the nodes, which are
        in `nodes`.

        Raises ExecutionInterruptedError if `budget` is used up or cancelled, and MissingNodeError if a node of the old
        state is missing. Do not use the accounts after one of these errors.
        """
        # Storage comes before accounts: an account's encoding has the root of its storage.
        for address in self._changed_slots.keys() | self._cleared:
            self._write_storage(address, budget)
        changes = {hashed(address): self._encoded(address) for address in self._changed}
        self._root, nodes = update(self._root, changes, self.get, budget)
        self.nodes.update(nodes)
        self._changed.clear()
        self._changed_slots.clear()
        self._cleared.clear()
        return self._root

    def _encoded(self, address: bytes) -> bytes:
        account = self._accounts[address]
        return b"" if account is None else account.encode()

    def _write_storage(self, address: bytes, budget: ExecutionBudget) -> None:
        account = self._read(address)
        if account is None:
            return
        # A cleared storage begins with an empty trie. Deleting its slots one by one would need all their names.
        base = EMPTY_TRIE_ROOT if address in self._cleared else account.storage_root
        changes = self._slot_changes(address, self._changed_slots.get(address, ()))
        root, nodes = update(base, changes, self.get, budget)
        self.nodes.update(nodes)
        if root != account.storage_root:
            self._accounts[address] = account._replace(storage_root=root)
            self._changed.add(address)

    def _slot_changes(self, address: bytes, slots: Iterable[int]) -> dict[bytes, bytes]:
        values = self._storage[address]
        return {
            hashed(slot.to_bytes(32)): rlp.encode(rlp.encode_scalar(values[slot])) if values.get(slot) else b""
            for slot in slots
        }
