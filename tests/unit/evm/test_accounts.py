"""Our accounts against py-evm's `AccountDB`: whatever is done, undone and kept, values and roots are the same."""

from typing import Any

from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth_typing import Hash32
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_trie_accounts import MAX_KEPT_READ_BYTES
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT

ADDRESSES = st.sampled_from([bytes([n]) * 20 for n in range(1, 5)])
SLOTS = st.integers(0, 3)


class BothAccounts(RuleBasedStateMachine):
    """One block: transactions with nested calls that end either way."""

    def __init__(self) -> None:
        super().__init__()
        self.theirs: Any = AccountDB(AtomicDB(), Hash32(EMPTY_TRIE_ROOT))
        self.store: dict[bytes, bytes] = {}
        self.ours = Accounts(self.store, EMPTY_TRIE_ROOT)
        self.marks: list[tuple[Any, Any]] = []

    def both(self, name: str, *given: Any) -> None:
        getattr(self.theirs, name)(*given)
        getattr(self.ours, name)(*given)

    @rule(address=ADDRESSES, balance=st.integers(0, 3))
    def set_balance(self, address: bytes, balance: int) -> None:
        self.both("set_balance", address, balance)

    @rule(address=ADDRESSES)
    def increment_nonce(self, address: bytes) -> None:
        self.both("increment_nonce", address)

    @rule(address=ADDRESSES, code=st.sampled_from([b"", b"\x01", b"\x02" * 40]))
    def set_code(self, address: bytes, code: bytes) -> None:
        self.both("set_code", address, code)

    @rule(address=ADDRESSES)
    def touch(self, address: bytes) -> None:
        self.both("touch_account", address)

    @rule(address=ADDRESSES, slot=SLOTS, value=st.integers(0, 2))
    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self.both("touch_account", address)
        self.both("set_storage", address, slot, value)

    @rule(address=ADDRESSES, slot=SLOTS)
    def warm(self, address: bytes, slot: int) -> None:
        self.both("mark_storage_warm", address, slot)

    @rule()
    def begin_call(self) -> None:
        self.marks.append((self.theirs.record(), self.ours.record()))

    @precondition(lambda self: self.marks)
    @rule(kept=st.booleans())
    def end_call(self, kept: bool) -> None:
        theirs, ours = self.marks.pop()
        name = "commit" if kept else "discard"
        getattr(self.theirs, name)(theirs)
        getattr(self.ours, name)(ours)

    @precondition(lambda self: not self.marks)
    @rule(destroyed=st.sets(ADDRESSES, max_size=2), reads_much=st.booleans())
    def end_transaction(self, destroyed: set[bytes], reads_much: bool) -> None:
        """Accounts are deleted here only: those that destroyed themselves, and empty ones."""
        for address in sorted(destroyed):
            self.both("delete_account", address)
        if reads_much:
            self.ours._kept_read_bytes = MAX_KEPT_READ_BYTES + 1
        self.both("lock_changes")

    @precondition(lambda self: not self.marks)
    @rule()
    def end_block(self) -> None:
        self.both("lock_changes")
        root = self.ours.make_state_root()
        assert root == self.theirs.make_state_root()
        self.theirs.persist()
        self.store.update(self.ours.nodes)
        self.ours = Accounts(self.store, root)

    @invariant()
    def looks_the_same(self) -> None:
        for address in (bytes([n]) * 20 for n in range(1, 5)):
            for name in ("account_exists", "account_is_empty", "get_balance"):
                assert getattr(self.ours, name)(address) == getattr(self.theirs, name)(address), name
            for name in ("get_nonce", "get_code", "get_code_hash"):
                assert getattr(self.ours, name)(address) == getattr(self.theirs, name)(address), name
            for slot in range(4):
                assert self.ours.get_storage(address, slot) == self.theirs.get_storage(address, slot)
                before = self.theirs.get_storage(address, slot, from_journal=False)
                assert self.ours.get_storage(address, slot, from_journal=False) == before
                assert self.ours.is_storage_warm(address, slot) == self.theirs.is_storage_warm(address, slot)


BothAccounts.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBothAccounts = BothAccounts.TestCase


def test_what_a_block_only_read_is_forgotten_once_it_is_much_and_what_changed_stays() -> None:
    accounts = Accounts({}, EMPTY_TRIE_ROOT)
    changed = b"\x01" * 20
    accounts.set_balance(changed, 5)
    accounts.set_storage(changed, 3, 7)
    most_read = 0
    for transaction in range(20):
        accounts.lock_changes()
        assert accounts.held_bytes == 0, "another transaction begins"
        for number in range(5_000):
            accounts.get_balance((transaction * 5_000 + number).to_bytes(20))
            accounts.get_storage(changed, 100 + transaction * 5_000 + number)
        assert accounts.held_bytes > 5_000 * 700
        most_read = max(most_read, len(accounts.accessed_addresses()))
    assert most_read < 40_000
    assert (accounts.get_balance(changed), accounts.get_storage(changed, 3)) == (5, 7)
