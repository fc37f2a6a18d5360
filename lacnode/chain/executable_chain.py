"""A stored chain with an engine: the states after its blocks, calls on them, and the validators of the next block.

Safe from any thread. This file must not write, and must not know which block is the head.
"""

from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.validator_sets import ValidatorSets
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.consensus.protocols import protocols_of
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import CallRequest, CallResult, OpenBlock, StateView
from lacnode.evm.tracing_executor import TracingEngine, TracingExecutor
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.storage.database import Database


class ExecutableChain(ChainHistory):
    """The chain of `spec` in `database`, which begins with `genesis`. `engine` reads its states and executes calls."""

    def __init__(self, spec: ChainSpec, database: Database, genesis: Block, engine: TracingEngine) -> None:
        super().__init__(database, genesis, protocols_of(spec))
        self.spec = spec
        self.genesis_hash = self.protocols.block_hash(genesis.header)
        self._engine = engine
        contracts = ChainContracts(spec, engine, self.hash_at)
        self.validator_sets = ValidatorSets(spec.ibft, self.protocols, self, contracts)

    def validators_after(self, header: BlockHeader) -> tuple[bytes, ...]:
        """The validators of the block after `header`, ascending (20-byte addresses). `header` is a block of the chain.

        Empty, with a line in the log, if a contract has to name them and names no usable ones. The other errors are
        those of `tally_after`.
        """
        return self.validator_sets.validators_after(header)

    def tally_after(self, header: BlockHeader) -> VoteTally:
        """The validators and the open votes after `header`, a block of the chain. Raises ValidatorContractError if a
        contract has to name them and names no usable ones, StorageCorruptError if the contract's state cannot be read,
        and KeyError if an ancestor is missing."""
        return self.validator_sets.tally_after(header)

    def state_at(self, header: BlockHeader) -> StateView:
        """The accounts after `header`. Nothing is read yet: a missing state is a MissingNodeError at the first
        question."""
        return self._engine.accounts(header.state_root)

    def call(self, header: BlockHeader, call: CallRequest) -> CallResult:
        """The result of `call` on the state after `header`, with the number, the timestamp and the rules of that block.
        Nothing is stored. A call that reverts or fails is a result, too.

        Raises TransactionRejectedError if the call could not begin, OverrideError if its overrides cannot be applied,
        CallLimitExceededError if it took too long or too much memory, ExecutionCancelledError when the engine is
        stopped, and MissingNodeError if the database lacks the state.
        """
        return self._engine.call(header.state_root, self.protocols.execution_header(header), call, self.hash_at)

    def tracing_executor(self, budget: ExecutionBudget) -> TracingExecutor:
        """An executor for the traces of one RPC call on this chain, within `budget` and the usual limits of steps and
        bytes."""
        return self._engine.tracing_executor(self.hash_at, budget)

    def open_block_for_private_execution(self, header: BlockHeader) -> OpenBlock:
        """An open block in which private transactions are executed, on the state after `header`. COINBASE gives the
        validator that created the block, which in IBFT 1 is not the coinbase of `header`. NUMBER and the like give the
        values of `header` itself: it is not the next block of the chain. Raises SystemCallError if a call that begins
        every block fails, and RlpError if `header` does not say who created its block."""
        return self._engine.open_block(header.state_root, self.protocols.execution_header(header), self.hash_at)
