"""Random scenarios find a fault of the library also where py-evm takes over for it, and a run that is stopped says so."""

import signal
from typing import Any

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine_kind import why_no_library

if reason := why_no_library():
    pytest.skip(reason, allow_module_level=True)

from lacnode.evm import native_call, native_engine
from lacnode.evm.native_block import NativeBlock
from lacnode.evm.native_library import native_library
from tests.differential.__main__ import main
from tests.differential.comparison import Count, differences

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")

SEED = 1


def found(count: Count | None = None) -> list[str]:
    return differences(SEED, Fork.PETERSBURG, Count() if count is None else count, traces_too=False)


def test_a_block_that_the_library_alone_refuses_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise native_library().RefusedError("LackOfFundForMaxFee")

    monkeypatch.setattr(NativeBlock, "execute_all", refuse)
    assert any("the library says otherwise" in each for each in found())


def test_a_call_that_the_library_alone_refuses_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise native_library().RefusedError("LackOfFundForMaxFee")

    monkeypatch.setattr(native_call, "_made", refuse)
    assert any("the library refuses it" in each for each in found())


def test_a_panic_of_the_library_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object) -> None:
        raise native_library().PanicError("at its place")

    monkeypatch.setattr(NativeBlock, "_run", panic)
    assert any("the library panics: at its place" in each for each in found())


def test_what_the_library_leaves_to_py_evm_is_not_counted_as_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise native_library().UnsupportedError("a price of more than 64 bits")

    monkeypatch.setattr(NativeBlock, "execute_all", fail)
    count = Count()
    assert found(count) == []
    assert count.transactions == 0
    assert count.left["executes the block: UnsupportedError a price of more than 64 bits"] == count.blocks


def test_a_difference_in_the_outcome_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_other_gas(*given: Any) -> Any:
        made = native_call.call_natively(*given)
        object.__setattr__(made, "gas_used", made.gas_used + 1)
        return made

    monkeypatch.setattr(native_engine, "call_natively", with_other_gas)
    assert any("gas_used" in each for each in found())


def test_a_run_that_is_stopped_says_what_it_has_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopping(seed: int, fork: Fork, count: Count, **options: bool) -> list[str]:
        signal.raise_signal(signal.SIGTERM)
        return differences(seed, fork, count, **options)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr("tests.differential.__main__.differences", stopping)
    monkeypatch.setattr("sys.argv", ["differential", "--first", str(SEED), "--seeds", "1000", "--without-traces"])
    try:
        assert main() == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    printed = capsys.readouterr().out
    assert "PETERSBURG" in printed
    assert "stopped: 1 seeds" in printed
    assert "0 differences" in printed
