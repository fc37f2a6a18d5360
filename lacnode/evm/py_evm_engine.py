"""The `ExecutionEngine` on py-evm."""

from collections.abc import Iterable, Mapping, Sequence

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec, GenesisAccount
from lacnode.crypto.secp256k1 import SignatureError
from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget
from lacnode.evm.engine import (
    PYTHON,
    AccountProof,
    AncestorHash,
    CallLimitExceededError,
    CallRequest,
    CallResult,
    ExecutedBlock,
    ExecutionError,
    NodeStore,
    OverlaidNodes,
)
from lacnode.evm.merkle_trie import prove
from lacnode.evm.private_markers import sender_of
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_block import (
    BlockStart,
    PyEvmBlock,
    gas_used_and_before_refund,
    new_py_evm_state,
    run_valid_transaction,
)
from lacnode.evm.py_evm_call_rules import checked_call
from lacnode.evm.py_evm_halts import failure_in_besu_words, halt_name_with_cause
from lacnode.evm.py_evm_limits import limit_call_memory_and_logs
from lacnode.evm.py_evm_overrides import apply_overrides
from lacnode.evm.py_evm_reads import EnvironmentReadDetector
from lacnode.evm.py_evm_tracing_executor import PyEvmTracingExecutor
from lacnode.evm.py_evm_trie_accounts import Account, hashed, read_account, read_slot
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.evm.trace_record import TraceAllowance
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT
from lacnode.primitives.transaction import Transaction

MAX_REMEMBERED_ACCOUNTS = 4096
"""Accounts of the last state asked for that are kept in memory, at most about 2 MB."""


class _NoNodes:
    """The store before there is a genesis."""

    def get(self, key: bytes) -> bytes | None:
        return None


class PyEvmEngine:
    """Executes on the states in `store`, by the rules of `spec`. Cancelling `budget` stops every execution."""

    def __init__(self, spec: ChainSpec, store: NodeStore, budget: ExecutionBudget = UNLIMITED) -> None:
        self._spec = spec
        self._store = store
        self._budget = budget
        self._last_view: PyEvmStateView | None = None

    @property
    def name(self) -> str:
        """The word `python`, by which the option `--evm` names this engine."""
        return PYTHON

    def genesis_state(self) -> tuple[bytes, dict[bytes, bytes]]:
        """The root (32 bytes) of the genesis' accounts, and the nodes and codes by hash to store for it."""
        return self.initial_state(self._spec.genesis.alloc)

    def initial_state(self, genesis_accounts: Iterable[GenesisAccount]) -> tuple[bytes, dict[bytes, bytes]]:
        """The root (32 bytes) of a state of these accounts alone, and the nodes and codes by hash to store for it."""
        accounts = Accounts(_NoNodes(), EMPTY_TRIE_ROOT)
        for account in genesis_accounts:
            # Each setter makes the account exist, also with values of 0: an empty account of the genesis is part of its
            # state root.
            accounts.set_balance(account.address, account.balance)
            accounts.set_nonce(account.address, account.nonce)
            accounts.set_code(account.address, account.code)
            for slot, value in account.storage:
                accounts.set_storage(account.address, slot, value)
        return accounts.make_state_root(), accounts.nodes

    def execute(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        """Execute a whole block on the state at `parent_state_root` (32 bytes), and return its outcome. The results in
        `header` are not compared. ExecutionError if one of its transactions cannot be in it or a system call fails,
        ExecutionInterruptedError if `budget` is used up or cancelled, MissingNodeError if the store does not have the
        state."""
        # Most blocks of a quiet network are empty. Opening a state for them costs milliseconds.
        if not transactions and self._changes_nothing(header):
            return _empty_block(parent_state_root)
        start = BlockStart(self._spec, self._store, parent_state_root, header, ancestor_hash, self._budget)
        block = PyEvmBlock(start, limits=budget.sizes)
        for index, transaction in enumerate(transactions):
            try:
                block.add(transaction, sender_of(transaction, self._spec), budget)
            except SignatureError as error:
                raise ExecutionError(f"transaction {index} (0x{transaction.hash.hex()}): {error}") from None
            except TransactionRejectedError as rejected:
                raise ExecutionError(
                    f"transaction {index} (0x{transaction.hash.hex()}): {rejected.reason.name}, {rejected}"
                ) from None
        return block.close(budget)

    def outcome_of_contradicted_block(
        self,
        executed: ExecutedBlock,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        """Return `executed` itself. The outcome of py-evm decides about a block, because only py-evm may refuse one.
        The header is not compared here."""
        return executed

    def _changes_nothing(self, header: BlockHeader) -> bool:
        """Return whether a block without transactions leaves the state as it is: no reward, no system calls."""
        fork = self._spec.forks.fork_at(header.number, header.timestamp)
        return fork < Fork.PRAGUE and not self._spec.ibft.parameters_at(header.number).block_reward

    def open_block(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        ancestor_hash: AncestorHash,
        *,
        within_limits: bool = False,
    ) -> PyEvmBlock:
        """Begin a block on the state at `parent_state_root` (32 bytes), with the number, timestamp, coinbase, gas limit
        and base fee of `header`. `within_limits` keeps the memory and the logs of its transactions within the limits
        for a block. SystemCallError if a call that begins every block fails."""
        start = BlockStart(self._spec, self._store, parent_state_root, header, ancestor_hash, self._budget)
        return PyEvmBlock(start, within_limits=within_limits)

    def call(
        self, state_root: bytes, header: BlockHeader, call: CallRequest, ancestor_hash: AncestorHash
    ) -> CallResult:
        """Return the outcome of `call` on the state at `state_root` (32 bytes), in the environment of `header`.
        TransactionRejectedError if the call could not begin, OverrideError if its overrides cannot be applied,
        CallLimitExceededError if it took too long, or too much memory, ExecutionCancelledError when the engine is
        stopped."""
        try:
            return self._call(state_root, header, call, ancestor_hash)
        except BudgetExceededError as exceeded:
            raise CallLimitExceededError(str(exceeded)) from None

    def _call(
        self, state_root: bytes, header: BlockHeader, call: CallRequest, ancestor_hash: AncestorHash
    ) -> CallResult:
        # A free call has a gas price of 0. A base fee above 0 would refuse it.
        base_fee = 0 if header.base_fee is not None and call.allow_exceeding_balance else header.base_fee
        state = new_py_evm_state(self._spec, self._store, state_root, header, ancestor_hash, base_fee=base_fee)
        state.budget = self._budget
        # A call without a deadline is bounded by its gas alone.
        if call.deadline is not None:
            state.budget = self._budget.with_deadline(call.deadline)
            limit_call_memory_and_logs(state)
        if call.overrides:
            apply_overrides(state, call.overrides)
        reads = EnvironmentReadDetector(state)
        fork = self._spec.forks.fork_at(header.number, header.timestamp)
        accounts: Accounts = state._account_db
        transaction = checked_call(call, accounts, header, base_fee, self._spec)
        computation = run_valid_transaction(state, transaction)
        used, before_refund = gas_used_and_before_refund(transaction, computation, fork)
        return CallResult(
            success=computation.is_success,
            output=bytes(computation.output),
            gas_used=used,
            gas_before_refund=before_refund,
            halt=failure_in_besu_words(computation),
            explanation=halt_name_with_cause(computation, fork),
            touched=accounts.warm_entries(),
            accounts=accounts.accessed_addresses(),
            read_block=reads.happened,
        )

    def accounts(self, state_root: bytes) -> "PyEvmStateView":
        """The accounts at `state_root` (32 bytes). Nothing is read before the first question about an account: if the
        store does not have the state, that question raises MissingNodeError."""
        # The last one again: the pool and callers ask for the same senders after the same head, thousands of times a block.
        view = self._last_view
        if view is None or view.root != state_root:
            view = self._last_view = PyEvmStateView(self._store, state_root)
        return view

    def check_running(self) -> None:
        """Raise ExecutionCancelledError if the engine is stopped. It is for work between two executions."""
        self._budget.check()

    def tracing_executor(
        self, ancestor_hash: AncestorHash, budget: ExecutionBudget = UNLIMITED, allowance: TraceAllowance | None = None
    ) -> PyEvmTracingExecutor:
        """An executor for the traces of one RPC call. `budget` bounds its time, and `allowance` its steps and bytes.
        None stands for a new allowance with the usual limits."""
        return PyEvmTracingExecutor(self._spec, self._store, ancestor_hash, self._budget.joined_with(budget), allowance)

    def with_nodes(self, nodes: Mapping[bytes, bytes]) -> "PyEvmEngine":
        """An engine that finds `nodes` (trie nodes and codes by hash, 32 bytes) before those of its store."""
        return PyEvmEngine(self._spec, OverlaidNodes(nodes, self._store), self._budget)


def _empty_block(state_root: bytes) -> ExecutedBlock:
    """A block in which nothing happens."""
    return ExecutedBlock(
        state_root, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, EMPTY_BLOOM, 0, (), (), (), (), (), {}
    )  # fmt: skip


class PyEvmStateView:
    """The accounts (20-byte addresses) at one state root (an `engine.StateView`). Accounts that do not exist look
    empty. Every method raises MissingNodeError if the store does not have the state. Safe to use from several
    threads."""

    def __init__(self, store: NodeStore, root: bytes) -> None:
        self.root = root
        self._store = store
        self._remembered: dict[bytes, Account | None] = {}

    def exists(self, address: bytes) -> bool:
        """Whether the account is in the state, empty or not."""
        return self._existing(address) is not None

    def balance(self, address: bytes) -> int:
        """The balance in wei. 0 if the account does not exist."""
        return self._account(address).balance

    def nonce(self, address: bytes) -> int:
        """The nonce, which is that of the next transaction. 0 if the account does not exist."""
        return self._account(address).nonce

    def code(self, address: bytes) -> bytes:
        """The code. Empty for an account without code, or if the store gives none for the code's hash."""
        code_hash = self._account(address).code_hash
        return b"" if code_hash == EMPTY_KECCAK else self._store.get(code_hash) or b""

    def code_hash_and_storage_root(self, address: bytes) -> tuple[bytes, bytes]:
        """The hash of the account's code and the root of its storage trie (32 bytes each). Those of no code and no
        storage if the account does not exist."""
        account = self._account(address)
        return account.code_hash, account.storage_root

    def storage(self, address: bytes, slot: int) -> int:
        """The value of a slot, a number of 256 bits like `slot`. 0 if it was never written."""
        return read_slot(self._account(address).storage_root, slot, self._store)

    def proof(self, address: bytes, slots: Sequence[int]) -> AccountProof | None:
        """Return the proof of EIP-1186 of the account and of `slots`, in the given order. None if there is no such
        account."""
        account = self._existing(address)
        if account is None:
            return None
        return AccountProof(
            nonce=account.nonce,
            balance=account.balance,
            storage_root=account.storage_root,
            code_hash=account.code_hash,
            nodes=prove(self.root, hashed(address), self._store.get),
            storage=tuple(
                (
                    slot,
                    read_slot(account.storage_root, slot, self._store),
                    prove(account.storage_root, hashed(slot.to_bytes(32)), self._store.get),
                )
                for slot in slots
            ),
        )

    def _account(self, address: bytes) -> Account:
        return self._existing(address) or Account()

    def _existing(self, address: bytes) -> Account | None:
        try:
            return self._remembered[address]
        except KeyError:
            account = read_account(self.root, address, self._store)
        if len(self._remembered) >= MAX_REMEMBERED_ACCOUNTS:
            self._remembered.clear()
        self._remembered[address] = account
        return account
