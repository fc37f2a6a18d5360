"""Executions that are interrupted: what is stopped, when, and that nothing is left behind."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from py_arkworks_bls12381 import G1Point, G2Point

from lacnode.evm import native_block, native_call, py_evm_block, py_evm_limits
from lacnode.evm.block_limits import LOG_BYTES
from lacnode.evm.budget import (
    BudgetExceededError,
    ExecutionBudget,
    ExecutionCancelledError,
    SizeExceededError,
    SizeLimits,
)
from lacnode.evm.engine import CallLimitExceededError, OpenBlock
from lacnode.evm.private_message import PrivateMessage
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.transaction import Transaction
from tests.integration.test_evm_calls import CONTRACT, OTHER, calling, contract
from tests.support.engines import engine
from tests.support.evm_network import FRIEND, GAS_LIMIT, POOR, RICH, Network, hash_of, push, signed
from tests.unit.evm.test_precompiles import GENERATOR, GENERATOR2, bls_point

FORKS: dict[str, Any] = {"berlinBlock": 0, "londonBlock": 0, "zeroBaseFee": True, "shanghaiTime": 0, "cancunTime": 0}

REQUESTS = ("withdrawalRequestContractAddress", "consolidationRequestContractAddress", "depositContractAddress")
PRAGUE: dict[str, Any] = {"pragueTime": 0, **dict.fromkeys(REQUESTS, "0x" + 20 * "99")}


pytestmark = pytest.mark.usefixtures("each_engine")

FOREVER_GAS = 10**13
"""Gas that no engine uses up before the test's budget."""


def soon() -> ExecutionBudget:
    return ExecutionBudget(time.monotonic() + 0.2)


@contextmanager
def cancelled_soon(budget: ExecutionBudget) -> Iterator[None]:
    timer = threading.Timer(0.2, budget.cancel)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def heavy(nonce: int = 0, **fields: Any) -> Transaction:
    return signed(RICH, nonce, **{"to": CONTRACT, "gas": GAS_LIMIT - 1_000_000, **fields})


def then_forever(once: bytes, again: bytes = b"") -> bytes:
    """Code that does `once` one time, and `again` without end."""
    return once + b"\x5b" + again + push(len(once), 2) + b"\x56"


WRITE = bytes.fromhex("6001600155")
WRITE_TRANSIENT = bytes.fromhex("600160015d")
CREATE = bytes.fromhex("600060006001f050")
HASH_A_MEGABYTE = bytes.fromhex("6210000060002050")


def test_an_interrupted_transaction_leaves_nothing_behind_and_the_block_goes_on() -> None:
    net = Network(contract(then_forever(WRITE + WRITE_TRANSIENT + CREATE), balance="0x5"), **FORKS)
    interrupted, undisturbed = (net.open(base_fee=0, gas_limit=FOREVER_GAS) for _ in range(2))
    first, last = signed(POOR, 0, to=FRIEND), signed(RICH, 0, to=FRIEND, value=7)
    for block in (interrupted, undisturbed):
        block.add(first, POOR.address)
    with pytest.raises(BudgetExceededError):
        interrupted.add(endless(gasPrice=3, gas=FOREVER_GAS - 10**6), RICH.address, soon())
    assert interrupted.gas_left == undisturbed.gas_left
    for block in (interrupted, undisturbed):
        block.add(last, RICH.address)
    assert interrupted.close() == undisturbed.close()


LOG_A_MEGABYTE = bytes.fromhex("621000006000a0")
WRITE_TEN_SLOTS = b"".join(push(1, 1) + push(slot, 1) + b"\x55" for slot in range(10))


def test_a_transaction_whose_logs_take_too_long_to_store_is_interrupted_though_it_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(py_evm_block, "LOG_BYTE_SECONDS", 1.0)
    net = Network(contract(LOG_A_MEGABYTE, balance="0x5"), **FORKS)
    block, undisturbed = net.open(base_fee=0), net.open(base_fee=0)
    with pytest.raises(BudgetExceededError, match="further work"):
        block.add(heavy(), RICH.address, ExecutionBudget(time.monotonic() + 300))
    assert block.estimated_closing_seconds == undisturbed.estimated_closing_seconds
    assert block.close() == undisturbed.close()


def limited(net: Network) -> OpenBlock:
    return net.engine.open_block(net.header.state_root, net.next_header(base_fee=0), hash_of, within_limits=True)


EMPTY_LOGS = (
    b"\x5b" + bytes.fromhex("60006000a0") * 200 + push(GAS_LIMIT - 28_000_000, 4) + bytes.fromhex("5a1160005700")
)
"""It logs seventy thousand times."""

ENDLESS_CALLS_WITH_MEMORY = bytes.fromhex("6000620600005260006000600060006000305af100")


@pytest.mark.parametrize(
    "code",
    [EMPTY_LOGS, ENDLESS_CALLS_WITH_MEMORY],
    ids=["70,000 logs without data", "400 KB of memory in each nested call"],
)
def test_a_block_of_this_node_has_bounds_on_logs_and_memory_and_that_of_a_quorum_is_executed(code: bytes) -> None:
    net = Network(contract(code, balance="0x5"), **FORKS)
    block, undisturbed = limited(net), limited(net)
    with pytest.raises(SizeExceededError):
        block.add(heavy(), RICH.address)
    for each in (block, undisturbed):
        each.add(signed(RICH, 0, to=FRIEND), RICH.address)
    assert block.close() == undisturbed.close()
    assert net.execute(heavy(), base_fee=0).receipts[0].status == 1


def for_each_number(body: bytes) -> bytes:
    """Code that does `body` with 0, 1, 2 and so on at the top of the stack, without end."""
    return then_forever(push(0, 1), b"\x80" + body + push(1, 1) + b"\x01")


READ_SLOT, READ_ACCOUNT, WRITE_SAME_SLOT = bytes.fromhex("5450"), bytes.fromhex("3150"), bytes.fromhex("600155")
WRITE_OWN_TRANSIENT_SLOT = bytes.fromhex("805d")
STATE_LOOPS = {
    "slots read": for_each_number(READ_SLOT),
    "accounts read": for_each_number(READ_ACCOUNT),
    "one slot written again and again": for_each_number(WRITE_SAME_SLOT),
    "transient storage": for_each_number(WRITE_OWN_TRANSIENT_SLOT),
}


@pytest.fixture
def few_bytes_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (native_block, py_evm_limits):
        monkeypatch.setattr(module, "MAX_TRANSACTION_MEMORY_BYTES", 2**18)
    for module in (native_call, py_evm_limits):
        monkeypatch.setattr(module, "MAX_CALL_MEMORY_BYTES", 2**18)


@pytest.mark.usefixtures("few_bytes_of_memory")
@pytest.mark.parametrize("code", STATE_LOOPS.values(), ids=STATE_LOOPS)
def test_what_is_read_and_changed_of_the_state_counts_as_memory(code: bytes) -> None:
    net = Network(contract(code, balance="0x5"), **FORKS)
    block, undisturbed = limited(net), limited(net)
    with pytest.raises(SizeExceededError, match="memory"):
        block.add(heavy(gas=5_000_000), RICH.address)
    for each in (block, undisturbed):
        each.add(signed(RICH, 0, to=FRIEND), RICH.address)
    assert block.close() == undisturbed.close()
    with pytest.raises(CallLimitExceededError, match="memory"):
        net.call(sender=RICH.address, to=CONTRACT, gas=5_000_000, deadline=time.monotonic() + 300)
    assert net.execute(heavy(gas=5_000_000), base_fee=0).receipts[0].status == 0, "out of gas, in a block of a quorum"


@pytest.mark.usefixtures("few_bytes_of_memory")
@pytest.mark.parametrize("change", [WRITE_SAME_SLOT, WRITE_OWN_TRANSIENT_SLOT], ids=["storage", "transient storage"])
def test_what_a_failed_call_changed_is_not_counted(change: bytes) -> None:
    """Six calls, each of which makes hundreds of changes and then runs out of gas."""
    failing = for_each_number(change)
    calls = (calling(OTHER, push(100_000, 3)) + b"\x50") * 6
    net = Network(contract(calls) | {OTHER: {"code": failing.hex()}}, **FORKS)
    assert limited(net).add(signed(RICH, 0, to=CONTRACT), RICH.address).status == 1


FEW_LOGS = b"".join([bytes.fromhex("60006000a0")] * 50)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (STATE_LOOPS["transient storage"], "memory"),
        (STATE_LOOPS["slots read"], "memory"),
        (for_each_number(bytes.fromhex("5060006000a0")), "logs"),
    ],
    ids=["transient storage", "slots read", "logs"],
)
def test_a_block_of_another_validator_is_executed_within_sizes_if_there_are_some(code: bytes, what: str) -> None:
    net, sizes = Network(contract(code, balance="0x5"), **FORKS), SizeLimits(2**18, 2**18)
    block = (net.header.state_root, net.next_header(base_fee=0), [heavy(gas=6_000_000)], hash_of)
    with pytest.raises(SizeExceededError, match=f"more than {2**18} bytes of {what}"):
        net.engine.execute(*block, ExecutionBudget().with_sizes(sizes))
    unbounded = net.engine.execute(*block)
    assert unbounded.gas_used == 6_000_000
    wide = ExecutionBudget().with_sizes(SizeLimits(2**30, 2**30))
    assert net.engine.execute(*block, wide) == unbounded


def test_the_logs_of_another_validators_block_are_counted_together() -> None:
    """Small transactions, and one with the gas of a part of its own. Each has fifty logs."""
    net = Network(contract(FEW_LOGS, balance="0x5"), **FORKS)
    gas = [100_000, 6_000_000, 100_000, 100_000]
    transactions = [signed(RICH, nonce, to=CONTRACT, gas=each) for nonce, each in enumerate(gas)]
    block = (net.header.state_root, net.next_header(base_fee=0), transactions, hash_of)
    fits, exceeded = (SizeLimits(2**30, 200 * LOG_BYTES + change) for change in (0, -1))
    executed = net.engine.execute(*block, ExecutionBudget().with_sizes(fits))
    assert [len(receipt.logs) for receipt in executed.receipts] == [50] * 4
    assert executed == net.engine.execute(*block)
    with pytest.raises(SizeExceededError, match="logs"):
        net.engine.execute(*block, ExecutionBudget().with_sizes(exceeded))


MEMORY, SELF_CALL = bytes.fromhex("60006206000052"), bytes.fromhex("305af1")
CALLS = {
    "memory": (MEMORY + push(0, 1) * 5 + SELF_CALL, True),
    "and input": (MEMORY + push(0, 1) * 2 + push(0x60000, 3) + push(0, 1) * 2 + SELF_CALL, False),
    "and output": (MEMORY + calling(OTHER) + push(0, 1) * 5 + SELF_CALL, False),
}


@pytest.mark.parametrize(("code", "fits"), CALLS.values(), ids=CALLS)
def test_copies_of_memory_count_as_memory(code: bytes, fits: bool) -> None:
    """More than fifty calls in each other, each with 400 KB."""
    returns_memory = bytes.fromhex("620600006000f3")
    net = Network(contract(code) | {OTHER: {"code": returns_memory.hex(), "balance": "0x0"}}, **FORKS)
    transaction = signed(RICH, 0, to=CONTRACT, gas=60_000_000 if OTHER in code else 30_000_000)
    if fits:
        assert limited(net).add(transaction, RICH.address).status == 1
    else:
        with pytest.raises(SizeExceededError):
            limited(net).add(transaction, RICH.address)


def test_the_logs_of_a_blocks_transactions_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (native_block, py_evm_limits):
        monkeypatch.setattr(module, "MAX_BLOCK_LOG_BYTES", 4 * 2**20)
    net = Network(contract(LOG_A_MEGABYTE), **FORKS)
    block = limited(net)
    for nonce in range(3):
        block.add(signed(RICH, nonce, to=CONTRACT, gas=12_000_000), RICH.address)
    with pytest.raises(BudgetExceededError, match="no place for its logs") as exceeded:
        block.add(signed(RICH, 3, to=CONTRACT, gas=12_000_000), RICH.address)
    assert not isinstance(exceeded.value, SizeExceededError), "a later block has place for it"


def test_memory_that_gas_does_not_suffice_for_is_out_of_gas_as_everywhere() -> None:
    net = Network(contract(bytes.fromhex("600065ffffffffffff5200")), **FORKS)
    assert limited(net).add(heavy(), RICH.address).status == 0


def test_memory_that_was_given_back_is_not_counted() -> None:
    uses_a_megabyte = bytes.fromhex("6000621000005200")
    net = Network(contract((calling(OTHER) + b"\x50") * 40) | {OTHER: {"code": uses_a_megabyte.hex()}}, **FORKS)
    assert limited(net).add(heavy(), RICH.address).status == 1


def test_a_block_that_is_cancelled_is_not_closed() -> None:
    net, budget, stopping = Network(), ExecutionBudget(), ExecutionBudget()
    stoppable = engine(net.spec, net.store, stopping)
    for cancelled in (budget, stopping):
        block = stoppable.open_block(net.header.state_root, net.next_header(), hash_of)
        block.add(signed(RICH, 0, to=FRIEND), RICH.address, budget)
        cancelled.cancel()
        with pytest.raises(ExecutionCancelledError):
            block.close(budget if cancelled is budget else ExecutionBudget())
        budget = ExecutionBudget()


def test_a_transaction_whose_access_list_takes_long_to_read_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_evm_block, "ACCESS_ITEM_SECONDS", 100.0)
    net = Network(**FORKS)
    block = net.open(base_fee=0)
    access_list = [{"address": "0x" + number.to_bytes(20).hex(), "storageKeys": []} for number in range(1, 3)]
    long = signed(RICH, 0, to=FRIEND, accessList=access_list, type=1)
    with pytest.raises(BudgetExceededError, match="further work"):
        block.add(long, RICH.address, ExecutionBudget(time.monotonic() + 150))


def test_what_a_transaction_changes_makes_the_block_slower_to_close() -> None:
    net = Network(contract(WRITE_TEN_SLOTS), **FORKS)
    block = net.open(base_fee=0)
    block.add(signed(RICH, 0, to=FRIEND), RICH.address)
    transfer = block.estimated_closing_seconds
    block.add(signed(RICH, 1, to=CONTRACT, gas=1_000_000), RICH.address)
    assert block.estimated_closing_seconds - transfer > 3 * transfer > 0


def test_transient_storage_of_an_interrupted_transaction_is_gone() -> None:
    """With data the contract stores a transient value and loops; without, it stores what it finds there."""
    find = bytes.fromhex("36600a5760015c60005500")
    net = Network(contract(then_forever(find.replace(b"\x0a", b"\x0b") + b"\x5b" + WRITE_TRANSIENT)), **FORKS)
    block = net.open(base_fee=0, gas_limit=FOREVER_GAS)
    with pytest.raises(BudgetExceededError):
        block.add(endless(data=b"\1"), RICH.address, soon())
    assert block.add(signed(RICH, 0, to=CONTRACT), RICH.address).status == 1
    executed = block.close()
    net.store.update(executed.nodes)
    assert net.engine.accounts(executed.state_root).storage(CONTRACT, 0) == 0


LOOPS: dict[str, bytes] = {
    "jumps": then_forever(b""),
    "calls of nothing": then_forever(b"", calling(OTHER) + b"\x50"),
    "a call that gives its gas back, then jumps": then_forever(calling(OTHER) + b"\x50"),
    "hashes of much memory": then_forever(b"", HASH_A_MEGABYTE),
}


def endless(**fields: Any) -> Transaction:
    """A transaction with gas for a loop without end."""
    return heavy(**{"gas": FOREVER_GAS, **fields})


def with_input(address: int, data: bytes) -> bytes:
    """Code that calls a precompile with `data` without end. The data follows the code."""
    call = calling(address.to_bytes(20), size=len(data)) + b"\x50"
    length = len(then_forever(b"", call)) + 3 * 5 + 1
    copy = push(len(data), 4) + push(length, 4) + push(0, 4) + b"\x39"
    return then_forever(copy, call) + data


def modexp_input(size: int, exponent: bytes) -> bytes:
    lengths = size.to_bytes(32) + len(exponent).to_bytes(32) + size.to_bytes(32)
    return lengths + b"\xaa" * size + exponent + b"\xbb" * size


G1, G2 = bls_point(G1Point().to_xy_bytes_be()), bls_point(G2Point().to_xy_bytes_be())
PAIR = b"".join(number.to_bytes(32) for number in (*GENERATOR, *GENERATOR2[0][::-1], *GENERATOR2[1][::-1]))
PRECOMPILES: dict[str, bytes] = {
    "modexp, even": with_input(5, modexp_input(8, b"\xff" * 10_000)),
    "alt_bn128 add": with_input(6, PAIR[:64] * 2),
    "alt_bn128 mul": with_input(7, PAIR[:64] + b"\xff" * 32),
    "alt_bn128 pairing": with_input(8, PAIR * 20),
    "blake2f": with_input(9, (3_000_000).to_bytes(4) + bytes(208) + b"\1"),
    "bls12-381 g1 msm": with_input(12, (G1 + b"\xff" * 32) * 100),
    "bls12-381 g2 msm": with_input(14, (G2 + b"\xff" * 32) * 100),
    "bls12-381 pairing": with_input(15, (G1 + G2) * 50),
    "bls12-381 map": with_input(17, bytes(63) + b"\5" + bytes(64)),
}


@pytest.mark.parametrize("code", PRECOMPILES.values(), ids=PRECOMPILES)
def test_a_loop_of_a_precompile_ends_at_its_deadline(code: bytes) -> None:
    net = Network(contract(code), **FORKS, **PRAGUE)
    budget = soon()
    header = net.next_header(base_fee=0, gas_limit=FOREVER_GAS)
    with pytest.raises(BudgetExceededError):
        net.engine.execute(net.header.state_root, header, [endless()], hash_of, budget)


@pytest.mark.parametrize("code", LOOPS.values(), ids=LOOPS)
class TestEveryWayToExecute:
    def test_a_whole_block_ends_when_it_is_cancelled(self, code: bytes) -> None:
        net, budget = Network(contract(code)), ExecutionBudget()
        header = net.next_header(gas_limit=FOREVER_GAS)
        with cancelled_soon(budget), pytest.raises(ExecutionCancelledError):
            net.engine.execute(net.header.state_root, header, [endless()], hash_of, budget)

    def test_everything_ends_when_the_engine_is_stopped(self, code: bytes) -> None:
        net, stopping = Network(contract(code)), ExecutionBudget()
        stoppable = engine(net.spec, net.store, stopping)
        root, header = net.header.state_root, net.next_header(gas_limit=FOREVER_GAS)
        message = PrivateMessage(RICH.address, 0, CONTRACT, None, b"")
        executions: list[Callable[[], object]] = [
            lambda: stoppable.execute(root, header, [endless()], hash_of),
            lambda: stoppable.open_block(root, header, hash_of).add(endless(), RICH.address),
            lambda: stoppable.open_block(root, header, hash_of).execute_private({}, EMPTY_TRIE_ROOT, message),
        ]
        with cancelled_soon(stopping):
            for execution in executions:
                with pytest.raises(ExecutionCancelledError):
                    execution()

    def test_a_private_call_ends_at_its_deadline(self, code: bytes) -> None:
        net = Network(contract(code))
        message = PrivateMessage(RICH.address, 0, CONTRACT, None, b"")
        with pytest.raises(CallLimitExceededError):
            net.open().execute_private({}, EMPTY_TRIE_ROOT, message, deadline=time.monotonic() + 0.2)
