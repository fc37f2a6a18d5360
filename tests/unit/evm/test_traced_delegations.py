"""An account whose code is delegated to a precompile has no code (EIP-7702). A call to it is in the trace all the same."""

from typing import Any

import pytest

from lacnode.evm.trace_record import RecordingOptions, TraceDetail
from lacnode.evm.tracing_executor import BlockToTrace
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.traces.flat_traces import flat_traces
from tests.support.engines import engine
from tests.support.evm_network import RICH, Network, hash_of, push, signed

DELEGATED, CALLING = b"\xde" * 20, b"\xcc" * 20
IDENTITY = bytes(19) + b"\x04"
REQUEST_CONTRACTS: dict[str, Any] = {
    f"{kind}ContractAddress": "0x" + (b"\xe0" * 20).hex()
    for kind in ("withdrawalRequest", "consolidationRequest", "deposit")
}
CALL = push(0, 1) * 5 + push(int.from_bytes(DELEGATED), 20) + b"\x5a\xf1"


@pytest.mark.usefixtures("each_engine")
def test_a_call_to_an_account_that_is_delegated_to_a_precompile_is_traced() -> None:
    accounts = {DELEGATED: {"code": (b"\xef\x01\x00" + IDENTITY).hex()}, CALLING: {"code": CALL.hex()}}
    net = Network(accounts, londonBlock=0, zeroBaseFee=True, pragueTime=0, **REQUEST_CONTRACTS)
    block = BlockToTrace(net.header.state_root, net.next_header(base_fee=0), [signed(RICH, 0, to=CALLING)])
    (traced,) = (
        engine(net.spec, net.store).tracing_executor(hash_of).trace_block(block, RecordingOptions(TraceDetail.STEPS))
    )
    traces: list[Any] = flat_traces(traced, AnswerSize())
    assert traces[0]["subtraces"] == 1
    assert traces[1]["action"]["to"] == "0x" + DELEGATED.hex()
    (step,) = [step for step in traced.steps if step.depth == 1]
    assert (step.name, step.pc, step.is_virtual) == ("STOP", 0, True)
