"""Executing the private transactions of blocks, in memory: the states they start from are given, what they leave is
handed back, and nothing is stored.

Follows Besu's `PrivacyPrecompiledContract` and `PrivateTransactionProcessor`: the public state that a private transaction
sees is the one at its marker, in the midst of the block.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.crypto.secp256k1 import SignatureError
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
from lacnode.privacy.state.long_private_transactions import LongPrivateTransaction
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, read_payload_key
from lacnode.privacy.state.private_records import MarkerRoot, PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_store import MarkerPlace, StoredMarker
from lacnode.privacy.state.private_transaction import PrivateTransaction, private_contract_address
from lacnode.privacy.state.public_block import PublicBlock
from lacnode.privacy.state.time_slices import GroupSlices, TimeSlices
from lacnode.storage.storage_errors import StorageError

log = structlog.get_logger("privacy")


@dataclass(frozen=True, slots=True, repr=False)
class PrivateTask:
    """A private transaction to be executed at the marker at `index` of a block, for a group. `version` is that of a
    flexible group, whose contract is asked whether it lets this one in; nobody is asked where it is None."""

    index: int
    private: PrivateTransaction
    group_id: bytes
    version: bytes | None = None


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
    ) -> None:
        self._history = history
        self._engine = engine
        self._store = _Overlay(store)
        self._root_of = root_of
        self._chain_id = chain_id
        self._genesis = genesis
        self._roots: dict[bytes, bytes] = {}

    @property
    def nodes(self) -> Mapping[bytes, bytes]:
        """All new nodes and codes."""
        return self._store.nodes

    def block(
        self, block: Block, hash_: bytes, tasks: Sequence[PrivateTask], budget: ExecutionBudget = UNLIMITED
    ) -> BlockRecords:
        """Execute the private transactions of one block, given in order; ExecutionInterruptedError when `budget` says so."""
        records = BlockRecords(block.number, hash_)
        public = PublicBlock(self._history, self._engine, block, hash_)
        for task in tasks:
            public.advance(task.index, budget)
            self._run(records, public, task, budget)
        return records

    def block_in_slices(
        self, block: Block, hash_: bytes, tasks: Iterable[PrivateTask], slices: GroupSlices
    ) -> BlockRecords:
        """The same, but what does not end in its slice is `long` in the records, and so is what its group sends after it."""
        records = BlockRecords(block.number, hash_)
        public = PublicBlock(self._history, self._engine, block, hash_)
        for task in tasks:
            if not slices.admits(task.group_id) or not self._ends_in_slice(records, public, task, slices.slices):
                slices.wait(task.group_id)
                marker = block.transactions[task.index]
                records.long.append(
                    LongPrivateTransaction(task.group_id, MarkerPlace(block.number, task.index), marker.hash)
                )
        return records

    def _ends_in_slice(self, records: BlockRecords, public: PublicBlock, task: PrivateTask, slices: TimeSlices) -> bool:
        try:
            public.advance(task.index, slices.public_budget())
            with slices.slice() as budget:
                self._run(records, public, task, budget)
        except BudgetExceededError:
            log.info("a private transaction takes long", block=records.number, index=task.index)
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
            self._note(records, task, marker, ahead)
            return
        try:
            message = to_private_message(task.private, task.group_id, self._chain_id)
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
        self._note(records, task, marker, ahead)

    def _note(
        self, records: BlockRecords, task: PrivateTask, marker: Transaction, ahead: tuple[bytes, int] | None
    ) -> None:
        place = MarkerPlace(records.number, task.index)
        stored = StoredMarker(place, marker.hash, read_payload_key(marker), ahead)
        records.markers.setdefault(task.group_id, []).append(stored)

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
