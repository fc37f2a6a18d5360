"""Private messages on py-evm: accounts of two states laid over each other, and Besu's way of undoing in them.

Besu gives all calls of a private message one and the same updater. So a nested call that succeeds settles everything
done until then, and one that fails takes back everything not yet settled, what its callers did included. State roots
show it, so it is kept here. A private state also keeps empty accounts, and self-destructed ones.
"""

from functools import lru_cache
from typing import Any

from eth.exceptions import Revert, VMError
from eth.vm.message import Message
from eth_typing import Address

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.evm.engine import CallLimitExceededError, NodeStore
from lacnode.evm.private_message import PRIVATE_GAS, PrivateMessage, PrivateResult
from lacnode.evm.py_evm_accounts import Accounts, Checkpoint
from lacnode.evm.py_evm_limits import limit_call_memory_and_logs
from lacnode.evm.py_evm_meter import BudgetMeter
from lacnode.evm.py_evm_transient_storage import CountedTransientStorage
from lacnode.evm.py_evm_trie_accounts import Account
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.keccak import EMPTY_KECCAK
from lacnode.primitives.receipt import Log
from lacnode.primitives.transaction import Transaction

MAX_WORK_GAS = 500_000_000
"""Gas, weighted by `_SLOW_PRECOMPILES`, after which a private transaction fails with any gas limit of the block: some
networks have a limit that no execution reaches in years."""

MAX_PRIVATE_MEMORY_BYTES = 128 * 2**20
"""Bytes of memory of all nested calls together, and of what else the message holds: the next constants say how much each
thing counts. All members must have the same numbers, and what counts must not depend on the engine of public blocks."""

PRIVATE_CALL_BYTES = 128
"""Bytes that a nested call counts until the message ends."""

PRIVATE_STACK_ITEM_BYTES = 64
"""Bytes that each item of the stack of a call counts while the call waits for a nested one."""

PRIVATE_CHANGE_BYTES = 192
"""Bytes that a change of an account or a slot, or a first access to one (EIP-2929), counts while it can be undone. It takes
about 210, and its gas may be as low as 100."""

PRIVATE_SLOT_BYTES = 512
"""Bytes that each slot counts that the message reads or writes, in a private account or in a public one."""

PRIVATE_ACCOUNT_BYTES = 512
"""Bytes that each address counts at which the message looks for an account."""

PRIVATE_TRANSIENT_WRITE_BYTES = 256
"""Bytes that a write to transient storage counts while it is not undone."""

MAX_PRIVATE_LOG_BYTES = 4 * 2**20
"""Bytes of all logs together. Gas alone would allow 40 MiB in a block of 350 million, and members keep them for good.
"""

PRIVATE_LOG_BYTES = 20
"""Bytes that a log counts beside its topics and its data. All members must have the same number."""

MAX_PRIVATE_OUTPUT_BYTES = 2**20
"""Bytes that a private transaction returns, or that it reverts with. Gas alone would allow 13 MiB in a block of 350
million, and members keep them for good."""

_CALLS = frozenset(("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL", "CREATE", "CREATE2"))
"""Reasons for charges that are mostly the gas that the call may spend. That gas is counted where it is spent."""

_CALL_COST_GAS = 40_000
"""Gas that a call costs itself, at most. It is counted for a call that never begins."""

_FORFEIT = "Zeroing gas"
_SLOW_PRECOMPILES = (("ECPAIRING", 200), ("Blake2b", 100))
"""Reasons for charges whose work takes so many times longer, in Python, than their gas says."""


class PublicAccountWriteError(Revert):
    """A private message tried to change a public account: that call is reverted."""


class MissingAccountError(VMError):
    """A call wrote storage to an account that does not exist. That call then fails, as in Besu."""


class WorkLimitExceededError(Exception):
    """The message took more gas than the block's limit, or more than `MAX_WORK_GAS`, `MAX_PRIVATE_MEMORY_BYTES` or
    `MAX_PRIVATE_LOG_BYTES`. It fails with this at every member alike."""


class PrivateAccounts(Accounts):
    """The accounts of a private state at `root` (32 bytes), before the public ones of `public`: an address that is
    empty in the private state shows the public account, which can be read and not changed. What the message holds here
    counts to `bounds`, if there are some: WorkLimitExceededError from any method if it is too much."""

    def __init__(self, store: NodeStore, root: bytes, public: Accounts, bounds: "_Bounds | None" = None) -> None:
        super().__init__(store, root)
        self.public = public
        self._bounds = bounds
        # The public accounts may have a slot from before this message. So the slots that it reads are known only here.
        self._public_slots: dict[bytes, dict[int, int]] = {}
        self._slot_count = 0
        self._same_frame = False
        self._public_bytes_before = public.held_bytes

    @property
    def held_bytes(self) -> int:
        """About how many bytes the message holds here and in the public accounts."""
        return super().held_bytes + self.public.held_bytes - self._public_bytes_before

    def _count_held(self) -> None:
        if self._bounds is not None:
            self._bounds.hold_state(
                PRIVATE_CHANGE_BYTES * len(self._undo)
                + PRIVATE_SLOT_BYTES * self._slot_count
                + PRIVATE_ACCOUNT_BYTES * len(self._accounts)
            )

    def _count_slot(self) -> None:
        self._slot_count += 1
        self._count_held()

    def _found(self, address: bytes) -> Account | None:
        self._count_held()
        return super()._found(address)

    def _stored(self, address: bytes, slot: int) -> int:
        self._count_slot()
        return super()._stored(address, slot)

    # -- which of the two ----------------------------------------------------------------------------------------

    def _is_private(self, address: bytes) -> bool:
        # An address that is empty in both states counts as private: a message may make an account there.
        return not _is_empty(self._read(address)) or _is_empty(self.public._read(address))

    def _seen(self, address: bytes) -> Accounts | None:
        """Return the public accounts where they are visible at `address`, otherwise None."""
        return None if self._is_private(address) else self.public

    def _check_writable(self, address: bytes) -> None:
        if not self._is_private(address):
            raise PublicAccountWriteError("a private call cannot change a public account")

    # -- reading -------------------------------------------------------------------------------------------------

    def account_exists(self, address: bytes) -> bool:
        """Whether the account is in one of both states, empty or not."""
        return super().account_exists(address) or self.public.account_exists(address)

    def account_has_code_or_nonce(self, address: bytes) -> bool:
        """Return whether a creation at `address` must fail, by the account that is visible there. py-evm asks before a
        creation. Besu begins the creation all the same, and it fails like any other call: so if this is true, all
        changes that are not settled are undone."""
        public = self._seen(address)
        taken = super().account_has_code_or_nonce(address)
        if not (taken if public is None else public.account_has_code_or_nonce(address)):
            return False
        # The creation begins in Besu, so its failure takes back everything that is not settled.
        self._undo_to(0)
        self._count_held()
        return True

    def account_is_empty(self, address: bytes) -> bool:
        """Whether the visible account has no balance, no nonce and no code. True for one that does not exist."""
        public = self._seen(address)
        return super().account_is_empty(address) if public is None else public.account_is_empty(address)

    def get_balance(self, address: bytes) -> int:
        """Return the balance of the visible account in wei. 0 if there is none."""
        public = self._seen(address)
        return super().get_balance(address) if public is None else public.get_balance(address)

    def get_nonce(self, address: bytes) -> int:
        """Return the nonce of the visible account. 0 if there is none."""
        public = self._seen(address)
        return super().get_nonce(address) if public is None else public.get_nonce(address)

    def get_code_hash(self, address: bytes) -> bytes:
        """Return the hash (32 bytes) of the visible account's code. `EMPTY_KECCAK` without code."""
        public = self._seen(address)
        return super().get_code_hash(address) if public is None else public.get_code_hash(address)

    def get_code(self, address: bytes) -> bytes:
        """Return the code of the visible account, empty if it has none. KeyError if the store does not have it."""
        public = self._seen(address)
        return super().get_code(address) if public is None else public.get_code(address)

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        """The value of a slot of the visible account, 0 if it was never set. Without `from_journal`, that before the
        current transaction, for a private account."""
        public = self._seen(address)
        if public is None:
            return super().get_storage(address, slot, from_journal)
        slots = self._public_slots.get(address)
        if slots is None:
            slots = self._public_slots[address] = {}
        value = slots.get(slot)
        if value is None:
            self._count_slot()
            value = slots[slot] = public.get_storage(address, slot)
        return value

    # -- writing -------------------------------------------------------------------------------------------------

    def touch_account(self, address: bytes) -> None:
        """Make a private account exist, with empty values, if it does not. Do nothing where a public one is visible."""
        if self._is_private(address):
            super().touch_account(address)

    def set_balance(self, address: bytes, balance: int) -> None:
        """Set the balance in wei. PublicAccountWriteError for a public account."""
        self._check_writable(address)
        super().set_balance(address, balance)

    def set_nonce(self, address: bytes, nonce: int) -> None:
        """Set the nonce. PublicAccountWriteError for a public account."""
        self._check_writable(address)
        super().set_nonce(address, nonce)

    def set_code(self, address: bytes, code: bytes) -> None:
        """Set the code. PublicAccountWriteError for a public account."""
        self._check_writable(address)
        super().set_code(address, code)

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Set a slot. PublicAccountWriteError for a public account, MissingAccountError for one that does not exist."""
        self._check_writable(address)
        # Besu fails there as a call fails, because the updater has no such account. py-evm would make the account.
        if self._read(address) is None:
            raise MissingAccountError("storage of an account that is not there")
        super().set_storage(address, slot, value)
        self._count_held()

    def use_up_nonce(self, sender: bytes, nonce: int) -> None:
        """Add 1 to the private nonce of `sender` (20 bytes). The public account of the sender does not matter.
        TransactionRejectedError if the private nonce is not `nonce`, and nothing changes then."""
        # The private nonce alone counts, also where the sender's visible account is the public one. So the check on
        # writing is left out.
        account = self._read(sender) or Account()
        if nonce != account.nonce:
            reason = RejectionReason.NONCE_TOO_LOW if nonce < account.nonce else RejectionReason.NONCE_TOO_HIGH
            raise TransactionRejectedError(reason, f"private nonce {nonce}, the account's is {account.nonce}")
        super().set_nonce(sender, nonce + 1)

    # -- undoing -------------------------------------------------------------------------------------------------

    def expect_mark(self, *, of_same_call: bool) -> None:
        """Say what the mark of the next `record` is. With `of_same_call` it is the second mark of the call that made the
        last one: a creation makes two. Otherwise it is the mark of a new call, as it is without this announcement."""
        self._same_frame = of_same_call

    def record(self) -> Checkpoint:
        """Return a mark for a new call. Return a mark that settles nothing if `expect_mark` has said that this is the
        second one of a call: a creation takes two."""
        serial, length = super().record()
        same, self._same_frame = self._same_frame, False
        # A creation takes a second mark for the same call. Settling at the inner one would keep changes of a creation
        # that still fails.
        return serial, -1 if same else length

    def commit(self, checkpoint: Checkpoint) -> None:
        """End a call that has succeeded: all changes so far are settled, those of its callers too. Nothing happens at
        the inner mark of a creation."""
        if checkpoint[1] >= 0:
            self._settle()
            self._count_held()

    def discard(self, checkpoint: Checkpoint) -> None:
        """End a call that has failed: all changes that are not settled are undone, those of its callers too."""
        self._undo_to(0)
        self._count_held()


def _is_empty(account: Account | None) -> bool:
    return account is None or (account.balance == 0 and account.nonce == 0 and account.code_hash == EMPTY_KECCAK)


# -- running -------------------------------------------------------------------------------------------------------


def run_private_before_marker(
    public_state: Any,
    store: NodeStore,
    root: bytes,
    message: PrivateMessage,
    marker: tuple[Transaction, bytes] | None,
    base_fee: int | None,
    deadline: float | None,
    budget: ExecutionBudget,
) -> PrivateResult:
    """Execute `message` on the private state at `root` (32 bytes), with the accounts of `public_state` behind it. If
    there is a `marker` (a transaction and its sender), the message is executed before the first instruction of that
    transaction, whose sender has paid for it. `base_fee` is in wei per gas, None before London. Nothing of
    `public_state` changes. A message that fails is a result, too. TransactionRejectedError for a wrong nonce.
    CallLimitExceededError after `deadline` (monotonic seconds), if there is one. ExecutionInterruptedError if `budget`
    is used up or cancelled."""
    accounts: Accounts = public_state._account_db
    # The block goes on after this message: the nonce and the funds of the marker's sender must be as before.
    checkpoint = accounts.record()
    try:
        if marker is not None:
            _begin_transaction(accounts, *marker, base_fee)
        return run_private(public_state, store, root, message, deadline, budget)
    finally:
        accounts.discard(checkpoint)


def _begin_transaction(accounts: Accounts, transaction: Transaction, sender: bytes, base_fee: int | None) -> None:
    """Charge the sender as a block does before a transaction's first instruction."""
    cost = transaction.gas_limit * transaction.effective_gas_price(base_fee)
    accounts.increment_nonce(sender)
    accounts.set_balance(sender, max(0, accounts.get_balance(sender) - cost))


def run_private(
    public_state: Any,
    store: NodeStore,
    root: bytes,
    message: PrivateMessage,
    deadline: float | None,
    budget: ExecutionBudget,
) -> PrivateResult:
    """Execute `message` on the private state at `root` (32 bytes), with the accounts of `public_state` behind it, which
    do not change. A message that fails is a result, too. TransactionRejectedError for a wrong nonce.
    ExecutionInterruptedError if `budget` is used up or cancelled.

    With `deadline` (monotonic seconds) it is a call of this node alone: CallLimitExceededError after the deadline, or
    if it takes too much memory or logs. Without one, counts of gas, memory, logs and output bound it, which are equal
    at every member: beyond them the message fails.
    """
    # Without a deadline all members must fail at the same point, so the bounds are counts. With one, it is a call
    # of one node: time and memory bound it.
    if deadline is None:
        return _run(public_state, store, root, message, budget, _Bounds(public_state.gas_limit))
    try:
        return _run(public_state, store, root, message, budget.with_deadline(deadline), None)
    except BudgetExceededError as exceeded:
        raise CallLimitExceededError(str(exceeded)) from None


def _run(
    public_state: Any,
    store: NodeStore,
    root: bytes,
    message: PrivateMessage,
    budget: ExecutionBudget,
    bounds: "_Bounds | None",
) -> PrivateResult:
    state = type(public_state)(store, public_state.execution_context, root)
    state.budget = budget
    accounts = state._account_db = PrivateAccounts(store, root, public_state._account_db, bounds)
    # Before the message runs, which sees the new nonce, as in Besu. A message that fails leaves the old one: nothing of
    # it is kept, so the same message may be tried again.
    accounts.use_up_nonce(message.sender, message.nonce)
    state.computation_class = _private_computation(state.computation_class)
    # The bounds come last, so that their class is the outermost and sees every charge.
    if bounds is None:
        limit_call_memory_and_logs(state)
    else:
        _bound(state, bounds)
    try:
        computation = _computed(state, message)
    # An error that reaches this place has ended the whole message. Nothing of a failed message is kept, so its root is
    # the old one.
    except (VMError, WorkLimitExceededError):
        return PrivateResult(False, root)
    if computation is None or (bounds is not None and len(computation.output) > MAX_PRIVATE_OUTPUT_BYTES):
        return PrivateResult(False, root)
    if computation.is_error:
        return PrivateResult(False, root, revert_reason=_reason(computation))
    logs = tuple(
        Log(address, tuple(topic.to_bytes(32) for topic in topics), data)
        for address, topics, data in computation.get_log_entries()
    )
    new_root = accounts.make_state_root()
    return PrivateResult(True, new_root, bytes(computation.output), logs, None, accounts.nodes)


def _computed(state: Any, message: PrivateMessage) -> Any:
    """Return the finished computation. None for a contract where there is one already."""
    context = state.get_transaction_context_class()(gas_price=message.gas_price, origin=message.sender)
    sender = Address(message.sender)
    if message.created is not None:
        if state.has_code_or_nonce(message.created):
            return None
        made = Address(message.created)
        creation = Message(PRIVATE_GAS, Address(b""), sender, 0, b"", message.data, create_address=made)
        return state.computation_class.apply_create_message(state, creation, context)
    to = Address(message.to or bytes(20))
    call = Message(PRIVATE_GAS, to, sender, 0, message.data, state.get_code(to))
    return state.computation_class.apply_message(state, call, context)


def _reason(computation: Any) -> bytes | None:
    """Return the output of REVERT. None if the message did not end by one."""
    if computation is None or not isinstance(computation.error, Revert):
        return None
    return None if isinstance(computation.error, PublicAccountWriteError) else bytes(computation.output)


@lru_cache(maxsize=64)
def _private_computation(base: Any) -> Any:
    class PrivateComputation(base):  # type: ignore[misc]
        @classmethod
        def apply_message(cls, state: Any, message: Any, *rest: Any, **named: Any) -> Any:
            state._account_db.expect_mark(of_same_call=message.is_create)
            return super().apply_message(state, message, *rest, **named)

        @classmethod
        def validate_create_message(cls, message: Any) -> None:
            # py-evm's limit on init code (EIP-3860) is for nested creations only. Nothing limits it for the private
            # transaction itself.
            if message.depth:
                super().validate_create_message(message)

    return PrivateComputation


class _SpentGas:
    """The gas that a message and all its calls have spent. The gas that a call is given counts only where it is
    spent. Gas that a failed call forfeits does not count: it is a share of `PRIVATE_GAS`, not work."""

    def __init__(self, gas_limit: int) -> None:
        self._left = gas_limit
        self._work_left = MAX_WORK_GAS
        self._charged_for_call: int | None = None

    def consume(self, amount: int, reason: str) -> None:
        """Count a charge of `amount` gas. WorkLimitExceededError if it is more than may be spent."""
        if self._charged_for_call is not None:
            self.call_begins(max(0, self._charged_for_call - _CALL_COST_GAS))
        if reason in _CALLS:
            # How much of it the call is given is known when it begins.
            self._charged_for_call = amount
        else:
            self._count(amount, amount * _slowness(amount, reason))

    def call_begins(self, given: int) -> None:
        """Note that a call begins with the gas `given`, or does not begin and has it given back.
        WorkLimitExceededError if its own cost is more than may be spent."""
        if self._charged_for_call is None:
            return
        cost, self._charged_for_call = max(0, self._charged_for_call - given), None
        self._count(cost, cost)

    def _count(self, gas: int, work: int) -> None:
        self._left -= gas
        self._work_left -= work
        if self._left < 0 or self._work_left < 0:
            raise WorkLimitExceededError


class _Bounds:
    """What one private message and all its calls have used of the bounds that are the same at every member."""

    def __init__(self, gas_limit: int) -> None:
        self.spent = _SpentGas(gas_limit)
        self._memory_bytes = self._state_bytes = self._transient_bytes = 0
        self._log_bytes = 0

    def add_memory(self, count: int) -> None:
        """Count `count` more bytes of memory, which may be negative. WorkLimitExceededError if the message holds too
        much."""
        self._memory_bytes += count
        self._check_memory()

    def release_memory(self, count: int) -> None:
        """Count `count` bytes of memory less."""
        self._memory_bytes -= count

    def hold_state(self, count: int) -> None:
        """Note that the accounts hold `count` bytes now. WorkLimitExceededError if the message holds too much."""
        self._state_bytes = count
        self._check_memory()

    def hold_transient(self, count: int) -> None:
        """Note that transient storage holds `count` bytes now. WorkLimitExceededError if the message holds too much."""
        self._transient_bytes = count
        self._check_memory()

    def _check_memory(self) -> None:
        if self._memory_bytes + self._state_bytes + self._transient_bytes > MAX_PRIVATE_MEMORY_BYTES:
            raise WorkLimitExceededError

    def add_log(self, count: int) -> None:
        """Count `count` more bytes of logs. WorkLimitExceededError if they are too many."""
        self._log_bytes += count
        if self._log_bytes > MAX_PRIVATE_LOG_BYTES:
            raise WorkLimitExceededError


class _BoundedMeter(BudgetMeter):
    """The gas meter of one call, which counts to the bounds of the whole message."""

    def __init__(self, start_gas: int, refund_strategy: Any, budget: ExecutionBudget, spent: _SpentGas) -> None:
        super().__init__(start_gas, refund_strategy, budget)
        self._spent = spent

    def consume_gas(self, amount: int, reason: str) -> None:
        # A charge that fails is no work. "Zeroing gas" is what a failed call forfeits.
        if amount <= self.gas_remaining and not reason.startswith(_FORFEIT):
            self._spent.consume(amount, reason)
        super().consume_gas(amount, reason)

    def return_gas(self, amount: int) -> None:
        self._spent.call_begins(amount)
        super().return_gas(amount)


class _BoundedTransientStorage(CountedTransientStorage):
    """Transient storage that counts to the bounds of the message."""

    def __init__(self, bounds: _Bounds) -> None:
        super().__init__()
        self._bounds = bounds

    def set_transient_storage(self, address: Any, slot: int, value: bytes) -> None:
        super().set_transient_storage(address, slot, value)
        self._bounds.hold_transient(PRIVATE_TRANSIENT_WRITE_BYTES * self._writes)

    def discard(self, checkpoint: Any) -> None:
        super().discard(checkpoint)
        self._bounds.hold_transient(PRIVATE_TRANSIENT_WRITE_BYTES * self._writes)


def _bound(state: Any, bounds: _Bounds) -> None:
    """Make every computation of `state` raise WorkLimitExceededError at the same point on every machine."""
    state.bounds = bounds
    state.computation_class = _bounded_computation(state.computation_class)
    # States of forks before Cancun have no transient storage.
    if hasattr(state, "_transient_storage"):
        state._transient_storage = _BoundedTransientStorage(bounds)


# Kept for each network: to make a class takes longer than a short private message. So the counts are in the state.
@lru_cache(maxsize=64)
def _bounded_computation(base: Any) -> Any:
    class Bounded(base):  # type: ignore[misc]
        _returned_bytes = 0

        def _configure_gas_meter(self) -> Any:
            meter, spent = super()._configure_gas_meter(), self.state.bounds.spent
            spent.call_begins(meter.start_gas)
            return _BoundedMeter(meter.start_gas, meter.refund_strategy, self.state.budget, spent)

        def extend_memory(self, start_position: int, size: int) -> None:
            before = len(self._memory)
            super().extend_memory(start_position, size)  # at most 16 MiB at once, for more costs more than MAX_WORK_GAS
            added = len(self._memory) - before
            if added:
                self.state.bounds.add_memory(added)

        def add_log_entry(self, account: Any, topics: tuple[int, ...], data: bytes) -> None:
            self.state.bounds.add_log(PRIVATE_LOG_BYTES + 32 * len(topics) + len(data))
            super().add_log_entry(account, topics, data)

        def apply_child_computation(self, child_msg: Any) -> Any:
            # The input of a call is a copy of its caller's memory, and so is the code of a creation. Both cost little.
            held = len(child_msg.data) + len(child_msg.code) + PRIVATE_STACK_ITEM_BYTES * len(self._stack.values)
            bounds = self.state.bounds
            bounds.add_memory(PRIVATE_CALL_BYTES + held)
            try:
                return super().apply_child_computation(child_msg)
            finally:
                bounds.release_memory(held)

        def add_child_computation(self, child_computation: Any) -> None:
            super().add_child_computation(child_computation)
            before, self._returned_bytes = self._returned_bytes, len(self.return_data)
            # The caller keeps the output of its last call. A call that is over has given up all other memory.
            given_up = before + len(child_computation._memory) + child_computation._returned_bytes
            self.state.bounds.add_memory(self._returned_bytes - given_up)

    return Bounded


def _slowness(amount: int, reason: str) -> int:
    # A small charge is cheap work in any case. This keeps the look at the reason away from ordinary instructions.
    if amount < 10_000:
        return 1
    return next((times for name, times in _SLOW_PRECOMPILES if reason.startswith(name)), 1)
