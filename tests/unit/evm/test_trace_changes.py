"""The values before a transaction that a trace gives."""

import pytest

from lacnode.evm.trace_record import RecordingOptions, TraceDetail
from lacnode.evm.tracing_executor import BlockToTrace
from tests.support.engines import engine
from tests.support.evm_network import FRIEND, RICH, Network, hash_of, push, signed

CONTRACT = b"\xcc" * 20
READ_AND_DESTROY = push(2, 1) + b"\x54" + push(int.from_bytes(FRIEND), 20) + b"\xff"


@pytest.mark.usefixtures("each_engine")
@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")
def test_a_slot_that_a_destroyed_contract_read_has_the_value_that_it_read() -> None:
    net = Network({CONTRACT: {"code": READ_AND_DESTROY.hex(), "storage": {"0x02": "0x07"}}})
    block = BlockToTrace(net.header.state_root, net.next_header(), [signed(RICH, 0, to=CONTRACT)])
    options = RecordingOptions(TraceDetail.STEPS, reads=True)
    (traced,) = engine(net.spec, net.store).tracing_executor(hash_of).trace_block(block, options)
    assert traced.changes[CONTRACT].after is None
    assert traced.changes[CONTRACT].storage == {2: (7, 0)}
