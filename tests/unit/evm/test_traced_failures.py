"""The steps of a trace that end a call."""

import pytest

from lacnode.evm.trace_record import HaltReason, RecordingOptions, TraceDetail
from lacnode.evm.tracing_executor import BlockToTrace
from tests.support.engines import engine
from tests.support.evm_network import RICH, Network, hash_of, push, signed

CONTRACT = b"\xcc" * 20
BELOW, INTRINSIC_GAS, PUSH_GAS = 5, 21_000, 3


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize(
    ("inputs", "opcode", "gas"),
    [
        (push(64, 1) + push(0, 1), 0x20, 3 * PUSH_GAS + 30 + 5),
        (push(256, 2) + push(3, 1), 0x0A, 3 * PUSH_GAS + 10 + 50),
        (push(1_000, 2), 0x51, 2 * PUSH_GAS + 3 + 10),
    ],
    ids=["KECCAK256", "EXP", "MLOAD"],
)
def test_an_instruction_that_runs_out_of_gas_has_taken_its_inputs(inputs: bytes, opcode: int, gas: int) -> None:
    """Besu takes them before it asks for the gas. revm leaves the last one, which a vmTrace showed as the result."""
    net = Network({CONTRACT: {"code": (push(BELOW, 1) + inputs + bytes([opcode])).hex()}})
    transaction = signed(RICH, 0, to=CONTRACT, gas=INTRINSIC_GAS + gas)
    block = BlockToTrace(net.header.state_root, net.next_header(), [transaction])
    options = RecordingOptions(TraceDetail.STEPS, memory=True)
    (traced,) = engine(net.spec, net.store).tracing_executor(hash_of).trace_block(block, options)
    last = [step for step in traced.steps if not step.is_virtual][-1]
    assert (last.opcode, last.halt) == (opcode, HaltReason.INSUFFICIENT_GAS)
    assert [item if isinstance(item, int) else int.from_bytes(item) for item in last.produced] == [BELOW]
