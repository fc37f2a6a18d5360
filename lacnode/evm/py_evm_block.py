"""A block in the making on py-evm, transaction by transaction."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from eth.exceptions import Revert
from eth.vm.execution_context import ExecutionContext
from eth_typing import Address, BlockNumber, Hash32

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.budget import UNLIMITED, ExecutionBudget, SizeLimits
from lacnode.evm.engine import AncestorHash, ExecutedBlock, NodeStore
from lacnode.evm.private_markers import check_goquorum_private, is_goquorum_private
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_forks import state_class
from lacnode.evm.py_evm_limits import TransactionLimits, limits_of_new_block
from lacnode.evm.py_evm_private import run_private_before_marker
from lacnode.evm.py_evm_system_calls import call_request_contracts, store_parent_hash
from lacnode.evm.py_evm_transaction import EvmTransaction, from_transaction
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.evm.revert_reasons import RevertReasons
from lacnode.evm.state_administration import administration_rules
from lacnode.evm.transaction_validation import (
    check_base_fee,
    check_blob_fee,
    check_sender,
    check_transaction,
    is_delegation,
)
from lacnode.primitives import rlp
from lacnode.primitives.bloom import union_of_blooms
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK, keccak256
from lacnode.primitives.ordered_root import ordered_root, transactions_root
from lacnode.primitives.receipt import Log, Receipt
from lacnode.primitives.transaction import BLOB, Transaction

CHANGE_SECONDS = 30e-6
"""About how long it takes to write one account or slot to the tries."""

LOG_BYTE_SECONDS = 20e-9
"""About how long it takes to encode, hash and store one byte of a log."""

ACCESS_ITEM_SECONDS = 10e-6
"""About how long each validator takes to read an address or a slot of an access list, in the proposal and in the block that
is announced."""

ANCESTOR_BLOCKS = 256
"""Blocks that BLOCKHASH reaches back."""


def new_py_evm_state(
    spec: ChainSpec,
    store: NodeStore,
    root: bytes,
    header: BlockHeader,
    ancestor_hash: AncestorHash,
    *,
    base_fee: int | None,
) -> Any:
    """Return a py-evm state at `root` (32 bytes) in the environment of `header`. `base_fee` is in wei per gas, None for
    0, and takes the place of the header's. Nothing is read yet: a missing state is a MissingNodeError at the first
    question."""
    fork = spec.forks.fork_at(header.number, header.timestamp)
    beneficiary = spec.ibft.parameters_at(header.number).mining_beneficiary
    context = ExecutionContext(
        coinbase=Address(header.coinbase if beneficiary is None else beneficiary),
        timestamp=header.timestamp,
        block_number=BlockNumber(header.number),
        difficulty=header.difficulty,
        mix_hash=Hash32(header.mix_hash),
        gas_limit=header.gas_limit,
        prev_hashes=_ancestors(header.number, ancestor_hash),
        chain_id=spec.chain_id,
        base_fee_per_gas=base_fee or 0,
        excess_blob_gas=header.excess_blob_gas or 0,
    )
    state = state_class(
        fork,
        spec.max_contract_bytes_at(header.number),
        spec.evm_stack_size,
        spec.constant_base_fee is not None,
        administration_rules(spec, header.number, fork),
    )
    return state(store, context, root)


def _ancestors(number: int, ancestor_hash: AncestorHash) -> Iterator[Hash32]:
    for ancestor in range(number - 1, max(-1, number - 1 - ANCESTOR_BLOCKS), -1):
        hash_ = ancestor_hash(ancestor)
        if hash_ is None:
            return
        yield Hash32(hash_)


def run_valid_transaction(state: Any, transaction: EvmTransaction) -> Any:
    """Execute a transaction that has been found valid, with its fees. Return the finished computation, which may have
    failed. The changes stay in `state` and are not locked. ExecutionInterruptedError if the budget of `state` is used
    up or cancelled: the caller must undo the changes then."""
    executor = state.get_transaction_executor()
    message = executor.build_evm_message(transaction)
    try:
        computation = executor.build_computation(message, transaction)
        return executor.finalize_computation(transaction, computation)
    finally:
        # Transient storage lasts for one transaction (EIP-1153), also for one that was interrupted. States before
        # Cancun have none.
        if hasattr(state, "_transient_storage"):
            state.clear_transient_storage()


def gas_used_and_before_refund(transaction: EvmTransaction, computation: Any, fork: Fork) -> tuple[int, int]:
    """Return the gas charged, after and before refunds, in gas units. From Prague on both are at least the floor of
    EIP-7623."""
    consumed = transaction.gas - computation.get_gas_remaining()
    # EIP-3529 lowered the share of the gas that refunds may return.
    refund = min(computation.get_gas_refund(), consumed // (5 if fork >= Fork.LONDON else 2))
    # `data_floor_gas` is the gas that is missing to EIP-7623's floor. The floor counts before refunds too.
    used = consumed - refund + computation.data_floor_gas
    return used, max(used, consumed)


@dataclass(frozen=True, slots=True)
class BlockStart:
    """What a block is executed on: the rules in `spec`, the states in `store`, the state root of the parent (32 bytes),
    and the environment in `header`. `ancestor_hash` gives the hashes for BLOCKHASH. Cancelling `budget` stops the
    executions of the block."""

    spec: ChainSpec
    store: NodeStore
    parent_state_root: bytes
    header: BlockHeader
    ancestor_hash: AncestorHash
    budget: ExecutionBudget = UNLIMITED


class PyEvmBlock:
    """A block in the making that py-evm executes, one transaction after the other (an `engine.OpenBlock`).
    `within_limits` applies the limits of a block that this node builds. Otherwise `limits` apply, or none. The
    constructor raises SystemCallError if a call that begins the block fails."""

    def __init__(self, start: BlockStart, *, within_limits: bool = False, limits: SizeLimits | None = None) -> None:
        header = start.header
        self._spec = start.spec
        self._engine_budget = start.budget
        self._header = header
        self._fork = start.spec.forks.fork_at(header.number, header.timestamp)
        self._state = new_py_evm_state(
            start.spec, start.store, start.parent_state_root, header, start.ancestor_hash, base_fee=header.base_fee
        )
        self._accounts: Accounts = self._state._account_db
        self._state.budget = start.budget
        self._begin()
        self._limits = TransactionLimits(
            self._state, limits_of_new_block() if within_limits else limits, is_new=within_limits
        )
        self._transactions: list[Transaction] = []
        self._senders: list[bytes] = []
        self._receipts: list[Receipt] = []
        self._gas: list[int] = []
        self._reasons = RevertReasons()
        self._created: list[bytes | None] = []
        self._total_gas = 0
        self._counts_marker_gas = within_limits
        self._marker_gas = 0
        self._closing_seconds = 0.0

    def _begin(self) -> None:
        """Make the calls that begin a block."""
        store_parent_hash(self._state, self._fork, self._header.parent_hash)

    @property
    def estimated_closing_seconds(self) -> float:
        """About the seconds that `close` will take for the added transactions, with the time that the validators will
        need to read their access lists. 0 before the first."""
        return self._closing_seconds

    @property
    def gas_left(self) -> int:
        """The gas that transactions may still ask for by their gas limits."""
        return self._header.gas_limit - self._total_gas - self._marker_gas

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        """Execute `transaction`, signed by `sender` (20 bytes, not checked), add it to the block and return its
        receipt. TransactionRejectedError if it cannot be in this block. ExecutionInterruptedError if `budget` is used
        up or cancelled, or has no time left to close the block with it. After an error nothing has changed."""
        if is_goquorum_private(transaction, self._spec):
            return self._add_private_marker(transaction, sender)
        # Checked on the state as it is now: an earlier transaction of the block may have used the nonce or the funds.
        self._check(transaction, sender)
        evm_transaction = from_transaction(transaction, sender, self._fork)
        self._state.budget = budget.joined_with(self._engine_budget)
        self._state.budget.check()
        self._limits.begin_transaction()
        try:
            computation = self._run(transaction, evm_transaction)
            # The roots are computed when all transactions are chosen, and nothing interrupts that. So the time for it
            # is set aside here.
            estimated_closing_seconds = CHANGE_SECONDS * self._accounts.change_count + LOG_BYTE_SECONDS * _log_bytes(
                computation
            )
            estimated_closing_seconds += ACCESS_ITEM_SECONDS * count_access_list_items(transaction)
            self._state.budget.check_time_for(estimated_closing_seconds)
            self._limits.check_logs()
        except BaseException:
            # Every error, also one of the process: the block goes on without this transaction, or is closed without it.
            self._accounts.discard_all()
            raise
        self._limits.count_logs_of_added_transaction()
        self._closing_seconds += estimated_closing_seconds
        # Before the receipt: receipts before Byzantium have the state root of exactly this point.
        self._accounts.lock_changes()
        used, _ = gas_used_and_before_refund(evm_transaction, computation, self._fork)
        return self._note(transaction, sender, used, computation)

    def _note(self, transaction: Transaction, sender: bytes, used: int, computation: Any) -> Receipt:
        """Note an executed transaction, which used so much gas. Return its receipt."""
        self._total_gas += used
        receipt = self._receipt(transaction, computation.is_success, computation.get_log_entries())
        return self._keep(transaction, sender, receipt, used, revert_reason(computation))

    def _add_private_marker(self, transaction: Transaction, sender: bytes) -> Receipt:
        check_goquorum_private(transaction, nonce=self._accounts.get_nonce(sender), gas_left=self.gas_left)
        self._accounts.increment_nonce(sender)
        self._accounts.lock_changes()
        # A node of GoQuorum that is no party takes the whole gas limit from the block, and a party takes less. So all
        # of it is set aside in a new block, and a block of others may use more.
        if self._counts_marker_gas:
            self._marker_gas += transaction.gas_limit
        return self._keep(transaction, sender, self._receipt(transaction, True, ()), 0, None)

    def _keep(
        self, transaction: Transaction, sender: bytes, receipt: Receipt, used: int, reason: bytes | None
    ) -> Receipt:
        """Add an executed transaction to the block. `used` is its gas, and `reason` the output of its REVERT."""
        self._transactions.append(transaction)
        self._senders.append(sender)
        self._receipts.append(receipt)
        self._gas.append(used)
        self._reasons.add(reason)
        self._created.append(created_contract_address(sender, transaction.nonce) if transaction.is_creation else None)
        return receipt

    def _run(self, transaction: Transaction, evm_transaction: EvmTransaction) -> Any:
        """Execute `transaction`, which is also `evm_transaction`. Return the finished computation."""
        return run_valid_transaction(self._state, evm_transaction)

    def close(self, budget: ExecutionBudget = UNLIMITED) -> ExecutedBlock:
        """Finish the block: make the calls that end every block, pay its reward and compute the roots. SystemCallError
        if such a call fails, ExecutionInterruptedError if `budget` is used up or cancelled."""
        budget = budget.joined_with(self._engine_budget)
        self._state.budget = budget
        self._limits.begin_transaction()
        # The order is consensus: requests first, the reward after them, then the roots.
        call_request_contracts(self._state, self._fork, self._spec)
        self._pay_reward()
        root = self._accounts.make_state_root(budget)
        return ExecutedBlock(
            state_root=root,
            transactions_root=transactions_root(self._transactions, budget.check),
            receipts_root=ordered_root([_encoded(receipt, budget) for receipt in self._receipts], budget.check),
            logs_bloom=union_of_blooms(receipt.logs_bloom for receipt in self._receipts),
            gas_used=self._total_gas,
            receipts=tuple(self._receipts),
            gas_used_by=tuple(self._gas),
            revert_reasons=self._reasons.as_tuple(),
            senders=tuple(self._senders),
            created=tuple(self._created),
            nodes=self._accounts.nodes,
        )

    def _pay_reward(self) -> None:
        reward = self._spec.ibft.parameters_at(self._header.number).block_reward
        if reward:
            self._state.delta_balance(self._state.coinbase, reward)

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
        it: as they are now, or before the first instruction of `marker` (a transaction and its sender of 20 bytes). The
        block does not change. Raises TransactionRejectedError for a wrong nonce, CallLimitExceededError after
        `deadline` (monotonic seconds, None for none), or ExecutionInterruptedError."""
        budget = budget.joined_with(self._engine_budget)
        return run_private_before_marker(
            self._state, store, root, message, marker, self._header.base_fee, deadline, budget
        )

    def _check(self, transaction: Transaction, sender: bytes) -> None:
        check_transaction(transaction, self._spec, self._fork)
        # The limit counts, not the gas that the transaction will use: a validator does not know that before it
        # executes.
        if transaction.gas_limit > self.gas_left:
            raise TransactionRejectedError(
                RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,
                f"gas limit {transaction.gas_limit}, the block has {self.gas_left} left",
            )
        # The order of these checks is Besu's. The first failure is what the sender reads.
        check_base_fee(transaction, self._header.base_fee)
        if transaction.type == BLOB:
            check_blob_fee(transaction, self._state.blob_base_fee)
        accounts = self._accounts
        check_sender(
            transaction,
            nonce=accounts.get_nonce(sender),
            balance=accounts.get_balance(sender),
            has_code=accounts.get_code_hash(sender) != EMPTY_KECCAK and not self._is_delegated(sender),
        )

    def _is_delegated(self, sender: bytes) -> bool:
        """Return whether `sender` is no contract but runs another's code by its own will (EIP-7702)."""
        return self._fork >= Fork.PRAGUE and is_delegation(self._accounts.get_code(sender))

    def _receipt(self, transaction: Transaction, is_success: bool, entries: Iterable[Any]) -> Receipt:
        logs = tuple(
            Log(address, tuple(topic.to_bytes(32) for topic in topics), data) for address, topics, data in entries
        )
        if self._fork >= Fork.BYZANTIUM:
            return Receipt.with_computed_bloom(transaction.type, int(is_success), None, self._total_gas, logs)
        return Receipt.with_computed_bloom(
            transaction.type, None, self._accounts.make_state_root(), self._total_gas, logs
        )


def revert_reason(computation: Any) -> bytes | None:
    """Return the output of REVERT, which may be empty. None if `computation` did not end with REVERT."""
    if computation.is_error and isinstance(computation.error, Revert):
        return bytes(computation.output)
    return None


def _encoded(receipt: Receipt, budget: ExecutionBudget) -> bytes:
    budget.check()
    return receipt.encode()


def count_access_list_items(transaction: Transaction) -> int:
    """The number of addresses and slots in the access list of `transaction`, repeated ones too."""
    return sum(1 + len(slots) for _, slots in transaction.access_list)


def _log_bytes(computation: Any) -> int:
    return sum(len(data) for _, _, data in computation.get_log_entries())


def created_contract_address(sender: bytes, nonce: int) -> bytes:
    """The 20-byte address of the contract that a transaction of `sender` (20 bytes) with `nonce` creates. It is not the
    address of CREATE2."""
    return keccak256(rlp.encode([sender, rlp.encode_scalar(nonce)]))[12:]
