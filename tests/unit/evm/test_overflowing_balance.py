"""A genesis may give an account nearly 2**256 wei. What a transfer adds to that is counted in 256 bits, as Besu does."""

import pytest

from lacnode.evm.engine import CallRequest
from lacnode.evm.trace_record import RecordingOptions, TraceDetail
from lacnode.evm.tracing_executor import BlockToTrace
from tests.support.engines import engine
from tests.support.evm_network import RICH, Network, hash_of, push, signed

FULL, PAYING = b"\xfa" * 20, b"\xcc" * 20
PAY_FULL = push(0, 1) * 4 + push(7, 1) + push(int.from_bytes(FULL), 20) + b"\x5a\xf1" + push(0, 1) + b"\x55"
ACCOUNTS = {FULL: {"balance": hex(2**256 - 1)}, PAYING: {"balance": "0x10", "code": PAY_FULL.hex()}}


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("to", [FULL, PAYING])
def test_a_transfer_to_a_full_account_succeeds(to: bytes) -> None:
    net = Network(ACCOUNTS)
    executing = engine(net.spec, net.store)
    header, transaction = net.next_header(), signed(RICH, 0, to=to, value=7 if to == FULL else 0)
    opened = executing.open_block(net.header.state_root, header, hash_of)
    assert opened.add(transaction, RICH.address).status == 1
    executed = executing.execute(net.header.state_root, header, [transaction], hash_of)
    assert opened.close() == executed
    assert executed.receipts[0].status == 1
    net.store.update(executed.nodes)
    assert executing.accounts(executed.state_root).balance(FULL) == 6
    assert executing.call(net.header.state_root, net.header, CallRequest(PAYING, FULL, value=7), hash_of).success
    block = BlockToTrace(net.header.state_root, header, [transaction])
    (traced,) = executing.tracing_executor(hash_of).trace_block(block, RecordingOptions(TraceDetail.CALLS))
    assert traced.is_success
    after = traced.changes[FULL].after
    assert after is not None
    assert after.balance == 6
