"""A panic of the native library is an error that py-evm makes up for, wherever it happens."""

from typing import Any

import pytest

from lacnode.evm import native_engine, native_tracing_executor
from lacnode.evm.budget import UNLIMITED
from lacnode.evm.engine import PYTHON, CallRequest
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.engine_kind import why_no_library
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.native_library import native_library
from lacnode.evm.native_state import open_native_block
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.trace_record import RecordingOptions, TraceDetail
from lacnode.evm.tracing_executor import BlockToTrace
from tests.support.evm_network import FRIEND, RICH, Network, hash_of, push, signed

if reason := why_no_library():
    pytest.skip(reason, allow_module_level=True)

CONTRACT, BROKEN_CONTRACT = b"\xcc" * 20, b"\xbb" * 20
CODES = {CONTRACT: {"code": (push(1, 1) + push(2, 1) + b"\x55").hex()}, BROKEN_CONTRACT: {"code": "fe"}}
TRANSACTIONS = [signed(RICH, 0, to=FRIEND, value=7), signed(RICH, 1, to=CONTRACT)]
STEPS = RecordingOptions(TraceDetail.STEPS)


class _PanickingBlock:
    """A block of the library that panics in the call of `method` with the number `at`, and is of no use then."""

    def __init__(self, block: Any, method: str, at: int) -> None:
        self._block, self._method, self._left, self._is_broken = block, method, at, False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._block, name)
        if not callable(found):
            return found

        def called(*arguments: Any, **named: Any) -> Any:
            self._left -= name == self._method
            if self._is_broken:
                raise native_library().UnsupportedError("the block is broken")
            if self._left < 0:
                self._is_broken = True
                raise native_library().PanicError("index out of bounds (block.rs:1:1)")
            return found(*arguments, **named)

        return called


def _panics_in(monkeypatch: pytest.MonkeyPatch, method: str, at: int = 0) -> None:
    def opened(*arguments: Any, **named: Any) -> Any:
        return _PanickingBlock(open_native_block(*arguments, **named), method, at)

    for module in ("native_engine", "native_tracing_executor", "native_call"):
        monkeypatch.setattr(f"lacnode.evm.{module}.open_native_block", opened)


def _engines() -> tuple[Network, PyEvmEngine, NativeEngine, EngineDifferences]:
    net, differences = Network(CODES), EngineDifferences()
    native = NativeEngine(net.spec, net.store, UNLIMITED, differences)
    return net, PyEvmEngine(net.spec, net.store), native, differences


@pytest.mark.parametrize(("method", "at"), [("account", 1), ("run", 0), ("run", 1), ("keep", 1), ("close", 0)])
def test_a_block_that_is_built_goes_on_with_its_transactions(
    method: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, python, native, differences = _engines()
    header = net.next_header()
    _panics_in(monkeypatch, method, at)
    block = native.open_block(net.header.state_root, header, hash_of, within_limits=True)
    receipts = [block.add(transaction, RICH.address) for transaction in TRANSACTIONS]
    expected = python.execute(net.header.state_root, header, TRANSACTIONS, hash_of)
    assert (receipts, block.close()) == (list(expected.receipts), expected)
    assert differences.panic_count == 1


@pytest.mark.parametrize("method", ["run_all", "close"])
def test_a_block_that_is_checked_is_executed_by_py_evm(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, python, native, differences = _engines()
    block = (net.header.state_root, net.next_header(), TRANSACTIONS, hash_of)
    _panics_in(monkeypatch, method)
    executed = native.execute(*block)
    assert executed == python.execute(*block)
    assert (executed.executed_by, differences.panic_count, differences.count) == (PYTHON, 1, 0)


@pytest.mark.parametrize("method", ["account", "call"])
def test_a_call_is_made_by_py_evm(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, python, native, differences = _engines()
    call = (net.header.state_root, net.header, CallRequest(RICH.address, CONTRACT), hash_of)
    _panics_in(monkeypatch, method)
    assert native.call(*call) == python.call(*call)
    assert differences.panic_count == 1


@pytest.mark.parametrize("method", ["trace", "keep"])
def test_a_block_is_traced_by_py_evm(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, python, native, differences = _engines()
    block = BlockToTrace(net.header.state_root, net.next_header(), TRANSACTIONS)
    _panics_in(monkeypatch, method)
    found = list(native.tracing_executor(hash_of).trace_block(block, STEPS))
    expected = list(python.tracing_executor(hash_of).trace_block(block, STEPS))
    assert [(traced.hash, traced.gas_used, traced.changes) for traced in found] == [
        (traced.hash, traced.gas_used, traced.changes) for traced in expected
    ]
    assert differences.panic_count == 1


@pytest.mark.parametrize("method", ["account", "trace_call"])
def test_a_call_is_traced_by_py_evm(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, _, native, differences = _engines()
    _panics_in(monkeypatch, method)
    call = CallRequest(RICH.address, CONTRACT, allow_exceeding_balance=True)
    (traced,) = native.tracing_executor(hash_of).trace_calls(net.header, [(call, STEPS)])
    assert (traced.is_success, len(list(traced.steps)), differences.panic_count) == (True, 4, 1)


def test_senders_that_cannot_be_recovered_together_are_recovered_by_py_evm(monkeypatch: pytest.MonkeyPatch) -> None:
    net, python, native, differences = _engines()

    def panicking(*_: Any) -> None:
        raise native_library().PanicError("index out of bounds (block.rs:1:1)")

    monkeypatch.setattr(native_engine, "recover_senders", panicking)
    monkeypatch.setattr(native_tracing_executor, "recover_senders", panicking)
    block = (net.header.state_root, net.next_header(), TRANSACTIONS)
    assert native.execute(*block, hash_of) == python.execute(*block, hash_of)
    assert len(list(native.tracing_executor(hash_of).trace_block(BlockToTrace(*block), STEPS))) == 2
    assert differences.panic_count == 2


def test_a_panic_of_the_library_itself_is_an_error_and_no_end_of_the_process() -> None:
    """The names of the reasons are missing, which no caller of this node does: the library's own code panics."""
    net, _, native, _ = _engines()
    block = BlockToTrace(net.header.state_root, net.next_header(), [signed(RICH, 0, to=BROKEN_CONTRACT)])
    (traced,) = native.tracing_executor(hash_of).trace_block(block, STEPS)
    record = traced.steps._trace  # type: ignore[attr-defined]
    with pytest.raises(native_library().PanicError, match=r"trace_python\.rs:\d+"):
        record.struct_logs([], [], (True, False, False), 1_000_000)
    assert len(record.calls()) == 1, "the record is of use after the panic"
