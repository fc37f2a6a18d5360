"""What a node does when its two engines differ: py-evm's word counts, and a file says what happened."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from lacnode.cli.evm_command import replay_engine_difference, run
from lacnode.cli.sources import Settings
from lacnode.evm.budget import UNLIMITED, BudgetExceededError
from lacnode.evm.comparing_engine import CrossCheckedPyEvmEngine
from lacnode.evm.engine import NATIVE, PYTHON, CallRequest, CallResult, ExecutedBlock, ExecutionEngine, ExecutionError
from lacnode.evm.engine_differences import DIFFERENCES_DIRECTORY, MAX_FILES, EngineDifferences, outcomes_differ
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.evm.native_block import NativeBlock
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.native_library import native_library
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives.transaction import Transaction
from tests.support.engines import engine, use
from tests.support.evm_network import FRIEND, RICH, Network, hash_of, push, signed

if reason := why_no_library():
    pytest.skip(reason, allow_module_level=True)

CONTRACT = b"\xcc" * 20
STORES = {CONTRACT: {"code": (push(1, 1) + push(2, 1) + b"\x55").hex()}}


def on(kind: EngineKind, folder: Path) -> tuple[Network, ExecutionEngine, EngineDifferences]:
    """A network, and an engine of `kind` over its states that writes differences to `folder`."""
    net, differences = Network(STORES), EngineDifferences(folder / DIFFERENCES_DIRECTORY)
    if kind is EngineKind.BOTH:
        return net, CrossCheckedPyEvmEngine(net.spec, net.store, UNLIMITED, differences), differences
    return net, NativeEngine(net.spec, net.store, differences=differences), differences


def execute(net: Network, executing: ExecutionEngine, *transactions: Transaction, **changes: Any) -> ExecutedBlock:
    return executing.execute(net.header.state_root, net.next_header(**changes), transactions, hash_of)


def transactions() -> list[Transaction]:
    return [signed(RICH, 0, to=FRIEND, value=7), signed(RICH, 1, to=CONTRACT)]


@pytest.fixture
def _wrong_gas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The native engine believes that the first transaction of a block used a unit of gas more."""
    add_all = NativeBlock.execute_all

    def wrong(block: NativeBlock, *arguments: Any) -> None:
        add_all(block, *arguments)
        block._gas[0] += 1

    monkeypatch.setattr(NativeBlock, "execute_all", wrong)


def test_engines_that_agree_leave_nothing_behind(tmp_path: Path) -> None:
    for kind in (EngineKind.NATIVE, EngineKind.BOTH):
        net, executing, differences = on(kind, tmp_path)
        executed = execute(net, executing, *transactions())
        opened = executing.open_block(net.header.state_root, net.next_header(), hash_of)
        for transaction in transactions():
            opened.add(transaction, RICH.address)
        assert opened.close() == executed
        with pytest.raises(ExecutionError, match="NONCE_TOO_HIGH"):
            execute(net, executing, signed(RICH, 5, to=FRIEND))
        assert differences.count == 0
    assert not (tmp_path / DIFFERENCES_DIRECTORY).exists()


@pytest.mark.usefixtures("_wrong_gas")
def test_a_difference_is_counted_and_written_and_the_word_of_py_evm_counts(tmp_path: Path) -> None:
    net, executing, differences = on(EngineKind.BOTH, tmp_path)
    executed = execute(net, executing, *transactions())
    assert (executed.executed_by, executed.gas_used_by[0]) == (PYTHON, 21_000)
    assert differences.count == 1
    (path,) = (tmp_path / DIFFERENCES_DIRECTORY).iterdir()
    document = orjson.loads(path.read_bytes())
    assert document["outcomes"][PYTHON]["gasUsedBy"][0] == document["outcomes"][NATIVE]["gasUsedBy"][0] - 1 == 21_000


@pytest.mark.usefixtures("_wrong_gas")
def test_a_block_that_is_built_on_both_is_compared_when_it_is_closed(tmp_path: Path) -> None:
    net, executing, differences = on(EngineKind.BOTH, tmp_path)
    opened = executing.open_block(net.header.state_root, net.next_header(), hash_of)
    opened.add(transactions()[0], RICH.address)
    assert opened.close().gas_used_by == (21_000,)
    assert differences.count == 1


def test_a_file_is_replayed_where_there_is_no_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        add_all = NativeBlock.execute_all

        def wrong(block: NativeBlock, *arguments: Any) -> None:
            add_all(block, *arguments)
            block._gas[0] += 1

        patched.setattr(NativeBlock, "execute_all", wrong)
        net, executing, _ = on(EngineKind.BOTH, tmp_path)
        expected = execute(net, executing, *transactions())
        (path,) = (tmp_path / DIFFERENCES_DIRECTORY).iterdir()
        assert run(["replay", str(path)], Settings()) == 1
        assert "gasUsedBy" in capsys.readouterr().out
    assert run(["replay", str(path)], Settings()) == 0
    assert replay_engine_difference(orjson.loads(path.read_bytes())) == {PYTHON: expected, NATIVE: expected}


def test_files_are_bounded_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, executing, differences = on(EngineKind.BOTH, tmp_path)
    monkeypatch.setattr("lacnode.evm.comparing_engine.outcomes_differ", lambda *_: True)
    for _ in range(MAX_FILES + 2):
        execute(net, executing, transactions()[0])
    assert differences.count == MAX_FILES + 2
    assert len(list((tmp_path / DIFFERENCES_DIRECTORY).iterdir())) == MAX_FILES


class TestCalls:
    CALL = CallRequest(sender=RICH.address, to=CONTRACT)

    def called(self, net: Network, executing: ExecutionEngine, call: CallRequest = CALL) -> CallResult:
        return executing.call(net.header.state_root, net.header, call, hash_of)

    def test_calls_that_agree_are_not_noted(self, tmp_path: Path) -> None:
        net, executing, differences = on(EngineKind.BOTH, tmp_path)
        assert self.called(net, executing).success
        assert not self.called(net, executing, replace(self.CALL, gas=21_001)).success
        for faulty in (replace(self.CALL, value=10**30), replace(self.CALL, gas=100)):
            with pytest.raises(TransactionRejectedError):
                self.called(net, executing, faulty)
        assert differences.call_count == 0

    def test_a_difference_is_counted_and_the_word_of_py_evm_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net, executing, differences = on(EngineKind.BOTH, tmp_path)
        expected = self.called(net, executing)
        wrong = replace(expected, gas_used=expected.gas_used + 1)
        monkeypatch.setattr("lacnode.evm.native_engine.call_natively", lambda *_: wrong)
        assert self.called(net, executing) == expected
        with pytest.raises(TransactionRejectedError):
            self.called(net, executing, replace(self.CALL, value=10**30))
        assert (differences.call_count, differences.count) == (2, 0)

    def test_a_call_that_the_library_cannot_finish_is_not_compared(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net, executing, differences = on(EngineKind.BOTH, tmp_path)
        for error in (BudgetExceededError("too long"), native_library().PanicError("index out of bounds")):

            def failing(*_: Any, error: Exception = error) -> None:
                raise error

            monkeypatch.setattr("lacnode.evm.native_engine.call_natively", failing)
            assert self.called(net, executing).success
        assert differences.call_count == 0


class TestTheNativeEngine:
    @pytest.mark.usefixtures("_wrong_gas")
    def test_refuses_no_block_without_py_evm(self, tmp_path: Path) -> None:
        net, executing, differences = on(EngineKind.NATIVE, tmp_path)
        executed = execute(net, executing, *transactions())
        assert executed.gas_used_by[0] == 21_001
        header = net.next_header()
        judged = executing.outcome_of_contradicted_block(
            executed, net.header.state_root, header, transactions(), hash_of
        )
        assert (judged.executed_by, judged.gas_used_by[0], differences.count) == (PYTHON, 21_000, 1)
        assert (
            executing.outcome_of_contradicted_block(judged, net.header.state_root, header, transactions(), hash_of)
            is judged
        )

    def test_that_refuses_what_py_evm_executes_is_wrong(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        net, executing, differences = on(EngineKind.NATIVE, tmp_path)

        def refusing(*_: Any) -> None:
            raise native_library().RefusedError("NonceTooHigh")

        monkeypatch.setattr(NativeBlock, "execute_all", refusing)
        assert execute(net, executing, *transactions()).executed_by == PYTHON
        assert differences.count == 1

    def test_that_panics_ends_neither_the_process_nor_the_block(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net, executing, differences = on(EngineKind.NATIVE, tmp_path)

        def panicking(*_: Any) -> None:
            raise native_library().PanicError("index out of bounds")

        monkeypatch.setattr(NativeBlock, "execute_all", panicking)
        assert execute(net, executing, *transactions()).executed_by == PYTHON
        assert differences.count == 0


def test_two_refusals_of_one_block_are_no_difference() -> None:
    use(EngineKind.PYTHON)
    executed = execute(net := Network(), engine(net.spec, net.store))
    assert not outcomes_differ(ExecutionError("this"), ExecutionError("that"))
    assert outcomes_differ(ExecutionError("this"), executed)
    assert outcomes_differ(executed, ExecutionError("that"))
