"""The chain: checks blocks, executes each once, stores it in one commit, and notifies listeners.

This is the only writer of state. A lock puts all changes in an order. Everything else reads snapshots and is safe from any
thread. An IBFT block is final, so there is one chain and no way back: a block that does not follow the head is refused. This
file must not know an event loop, a network, or the proposer of a round.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from lacnode.chain.block_builder import BlockBuilder
from lacnode.chain.block_errors import (
    BlockRefusedError,
    InternalBlockError,
    InvalidSealedHeaderError,
    UnknownParentError,
)
from lacnode.chain.block_verifier import BlockVerifier
from lacnode.chain.chain_store import StoredChain, write_epoch_validators_not_in_header, write_head_block, write_state
from lacnode.chain.executable_chain import ExecutableChain
from lacnode.chain.execution_cache import ExecutionCache
from lacnode.chain.execution_counters import ExecutionCounters
from lacnode.chain.head import Head
from lacnode.chain.header_chain import VerifiedHeaderChain
from lacnode.chain.proposal_sizes import ProposalSizeBounds
from lacnode.chain.receipt_record import (
    LogWithMetadata,
    ReceiptRecord,
    logs_with_metadata,
    receipt_records_of_execution,
)
from lacnode.chain.simulated_contracts import SimulatedContracts
from lacnode.chain.speculative_executions import SpeculativeExecutions
from lacnode.chain.stored_genesis import open_or_store_genesis
from lacnode.chain.stored_rules import check_stored_block_forms, check_stored_validators
from lacnode.chain.transaction_selection import SelectionLimits, TransactionCandidate
from lacnode.chain.verified_headers import VerifiedHeaders
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.block_limits import max_block_bytes
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import ExecutedBlock
from lacnode.evm.tracing_executor import TracingEngine
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
    """A block that was just imported, which readers of the chain find from now on. `hash` is its on-chain hash (32
    bytes). `receipt_records` has one entry for each transaction, in order, and `logs` all logs of the block."""

    header: BlockHeader
    hash: bytes
    block: Block
    receipt_records: tuple[ReceiptRecord, ...]
    logs: tuple[LogWithMetadata, ...]


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """The choices of an operator for this node's chain.

    `gas_limit_target` is in gas units (None keeps the parent's limit). `min_occupancy_ratio` is from 0 to 1: a proposal
    that has used this part of its gas limit ends at the first transaction that does not fit. `keep_revert_reasons` says
    whether the reasons of reverts are stored.
    """

    gas_limit_target: int | None = None
    min_occupancy_ratio: float = 0.8
    keep_revert_reasons: bool = False


class Blockchain(ExecutableChain):
    """The chain of `spec` in `database`, executed by `engine`. An empty database gets the genesis.

    `permissions` are the rules about senders. `now` returns the wall clock in Unix seconds. Raises WrongGenesisError if
    the database has another chain or one by other rules of consensus, and StorageError if it cannot be read.
    """

    def __init__(
        self,
        spec: ChainSpec,
        database: Database,
        engine: TracingEngine,
        *,
        settings: ChainSettings | None = None,
        permissions: AccountPermissions = ALLOW_ALL_ACCOUNTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(spec, database, open_or_store_genesis(spec, database, engine), engine)
        self.settings = settings or ChainSettings()
        self.counters = ExecutionCounters()
        self._permissions = permissions
        self._verifier = BlockVerifier(spec, engine, now, permissions)
        self._verified = VerifiedHeaders()
        self._executions = ExecutionCache()
        self._speculation = SpeculativeExecutions()
        self._size_bounds = ProposalSizeBounds()
        self._listeners: list[Callable[[NewHead], None]] = []
        self._writer = threading.RLock()
        self._head = self._stored_head()
        check_stored_block_forms(database, self.protocols)
        check_stored_validators(self, self._head.header)

    # -- reading, and verifying ahead of the head -------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The last block. Its body, receipts and state are stored."""
        return self._head

    def next_base_fee(self, timestamp: int) -> int | None:
        """The base fee (wei per gas) of the block after the head, with this timestamp (Unix seconds). None before
        London."""
        return next_base_fee(self.spec, self._head.header, timestamp)

    def simulate(self, call: TransactionCall, sender: bytes, budget: ExecutionBudget) -> SimulatedContracts:
        """Execute `call` by `sender` (20 bytes) on the head, without storing anything, and return the contracts after
        it, also if the call reverted. Rules about accounts are not checked. Raises TransactionRejectedError if the
        transaction cannot be in the next block, SystemCallError if no block can, ExecutionInterruptedError if `budget`
        is used up or cancelled, and StorageError if the state cannot be read."""
        return SimulatedContracts(self.spec, self._engine, self.hash_at, self._head.header, call, sender, budget)

    def on_head(self, listener: Callable[[NewHead], None]) -> None:
        """Call `listener` after every import, in the importing thread and in the order of the blocks. It must be quick
        and must not import. An error that it raises is logged."""
        self._listeners.append(listener)

    def new_header_chain(self) -> VerifiedHeaderChain:
        """Return a new chain of headers that begins at the present head, without a further header. Each header that is
        added is verified, with its seals if its validators are known. While the header is remembered
        (`VerifiedHeaders`), the import of its block does not verify these seals again. If a contract names the
        validators, they are known for the block after the head alone, if at all. The seals of later headers are then
        verified by the import only."""
        head = self._head
        tally = self.validator_sets.tally_after_or_none(head.header)
        return VerifiedHeaderChain(
            head.header, head.hash, tally, self.spec.ibft, self.protocols, self._verifier, self._verified
        )

    def check_body(self, block: Block) -> None:
        """Return if the body fits header and rules (`BlockVerifier.check_body`). Raises BlockRefusedError otherwise.
        The import skips this check for the same body object, if its header was verified before. Safe from any thread,
        also during an import."""
        self._verifier.check_body(block)
        self._verified.add_body(block)

    # -- writing -----------------------------------------------------------------------------------------------------

    def check_proposal(self, block: Block, budget: ExecutionBudget = UNLIMITED, *, is_prepared: bool = False) -> None:
        """Check that `block`, apart from its seals, is a valid next block. Its execution is kept in memory for its import.
        Without `is_prepared` (a quorum prepared it) memory and logs are bounded (`ProposalSizeBounds`). Raises
        UnknownParentError, BlockRefusedError if it is invalid or beyond a bound, StorageError, or
        ExecutionInterruptedError if `budget` ends, any import is under way, or that of another block begins."""
        hash_ = _block_hash(self.protocols, block)
        with self._writer, self._speculation.speculative_budget(budget, hash_) as own:
            parent = self._parent_head(block)
            validators = self.tally_after(parent.header).validators
            self._verifier.check_proposed_header(
                block.header, parent.header, parent.hash, validators, is_prepared=is_prepared
            )
            self._verifier.check_body(block)
            # Only in memory. The block may never be decided, and another one may be.
            creator = self.protocols.creator(block.header)
            with self._size_bounds.bounded_budget(own, creator, validators, is_prepared=is_prepared) as limited:
                self._execute_once(hash_, block, parent, limited)

    def import_block(self, block: Block, budget: ExecutionBudget = UNLIMITED) -> bool:
        """Verify `block` in full, store it and make it the head. Return True then. Return False, without a check, if
        the chain has a block with its hash. Raises UnknownParentError, InvalidSealedHeaderError if its header or seals
        break a rule, another BlockRefusedError, StorageError, or ExecutionInterruptedError if `budget` is cancelled.
        Nothing of the block is stored then. A decided block has no deadline: its budget ends only when the node stops.
        """
        hash_ = _block_hash(self.protocols, block)
        if self.has_block(hash_):
            return False
        # Only a block with the seals of a quorum may interrupt a block that is being built or checked.
        self._check_sealed(block, self._parent_head(block))
        with self._speculation.import_in_progress(hash_), self._writer:
            # Again under the lock: consensus and synchronisation may import the same block at the same time.
            if self.has_block(hash_):
                return False
            parent = self._parent_head(block)
            self._check_sealed(block, parent)
            if not self._verified.has_body(block):
                self._verifier.check_body(block)
            executed = self._execute_once(hash_, block, parent, budget)
            # Listeners are called after the commit and under the lock, so they see the blocks in their order.
            self._notify_listeners(self._store(block, hash_, parent, executed))
            self._verified.remove_up_to(block.header.number)
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
        """Build a block on the head with those of `candidates` that fit, in their order, selected until `deadline`
        (monotonic seconds). It has no seals and is not stored. `timestamp` is in Unix seconds, `coinbase` has 20 bytes,
        `extra_data` the round and no seals. The execution is kept for the import. Raises BlockRefusedError if no block
        can be made on the head, StorageError if the state cannot be read, ExecutionInterruptedError if `budget` is used
        up or cancelled, or an import is under way or begins."""
        with self._writer, self._speculation.speculative_budget(budget) as own_budget:
            head = self._head
            period = self.spec.ibft.parameters_at(head.header.number + 1).block_period_ms / 1000
            space, max_gas = max_block_bytes(period), self.counters.speed.gas_budget(period)
            limits = SelectionLimits(deadline, self.settings.min_occupancy_ratio, own_budget, space, max_gas)
            builder = BlockBuilder(self.spec, self._engine, self.settings.gas_limit_target, self._permissions)
            draft = builder.draft_header(head.header, head.hash, timestamp, coinbase, extra_data)
            block, executed = builder.build(draft, head.header, candidates, limits, self.hash_at)
            # This validator checks its own block, too. With the kept execution the check is almost free.
            self._executions.put(self.protocols.block_hash(block.header), block, executed)
            return block

    @contextmanager
    def bulk_import(self) -> Iterator[None]:
        """Import blocks in this context with few flushes. Imports of other threads wait. No block can be built or checked.

        Each block is stored as a whole and visible at once. A crash may take back the last blocks. Raises StorageError
        at the exit if the last ones could not be written: they are not in the chain then. The entry interrupts a block
        that is being built or checked, so verify the first block before. Import a block that consensus has decided
        after the exit: the journal forgets what it signed for an imported block, so no crash may take it back.
        """
        with self._speculation.import_in_progress(), self._writer:
            try:
                with self._database.group_commits():
                    yield
            except StorageError:
                # The last blocks of the group are not on the disk, so the head is read again.
                self._head = self._stored_head()
                raise

    def reexecute(self, block: Block) -> tuple[ReceiptRecord, ...]:
        """Execute `block`, which is in the chain, and return its receipt records in order. Nothing is stored.

        Raises UnknownParentError if its parent is missing, BlockRefusedError if the result differs from the header, and
        StorageError if the state before it cannot be read.
        """
        with self._writer:
            parent = self.header_of(block.header.parent_hash)
            if parent is None:
                raise UnknownParentError(block.number, block.header.parent_hash)
            executed = self._verifier.execute_and_check(block, parent, self.hash_at, UNLIMITED)
            return receipt_records_of_execution(executed, keep_revert_reasons=self.settings.keep_revert_reasons)

    # -- steps of an import ------------------------------------------------------------------------------------------

    def _stored_head(self) -> Head:
        with self._database.read() as snapshot:
            chain = StoredChain(snapshot)
            hash_ = chain.head_hash() or b""
            header = chain.header_of(hash_)
        if header is None:
            raise StorageCorruptError("the database names no head, or one that is not there")
        return Head(header, hash_, self.total_difficulty_of(header))

    def _parent_head(self, block: Block) -> Head:
        """The head, if `block` follows it. Raises UnknownParentError or BlockRefusedError otherwise."""
        # Read once: another thread may replace the head between two reads.
        head = self._head
        if block.header.parent_hash == head.hash:
            return head
        # Two different faults: a node that is behind must synchronise, and a block beside a final one is never valid.
        if not self.has_block(block.header.parent_hash):
            raise UnknownParentError(block.number, block.header.parent_hash)
        raise BlockRefusedError(
            "finality", f"block {block.number} competes with a final one; the head is {head.header.number}"
        )

    def _check_sealed(self, block: Block, parent: Head) -> None:
        """Raises InvalidSealedHeaderError, InternalBlockError, and ValidatorContractError without usable validators."""
        validators, verified = self.tally_after(parent.header).validators, self._verified.has(block.header)
        try:
            self._verifier.check_sealed_header(
                block.header, parent.header, parent.hash, validators, seals_verified=verified
            )
        except InternalBlockError:
            raise
        except BlockRefusedError as refusal:
            raise InvalidSealedHeaderError(refusal.rule, str(refusal)) from None

    def _execute_once(self, hash_: bytes, block: Block, parent: Head, budget: ExecutionBudget) -> ExecutedBlock:
        # The on-chain hash does not cover seals and round, so the execution of the proposal is the one of the block.
        executed = self._executions.get(hash_, block)
        if executed is None:
            with self.counters.count_execution(block, self.spec.ibft.parameters_at(block.number).block_period_ms):
                executed = self._verifier.execute_and_check(block, parent.header, self.hash_at, budget)
            self._executions.put(hash_, block, executed)
        return executed

    def _store(self, block: Block, hash_: bytes, parent: Head, executed: ExecutedBlock) -> NewHead:
        validators = self.validator_sets.find_epoch_validators_not_in_header(block.header, parent.header)
        receipt_records = receipt_records_of_execution(executed, keep_revert_reasons=self.settings.keep_revert_reasons)
        try:
            # State, block, indexes and head in one commit. A crash leaves all of it or nothing.
            with self._database.write() as batch:
                write_state(batch, executed.nodes)
                has_vote = self.protocols.extra_data(block.header).vote is not None
                write_head_block(batch, block, hash_, receipt_records, has_vote=has_vote)
                if validators is not None:
                    write_epoch_validators_not_in_header(batch, block.number, validators)
        except StorageError:
            # A failed commit may have dropped earlier blocks of a group, too.
            self._head = self._stored_head()
            raise
        self._head = Head(block.header, hash_, self.total_difficulty_of(block.header))
        self._executions.clear_after_import()
        self.counters.count_imported(block)
        logs = logs_with_metadata(block.number, hash_, block.header.timestamp, block.transactions, receipt_records)
        return NewHead(block.header, hash_, block, receipt_records, logs)

    def _notify_listeners(self, new_head: NewHead) -> None:
        for listener in self._listeners:
            try:
                listener(new_head)
            # The block is stored. A fault in one listener must not keep the others, such as consensus, from the new head.
            except Exception:
                log.exception("a listener to new heads failed", number=new_head.header.number)


def _block_hash(protocols: ProtocolSchedule, block: Block) -> bytes:
    """The on-chain hash of `block`. Raises BlockRefusedError if its extra data cannot be decoded."""
    try:
        return protocols.block_hash(block.header)
    except RlpError as error:
        raise BlockRefusedError("extra-data", str(error)) from None
