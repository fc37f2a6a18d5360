"""Executes the private transactions of blocks in memory. The first states are given, the results are returned.

Follows Besu's `PrivacyPrecompiledContract` and `PrivateTransactionProcessor`. A private transaction sees the public state at
its marker, in the middle of the block. This module must not store anything.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lacnode.chain.chain_history import ChainHistory
from lacnode.crypto.secp256k1 import SignatureError
from lacnode.evm.account_nonce import account_nonce
from lacnode.evm.budget import UNLIMITED, ExecutionBudget, ExecutionInterruptedError
from lacnode.evm.engine import ExecutionEngine, NodeStore, OverlaidNodes
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.executed_payloads import ExecutedPayloads
from lacnode.privacy.state.flexible.contract_answers import ContractAnswers
from lacnode.privacy.state.flexible.group_contract_queries import QUERY_GAS_PRICE_WEI, Ask, ask_members, find_refusal
from lacnode.privacy.state.group_genesis import GroupGenesis
from lacnode.privacy.state.known_payloads import KnownPayloadFacts, PayloadFacts
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, read_payload_key
from lacnode.privacy.state.private_records import MarkerRoot, PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_store import MarkerPlace, StoredMarker
from lacnode.privacy.state.private_transaction import PrivateTransaction, private_contract_address
from lacnode.privacy.state.public_block import PublicBlockExecution
from lacnode.privacy.state.unstored_results import ResultsTooLargeError, UnstoredResults
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.storage.storage_errors import StorageError

_log = RateLimitedLog("privacy", time.monotonic)


NOT_OF_TRANSACTION = (StorageError, MissingNodeError, MemoryError, ExecutionInterruptedError, ResultsTooLargeError)
"""Errors whose reason is not the transaction. Its result must be found out later."""


@dataclass(frozen=True, slots=True, repr=False)
class PrivateTask:
    """A private transaction to execute at the marker at `index` of a block, for the group `group_id` (32 bytes).

    `version` is the version of a flexible group (32 bytes), whose contract is asked before. None if there is no
    contract to ask. `is_from_history` says that the transaction comes from a group history and not from the payload of
    the marker.
    """

    index: int
    private: PrivateTransaction
    group_id: bytes
    version: bytes | None = None
    is_from_history: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class UnreadTask:
    """The marker at `index` of a block, whose payload is not read yet.

    `known` are the known facts about the payload. `is_decided_by_nonce` says that the private transaction has no effect
    unless its nonce is the next one. This is not so in a flexible group, whose contract is asked first. `read` returns
    the task, None if there is nothing to execute. It raises the errors of the manager.
    """

    index: int
    known: PayloadFacts | None
    is_decided_by_nonce: bool
    read: Callable[[], PrivateTask | None]


class PrivateBlockExecutor:
    """Executes the private transactions of blocks, one block after the other, and keeps the results in memory alone.

    `root_of` returns the state root (32 bytes) with which a group begins. `store` has the trie nodes of these states.
    `executed` has the payloads that were executed with success before. For one thread.
    """

    def __init__(
        self,
        history: ChainHistory,
        engine: ExecutionEngine,
        store: NodeStore,
        root_of: Callable[[bytes], bytes],
        chain_id: int,
        genesis: GroupGenesis,
        known: KnownPayloadFacts,
        answers: ContractAnswers,
        executed: ExecutedPayloads,
    ) -> None:
        self._history = history
        self._engine = engine
        # The overlay keeps the changes of all blocks of this run, so that a rebuild of many blocks needs one commit.
        self._nodes: dict[bytes, bytes] = {}
        self._store = OverlaidNodes(self._nodes, store)
        self._root_of = root_of
        self._chain_id = chain_id
        self._genesis = genesis
        self._known = known
        self._answers = answers
        self._executed = executed
        self._roots: dict[bytes, bytes] = {}
        self._unstored = UnstoredResults()

    def allow_results_to_wait(self) -> None:
        """A transaction whose result has no place in this commit raises ResultMustWaitError (a BudgetExceededError)
        from now on. Without this call: ResultsTooLargeError if all results are too large for one commit."""
        self._unstored.may_wait = True

    @property
    def nodes(self) -> Mapping[bytes, bytes]:
        """All trie nodes and codes of the executions so far, by hash (32 bytes). Empty before the first one."""
        return self._nodes

    def begin_group_at_root(self, group_id: bytes, root: bytes) -> None:
        """Let the group's next transaction begin with the state root `root` (32 bytes), in place of that of `root_of`."""
        self._roots[group_id] = root

    def begin_group_empty(self, group_id: bytes) -> None:
        """Let the group's next transaction begin without a state: with its genesis accounts alone. Nothing is deleted."""
        # The history of the group is then executed from its beginning, as on a new member's node.
        self._roots[group_id] = EMPTY_TRIE_ROOT

    def execute_block(
        self,
        block: Block,
        hash_: bytes,
        tasks: Iterable[PrivateTask | UnreadTask],
        budget: ExecutionBudget = UNLIMITED,
        records: BlockRecords | None = None,
    ) -> BlockRecords:
        """Execute the private transactions `tasks` of `block` with the hash `hash_` (32 bytes), in order. Return the
        results, added to `records` (those of earlier transactions of the block) if it is given. A transaction that
        fails or is not valid has a receipt, one that its group's contract refuses has none. ExecutionInterruptedError
        if the time of `budget` ends: `records` then has the results so far. PublicHistoryMissingError if the public
        block cannot be executed again, StorageError, MissingNodeError or MemoryError if this node cannot read a state
        or has no memory, ResultsTooLargeError and ResultMustWaitError as for `allow_results_to_wait`. The errors of
        `UnreadTask.read` pass through."""
        records = BlockRecords(block.number, hash_) if records is None else records
        public = self.open_public_block(block, hash_)
        for task in tasks:
            # Between two transactions too: reading their payloads takes time that no execution checks.
            budget.check()
            private = self.read_task(records, public, task)
            if private is not None:
                public.execute_up_to(private.index, budget)
                self.execute_task(records, public, private, budget)
        return records

    def open_public_block(self, block: Block, hash_: bytes) -> PublicBlockExecution:
        """Return the execution of the public block with the hash `hash_` (32 bytes), in which each private transaction
        sees the public state at its marker. PublicHistoryMissingError if its receipts or its parent are missing."""
        return PublicBlockExecution(self._history, self._engine, block, hash_)

    def read_task(
        self, records: BlockRecords, public: PublicBlockExecution, task: PrivateTask | UnreadTask
    ) -> PrivateTask | None:
        """Return the task with its payload. None if there is nothing to execute, or if its nonce or an earlier success
        shows that it has no effect: `records` then has the receipt INVALID for it. ExecutionCancelledError if the
        engine is stopped. The errors of `UnreadTask.read` pass through."""
        if isinstance(task, PrivateTask):
            return task
        # A block may have thousands of markers, and the stop of the node must not wait for all of them.
        self._engine.check_running()
        return None if self._has_no_effect(records, public, task) else task.read()

    def _has_no_effect(self, records: BlockRecords, public: PublicBlockExecution, task: UnreadTask) -> bool:
        """Return True if the nonce of the private transaction is not the next one, or it was executed with success
        before, and record its result. Any account can send many markers of one payload. They need no reading again."""
        known = task.known
        # Without the account the nonce cannot be looked up. The payload has to be read.
        if known is None or not known.account or not task.is_decided_by_nonce:
            return False
        # The group's state of now decides, not the state when the payload was read.
        next_nonce = account_nonce(self._root(known.group_id), known.account, self._store.get)
        marker = public.block.transactions[task.index]
        if next_nonce == known.nonce and not self._executed.includes(read_payload_key(marker), known.group_id):
            return False
        records.receipts[marker.hash] = PrivateReceipt(PrivateStatus.INVALID)
        # A nonce that is too high shows that a payload before it is missing here.
        ahead = (known.account, known.nonce) if known.nonce > next_nonce else None
        self._note(records, known.group_id, task.index, marker, ahead)
        return True

    def _root(self, group_id: bytes) -> bytes:
        if group_id not in self._roots:
            self._roots[group_id] = self._root_of(group_id)
        root = self._roots[group_id]
        # A group without a state begins with its genesis accounts. They are stored only when a transaction succeeds.
        if root == EMPTY_TRIE_ROOT:
            root, nodes = self._genesis.first_state(group_id)
            self._nodes.update(nodes)
        return root

    def execute_task(
        self, records: BlockRecords, public: PublicBlockExecution, task: PrivateTask, budget: ExecutionBudget
    ) -> None:
        """Execute one private transaction at its marker and add its result to `records`. `public` must have been
        executed up to the marker. A transaction that fails, is not valid or is refused by its contract raises no error.
        ExecutionInterruptedError if `budget` ends, ResultMustWaitError as for `allow_results_to_wait`. StorageError,
        MissingNodeError, MemoryError or ResultsTooLargeError if this node cannot execute it now. No result is recorded."""
        marker = public.block.transactions[task.index]
        ahead: tuple[bytes, int] | None = None
        # The contract of a flexible group is asked before anything else, as in Besu. A refused one has no receipt.
        if self._is_refused(public, task, budget):
            records.refused.append(marker.hash)
            self._note(records, task.group_id, task.index, marker)
            return
        known: PayloadFacts | None = None
        try:
            # The signature is verified here, once. Its account and nonce are kept as facts for later markers of the
            # payload.
            message = to_private_message(task.private, task.group_id, self._chain_id)
            known = self._known_of(task, marker, message)
            self._check_not_executed(task, marker)
            try:
                # The transaction is executed on the last root of its group, which an earlier one in this block may
                # have made.
                result = public.execute_private(self._store, self._root(task.group_id), message, task.index, budget)
                self._unstored.add(result)
                receipt = _receipt(result)
                if result.success:
                    self._settle(records, public.block, task, marker, result)
            except TransactionRejectedError as rejected:
                receipt = PrivateReceipt(PrivateStatus.INVALID)
                # A nonce that is too high shows that a payload before it is missing here.
                if rejected.reason is RejectionReason.NONCE_TOO_HIGH:
                    ahead = (message.sender, message.nonce)
        except (SignatureError, InvalidPrivateTransactionError, _AlreadyExecutedError):
            receipt = PrivateReceipt(PrivateStatus.INVALID)
        except NOT_OF_TRANSACTION:
            raise
        except Exception as error:
            # As in Besu: one transaction that breaks the EVM must not stop its group.
            _log_broken_evm("a private transaction broke the EVM", error, marker=marker.hash.hex())
            receipt = PrivateReceipt(PrivateStatus.INVALID)
        records.receipts[marker.hash] = receipt
        if task.is_from_history:
            records.from_history.add(marker.hash)
        self._note(records, task.group_id, task.index, marker, ahead, known)

    def _check_not_executed(self, task: PrivateTask, marker: Transaction) -> None:
        """_AlreadyExecutedError if the payload of `marker` was executed with success before."""
        # The nonce does not prevent it: a nested call that fails takes the nonce back. Any account can send another marker,
        # and a payment would be made twice. The markers of a history's transactions say nothing of their payloads.
        if not task.is_from_history and self._executed.includes(read_payload_key(marker), task.group_id):
            raise _AlreadyExecutedError

    def _known_of(self, task: PrivateTask, marker: Transaction, message: PrivateMessage) -> PayloadFacts | None:
        """Return the facts about the marker's payload from now on, None for a transaction from a group history."""
        if task.is_from_history:
            return None
        self._known.record_signature(read_payload_key(marker), message.sender, message.nonce)
        return PayloadFacts(task.group_id, task.private.private_from, message.sender, message.nonce)

    def _note(
        self,
        records: BlockRecords,
        group_id: bytes,
        index: int,
        marker: Transaction,
        ahead: tuple[bytes, int] | None = None,
        known: PayloadFacts | None = None,
    ) -> None:
        stored = StoredMarker(MarkerPlace(records.number, index), marker.hash, read_payload_key(marker), ahead, known)
        records.markers.setdefault(group_id, []).append(stored)

    def _is_refused(self, public: PublicBlockExecution, task: PrivateTask, budget: ExecutionBudget) -> bool:
        """Return True if the contract of a flexible group refuses the transaction, in the state at the marker. Its
        members wrote the contract. So each of its answers has the bounds of a private transaction."""
        if task.version is None:
            return False
        try:
            why = find_refusal(task.private, task.version, self._asker(public, task.group_id, task.index, budget))
        except NOT_OF_TRANSACTION:
            raise
        except Exception as error:
            # A contract that breaks the EVM refuses everything, at every member alike. It must not stop other groups.
            _log_broken_evm("the contract of a flexible group broke the EVM", error)
            why = "the contract of its group does not answer"
        if why is not None:
            marker = public.block.transactions[task.index]
            _log.info(why, "private transaction not let in", marker=marker.hash.hex(), why=why)
        return why is not None

    def read_members(
        self, public: PublicBlockExecution, group_id: bytes, budget: ExecutionBudget
    ) -> tuple[bytes, ...] | None:
        """Return the members (public keys of 32 bytes) that the contract of the flexible group names, in the public
        state before the first transaction of the block: this needs no execution of others. None if it names no group or
        the call fails. ExecutionInterruptedError if `budget` ends."""
        return ask_members(self._asker(public, group_id, 0, budget))

    def _asker(self, public: PublicBlockExecution, group_id: bytes, index: int, budget: ExecutionBudget) -> Ask:
        """Return the questions to a group's contract, in the public state at the marker at `index`."""
        root = self._root(group_id)

        def ask(data: bytes) -> bytes | None:
            # The sender is the zero address and the gas price is Besu's. A contract can see both, so they must be the
            # same everywhere.
            question = PrivateMessage(bytes(20), 0, PROXY_ADDRESS, None, data, QUERY_GAS_PRICE_WEI)

            def execute() -> bytes | None:
                result = public.execute_private(self._store, root, question, index, budget)
                return result.output if result.success else None

            return self._answers.ask(root, self._store.get, public.block.header.gas_limit, data, execute)

        return ask

    def _settle(
        self, records: BlockRecords, block: Block, task: PrivateTask, marker: Transaction, result: PrivateResult
    ) -> None:
        # The nodes stay in memory. The caller stores them together with the receipts and the cursor.
        self._nodes.update(result.nodes or {})
        # From here on the group's next transaction in this run begins with this root.
        self._roots[task.group_id] = result.state_root
        if not task.is_from_history:
            self._executed.add(read_payload_key(marker))
        records.roots.setdefault(task.group_id, []).append(MarkerRoot(marker.hash, result.state_root))
        records.add_logs(task.group_id, block, task.index, result.logs)


class _AlreadyExecutedError(Exception):
    """The payload of a marker was executed with success at an earlier marker."""


class InvalidPrivateTransactionError(Exception):
    """A private transaction cannot be executed in any state. The text is for its sender. `reason` is the rule of the
    pool that it breaks, None for a value, for which there is no such rule."""

    def __init__(self, reason: RejectionReason | None, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def check_value_and_chain_id(private: PrivateTransaction, chain_id: int) -> None:
    """Check the value and the chain id of `private`, and no other field. InvalidPrivateTransactionError for a value
    above 0 (it cannot be moved), or for another chain's id than `chain_id`. A transaction without a chain id passes."""
    # Private states have no money of their own. Besu refuses a value with the same status.
    if private.value:
        raise InvalidPrivateTransactionError(None, "a private transaction cannot carry value")
    if private.chain_id is not None and private.chain_id != chain_id:
        raise InvalidPrivateTransactionError(
            RejectionReason.WRONG_CHAIN_ID, f"it is for chain {private.chain_id}, this is chain {chain_id}"
        )


def to_private_message(private: PrivateTransaction, group_id: bytes, chain_id: int) -> PrivateMessage:
    """Return `private` as a message for the EVM in the group `group_id` (32 bytes), with its recovered sender.
    SignatureError if the signature is not valid. InvalidPrivateTransactionError if it has a value or another chain's id
    than `chain_id`."""
    sender = private.sender()
    check_value_and_chain_id(private, chain_id)
    # The address depends on the group, unlike that of a public contract.
    created = private_contract_address(sender, private.nonce, group_id) if private.is_creation else None
    return PrivateMessage(sender, private.nonce, private.to, created, private.data, private.gas_price)


def _log_broken_evm(text: str, error: Exception, **values: str) -> None:
    # Any account can send thousands of markers of one such payload.
    name = type(error).__name__
    _log.error((text, name), text, error=name, **values)


def _receipt(result: PrivateResult) -> PrivateReceipt:
    if result.success:
        return PrivateReceipt(PrivateStatus.SUCCESSFUL, result.logs, result.output)
    return PrivateReceipt(PrivateStatus.FAILED, revert_reason=result.revert_reason)
