"""The steps of a trace that end a call."""

import pytest

from lacnode.evm.trace_record import HaltReason, RecordingOptions, TraceDetail, TracedStep
from lacnode.evm.tracing_executor import BlockToTrace
from tests.support.engines import engine
from tests.support.evm_network import RICH, Network, hash_of, push, signed

CONTRACT, CALLED = b"\xcc" * 20, b"\xdd" * 20
BELOW, INTRINSIC_GAS, PUSH_GAS, MEMORY_WORD_GAS = 5, 21_000, 3, 3


def steps_of(codes: dict[bytes, bytes], gas: int) -> list[TracedStep]:
    """The instructions of a call of `CONTRACT` with `gas` (gas units) for the call. `codes` are those of contracts."""
    net = Network({address: {"code": code.hex()} for address, code in codes.items()})
    transaction = signed(RICH, 0, to=CONTRACT, gas=INTRINSIC_GAS + gas)
    block = BlockToTrace(net.header.state_root, net.next_header(), [transaction])
    options = RecordingOptions(TraceDetail.STEPS, memory=True)
    (traced,) = engine(net.spec, net.store).tracing_executor(hash_of).trace_block(block, options)
    return [step for step in traced.steps if not step.is_virtual]


def last_step(code: bytes, gas: int) -> TracedStep:
    """The last instruction of a call of `CONTRACT`, which has `code`, with `gas` (gas units) for the call."""
    return steps_of({CONTRACT: code}, gas)[-1]


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
    last = last_step(push(BELOW, 1) + inputs + bytes([opcode]), gas)
    assert (last.opcode, last.halt) == (opcode, HaltReason.INSUFFICIENT_GAS)
    assert [item if isinstance(item, int) else int.from_bytes(item) for item in last.produced] == [BELOW]


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize(("opcode", "charge"), [(0x20, 30 + 6), (0xA0, 375 + 8 * 64)], ids=["KECCAK256", "LOG0"])
def test_an_instruction_that_cannot_pay_for_everything_extends_no_memory(opcode: int, charge: int) -> None:
    """The gas is enough for the memory of two words, or for the rest, and one unit less than for both."""
    last = last_step(push(64, 1) + push(0, 1) + bytes([opcode]), 2 * PUSH_GAS + charge + 2 * MEMORY_WORD_GAS - 1)
    assert (last.opcode, last.halt, last.memory) == (opcode, HaltReason.INSUFFICIENT_GAS, b"")


@pytest.mark.usefixtures("each_engine")
def test_a_log_without_all_its_topics_has_read_the_memory() -> None:
    """Besu asks for the gas, reads the memory, and takes the topics last."""
    code = push(BELOW, 1) + push(64, 1) + push(0, 1) + bytes([0xA3])
    gas = 3 * PUSH_GAS + 375 * 4 + 8 * 64 + 2 * MEMORY_WORD_GAS
    last = last_step(code, gas)
    assert (last.halt, last.memory) == (HaltReason.INSUFFICIENT_STACK_ITEMS, bytes(64))


@pytest.mark.usefixtures("each_engine")
def test_a_call_with_a_value_in_a_static_call_has_taken_no_inputs() -> None:
    """Besu refuses it before it takes them, so a vmTrace shows the gas that it would have got."""
    called = push(0, 1) * 4 + push(7, 1) + push(0, 1) + push(BELOW, 1) + bytes([0xF1])
    code = push(0, 1) * 4 + push(int.from_bytes(CALLED), 20) + push(100_000, 3) + bytes([0xFA])
    steps = steps_of({CONTRACT: code, CALLED: called}, 200_000)
    (failed,) = [step for step in steps if step.halt is not None]
    assert (failed.opcode, failed.halt) == (0xF1, HaltReason.ILLEGAL_STATE_CHANGE)
    assert [item if isinstance(item, int) else int.from_bytes(item) for item in failed.produced] == [BELOW]
