"""A block in the making on the native library, transaction by transaction."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm import py_evm_block
from lacnode.evm.block_limits import MAX_BLOCK_LOG_BYTES, MAX_TRANSACTION_MEMORY_BYTES, estimated_log_bytes
from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget, SizeExceededError, SizeLimits
from lacnode.evm.engine import NATIVE, ExecutedBlock, NodeStore, OpenBlock, SystemCallError
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.native_library import native_library
from lacnode.evm.native_rules import is_left_to_python
from lacnode.evm.native_state import CurrentBudget
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.py_evm_block import created_contract_address
from lacnode.evm.py_evm_private import run_private_before_marker
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.evm.revert_reasons import RevertReasons
from lacnode.evm.system_contracts import contracts_asked_for_requests, missing_contract_error
from lacnode.evm.transaction_validation import (
    check_base_fee,
    check_blob_fee,
    check_sender,
    check_transaction,
    is_delegation,
)
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK
from lacnode.primitives.receipt import Log, Receipt
from lacnode.primitives.transaction import BLOB, Transaction

PART_GAS = 5_000_000
"""Gas limits of the transactions of a block that the library executes together. It keeps the outputs of REVERT until the
last one: so much gas buys 10 MB of them. It buys about 100 MB of memory at most, with copies: less than
`MAX_PROPOSAL_MEMORY_BYTES`."""

CHANGE_SECONDS = 5e-6
"""About how long it takes to write one account or slot to the tries."""


class NativeBlock:
    """A block in the making on the native library (an `engine.OpenBlock`). `reopen` begins the same block on py-evm,
    for a transaction that the library cannot execute. `public_state` makes a py-evm state of this block's accounts.
    Panics of the library go to `differences`."""

    def __init__(
        self,
        spec: ChainSpec,
        header: BlockHeader,
        native: Any,
        current: CurrentBudget,
        blob_fee: int,
        reopen: Callable[[], OpenBlock],
        public_state: Callable[[], Any],
        differences: EngineDifferences,
        *,
        within_limits: bool,
    ) -> None:
        self._spec = spec
        self._header = header
        self._fork = spec.forks.fork_at(header.number, header.timestamp)
        self._native = native
        self._current = current
        self._engine_budget = current.budget
        self._blob_fee = blob_fee
        self._reopen = reopen
        self._public_state = public_state
        self._differences = differences
        self._within_limits = within_limits
        # Once py-evm has taken the block over, it keeps it: the library does not know what py-evm has executed.
        self._python: OpenBlock | None = None
        self._log_bytes = 0
        self._closing_seconds = 0.0
        self._transactions: list[Transaction] = []
        self._senders: list[bytes] = []
        self._receipts: list[Receipt] = []
        self._gas: list[int] = []
        self._reasons = RevertReasons()

    @property
    def gas_left(self) -> int:
        """The gas that transactions may still ask for by their gas limits."""
        return self._header.gas_limit - int(self._native.gas_used) if self._python is None else self._python.gas_left

    @property
    def estimated_closing_seconds(self) -> float:
        """About the seconds that `close` will take for the added transactions, with the time that the validators will
        need to read their access lists. 0 before the first."""
        return self._closing_seconds if self._python is None else self._python.estimated_closing_seconds

    # -- adding ----------------------------------------------------------------------------------------------------------

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        """Execute `transaction`, signed by `sender` (20 bytes), and add it to the block. py-evm takes the block over if
        the library cannot execute `transaction`. TransactionRejectedError if it cannot be in this block.
        ExecutionInterruptedError if `budget` is used up or cancelled, or has no time left to close the block with the
        transaction. After an error the block has the same transactions as before."""
        if self._python is not None:
            return self._python.add(transaction, sender, budget)
        self._use(budget)
        if is_left_to_python([transaction], self._spec):
            return self._in_python(budget).add(transaction, sender, budget)
        try:
            # Besu's checks in Besu's order come first. The library has checks of its own, in another order and with
            # other texts.
            self._check(transaction, sender)
            return self._run(transaction, sender)
        # The limits are this node's, not the library's, so py-evm would give the same error after more work.
        except native_library().TooLargeError as large:
            raise _beyond(str(large), SizeLimits(MAX_TRANSACTION_MEMORY_BYTES, MAX_BLOCK_LOG_BYTES)) from None
        # The library may have lost the block. py-evm executes it from its beginning.
        except native_library().NativeError as error:
            self._differences.record_if_panic(error, "executes the block")
            return self._in_python(budget).add(transaction, sender, budget)

    def _run(self, transaction: Transaction, sender: bytes) -> Receipt:
        limits = (MAX_TRANSACTION_MEMORY_BYTES, MAX_BLOCK_LOG_BYTES) if self._within_limits else (None, None)
        outcome, changes, log_bytes = self._native.run(transaction.raw, sender, self._current.check, *limits)
        try:
            receipt = receipt_of(transaction, *outcome[:4])
            data_bytes = sum(len(log.data) for log in receipt.logs)
            # The roots are computed when all transactions are chosen, and nothing interrupts that. So the time for it is
            # set aside here.
            estimated_closing_seconds = CHANGE_SECONDS * changes + py_evm_block.LOG_BYTE_SECONDS * data_bytes
            estimated_closing_seconds += py_evm_block.ACCESS_ITEM_SECONDS * py_evm_block.count_access_list_items(
                transaction
            )
            self._current.budget.check_time_for(estimated_closing_seconds)
            self._check_logs(log_bytes)
        except BaseException:
            # The outcome does not fit, or cannot be read. The library forgets it, and the block is as it was before.
            self._native.discard()
            raise
        # Kept in the library before it is counted here: the two must not differ in what the block has.
        self._native.keep()
        self._closing_seconds += estimated_closing_seconds
        self._log_bytes += log_bytes if self._within_limits else 0
        self._transactions.append(transaction)
        self._senders.append(sender)
        self._receipts.append(receipt)
        self._gas.append(outcome[4])
        self._reasons.add(outcome[5])
        return receipt

    def _check_logs(self, log_bytes: int) -> None:
        if self._within_limits and self._log_bytes + log_bytes > MAX_BLOCK_LOG_BYTES:
            raise BudgetExceededError("the block has no place for its logs")

    def _use(self, budget: ExecutionBudget) -> None:
        self._current.budget = budget.joined_with(self._engine_budget)
        self._current.budget.check()

    def _in_python(self, budget: ExecutionBudget) -> OpenBlock:
        """Return the same block on py-evm, with all its transactions. After an error of py-evm this block goes on."""
        block = self._reopen()
        # The transactions were executed before, so py-evm takes them too, unless the engines differ.
        for transaction, sender in zip(self._transactions, self._senders, strict=True):
            block.add(transaction, sender, budget)
        # Set last: an error above, such as an ended budget, leaves the native block in use.
        self._python = block
        return block

    def _check(self, transaction: Transaction, sender: bytes) -> None:
        check_transaction(transaction, self._spec, self._fork)
        if transaction.gas_limit > self.gas_left:
            raise TransactionRejectedError(
                RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,
                f"gas limit {transaction.gas_limit}, the block has {self.gas_left} left",
            )
        check_base_fee(transaction, self._header.base_fee)
        if transaction.type == BLOB:
            check_blob_fee(transaction, self._blob_fee)
        nonce, balance, code_hash, _ = self._native.account(sender) or (0, b"", EMPTY_KECCAK, False)
        has_code = code_hash != EMPTY_KECCAK and not self._is_delegation(code_hash)
        check_sender(transaction, nonce=nonce, balance=int.from_bytes(balance), has_code=has_code)

    def _is_delegation(self, code_hash: bytes) -> bool:
        return self._fork >= Fork.PRAGUE and is_delegation(bytes(self._native.code(code_hash)))

    # -- the whole block -------------------------------------------------------------------------------------------------

    def execute_all(self, transactions: list[Transaction], senders: list[bytes], budget: ExecutionBudget) -> None:
        """Execute all transactions of a block of another validator, with their senders (20 bytes each) in the same
        order. The library's `NativeError` if it cannot execute one of them, or refuses one. ExecutionInterruptedError
        if `budget` is used up or cancelled, or if the transactions need more than the sizes of `budget`. After an error
        the block must not be used."""
        self._use(budget)
        sizes = budget.sizes
        for start, end in _parts(transactions):
            if sizes is None or transactions[start].gas_limit <= PART_GAS:
                self._execute_part(transactions[start:end], senders[start:end])
            else:
                self._execute_large(transactions[start], senders[start], sizes)
            if sizes is not None:
                self._log_bytes += _log_bytes_of(self._receipts[start:end])
                if self._log_bytes > sizes.log_bytes:
                    raise _beyond("logs", sizes)

    def _execute_large(self, transaction: Transaction, sender: bytes, sizes: SizeLimits) -> None:
        """Execute a transaction whose gas could buy more than `sizes`. Those of a part never hold so much."""
        outcome = _run_within(sizes, self._log_bytes, self._native, transaction.raw, sender, self._current.check)
        self._native.keep()
        self._transactions.append(transaction)
        self._senders.append(sender)
        self._receipts.append(receipt_of(transaction, *outcome[:4]))
        self._gas.append(outcome[4])
        self._reasons.add(outcome[5])

    def _execute_part(self, transactions: list[Transaction], senders: list[bytes]) -> None:
        raws = [transaction.raw for transaction in transactions]
        *outcomes, gas, reasons = self._native.run_all(raws, senders, self._current.check)
        self._transactions += transactions
        self._senders += senders
        self._receipts += receipts_of(transactions, *outcomes)
        self._gas += gas
        self._reasons.add_all(reasons)

    def close(self, budget: ExecutionBudget = UNLIMITED) -> ExecutedBlock:
        """Finish the block: make the calls that end every block, pay its reward and compute the roots. SystemCallError
        if such a call fails, ExecutionInterruptedError if `budget` is used up or cancelled."""
        if self._python is not None:
            return self._python.close(budget)
        try:
            return self.close_natively(budget)
        except native_library().NativeError as error:
            self._differences.record_if_panic(error, "executes the block")
            return self._in_python(budget).close(budget)

    def close_natively(self, budget: ExecutionBudget) -> ExecutedBlock:
        """Finish the block with the library alone: make the calls that end every block, pay the reward and compute the
        roots. The library's `NativeError` if it cannot, SystemCallError if a call that ends every block fails,
        ExecutionInterruptedError if `budget` is used up or cancelled."""
        self._use(budget)
        # The order is consensus: requests first, the reward after them, then the roots.
        for address in contracts_asked_for_requests(self._fork, self._spec):
            _ask(self._native, address, self._current.check)
        parameters = self._spec.ibft.parameters_at(self._header.number)
        if parameters.block_reward:
            beneficiary = parameters.mining_beneficiary
            coinbase = self._header.coinbase if beneficiary is None else beneficiary
            self._native.reward(coinbase, parameters.block_reward.to_bytes(32))
        # Read before `close`, which uses the library's block up.
        gas_used = int(self._native.gas_used)
        state_root, transactions_root, receipts_root, bloom, nodes = self._native.close(self._current.check)
        return ExecutedBlock(
            state_root=state_root,
            transactions_root=transactions_root,
            receipts_root=receipts_root,
            logs_bloom=bloom,
            gas_used=gas_used,
            receipts=tuple(self._receipts),
            gas_used_by=tuple(self._gas),
            revert_reasons=self._reasons.as_tuple(),
            senders=tuple(self._senders),
            created=tuple(
                created_contract_address(sender, transaction.nonce) if transaction.to is None else None
                for transaction, sender in zip(self._transactions, self._senders, strict=True)
            ),
            nodes=nodes,
            executed_by=NATIVE,
        )

    # -- private messages ------------------------------------------------------------------------------------------------

    def execute_private(
        self,
        store: NodeStore,
        root: bytes,
        message: PrivateMessage,
        *,
        marker: tuple[Transaction, bytes] | None = None,
        deadline: float | None = None,
        budget: ExecutionBudget = UNLIMITED,
    ) -> PrivateResult:
        """Execute `message` on the private state at `root` (32 bytes), with the public accounts of this block behind
        it: as they are now, or before the first instruction of `marker` (a transaction and its sender of 20 bytes).
        py-evm executes it: only Besu undoes changes of a private state in this way, and revm cannot. The block does not
        change. Raises TransactionRejectedError for a wrong nonce, CallLimitExceededError after `deadline` (monotonic
        seconds, None for none), or ExecutionInterruptedError."""
        if self._python is not None:
            return self._python.execute_private(store, root, message, marker=marker, deadline=deadline, budget=budget)
        base_fee, joined = self._header.base_fee, budget.joined_with(self._engine_budget)
        try:
            return run_private_before_marker(
                self._public_state(), store, root, message, marker, base_fee, deadline, joined
            )
        except native_library().NativeError as error:
            self._differences.record_if_panic(error, "executes the block")
            block = self._in_python(budget)
        return block.execute_private(store, root, message, marker=marker, deadline=deadline, budget=budget)


def _parts(transactions: list[Transaction]) -> Iterator[tuple[int, int]]:
    """Yield the first index of each part of `transactions`, and the one behind its last. The gas limits of a part are
    `PART_GAS` together at most, unless it is a single transaction."""
    totals = list(accumulate([transaction.gas_limit for transaction in transactions]))
    start = before = 0
    while start < len(totals):
        end = max(bisect_right(totals, before + PART_GAS, start), start + 1)
        yield start, end
        start, before = end, totals[end - 1]


def receipt_of(transaction: Transaction, status: int, cumulative_gas: int, bloom: bytes | None, logs: Any) -> Receipt:
    """Return the receipt in the library's outcome of a transaction. `status` is 1 for success and 0 for failure.
    `bloom` is None without logs. Each of `logs` is address, topics and data."""
    return Receipt(transaction.type, status, None, cumulative_gas, bloom or EMPTY_BLOOM, tuple(map(Log._make, logs)))


def receipts_of(
    transactions: list[Transaction],
    statuses: list[int],
    cumulative_gas: list[int],
    blooms: list[bytes | None],
    logs: list[Any],
) -> list[Receipt]:
    """Return the receipts of `transactions`, in their order. Each of the other lists has one item for each transaction,
    of the form that `receipt_of` describes."""
    columns = zip(
        [transaction.type for transaction in transactions],
        statuses,
        [None] * len(statuses),
        cumulative_gas,
        [bloom or EMPTY_BLOOM for bloom in blooms],
        [tuple(map(Log._make, each)) if each else () for each in logs],
        strict=True,
    )
    # Python takes three times as long for a call with six arguments, and a block may have thousands.
    return list(map(Receipt._make, columns))


def _ask(native: Any, address: bytes, check: Callable[[], None]) -> None:
    account = native.account(address)
    if account is None or account[2] == EMPTY_KECCAK:
        raise missing_contract_error(address)
    if not native.system_call(address, b"", check):
        raise SystemCallError(f"the system call to 0x{address.hex()} failed")


def _run_within(
    sizes: SizeLimits, log_bytes: int, native: Any, raw: bytes, sender: bytes, check: Callable[[], None]
) -> Any:
    """Execute a transaction of a block that has `log_bytes` of logs, and return the library's outcome of it."""
    try:
        outcome, _, _ = native.run(raw, sender, check, sizes.memory_bytes, sizes.log_bytes - log_bytes)
    # An end of the work, and no failure of the library: py-evm must not begin it again.
    except native_library().TooLargeError as large:
        raise _beyond(str(large), sizes) from None
    return outcome


def _log_bytes_of(receipts: list[Receipt]) -> int:
    return sum(estimated_log_bytes(len(log.topics), log.data) for receipt in receipts for log in receipt.logs)


def _beyond(what: str, sizes: SizeLimits) -> SizeExceededError:
    if what == "memory":
        return SizeExceededError(f"it needs more than {sizes.memory_bytes} bytes of memory")
    return SizeExceededError(f"it writes more than {sizes.log_bytes} bytes of logs")
