"""Builds the next block: an open block, the selected transactions, and a header with the results (Besu's `BftBlockCreator`).

This file must not sign, seal, or decide when to build.
"""

from collections.abc import Callable, Iterable

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.gas_limit import goquorum_gas_limit_floor, next_gas_limit
from lacnode.chain.internal_errors import refusing_internal_errors, rejecting_internal_errors
from lacnode.chain.transaction_selection import SelectionLimits, TransactionCandidate, select_transactions
from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.header_rules import MIX_HASH
from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import ExecutedBlock, ExecutionEngine, OpenBlock, SystemCallError
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.permissioning.contract_reader import ContractUnreadableError
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction


class BlockBuilder:
    """Builds blocks of one network. Their gas limit moves towards `gas_limit_target` (gas units, None keeps it). A
    transaction is selected only if `permissions` allow its sender to send it."""

    def __init__(
        self,
        spec: ChainSpec,
        engine: ExecutionEngine,
        gas_limit_target: int | None,
        permissions: AccountPermissions = ALLOW_ALL_ACCOUNTS,
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._gas_limit_target = gas_limit_target
        self._permissions = permissions

    def build(
        self,
        draft: BlockHeader,
        parent: BlockHeader,
        candidates: Iterable[TransactionCandidate],
        limits: SelectionLimits,
        ancestor_hash: Callable[[int], bytes | None],
    ) -> tuple[Block, ExecutedBlock]:
        """Build and execute the block that starts as `draft` (see `draft_header`), with those of `candidates` that fit,
        in the order in which they come. `ancestor_hash` gives the on-chain hash (32 bytes) of the block with a number,
        for BLOCKHASH. Nothing is stored. The block has no seals.

        Raises BlockRefusedError if a system call fails, and InternalBlockError, which is one, after an internal error
        outside the transactions. Raises ExecutionInterruptedError if the budget of `limits` is used up or cancelled,
        and StorageError if the state cannot be read.
        """
        try:
            with refusing_internal_errors(draft.number):
                # Within limits: a block that takes longer to check than to build would not be final in its round.
                opened = self._engine.open_block(parent.state_root, draft, ancestor_hash, within_limits=True)
                transactions = select_transactions(
                    _PermissionedBlock(opened, self._permissions, parent), draft.gas_limit, candidates, limits
                )
                executed = opened.close(limits.budget)
        # A failing system call (EIP-7002, EIP-7251) makes every block invalid, so nothing could be proposed.
        except SystemCallError as error:
            raise BlockRefusedError("system-call", str(error)) from None
        # The roots are known only after the execution. The digest that is signed covers them.
        return Block(executed.complete_header(draft), BlockBody(transactions)), executed

    def draft_header(
        self, parent: BlockHeader, parent_hash: bytes, timestamp: int, coinbase: bytes, extra_data: bytes
    ) -> BlockHeader:
        """The header of the next block before execution: with the state root of `parent`, and the roots of no
        transactions. `parent_hash` has 32 bytes, `timestamp` is in Unix seconds, and `coinbase` has 20 bytes. The gas
        limit is one step from that of `parent` (`next_gas_limit`). Nothing is checked.

        From London on it ends with the base fee, like the headers of Besu 25.5 under IBFT 2.0 (`BftBlockCreator`).
        There are no withdrawals, and without their root Besu writes no later field.
        """
        number = parent.number + 1
        fork = self._spec.forks.fork_at(number, timestamp)
        # The fork may depend on the timestamp, so the parent's fork is not always the one of the height before.
        london_begins = fork >= Fork.LONDON > self._spec.forks.fork_at(parent.number, parent.timestamp)
        return BlockHeader(
            parent_hash=parent_hash,
            ommers_hash=EMPTY_OMMERS_HASH,
            coinbase=coinbase,
            state_root=parent.state_root,
            transactions_root=EMPTY_TRIE_ROOT,
            receipts_root=EMPTY_TRIE_ROOT,
            logs_bloom=EMPTY_BLOOM,
            difficulty=1,
            number=number,
            gas_limit=next_gas_limit(
                parent.gas_limit,
                self._gas_limit_target,
                base_fee_begins=london_begins,
                floor=goquorum_gas_limit_floor(self._spec, number),
            ),
            gas_used=0,
            timestamp=timestamp,
            extra_data=extra_data,
            mix_hash=MIX_HASH,
            nonce=bytes(8),
            base_fee=next_base_fee(self._spec, parent, timestamp),
        )


class _PermissionedBlock:
    """An open block that accepts a transaction only if its sender may send it, by the state before the block."""

    def __init__(self, block: OpenBlock, permissions: AccountPermissions, parent: BlockHeader) -> None:
        self._block = block
        self._permissions = permissions
        self._parent = parent

    @property
    def gas_left(self) -> int:
        return self._block.gas_left

    @property
    def estimated_closing_seconds(self) -> float:
        return self._block.estimated_closing_seconds

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        # Without this, a transaction that meets a fault of the engine would end the node of each proposer in turn.
        with rejecting_internal_errors(transaction):
            return self._add(transaction, sender, budget)

    def _add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget) -> Receipt:
        try:
            decision = self._permissions.may_be_selected(transaction, sender, self._parent)
        except ContractUnreadableError as unreadable:
            # A rules contract that cannot be read now may be readable for the next block. The reason is a transient one.
            raise TransactionRejectedError(
                RejectionReason.CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE, f"the account contract {unreadable}"
            ) from None
        if not decision.allowed:
            # Checked here and not only in the pool: the rules may have changed since the transaction was accepted.
            raise TransactionRejectedError(RejectionReason.TX_SENDER_NOT_AUTHORIZED, str(decision), decision.to_json())
        return self._block.add(transaction, sender, budget)
