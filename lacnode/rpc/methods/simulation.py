"""ETH: blocks of calls that are simulated one after the other (`eth_simulateV1`). Executed in a reader process."""

from functools import partial

from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import CallRequest, OverlaidNodes
from lacnode.evm.overrides import OverrideError
from lacnode.evm.py_evm_block import BlockStart
from lacnode.evm.py_evm_simulation import SimulatedBlock, SimulatedCall
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.evm.trace_record import TraceAllowance
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.errors import INVALID_PARAMS, SERVER_ERROR, RpcError
from lacnode.rpc.method_registry import Method
from lacnode.rpc.parameters import header_by_number_or_hash, optional, required
from lacnode.rpc.read_calls import Params, ReadContext, check_time, run_in_reader
from lacnode.rpc.simulation.simulated_headers import closing_header, opening_header
from lacnode.rpc.simulation.simulation_parameters import BlockCalls, Simulation, number_blocks, parse_simulation
from lacnode.rpc.simulation.simulation_results import Json, simulated_block
from lacnode.rpc.trace_execution import trace_errors

_CODES = {
    RejectionReason.NONCE_TOO_LOW: -38010,
    RejectionReason.NONCE_TOO_HIGH: -38011,
    RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE: -38012,
    RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT: -38013,
    RejectionReason.UPFRONT_COST_EXCEEDS_BALANCE: -38014,
    RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT: -38015,
    RejectionReason.INITCODE_TOO_LARGE: -38025,
}
"""The code of the specification for each reason why a call cannot begin. Besu has some of them."""


def eth_simulateV1(reading: ReadContext, params: Params) -> object:
    """Simulate blocks of calls after a block. Return the blocks in Besu's form with the outcomes of their calls.
    `params` are the object of blocks and, if wanted, the block (number, tag or hash, the head without it). Nothing is
    stored.

    RpcError if the parameters do not fit, there is no such block, its state is not kept, a call cannot begin, or the
    simulation is too large. CallTimeoutError if it takes too long. A call that fails is a part of the result.
    """
    simulation = parse_simulation(required(params, 0, "blockStateCalls"), partial(check_time, reading))
    block = optional(params, 1)
    header = header_by_number_or_hash(reading, "latest" if block is None else block)
    with trace_errors():
        try:
            return _Simulator(reading, simulation, header).run()
        except OverrideError as error:
            raise RpcError(SERVER_ERROR, "Invalid precompile address", str(error)) from None


class _Simulator:
    """Runs one simulation. Each block is made on the state that the one before left."""

    def __init__(self, reading: ReadContext, simulation: Simulation, header: BlockHeader) -> None:
        self._reading = reading
        self._simulation = simulation
        self._parent = header
        self._parent_hash = reading.chain.hash_at(header.number) or b""
        # Not the header's: a caller may override it, and the state would be lost.
        self._root = header.state_root
        self._nodes: dict[bytes, bytes] = {}
        self._store = OverlaidNodes(self._nodes, DatabaseNodeStore(reading.chain.database))
        self._hashes: dict[int, bytes] = {}
        self._budget = ExecutionBudget(reading.deadline)
        self._size = AnswerSize()
        self._transfers = TraceAllowance() if simulation.traces_transfers else None
        cap = reading.settings.gas_cap
        self._gas_left = cap if cap > 0 else None

    def run(self) -> list[Json]:
        blocks = number_blocks(self._simulation.blocks, self._parent.number, self._parent.timestamp)
        # All numbers and timestamps are checked before the first block is executed.
        return [self._block(block) for block in list(blocks)]

    def _block(self, wanted: BlockCalls) -> Json:
        spec, validates = self._reading.chain.spec, self._simulation.validates
        header = opening_header(spec, self._parent, self._parent_hash, wanted.block, validates=validates)
        start = BlockStart(spec, self._store, self._root, header, self._ancestor_hash, self._budget)
        opened = SimulatedBlock(start, wanted.state, validates=validates, transfers=self._transfers)
        calls = [self._call(opened, call) for call in wanted.calls]
        executed = opened.close(self._budget)
        self._nodes.update(executed.nodes)
        self._root = executed.state_root
        closed = closing_header(header, executed, wanted.block)
        hash_ = keccak256(closed.encode()) if wanted.block.hash is None else wanted.block.hash
        self._hashes[closed.number] = hash_
        self._parent, self._parent_hash = closed, hash_
        return simulated_block(closed, hash_, calls, self._size, shows_transactions=self._simulation.shows_transactions)

    def _call(self, opened: SimulatedBlock, call: CallRequest) -> SimulatedCall:
        gas = opened.gas_left if call.gas is None else call.gas
        if self._gas_left is not None:
            gas = min(gas, self._gas_left)
        try:
            simulated = opened.call(call, gas)
        except TransactionRejectedError as rejection:
            raise RpcError(_CODES.get(rejection.reason, INVALID_PARAMS), str(rejection)) from None
        if self._gas_left is not None:
            self._gas_left -= simulated.gas_used
        return simulated

    def _ancestor_hash(self, number: int) -> bytes | None:
        return self._hashes.get(number) or self._reading.chain.hash_at(number)


SIMULATION_METHODS = (Method("eth_simulateV1", "ETH", run_in_reader(eth_simulateV1, is_long=True)),)
