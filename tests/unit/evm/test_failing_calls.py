"""Calls of py-evm that cost their caller next to no gas, and are given its memory as input."""

import gc
import tracemalloc

import pytest

from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import OpenBlock
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.transaction import Transaction
from tests.support.evm_network import RICH, Network, hash_of, push, signed

CALLS = 60
INPUT_BYTES = 2**20
CALLER, INVALID = b"\xcc" * 20, b"\xdd" * 20
CODE = {INVALID: {"code": "fe", "balance": "0x0"}}
CALLED = {"no code": (b"\xee" * 20, 0), "identity": (bytes(19) + b"\x04", 0), "invalid code": (INVALID, 100)}


class CountingBudget(ExecutionBudget):
    """How often an execution looked at its budget."""

    checks = 0

    def check(self) -> None:
        type(self).checks += 1

    def joined_with(self, other: ExecutionBudget) -> "CountingBudget":
        return self


def calling_often(to: bytes, gas: int) -> tuple[OpenBlock, Transaction]:
    """A block, and a transaction that calls `to` again and again, with a megabyte of input and `gas` units of gas."""
    memory = push(0, 1) + push(INPUT_BYTES - 32, 4) + b"\x52"
    call = push(0, 1) * 2 + push(INPUT_BYTES, 4) + push(0, 1) + push(to) + push(gas, 2) + b"\xfa\x50"
    net = Network({CALLER: {"code": (memory + CALLS * call).hex(), "balance": "0x0"}, **CODE}, berlinBlock=0)
    engine = PyEvmEngine(net.spec, net.store)
    transaction = signed(RICH, 0, to=CALLER, gas=50_000_000)
    return engine.open_block(net.header.state_root, net.next_header(), hash_of), transaction


@pytest.mark.parametrize(("to", "gas"), CALLED.values(), ids=CALLED)
def test_each_of_them_looks_at_the_budget(to: bytes, gas: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountingBudget, "checks", 0)
    block, transaction = calling_often(to, gas)
    assert block.add(transaction, RICH.address, CountingBudget()).status == 1
    assert CountingBudget.checks >= CALLS


@pytest.mark.parametrize(("to", "gas"), CALLED.values(), ids=CALLED)
def test_their_input_is_free_when_they_have_ended(to: bytes, gas: int) -> None:
    block, transaction = calling_often(to, gas)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        block.add(transaction, RICH.address)
        assert tracemalloc.get_traced_memory()[1] < CALLS // 6 * INPUT_BYTES
    finally:
        tracemalloc.stop()
        gc.enable()
