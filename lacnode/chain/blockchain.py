"""The chain: checks blocks, executes each once, stores it in one commit, and tells who wants to know.

The one writer of state. What changes it is serialised by a lock; everything else reads snapshots and is safe from any
thread. An IBFT block is final, so there is one chain and no way back: a block that follows anything but the head is
refused. Must not know an event loop, a network, or whose turn it is to propose.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from lacnode.chain.block_builder import BlockBuilder
from lacnode.chain.block_errors import BlockRefusedError, UnknownParentError
from lacnode.chain.block_verifier import BlockVerifier
from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.chain_store import StoredChain, write_block, write_state
from lacnode.chain.execution_cache import ExecutionCache
from lacnode.chain.head import Head
from lacnode.chain.header_chain import VerifiedHeaderChain, VerifiedHeaders
from lacnode.chain.receipt_record import LogWithMetadata, ReceiptRecord, logs_with_metadata
from lacnode.chain.simulated_contracts import SimulatedContracts
from lacnode.chain.speculative_executions import SpeculativeExecutions
from lacnode.chain.stored_genesis import open_or_store_genesis
from lacnode.chain.transaction_selection import SelectionLimits, TransactionCandidate
from lacnode.chain.validator_history import ValidatorHistory
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.consensus.vote_tally import VoteTally
from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.block_limits import block_bytes
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import CallRequest, CallResult, ExecutedBlock, ExecutionEngine, OpenBlock, StateView
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.permissioning.transaction_call import TransactionCall
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError
from lacnode.storage.database import Database
from lacnode.storage.storage_errors import StorageCorruptError, StorageError

log = structlog.get_logger("chain")


@dataclass(frozen=True, slots=True)
class NewHead:
    """A block that was just imported and is readable by everybody."""

    header: BlockHeader
    hash: bytes
    block: Block
    receipt_records: tuple[ReceiptRecord, ...]
    logs: tuple[LogWithMetadata, ...]


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """What an operator may choose about this node's chain: `gas_limit_target` in gas units (None keeps the parent's),
    `min_occupancy_ratio` from 0 to 1, and whether reasons of reverts are stored."""

    gas_limit_target: int | None = None
    min_occupancy_ratio: float = 0.8
    keep_revert_reasons: bool = False


class Blockchain(ChainHistory):
    """The chain of `spec` in `database`, executed by `engine`; `permissions` say who may send, `now` is the wall clock in
    Unix seconds.

    Raises WrongGenesisError if the database holds another chain, StorageError if it cannot be read.
    """

    def __init__(
        self,
        spec: ChainSpec,
        database: Database,
        engine: ExecutionEngine,
        *,
        settings: ChainSettings | None = None,
        permissions: AccountPermissions = ALLOW_ALL_ACCOUNTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(database, open_or_store_genesis(spec, database, engine))
        self.spec = spec
        self.genesis_hash = on_chain_hash(self.genesis.header)
        self.settings = settings or ChainSettings()
        self._engine = engine
        self._permissions = permissions
        self._verifier = BlockVerifier(spec, engine, now, permissions)
        self._validators = ValidatorHistory(spec.ibft, self)
        self._verified = VerifiedHeaders()
        self._executions = ExecutionCache()
        self._speculation = SpeculativeExecutions()
        self._listeners: list[Callable[[NewHead], None]] = []
        self._writer = threading.RLock()
        self._head = self._stored_head()

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The last block, with everything that belongs to it."""
        return self._head

    def validators_after(self, header: BlockHeader) -> tuple[bytes, ...]:
        """Who agrees on the block after `header`, ascending. `header` is a block of the chain."""
        return self.tally_after(header).validators

    def tally_after(self, header: BlockHeader) -> VoteTally:
        """The validators and the votes outstanding after `header`, a block of the chain."""
        return self._validators.tally_after(header)

    def next_base_fee(self, timestamp: int) -> int | None:
        """Wei per gas that the block after the head burns if it has `timestamp`; None before London."""
        return next_base_fee(self.spec, self._head.header, timestamp)

    def state_at(self, header: BlockHeader) -> StateView:
        """Accounts after `header`."""
        return self._engine.accounts(header.state_root)

    def call(self, header: BlockHeader, call: CallRequest) -> CallResult:
        """What `call` would do on the state after `header`, within that block's own surroundings."""
        return self._engine.call(header.state_root, header, call, self.hash_at)

    def open_block(self, header: BlockHeader) -> OpenBlock:
        """A block on the state after `header`, within that block's own surroundings, for private messages."""
        return self._engine.open_block(header.state_root, header, self.hash_at)

    def simulate(self, call: TransactionCall, sender: bytes, budget: ExecutionBudget) -> SimulatedContracts:
        """The state after a transaction of `sender` on the head. Raises as `SimulatedContracts` does."""
        return SimulatedContracts(self.spec, self._engine, self.hash_at, self._head.header, call, sender, budget)

    def on_head(self, listener: Callable[[NewHead], None]) -> None:
        """Have `listener` called after every import, in the importing thread; it must be quick and must not import."""
        self._listeners.append(listener)

    # -- verifying ahead of the head -----------------------------------------------------------------------------------

    def header_chain(self) -> VerifiedHeaderChain:
        """What may follow the head, to be verified header by header. What it verifies, an import does not verify again."""
        head = self._head
        tally = self.tally_after(head.header)
        return VerifiedHeaderChain(head.header, head.hash, tally, self.spec.ibft, self._verifier, self._verified)

    def check_body(self, block: Block) -> None:
        """BlockRefusedError unless the body belongs to the header. Besides importing; safe from any thread."""
        self._verifier.check_body(block)
        self._verified.add_body(block)

    # -- writing -----------------------------------------------------------------------------------------------------

    def check_proposal(self, block: Block, budget: ExecutionBudget = UNLIMITED) -> None:
        """BlockRefusedError unless `block`, its seals aside, is a valid next block; ExecutionInterruptedError when `budget`
        says so, or when the import of another block begins. Its execution is kept for its import; nothing is stored."""
        hash_ = self._hash_of(block)
        with self._writer, self._speculation.running(budget, hash_) as own_budget:
            parent = self._parent(block)
            validators = self.validators_after(parent.header)
            self._verifier.check_proposed_header(block.header, parent.header, parent.hash, validators)
            self._verifier.check_body(block)
            self._executed(hash_, block, parent, own_budget)

    def import_block(self, block: Block, budget: ExecutionBudget = UNLIMITED) -> bool:
        """Verify `block` in full, store it and make it the head. False if it is known already.

        Raises UnknownParentError, BlockRefusedError, StorageError, or ExecutionInterruptedError when `budget` says so,
        and then
        nothing of it is stored. A block that was decided has no deadline: its budget only stops it with the node.
        """
        hash_ = self._hash_of(block)
        if self.knows(hash_):
            return False
        # Only a block with a quorum's seals may disturb what is being built or checked.
        self._check_sealed(block, self._parent(block))
        with self._speculation.importing(hash_), self._writer:
            if self.knows(hash_):
                return False
            parent = self._parent(block)
            self._check_sealed(block, parent)
            if not self._verified.has_body(block):
                self._verifier.check_body(block)
            executed = self._executed(hash_, block, parent, budget)
            self._notify_listeners(self._store(block, hash_, executed))
            self._verified.remove(block.header)
            return True

    def build_block(
        self,
        timestamp: int,
        coinbase: bytes,
        extra_data: bytes,
        candidates: Iterable[TransactionCandidate],
        deadline: float,
        budget: ExecutionBudget = UNLIMITED,
    ) -> Block:
        """A block on the head with what fits of `candidates`, chosen until `deadline` (monotonic seconds). `extra_data`
        carries the round and no seals. The execution is kept for the import. ExecutionInterruptedError when `budget` is
        cancelled, or when an import begins: then there is no block."""
        with self._writer, self._speculation.running(budget) as own_budget:
            head = self._head
            period = self.spec.ibft.at(head.header.number + 1).block_period_ms / 1000
            limits = SelectionLimits(deadline, self.settings.min_occupancy_ratio, own_budget, block_bytes(period))
            builder = BlockBuilder(self.spec, self._engine, self.settings.gas_limit_target, self._permissions)
            draft = builder.draft(head.header, head.hash, timestamp, coinbase, extra_data)
            block, executed = builder.build(draft, head.header, candidates, limits, self.hash_at)
            self._executions.put(on_chain_hash(block.header), block, executed)
            return block

    @contextmanager
    def bulk_import(self) -> Iterator[None]:
        """Import many blocks with few flushes: each is still there wholly or not at all, and visible at once, but a
        crash may take back the last ones. For syncing and files: a block that this node helped to agree on waits for
        the end of it, because the journal forgets what was signed for a block once it is imported. The first of
        them must have been verified: what is being built or checked is given up for it."""
        with self._speculation.importing(), self._writer:
            try:
                with self._database.group():
                    yield
            except StorageError:
                self._head = self._stored_head()
                raise

    def reexecute(self, block: Block) -> tuple[ReceiptRecord, ...]:
        """What executing `block`, which is in the chain, comes to. Nothing is stored. BlockRefusedError if it is not
        what the
        header says, StorageError if the state before it cannot be read."""
        with self._writer:
            parent = self.header_of(block.header.parent_hash)
            if parent is None:
                raise UnknownParentError(block.number, block.header.parent_hash)
            return self._outcomes(self._verifier.execute(block, parent, self.hash_at, UNLIMITED))

    # -- parts of it -------------------------------------------------------------------------------------------------

    def _stored_head(self) -> Head:
        with self._database.read() as snapshot:
            chain = StoredChain(snapshot)
            hash_ = chain.head_hash() or b""
            header = chain.header_of(hash_)
        if header is None:
            raise StorageCorruptError("the database names no head, or one that is not there")
        return Head(header, hash_, self.total_difficulty_of(header))

    def _hash_of(self, block: Block) -> bytes:
        try:
            return on_chain_hash(block.header)
        except RlpError as error:
            raise BlockRefusedError("extra-data", str(error)) from None

    def _parent(self, block: Block) -> Head:
        """The head, if `block` follows it."""
        head = self._head
        if block.header.parent_hash == head.hash:
            return head
        if not self.knows(block.header.parent_hash):
            raise UnknownParentError(block.number, block.header.parent_hash)
        raise BlockRefusedError(
            "finality", f"block {block.number} competes with a final one; the head is {head.header.number}"
        )

    def _check_sealed(self, block: Block, parent: Head) -> None:
        validators = self.validators_after(parent.header)
        self._verifier.check_sealed_header(
            block.header, parent.header, parent.hash, validators, seals_known=self._verified.has(block.header)
        )

    def _executed(self, hash_: bytes, block: Block, parent: Head, budget: ExecutionBudget) -> ExecutedBlock:
        executed = self._executions.get(hash_, block)
        if executed is None:
            executed = self._verifier.execute(block, parent.header, self.hash_at, budget)
            self._executions.put(hash_, block, executed)
        return executed

    def _store(self, block: Block, hash_: bytes, executed: ExecutedBlock) -> NewHead:
        receipt_records = self._outcomes(executed)
        try:
            with self._database.write() as batch:
                write_state(batch, executed.nodes)
                write_block(batch, block, hash_, receipt_records)
        except StorageError:
            self._head = self._stored_head()
            raise
        self._head = Head(block.header, hash_, self.total_difficulty_of(block.header))
        self._executions.clear()
        logs = logs_with_metadata(block.number, hash_, block.header.timestamp, block.transactions, receipt_records)
        return NewHead(block.header, hash_, block, receipt_records, logs)

    def _outcomes(self, executed: ExecutedBlock) -> tuple[ReceiptRecord, ...]:
        reasons = executed.revert_reasons if self.settings.keep_revert_reasons else [None] * len(executed.receipts)
        return tuple(
            ReceiptRecord(sender, receipt, gas_used, created, reason)
            for sender, receipt, gas_used, created, reason in zip(
                executed.senders, executed.receipts, executed.gas_used_by, executed.created, reasons, strict=True
            )
        )

    def _notify_listeners(self, new_head: NewHead) -> None:
        for listener in self._listeners:
            try:
                listener(new_head)
            except Exception:
                log.exception("a listener to new heads failed", number=new_head.header.number)
