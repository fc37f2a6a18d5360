"""Executing the private transactions of blocks, in memory: the states they start from are given, what they leave is
handed back, and nothing is stored.

Follows Besu's `PrivacyPrecompiledContract` and `PrivateTransactionProcessor`: the public state that a private transaction
sees is the one at its marker, in the midst of the block.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.crypto.secp256k1 import SignatureError
from lacnode.evm.account_nonce import account_nonce
from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget, ExecutionInterruptedError
from lacnode.evm.engine import ExecutionEngine, NodeStore
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.block_records import BlockRecords
from lacnode.privacy.state.flexible.group_contract_queries import QUERY_GAS_PRICE_WEI, refusal
from lacnode.privacy.state.group_genesis import GroupGenesis
from lacnode.privacy.state.known_payloads import KnownPayload, KnownPayloads
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, read_payload_key
from lacnode.privacy.state.private_records import MarkerRoot, PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_store import MarkerPlace, StoredMarker
from lacnode.privacy.state.private_transaction import PrivateTransaction, private_contract_address
from lacnode.privacy.state.public_block import PublicBlock
from lacnode.privacy.state.time_slices import GroupSlices
from lacnode.storage.storage_errors import StorageError

log = structlog.get_logger("privacy")


@dataclass(frozen=True, slots=True, repr=False)
class PrivateTask:
    """A private transaction to be executed at the marker at `index` of a block, for a group. `version` is that of a
    flexible group, whose contract is asked whether it lets this one in; nobody is asked where it is None. `is_told` if it
    comes from a group's past, and not from the payload that the marker names."""

    index: int
    private: PrivateTransaction
    group_id: bytes
    version: bytes | None = None
    is_told: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class UnreadTask:
    """The marker at `index` of a block, whose payload is not read yet. `known` is what is known of it all the same, and
    `is_used_up_by_nonce` says that it has no effect once its nonce is used up: a flexible group's contract is asked before.
    `read` gives what is to be executed, None if nothing is; it raises what the manager raises."""

    index: int
    known: KnownPayload | None
    is_used_up_by_nonce: bool
    read: Callable[[], PrivateTask | None]


class PrivateBlockExecutor:
    """Blocks executed one after the other, from the roots that `root_of` gives and the nodes that `store` has."""

    def __init__(
        self,
        history: ChainHistory,
        engine: ExecutionEngine,
        store: NodeStore,
        root_of: Callable[[bytes], bytes],
        chain_id: int,
        genesis: GroupGenesis,
        known: KnownPayloads,
    ) -> None:
        self._history = history
        self._engine = engine
        self._store = _Overlay(store)
        self._root_of = root_of
        self._chain_id = chain_id
        self._genesis = genesis
        self._known = known
        self._roots: dict[bytes, bytes] = {}

    @property
    def nodes(self) -> Mapping[bytes, bytes]:
        """All new nodes and codes."""
        return self._store.nodes

    def begin_anew(self, group_id: bytes) -> None:
        """Have the group begin without a state."""
        self._roots[group_id] = EMPTY_TRIE_ROOT

    def block(
        self,
        block: Block,
        hash_: bytes,
        tasks: Iterable[PrivateTask | UnreadTask],
        budget: ExecutionBudget = UNLIMITED,
    ) -> BlockRecords:
        """Execute the private transactions of one block, given in order; ExecutionInterruptedError when `budget` says so."""
        records = BlockRecords(block.number, hash_)
        public = PublicBlock(self._history, self._engine, block, hash_)
        for task in tasks:
            budget.check()
            private = self._read(records, public, task)
            if private is not None:
                public.advance(private.index, budget)
                self._run(records, public, private, budget)
        return records

    def _read(self, records: BlockRecords, public: PublicBlock, task: PrivateTask | UnreadTask) -> PrivateTask | None:
        """The task with its payload; None if it has no effect, or nothing is to be executed."""
        if isinstance(task, PrivateTask):
            return task
        self._engine.check_running()  # a block may have thousands of markers, and the node's stop does not wait for them
        return None if self._is_used_up(records, public, task) else task.read()

    def _is_used_up(self, records: BlockRecords, public: PublicBlock, task: UnreadTask) -> bool:
        """Whether the nonce of the private transaction is used up, and then its result is noted: anybody can send many
        markers of one payload, which need not be read again."""
        known = task.known
        if known is None or not known.account or not task.is_used_up_by_nonce:
            return False
        if account_nonce(self._root(known.group_id), known.account, self._store.get) <= known.nonce:
            return False
        marker = public.block.transactions[task.index]
        records.receipts[marker.hash] = PrivateReceipt(PrivateStatus.INVALID)
        self._note(records, known.group_id, task.index, marker)
        return True

    def block_in_slices(
        self, block: Block, hash_: bytes, tasks: Iterable[UnreadTask], slices: GroupSlices
    ) -> BlockRecords:
        """The same, but what does not end in its slice is `long` in the records, and so is what its group sends after it."""
        records = BlockRecords(block.number, hash_)
        public = PublicBlock(self._history, self._engine, block, hash_)
        for task in tasks:
            known = task.known
            if known is not None and not slices.admits(known.group_id, known.private_from):
                self._wait(records, public, task.index, known, slices)
                continue
            started = slices.slices.clock()
            private = self._read(records, public, task)
            if private is not None:
                self._execute_in_slice(records, public, private, slices, slices.slices.clock() - started)
        return records

    def _execute_in_slice(
        self, records: BlockRecords, public: PublicBlock, task: PrivateTask, slices: GroupSlices, read_seconds: float
    ) -> None:
        """Execute `task`, or have it wait. Its group's use has the time for reading it, too."""
        group_id, private_from = task.group_id, task.private.private_from
        before, started = len(records.roots.get(group_id, ())), slices.slices.clock()
        ends = slices.admits(group_id, private_from) and self._ends_in_slice(records, public, task, slices)
        if not ends:
            self._wait(records, public, task.index, KnownPayload(group_id, private_from), slices)
        has_changed = len(records.roots.get(group_id, ())) > before
        slices.used(group_id, read_seconds + slices.slices.clock() - started, has_changed=has_changed)
        if has_changed:
            records.known_senders.add(private_from)

    def _wait(
        self, records: BlockRecords, public: PublicBlock, index: int, known: KnownPayload, slices: GroupSlices
    ) -> None:
        marker, is_preferred = public.block.transactions[index], slices.prior.is_known_sender(known.private_from)
        if not slices.waits(known.group_id):
            records.begin_to_wait[known.group_id] = is_preferred
        slices.wait(known.group_id)
        place = MarkerPlace(public.block.number, index)
        records.long.append(LongPrivateTransaction(known.group_id, place, marker.hash, is_preferred=is_preferred))

    def _ends_in_slice(
        self, records: BlockRecords, public: PublicBlock, task: PrivateTask, slices: GroupSlices
    ) -> bool:
        try:
            public.advance(task.index, slices.slices.public_budget())
        except BudgetExceededError:
            log.info("the public transactions before a private one take long", block=records.number, index=task.index)
            return False
        try:
            with slices.slices.slice() as budget:
                self._run(records, public, task, budget)
        except BudgetExceededError:
            log.info("a private transaction takes long", block=records.number, index=task.index)
            records.slow_senders.add(task.private.private_from)
            return False
        return True

    def _root(self, group_id: bytes) -> bytes:
        if group_id not in self._roots:
            self._roots[group_id] = self._root_of(group_id)
        root = self._roots[group_id]
        if root == EMPTY_TRIE_ROOT:
            root, nodes = self._genesis.state(group_id)
            self._store.nodes.update(nodes)
        return root

    def _run(self, records: BlockRecords, public: PublicBlock, task: PrivateTask, budget: ExecutionBudget) -> None:
        marker = public.block.transactions[task.index]
        ahead: tuple[bytes, int] | None = None
        if self._is_refused(public, task, budget):
            records.refused.append(marker.hash)
            self._note(records, task.group_id, task.index, marker)
            return
        known: KnownPayload | None = None
        try:
            message = to_private_message(task.private, task.group_id, self._chain_id)
            known = self._known_of(task, marker, message)
            try:
                result = public.execute_private(self._store, self._root(task.group_id), message, task.index, budget)
                receipt = _receipt(result)
                if result.success:
                    self._settle(records, public.block, task, marker, result)
            except TransactionRejectedError as rejected:
                receipt = PrivateReceipt(PrivateStatus.INVALID)
                if rejected.reason is RejectionReason.NONCE_TOO_HIGH:
                    ahead = (message.sender, message.nonce)
        except (SignatureError, InvalidPrivateTransactionError):
            receipt = PrivateReceipt(PrivateStatus.INVALID)
        except (StorageError, MissingNodeError, MemoryError, ExecutionInterruptedError):
            raise  # none of these is the transaction's fault: what it did is still to be found out
        except Exception as error:  # as Besu has it; one transaction must not hold up its group
            log.error("a private transaction broke the EVM", marker=marker.hash.hex(), error=type(error).__name__)
            receipt = PrivateReceipt(PrivateStatus.INVALID)
        records.receipts[marker.hash] = receipt
        self._note(records, task.group_id, task.index, marker, ahead, known)

    def _known_of(self, task: PrivateTask, marker: Transaction, message: PrivateMessage) -> KnownPayload | None:
        """What is known of the marker's payload from now on; None for what the payload does not have, but a past."""
        if task.is_told:
            return None
        self._known.was_signed(read_payload_key(marker), message.sender, message.nonce)
        return KnownPayload(task.group_id, task.private.private_from, message.sender, message.nonce)

    def _note(
        self,
        records: BlockRecords,
        group_id: bytes,
        index: int,
        marker: Transaction,
        ahead: tuple[bytes, int] | None = None,
        known: KnownPayload | None = None,
    ) -> None:
        stored = StoredMarker(MarkerPlace(records.number, index), marker.hash, read_payload_key(marker), ahead, known)
        records.markers.setdefault(group_id, []).append(stored)

    def _is_refused(self, public: PublicBlock, task: PrivateTask, budget: ExecutionBudget) -> bool:
        """Whether the contract of a flexible group, in the state at the marker, does not let the transaction in. The
        contract is its members' work: each answer has the bounds of a private transaction."""
        if task.version is None:
            return False
        root = self._root(task.group_id)

        def ask(data: bytes) -> bytes | None:
            question = PrivateMessage(bytes(20), 0, PROXY_ADDRESS, None, data, QUERY_GAS_PRICE_WEI)
            result = public.execute_private(self._store, root, question, task.index, budget)
            return result.output if result.success else None

        why = refusal(task.private, task.version, ask)
        if why is not None:
            marker = public.block.transactions[task.index]
            log.info("private transaction not let in", marker=marker.hash.hex(), why=why)
        return why is not None

    def _settle(
        self, records: BlockRecords, block: Block, task: PrivateTask, marker: Transaction, result: PrivateResult
    ) -> None:
        self._store.nodes.update(result.nodes or {})
        self._roots[task.group_id] = result.state_root
        records.roots.setdefault(task.group_id, []).append(MarkerRoot(marker.hash, result.state_root))
        logs = records.logs.setdefault(task.group_id, [])
        for log in result.logs:
            logs.append(
                LogWithMetadata(
                    log, len(logs), records.hash, block.number, block.header.timestamp, marker.hash, task.index
                )
            )


class InvalidPrivateTransactionError(Exception):
    """A private transaction that cannot be executed whatever the state. `reason` is for whoever sent it."""

    def __init__(self, reason: RejectionReason | None, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def check_fields(private: PrivateTransaction, chain_id: int) -> None:
    """InvalidPrivateTransactionError for a value, which cannot be moved privately, or another chain's id."""
    if private.value:
        raise InvalidPrivateTransactionError(None, "a private transaction cannot carry value")
    if private.chain_id is not None and private.chain_id != chain_id:
        raise InvalidPrivateTransactionError(
            RejectionReason.WRONG_CHAIN_ID, f"it is for chain {private.chain_id}, this is chain {chain_id}"
        )


def to_private_message(private: PrivateTransaction, group_id: bytes, chain_id: int) -> PrivateMessage:
    """`private` as the EVM takes it; SignatureError or InvalidPrivateTransactionError where it is not to be executed."""
    sender = private.sender()
    check_fields(private, chain_id)
    created = private_contract_address(sender, private.nonce, group_id) if private.is_creation else None
    return PrivateMessage(sender, private.nonce, private.to, created, private.data, private.gas_price)


def _receipt(result: PrivateResult) -> PrivateReceipt:
    if result.success:
        return PrivateReceipt(PrivateStatus.SUCCESSFUL, result.logs, result.output)
    return PrivateReceipt(PrivateStatus.FAILED, revert_reason=result.revert_reason)


class _Overlay:
    """New nodes before the stored ones."""

    def __init__(self, store: NodeStore) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        return self.nodes.get(key) or self._store.get(key)
