"""A transaction that is sent with its estimate succeeds, whatever the contracts do with their gas."""

import math
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lacnode.evm.engine import CallRequest, CallResult
from lacnode.graphql.objects.call import estimate
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.errors import RpcError
from lacnode.rpc.methods.calls import eth_estimateGas
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.settings import ApiSettings
from tests.support.evm_network import RICH, Network, push, signed, statuses

GAS_CAP = 5_000_000
BASE_FEE = 7
CONTRACTS = [bytes([0xC0 + number]) * 20 for number in range(8)]
"""Each may call the next one."""

FORKS: dict[str, dict[str, Any]] = {
    "byzantium": {"byzantiumBlock": 0},
    "istanbul": {"istanbulBlock": 0},
    "berlin": {"berlinBlock": 0},
    "london": {"londonBlock": 0},
}

# -- pieces of contracts ---------------------------------------------------------------------------------------------


def unless(code: bytes) -> bytes:
    """Revert where `code` leaves zero."""
    return code + b"\x58\x60\x0a\x01\x57" + push(0, 1) + push(0, 1) + b"\xfd" + b"\x5b"


def storing(slot: int, value: int) -> bytes:
    return push(value, 1) + push(slot, 1) + b"\x55"


def sending(recipient: int, value: int) -> bytes:
    """As Solidity's `transfer`: no gas but the stipend, and a revert where that fails."""
    return unless(push(0, 1) * 4 + push(value, 1) + push(recipient, 20) + push(0, 1) + b"\xf1")


def checking_gas(least: int) -> bytes:
    """Revert where no more than `least` gas is left."""
    return unless(push(least, 3) + b"\x5a\x11")


def hashing(size: int) -> bytes:
    return push(size, 3) + push(0, 1) + b"\x20\x50"


def calling_next(number: int, checked: bool) -> bytes:
    """Give all but a 64th to the next contract."""
    if number + 1 == len(CONTRACTS):
        return b""
    call = push(0, 1) * 5 + push(CONTRACTS[number + 1]) + b"\x5a\xf1"
    return unless(call) if checked else call + b"\x50"


PIECES = st.one_of(
    st.builds(storing, st.integers(0, 3), st.integers(0, 2)),
    st.builds(sending, st.integers(2**64, 2**64 + 3), st.integers(0, 1)),
    st.builds(checking_gas, st.integers(0, 400_000)),
    st.builds(hashing, st.integers(0, 60_000)),
    st.booleans(),
)


@st.composite
def codes(draw: st.DrawFn) -> list[bytes]:
    """Code for each contract."""
    made = []
    for number in range(len(CONTRACTS)):
        pieces = draw(st.lists(PIECES, min_size=1, max_size=4))
        made.append(b"".join(calling_next(number, p) if isinstance(p, bool) else p for p in pieces))
    return made


@dataclass
class CountingChain:
    """A network as a method sees one."""

    net: Network
    gas_tried: list[int] = field(default_factory=list)

    @property
    def head(self) -> Any:
        return SimpleNamespace(header=self.net.header)

    def header_at(self, number: int) -> BlockHeader:
        return self.net.header

    def call(self, header: BlockHeader, call: CallRequest) -> CallResult:
        self.gas_tried.append(call.gas or 0)
        return self.net.engine.call(header.state_root, header, call, lambda number: None)

    def estimate(self, members: dict[str, object]) -> int:
        reading = ReadContext(cast(Any, self), ApiSettings(gas_cap=GAS_CAP), time.monotonic() + 60)
        return int(str(eth_estimateGas(reading, [members])), 16)


def network(made: list[bytes], fork: str) -> Network:
    """Contracts with a balance and with slots to delete."""
    slots = {"0": "1", "1": "1"}
    accounts = {
        address: {"code": code.hex(), "balance": "9", "storage": slots}
        for address, code in zip(CONTRACTS, made, strict=True)
    }
    net = Network(accounts, **FORKS[fork])
    if fork == "london":
        net.execute(base_fee=BASE_FEE)
    return net


def status_with(net: Network, gas: int, **fields: Any) -> int | None:
    """The status of a transaction to the first contract with `gas`."""
    price = 0 if net.header.base_fee is None else BASE_FEE
    executed = net.execute(signed(RICH, 0, to=CONTRACTS[0], gas=gas, gasPrice=price, **fields))
    (status,) = statuses(executed.receipts)
    return status


LISTED = [{"address": to_hex(address), "storageKeys": [to_hex(bytes(32))]} for address in CONTRACTS[:3]]


@pytest.mark.parametrize("fork", FORKS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=codes(), listed=st.booleans())
def test_a_transaction_with_its_estimate_succeeds(fork: str, made: list[bytes], listed: bool) -> None:
    net = network(made, fork)
    chain, fields = CountingChain(net), {}
    if listed and fork in ("berlin", "london"):
        fields = {"accessList": LISTED}
    try:
        gas = chain.estimate({"from": to_hex(RICH.address), "to": to_hex(CONTRACTS[0]), **fields})
    except RpcError:
        assume(False)  # it fails with all the gas there is
    assert gas in chain.gas_tried, "what is answered was tried"
    # The search begins at the block's limit, which may be above the cap.
    highest = max(GAS_CAP, net.header.gas_limit)
    assert len(chain.gas_tried) <= 4 + math.log2(highest / (0.015 * 21_000)), "the search ends soon"
    assert status_with(net, gas, **fields) == 1


def test_calls_that_nest_deeply_find_their_gas_above_the_first_guess() -> None:
    """Each level keeps back a 64th, and the last one asks for gas before it sends value."""
    made = [calling_next(number, checked=True) for number in range(len(CONTRACTS))]
    made[-1] = checking_gas(300_000) + storing(3, 1) + sending(2**64, 1)
    net = network(made, "berlin")
    chain = CountingChain(net)
    gas = chain.estimate({"from": to_hex(RICH.address), "to": to_hex(CONTRACTS[0])})
    assert gas > 300_000 * (64 / 63) ** 7
    assert status_with(net, gas) == 1


def test_graphql_and_json_rpc_estimate_alike() -> None:
    """Where the used gas does not suffice, and the operator's cap is below the block's limit."""
    made = [calling_next(number, checked=True) for number in range(len(CONTRACTS))]
    made[-1] = checking_gas(300_000) + storing(3, 1)
    chain = CountingChain(network(made, "berlin"))
    reading = ReadContext(cast(Any, chain), ApiSettings(gas_cap=GAS_CAP), time.monotonic() + 60)
    data = {"from": RICH.address, "to": CONTRACTS[0]}
    estimated = estimate(cast(Any, SimpleNamespace(reading=reading)), chain.net.header, data)
    assert estimated == chain.estimate({name: to_hex(value) for name, value in data.items()})


def test_an_estimate_of_an_ordinary_call_takes_few_executions() -> None:
    """The case that was reported: a contract that ends with `transfer(1)` to a fresh recipient."""
    made = [sending(2**64, 1), *[b""] * (len(CONTRACTS) - 1)]
    net = network(made, "berlin")
    chain = CountingChain(net)
    gas = chain.estimate({"from": to_hex(RICH.address), "to": to_hex(CONTRACTS[0]), "data": "0x01"})
    assert len(chain.gas_tried) <= 6
    assert status_with(net, gas, data=b"\x01") == 1
