"""The border between the chain and the engines that execute transactions: py-evm, or the native library with py-evm
behind it.

An engine gets the state it starts from and the header it works for, and returns the outcome. It stores nothing, and
keeps nothing that a later call depends on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lacnode.chainspec.spec import GenesisAccount
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.overrides import Overrides
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.access_list import AccessListEntry
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction

__all__ = ["RejectionReason", "TransactionRejectedError"]

AncestorHash = Callable[[int], bytes | None]
"""The on-chain hash of the block with a number below the current one's, for BLOCKHASH."""


class ExecutionError(Exception):
    """A block that cannot be executed. The text names the transaction or the system call, and the reason."""


class SystemCallError(ExecutionError):
    """A call that every block of its fork makes by itself failed: no block can be made on this state."""


PYTHON, NATIVE, BOTH = "python", "native", "both"
"""Names of engines."""

REVERTED = "reverted"
"""The `halt` of a call that ended with REVERT."""


class CallLimitExceededError(Exception):
    """A call took longer than its deadline, or more memory or logs than any call may."""


class NodeStore(Protocol):
    """Trie nodes and contract code by their Keccak hash. The store of an engine that several threads use must be safe
    to read from several threads."""

    def get(self, key: bytes) -> bytes | None:
        """Return the trie node or the code with the Keccak hash `key` (32 bytes). None if it is absent. A store of a
        whole chain may raise MissingNodeError instead."""


class OverlaidNodes:
    """Trie nodes in front of a store: `nodes` are looked up first. They may grow, so that a later execution reads the nodes
    of an earlier one."""

    def __init__(self, nodes: Mapping[bytes, bytes], store: NodeStore) -> None:
        self._nodes = nodes
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        """Return the trie node or the code with the Keccak hash `key` (32 bytes): from `nodes` if they have the hash,
        otherwise from the store. If both lack it, None or the error of the store."""
        return self._nodes.get(key) or self._store.get(key)


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """The outcome of executing a block's transactions, one entry a transaction in the sequences. Roots have 32 bytes,
    addresses 20 and the bloom 256. Gas is in gas units, and `gas_used_by` has that of each transaction alone.

    `revert_reasons` has the output of REVERT, None for a transaction that did not revert, and for one whose output is
    beyond the limit for a block (`revert_reasons`). `created` has the address of the contract that a transaction wanted
    to create, also if it failed, and None for a transaction with a recipient. `nodes` are the new trie nodes and codes,
    by hash, that make `state_root` readable.
    """

    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    gas_used: int
    receipts: tuple[Receipt, ...]
    gas_used_by: tuple[int, ...]
    revert_reasons: tuple[bytes | None, ...]
    senders: tuple[bytes, ...]
    created: tuple[bytes | None, ...]
    nodes: dict[bytes, bytes]
    # Left out of comparisons: two engines that agree give equal blocks.
    executed_by: str = field(default=PYTHON, compare=False)
    """The name of the engine that executed it."""

    def complete_header(self, draft: BlockHeader) -> BlockHeader:
        """Return a copy of `draft` with the roots, the bloom and the used gas of this execution."""
        return draft.with_changes(
            state_root=self.state_root,
            transactions_root=self.transactions_root,
            receipts_root=self.receipts_root,
            logs_bloom=self.logs_bloom,
            gas_used=self.gas_used,
        )


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call without a signature (`eth_call` and its kin).

    Addresses have 20 bytes. `to` is None for a creation. `gas` is in gas units, None for the gas limit of the block.
    `value` and prices are in wei. A price is None if the caller names none. `nonce` None stands for the sender's next
    nonce. A later nonce is allowed, except in a validated simulation, and in a trace without
    `allow_exceeding_balance`. An earlier nonce is refused.
    `chain_id` must be the chain's if the call has the form of a type later than 0. For type 0 it is not looked at.
    `overrides` are values of accounts that this call alone sees. With `allow_exceeding_balance` the gas price is 0,
    and the prices are not looked at. The sender must still own `value`. `deadline` is on the monotonic clock, in
    seconds. None bounds the call by its gas alone.
    """

    sender: bytes = bytes(20)
    to: bytes | None = None
    gas: int | None = None
    gas_price: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    value: int = 0
    data: bytes = b""
    access_list: tuple[AccessListEntry, ...] = ()
    nonce: int | None = None
    chain_id: int | None = None
    overrides: Overrides = ()
    allow_exceeding_balance: bool = True
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a call. `halt` is None on success, `REVERTED` after REVERT, otherwise the reason for its end in
    Besu's words. `explanation` is then py-evm's name of the same reason, with a probable cause if there is one. It is
    None on success and after REVERT. `output` is what the call returned, or the output of REVERT.

    `gas_used` is after refunds, `gas_before_refund` before, both in gas units. `touched` are addresses and slots that
    are warm by Berlin's rules, `accounts` all addresses that were read, in any fork. `read_block` is true if the call
    read more than code and storage: the block, a balance or a nonce. It is also true if the call, or a call within it,
    failed at an instruction that names an account. `accounts` may not have that account.
    """

    success: bool
    output: bytes
    gas_used: int
    gas_before_refund: int
    halt: str | None
    explanation: str | None
    touched: tuple[AccessListEntry, ...]
    accounts: frozenset[bytes]
    read_block: bool


@dataclass(frozen=True, slots=True)
class AccountProof:
    """EIP-1186: an account and some of its slots with the trie nodes that prove them. The balance is in wei. Nodes are
    in RLP, from the root down.

    `storage` has for each slot its number, its value (0 if it was never written) and its nodes.
    """

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes
    nodes: tuple[bytes, ...]
    storage: tuple[tuple[int, int, tuple[bytes, ...]], ...]


class StateView(Protocol):
    """Accounts (20-byte addresses) at one state root. Accounts that do not exist look empty. Every method raises
    MissingNodeError if the store does not have the state."""

    def exists(self, address: bytes) -> bool:
        """Whether the account is in the state, empty or not."""

    def balance(self, address: bytes) -> int:
        """The balance of the account in wei. 0 if it does not exist."""

    def nonce(self, address: bytes) -> int:
        """The nonce of the account, which is that of its next transaction. 0 if it does not exist."""

    def code(self, address: bytes) -> bytes:
        """The code of the account. Empty for an account without code, or if the store gives none for the code's
        hash."""

    def code_hash_and_storage_root(self, address: bytes) -> tuple[bytes, bytes]:
        """The hash of the account's code and the root of its storage trie (32 bytes each). Those of no code and no
        storage if the account does not exist."""

    def storage(self, address: bytes, slot: int) -> int:
        """The value of a storage slot, a number of 256 bits like `slot`. 0 if it was never written."""

    def proof(self, address: bytes, slots: Sequence[int]) -> AccountProof | None:
        """The account, and `slots` in the given order, with the trie nodes that prove them. None for an account that
        does not exist."""


class OpenBlock(Protocol):
    """A block that is built on one state, transaction by transaction, and closed once. Use it from one thread. Nothing
    is stored."""

    @property
    def gas_left(self) -> int:
        """The gas that transactions may still ask for by their gas limits."""

    @property
    def estimated_closing_seconds(self) -> float:
        """About the seconds that `close` will take for the added transactions, with the time that the validators will
        need to read their access lists. 0 before the first."""

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        """Execute `transaction`, signed by `sender` (20 bytes, not checked), add it to the block and return its
        receipt, also if it failed or reverted. TransactionRejectedError if it cannot be in this block.
        ExecutionInterruptedError if `budget` is used up or cancelled, or has no time for the further seconds that
        closing the block would take. After an error nothing has changed, and other transactions can be added."""

    def close(self, budget: ExecutionBudget = UNLIMITED) -> ExecutedBlock:
        """Finish the block: make the calls that end every block, pay its reward and compute the roots. The block takes
        no more transactions. SystemCallError if a call that ends every block fails, ExecutionInterruptedError if
        `budget` is used up or cancelled."""

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
        """Execute `message` on the private state at `root` (32 bytes), whose nodes are in `store`. It sees the public
        accounts of this block behind the private ones: as they are now, or, with `marker` (a transaction and its sender
        of 20 bytes), as they are before the first instruction of that transaction, once its sender has paid. The block
        does not change. TransactionRejectedError for a wrong nonce. CallLimitExceededError after `deadline` (monotonic
        seconds, None for no deadline). ExecutionInterruptedError if `budget` is used up or cancelled."""
        ...


class ExecutionEngine(Protocol):
    """Executes on any state whose nodes the store has. Safe to use from several threads if its store is. An `OpenBlock`
    belongs to one thread."""

    @property
    def name(self) -> str:
        """Which engine it is: `PYTHON`, `NATIVE` or `BOTH`."""

    def genesis_state(self) -> tuple[bytes, dict[bytes, bytes]]:
        """The root (32 bytes) of the genesis' accounts, and the nodes and codes by hash that the caller must store for
        it."""

    def initial_state(self, genesis_accounts: Iterable[GenesisAccount]) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the root (32 bytes) of a state that has the accounts `genesis_accounts` alone, and the nodes and codes
        by hash that the caller must store for it."""

    def execute(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        """Execute a whole block on the state at `parent_state_root` (32 bytes) and return its outcome. The results in
        `header` are not compared. ExecutionError if a transaction cannot be in the block or a system call fails,
        ExecutionInterruptedError if `budget` is used up or cancelled, or if the block needs more than the sizes of
        `budget`, MissingNodeError if the store does not have the state."""

    def outcome_of_contradicted_block(
        self,
        executed: ExecutedBlock,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        """Return the outcome that decides about a block whose header contradicts `executed`, the outcome of this
        engine. Call it only for such a block: the header is not compared here. Only py-evm may refuse a block. So the
        result is `executed` itself if py-evm gave it. Otherwise py-evm executes the block on the state at
        `parent_state_root` (32 bytes), and the result is its outcome. ExecutionError if py-evm refuses the block,
        ExecutionInterruptedError if `budget` is used up or cancelled."""

    def open_block(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        ancestor_hash: AncestorHash,
        *,
        within_limits: bool = False,
    ) -> OpenBlock:
        """Begin a block on the state at `parent_state_root` (32 bytes), with the number, timestamp, coinbase, gas limit
        and base fee of `header`. SystemCallError if a call that begins every block fails. `within_limits`: it takes
        only what fits the memory and the logs of `block_limits`. Its `add` then raises SizeExceededError if the
        transaction fits no such block, and BudgetExceededError if it may fit another one."""

    def call(
        self, state_root: bytes, header: BlockHeader, call: CallRequest, ancestor_hash: AncestorHash
    ) -> CallResult:
        """Return the outcome of `call` on the state at `state_root` (32 bytes), in the environment of `header`. Nothing
        is stored. A call that fails or reverts has an outcome, too. TransactionRejectedError if it could not begin,
        OverrideError if its overrides cannot be applied, ExecutionCancelledError when the engine is stopped,
        MissingNodeError if the store does not have the state. CallLimitExceededError if a call with a deadline took too
        long, too much memory or too many logs."""

    def accounts(self, state_root: bytes) -> StateView:
        """The accounts at `state_root` (32 bytes). Nothing is read yet: a missing state is a MissingNodeError at the
        first question."""

    def check_running(self) -> None:
        """Return if the engine is not stopped, ExecutionCancelledError otherwise: for work between two executions."""

    def with_nodes(self, nodes: Mapping[bytes, bytes]) -> "ExecutionEngine":
        """An engine of the same rules that finds `nodes` (trie nodes and codes by hash, 32 bytes) before those of its
        store."""
