"""The accounts that py-evm's `State` works on: plain dictionaries with an undo list.

They replace py-evm's `AccountDB`, whose layers of journals and caches cost more than the transactions of these
networks themselves. They have the methods that py-evm calls, under py-evm's names and with its meanings. Setting any field
of an account makes the account exist. An empty account that was touched is deleted by EIP-161's rule, which py-evm applies.
`py_evm_trie_accounts` reads and writes the tries.
"""

from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import NodeStore
from lacnode.evm.py_evm_trie_accounts import SLOT_BYTES, Account, TrieAccounts
from lacnode.primitives.access_list import AccessListEntry
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT, keccak256

MAX_CACHED_CODE_BYTES = 32 * 2**20
"""Bytes of code kept while a block is executed. Without it, a contract called in a loop would be read from the store
each time."""

CHANGE_BYTES = 128
"""About how many bytes an entry of the undo list takes."""

Checkpoint = tuple[int, int]
"""A serial number, since py-evm wants no two marks alike, and the length of the undo list."""

_NEW = Account()
_ACCOUNT, _SLOT, _CLEARED, _WARM = range(4)
_UINT256 = 2**256


class Accounts(TrieAccounts):
    """All accounts of one block in the making, from the state at `root` (32 bytes). Addresses have 20 bytes. An account
    that does not exist looks empty. What reads raises MissingNodeError if the state is not whole."""

    def __init__(self, store: NodeStore, root: bytes) -> None:
        super().__init__(store, root)
        self._before: dict[bytes, dict[int, int]] = {}
        self._warm: set[bytes] = set()
        self._codes: dict[bytes, bytes] = {}
        self._codes_size = 0
        self._undo: list[tuple] = []  # type: ignore[type-arg]
        self._marks = 0

    def _write(self, address: bytes, account: Account | None) -> None:
        # The entry has the whole account before the change. Undoing needs no knowledge of which part has changed.
        self._undo.append((_ACCOUNT, address, self._read(address)))
        self._accounts[address] = account

    def account_exists(self, address: bytes) -> bool:
        """Whether the account is in the state, empty or not."""
        return self._read(address) is not None

    def account_has_code_or_nonce(self, address: bytes) -> bool:
        """Return whether a creation at `address` must fail: the account has code, a nonce, or storage from before the
        block. Storage counts too (EIP-7610, Besu 25.5), unlike in py-evm."""
        account = self._read(address) or _NEW
        return account.nonce != 0 or account.code_hash != EMPTY_KECCAK or self._has_storage(address, account)

    def _has_storage(self, address: bytes, account: Account) -> bool:
        """Return whether `account` had storage before the block, and has it still. Storage that the block itself
        wrote need not be looked for: code that writes storage, or a delegation, gives the account code or a nonce."""
        return account.storage_root != EMPTY_TRIE_ROOT and address not in self._cleared

    def account_is_empty(self, address: bytes) -> bool:
        """Whether the account has no balance, no nonce and no code. True for one that does not exist."""
        account = self._read(address) or _NEW
        return account.balance == 0 and account.nonce == 0 and account.code_hash == EMPTY_KECCAK

    def touch_account(self, address: bytes) -> None:
        """Make the account exist, with empty values, if it does not."""
        if self._read(address) is None:
            self._write(address, _NEW)

    def delete_account(self, address: bytes) -> None:
        """Remove the account: balance, nonce, code, storage. `discard` can undo it. No error if it does not exist."""
        self.delete_storage(address)
        self._write(address, None)

    def get_balance(self, address: bytes) -> int:
        """Return the balance in wei. 0 if the account does not exist."""
        return (self._read(address) or _NEW).balance

    def set_balance(self, address: bytes, balance: int) -> None:
        """Set the balance in wei, modulo 2^256, and make the account exist."""
        account = self._read(address) or _NEW
        # A genesis may give an account so much that a transfer to it overflows. Besu counts in 256 bits.
        self._write(address, Account(account.nonce, balance % _UINT256, account.storage_root, account.code_hash))

    def get_nonce(self, address: bytes) -> int:
        """Return the nonce. 0 if the account does not exist."""
        return (self._read(address) or _NEW).nonce

    def set_nonce(self, address: bytes, nonce: int) -> None:
        account = self._read(address) or _NEW
        self._write(address, Account(nonce, account.balance, account.storage_root, account.code_hash))

    def increment_nonce(self, address: bytes) -> None:
        self.set_nonce(address, self.get_nonce(address) + 1)

    def get_code_hash(self, address: bytes) -> bytes:
        """Return the hash of the code (32 bytes). `EMPTY_KECCAK` without code."""
        return (self._read(address) or _NEW).code_hash

    def get_code(self, address: bytes) -> bytes:
        """Return the code, empty if the account has none. KeyError if the store does not have it."""
        code_hash = self.get_code_hash(address)
        if code_hash == EMPTY_KECCAK:
            return b""
        code = self._codes.get(code_hash)
        if code is None:
            code = self._codes[code_hash] = self._read_code(code_hash)
        return code

    def _read_code(self, code_hash: bytes) -> bytes:
        code = self.get(code_hash)
        if code is None:
            raise KeyError(f"code 0x{code_hash.hex()} is missing")
        self._codes_size += len(code)
        # All codes at once: a list of the least used ones would cost more than reading them again.
        if self._codes_size > MAX_CACHED_CODE_BYTES:
            self._codes.clear()
            self._codes_size = len(code)
        return code

    def set_code(self, address: bytes, code: bytes) -> None:
        """Set the code, and make the account exist. No rule about code is checked."""
        code_hash = keccak256(code)
        # Kept aside until the transaction is over. The code of a creation that is undone must not be stored.
        if code:
            self._new_codes[code_hash] = code
        account = self._read(address) or _NEW
        self._write(address, Account(account.nonce, account.balance, account.storage_root, code_hash))

    def delete_code(self, address: bytes) -> None:
        self.set_code(address, b"")

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        """The value of a slot now, 0 if it was never set. Without `from_journal`, that before the current
        transaction."""
        if not from_journal:
            # SSTORE's price depends on the value before the transaction (EIP-2200). `_before` has it for slots that the
            # transaction wrote.
            before = self._before.get(address)
            if before is not None and slot in before:
                return before[slot]
        slots = self._storage.get(address)
        if slots is None:
            slots = self._storage[address] = {}
        value = slots.get(slot)
        if value is None:
            value = slots[slot] = self._stored(address, slot)
            self._loaded_bytes += SLOT_BYTES
        return value

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Set a slot. The account must exist when the state root is made, or the value is lost."""
        before = self.get_storage(address, slot)
        # Only the first write of a transaction notes it. Later ones find a value of the same transaction.
        self._before.setdefault(address, {}).setdefault(slot, before)
        self._undo.append((_SLOT, address, slot, before))
        self._storage[address][slot] = value

    def delete_storage(self, address: bytes) -> None:
        """Set all slots of the account to 0."""
        slots = self._storage.get(address, {})
        self._undo.append((_CLEARED, address, slots, address in self._cleared))
        # A new dictionary, since the undo list has the old one.
        self._storage[address] = {}
        self._cleared.add(address)

    def is_address_warm(self, address: bytes) -> bool:
        return address in self._warm

    def mark_address_warm(self, address: bytes) -> None:
        self._mark(address)

    def is_storage_warm(self, address: bytes, slot: int) -> bool:
        return address + slot.to_bytes(32) in self._warm

    def mark_storage_warm(self, address: bytes, slot: int) -> None:
        self._mark(address + slot.to_bytes(32))

    def _mark(self, key: bytes) -> None:
        if key not in self._warm:
            self._warm.add(key)
            self._undo.append((_WARM, key))

    def warm_entries(self) -> tuple[AccessListEntry, ...]:
        """The addresses and slots (32-byte keys) that the current transaction has made warm (EIP-2929), ascending."""
        slots: dict[bytes, list[bytes]] = {key: [] for key in self._warm if len(key) == 20}
        for key in self._warm:
            if len(key) > 20:
                slots.setdefault(key[:20], []).append(key[20:])
        return tuple((address, tuple(sorted(keys))) for address, keys in sorted(slots.items()))

    def record(self) -> Checkpoint:
        """Return a mark. `discard` undoes the changes after it. Use marks in the reverse order of their making."""
        self._marks += 1
        return self._marks, len(self._undo)

    def commit(self, checkpoint: Checkpoint) -> None:
        """Keep the changes since `checkpoint`: nothing happens, and an outer mark may still undo them."""

    def discard(self, checkpoint: Checkpoint) -> None:
        """Undo everything since `checkpoint`, warm marks too."""
        # The list is undone from its end, so an entry finds the state that its change left behind.
        self._undo_to(checkpoint[1])

    def discard_all(self) -> None:
        """Undo everything since the last `lock_changes`: as if the transaction had not begun."""
        self._undo_to(0)
        self.lock_changes()

    def _undo_to(self, length: int) -> None:
        undo = self._undo
        while len(undo) > length:
            entry = undo.pop()
            kind = entry[0]
            if kind == _ACCOUNT:
                self._accounts[entry[1]] = entry[2]
            elif kind == _SLOT:
                self._storage[entry[1]][entry[2]] = entry[3]
            elif kind == _WARM:
                self._warm.discard(entry[1])
            else:
                self._storage[entry[1]] = entry[2]
                if not entry[3]:
                    self._cleared.discard(entry[1])

    @property
    def held_bytes(self) -> int:
        """About how many bytes the current transaction holds here: its changes, warm marks included, and the accounts
        and slots that it was the first in the block to read, or read after they were forgotten (`MAX_KEPT_READ_BYTES`).
        What a failed call changed is not counted, what it read is."""
        return self._loaded_bytes + CHANGE_BYTES * len(self._undo)

    @property
    def change_count(self) -> int:
        """The number of accounts and slots written since the last `lock_changes`. What was undone does not count."""
        return len({entry[1:3] if entry[0] == _SLOT else entry[1] for entry in self._undo if entry[0] != _WARM})

    def lock_changes(self) -> None:
        """End the transaction: its changes stay, and its addresses and slots are cold again."""
        self._settle()
        self._before.clear()
        self._warm.clear()
        self._bound_reads()

    def _settle(self) -> None:
        """Remember the accounts and slots for which the tries have to be written. After it, nothing done so far can
        be undone. Changes that were undone before are not among them."""
        for entry in self._undo:
            kind, address = entry[0], entry[1]
            if kind == _ACCOUNT:
                self._changed.add(address)
                # Only code that an account has at the end of the transaction is stored.
                self._keep_code(self._accounts[address])
            elif kind == _SLOT:
                self._changed_slots.setdefault(address, set()).add(entry[2])
            elif kind == _CLEARED:
                self._changed_slots.setdefault(address, set()).update(entry[2])
        self._undo.clear()
        self._new_codes.clear()

    @property
    def state_root(self) -> bytes:
        """The state root (32 bytes) with which this block began, or the last one that `make_state_root` returned."""
        return self._root

    @state_root.setter
    def state_root(self, root: bytes) -> None:
        """py-evm sets the root it has. ValueError for another one."""
        if root != self._root:
            raise ValueError("a state root is made, not set")

    def make_state_root(self, budget: ExecutionBudget = UNLIMITED) -> bytes:
        """Write the changes to the tries, as the base class does, with its errors, and return the new root (32 bytes).
        No change before can be undone after it."""
        self._settle()
        return super().make_state_root(budget)
