"""Code in the form of a delegation (EIP-7702): before Prague code like any other, from Prague on a delegation, whoever put
it there. The native library executes it in every fork."""

from typing import Any

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import UNLIMITED
from lacnode.evm.call_differences import differing_call_fields
from lacnode.evm.engine import NATIVE, CallRequest, CallResult, ExecutedBlock, ExecutionError
from lacnode.evm.engine_differences import differing_block_fields
from lacnode.evm.engine_kind import why_no_library
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.overrides import AccountOverride
from lacnode.evm.py_evm_block import created_contract_address
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.tracing_executor import BlockToTrace
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction
from tests.differential.traces import unlike_traces
from tests.support.evm_network import FRIEND, RICH, Network, deploying, hash_of, push, returned, signed, statuses

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")

ASKED = b"\x99" * 20
"""A contract that every block of Prague asks for requests."""

STOP: dict[str, Any] = {"code": "00"}
REQUESTS = ("withdrawalRequestContractAddress", "consolidationRequestContractAddress", "depositContractAddress")
LONDON: dict[str, Any] = {"londonBlock": 0, "zeroBaseFee": True}
CANCUN: dict[str, Any] = {**LONDON, "shanghaiTime": 0, "cancunTime": 0}
PRAGUE: dict[str, Any] = {**CANCUN, "pragueTime": 0, **dict.fromkeys(REQUESTS, "0x" + ASKED.hex())}
FORKS: dict[Fork, dict[str, Any]] = {
    Fork.PETERSBURG: {"constantinopleFixBlock": 0},
    Fork.ISTANBUL: {"istanbulBlock": 0},
    Fork.BERLIN: {"berlinBlock": 0},
    Fork.LONDON: LONDON,
    Fork.SHANGHAI: {**LONDON, "shanghaiTime": 0},
    Fork.CANCUN: CANCUN,
    Fork.PRAGUE: PRAGUE,
}
BEFORE_LONDON = [fork for fork in FORKS if fork < Fork.LONDON]
EACH_FORK = pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)

TARGET, LOOKING, DYING, CREATING = b"\xaa" * 20, b"\xbb" * 20, b"\xdd" * 20, b"\xce" * 20
OWNER = NodeKey.from_private_key(keccak256(b"owner of code in the form of a delegation"))


def delegation(target: bytes) -> bytes:
    return b"\xef\x01\x00" + target


INIT_CODE = deploying(b"\x00")
CREATED = keccak256(b"\xff" + CREATING + bytes(32) + keccak256(INIT_CODE))[12:]
FORM = b"\xf1" * 20
OF_SUCH_CODE: dict[str, tuple[bytes, bytes]] = {
    "contract": (FORM, delegation(TARGET)),
    "account 0": (b"\xf2" * 20, delegation(bytes(20))),
    "precompile": (b"\xf3" * 20, delegation(bytes(19) + b"\x04")),
    "itself": (b"\xf4" * 20, delegation(b"\xf4" * 20)),
    "code in the same form": (b"\xf5" * 20, delegation(FORM)),
    "nothing": (b"\xf6" * 20, delegation(b"\x77" * 20)),
    "address of a CREATE2": (CREATED, delegation(TARGET)),
    "a byte too short": (b"\xf7" * 20, delegation(TARGET)[:-1]),
    "a byte too long": (b"\xf8" * 20, delegation(TARGET) + b"\x00"),
    "another version": (b"\xf9" * 20, b"\xef\x01\x01" + TARGET),
}
"""Accounts by what their code refers to, or by what is wrong with it."""

ARGUMENT = push(0, 1) + b"\x35"
SIZE, HASH, COPY = range(3)
CALLS = {"CALL": 0xF1, "CALLCODE": 0xF2, "DELEGATECALL": 0xF4, "STATICCALL": 0xFA, "CALL with value": 0xF1}


def _stored(*instructions: bytes, slot: int) -> bytes:
    return b"".join(instructions) + push(slot, 1) + b"\x55"


def _called(name: str, place: int) -> bytes:
    """Code that calls the account of the argument and stores success and output in two slots."""
    value = push(int(name == "CALL with value"), 1) if name in ("CALL", "CALLCODE", "CALL with value") else b""
    call = push(32, 1) + push(0, 1) * 3 + value + ARGUMENT + push(60_000, 4) + bytes([CALLS[name]])
    clear = push(0, 1) * 2 + b"\x52"
    return clear + _stored(call, slot=place) + _stored(push(0, 1), b"\x51", slot=place + 1)


LOOKING_CODE = (
    _stored(ARGUMENT, b"\x3b", slot=SIZE)
    + _stored(ARGUMENT, b"\x3f", slot=HASH)
    + _stored(push(32, 1), push(0, 1) * 2, ARGUMENT, b"\x3c", push(0, 1), b"\x51", slot=COPY)
    + b"".join(_called(name, 10 + 2 * place) for place, name in enumerate(CALLS))
)
CREATING_CODE = (
    push(int.from_bytes(INIT_CODE.ljust(32, b"\0")))
    + push(0, 1)
    + b"\x52"
    + _stored(push(0, 1), push(len(INIT_CODE), 1), push(0, 1) * 2, b"\xf5", slot=1)
    + _stored(push(1, 1), slot=2)
)


def network(fork: Fork) -> Network:
    assert len(INIT_CODE) <= 32
    accounts: dict[bytes, dict[str, Any]] = {
        ASKED: STOP,
        TARGET: {"code": returned(b"\x30").hex()},
        LOOKING: {"code": LOOKING_CODE.hex(), "balance": "0x64"},
        DYING: {"code": (ARGUMENT + b"\xff").hex(), "balance": "0x5"},
        CREATING: {"code": CREATING_CODE.hex()},
        OWNER.address: {"code": delegation(TARGET).hex(), "balance": "0x64"},
        **{address: {"code": code.hex()} for address, code in OF_SUCH_CODE.values()},
    }
    return Network(accounts, **FORKS[fork])


def base_fee(fork: Fork) -> int | None:
    return 0 if fork >= Fork.LONDON else None


def word(address: bytes) -> bytes:
    return bytes(12) + address


def seen(net: Network) -> dict[str, tuple[int, int]]:
    """Success and output of each call that the looking contract made."""
    slots = [net.state.storage(LOOKING, slot) for slot in range(10, 10 + 2 * len(CALLS))]
    return dict(zip(CALLS, zip(slots[::2], slots[1::2], strict=True), strict=True))


@EACH_FORK
@pytest.mark.usefixtures("each_engine")
def test_another_contract_reads_the_code_as_it_is_and_its_calls_fail_before_prague(fork: Fork) -> None:
    net = network(fork)
    executed = net.execute(signed(RICH, 0, to=LOOKING, data=word(FORM)), base_fee=base_fee(fork))
    assert statuses(executed.receipts) == [1]
    code = delegation(TARGET)
    assert net.state.storage(LOOKING, SIZE) == 23
    assert net.state.storage(LOOKING, HASH) == int.from_bytes(keccak256(code))
    assert net.state.storage(LOOKING, COPY) == int.from_bytes(code.ljust(32, b"\0"))
    here, there = int.from_bytes(LOOKING), int.from_bytes(FORM)
    assert seen(net) == (
        dict.fromkeys(CALLS, (0, 0))
        if fork < Fork.PRAGUE
        else {
            "CALL": (1, there),
            "CALLCODE": (1, here),
            "DELEGATECALL": (1, here),
            "STATICCALL": (1, there),
            "CALL with value": (1, there),
        }
    )
    assert net.state.balance(FORM) == int(fork >= Fork.PRAGUE)


@EACH_FORK
@pytest.mark.usefixtures("each_engine")
def test_transactions_to_it_take_all_gas_and_move_no_value_before_prague(fork: Fork) -> None:
    net = network(fork)
    executed = net.execute(
        signed(RICH, 0, to=FORM, gas=70_000), signed(RICH, 1, to=FORM, gas=70_000, value=3), base_fee=base_fee(fork)
    )
    if fork < Fork.PRAGUE:
        assert (statuses(executed.receipts), executed.gas_used, net.state.balance(FORM)) == ([0, 0], 140_000, 0)
    else:
        assert (statuses(executed.receipts), net.state.balance(FORM)) == ([1, 1], 3)
        assert executed.gas_used < 50_000


@EACH_FORK
@pytest.mark.usefixtures("each_engine")
def test_a_dying_contract_leaves_it_its_wei_and_no_creation_takes_its_place(fork: Fork) -> None:
    net = network(fork)
    executed = net.execute(
        signed(RICH, 0, to=DYING, data=word(CREATED)),
        signed(RICH, 1, to=CREATING, gas=5_000_000),
        base_fee=base_fee(fork),
    )
    assert statuses(executed.receipts) == [1, 1]
    assert net.state.balance(CREATED) == 5
    assert (net.state.storage(CREATING, 1), net.state.storage(CREATING, 2)) == (0, 1)
    assert net.state.code(CREATED) == delegation(TARGET)
    free = Network({CREATING: {"code": CREATING_CODE.hex()}, ASKED: STOP}, **FORKS[fork])
    free.execute(signed(RICH, 0, to=CREATING), base_fee=base_fee(fork))
    assert free.state.code(CREATED) == b"\0", "without such code the creation works"


@EACH_FORK
@pytest.mark.usefixtures("each_engine")
def test_a_call_may_lay_it_over_an_account(fork: Fork) -> None:
    net = network(fork)
    code = AccountOverride(code=delegation(TARGET))
    request: dict[str, Any] = {"to": FRIEND, "overrides": ((FRIEND, code),), "gas": 100_000}
    header = net.next_header(base_fee=base_fee(fork))
    result = net.engine.call(net.header.state_root, header, CallRequest(**request), hash_of)
    assert (result.success, result.output) == ((True, word(FRIEND)) if fork >= Fork.PRAGUE else (False, b""))


@pytest.mark.parametrize("fork", BEFORE_LONDON, ids=lambda fork: fork.name)
@pytest.mark.usefixtures("each_engine")
def test_what_was_deployed_before_london_becomes_a_delegation_in_prague(fork: Fork) -> None:
    """The library keeps codes in memory from block to block: the fork of a block must not be kept with them."""
    forks: dict[str, Any] = {
        **FORKS[fork],
        **PRAGUE,
        "londonBlock": 5,
        "shanghaiTime": 9,
        "cancunTime": 9,
        "pragueTime": 9,
    }
    if fork is not Fork.BERLIN:
        forks["berlinBlock"] = 5
    codes = {TARGET: returned(b"\x30"), LOOKING: LOOKING_CODE, ASKED: b"\0"}
    net = Network({address: {"code": code.hex()} for address, code in codes.items()}, **forks)
    address = created_contract_address(RICH.address, 0)
    look = [signed(RICH, nonce, to=LOOKING, data=word(address)) for nonce in range(1, 4)]
    executed = net.execute(signed(RICH, 0, data=deploying(delegation(TARGET))), look[0])
    assert (statuses(executed.receipts), net.state.code(address)) == ([1, 1], delegation(TARGET))
    assert seen(net)["CALL"] == (0, 0)
    net.execute(look[1], number=8, base_fee=0)
    assert seen(net)["CALL"] == (0, 0)
    net.execute(look[2], number=9, base_fee=0)
    assert seen(net)["CALL"] == (1, int.from_bytes(address))


@EACH_FORK
@pytest.mark.usefixtures("each_engine")
def test_an_account_with_it_sends_transactions_from_prague_on(fork: Fork) -> None:
    net = network(fork)
    transaction = signed(OWNER, 0, to=FRIEND, value=1)
    if fork < Fork.PRAGUE:
        with pytest.raises(ExecutionError, match="TX_SENDER_NOT_AUTHORIZED"):
            net.execute(transaction, base_fee=base_fee(fork))
    else:
        assert statuses(net.execute(transaction, base_fee=0).receipts) == [1]


@pytest.mark.parametrize("code", [delegation(TARGET)[:-1], delegation(TARGET) + b"\0"], ids=["shorter", "longer"])
@pytest.mark.usefixtures("each_engine")
def test_an_account_with_shorter_or_longer_code_sends_nothing_in_prague(code: bytes) -> None:
    net = Network({ASKED: STOP, OWNER.address: {"code": code.hex(), "balance": "0x64"}}, **PRAGUE)
    with pytest.raises(ExecutionError, match="TX_SENDER_NOT_AUTHORIZED"):
        net.execute(signed(OWNER, 0, to=FRIEND, value=1), base_fee=0)


def _all_about(address: bytes) -> list[Transaction]:
    return [
        signed(RICH, 0, to=address, gas=60_000),
        signed(RICH, 1, to=address, gas=60_000, value=2),
        signed(RICH, 2, to=LOOKING, data=word(address)),
        signed(RICH, 3, to=DYING, data=word(address)),
        signed(RICH, 4, to=CREATING, gas=5_000_000),
        signed(RICH, 5, to=LOOKING, data=word(address)),
    ]


@EACH_FORK
@pytest.mark.parametrize("name", OF_SUCH_CODE)
def test_both_engines_say_the_same_of_it_and_the_library_executes_the_block(name: str, fork: Fork) -> None:
    _check_both(network(fork), fork, _all_about(OF_SUCH_CODE[name][0]))


@pytest.mark.parametrize("fork", BEFORE_LONDON, ids=lambda fork: fork.name)
@pytest.mark.parametrize("name", OF_SUCH_CODE)
def test_both_engines_say_the_same_where_the_block_deploys_it(name: str, fork: Fork) -> None:
    address = created_contract_address(RICH.address, 0)
    looks = [signed(RICH, nonce, to=LOOKING, data=word(address)) for nonce in (1, 3)]
    transactions = [
        signed(RICH, 0, data=deploying(OF_SUCH_CODE[name][1])),
        looks[0],
        signed(RICH, 2, to=address, gas=60_000),
        looks[1],
    ]
    _check_both(network(fork), fork, transactions)


def _check_both(net: Network, fork: Fork, transactions: list[Transaction]) -> None:
    if reason := why_no_library():
        pytest.skip(reason)
    python, native = PyEvmEngine(net.spec, net.store), NativeEngine(net.spec, net.store)
    root, header = net.header.state_root, net.next_header(base_fee=base_fee(fork))
    expected = python.execute(root, header, transactions, hash_of)
    found = native.execute_natively_or_none(root, header, transactions, hash_of, UNLIMITED)
    assert isinstance(found, ExecutedBlock)
    assert (differing_block_fields(expected, found), found.executed_by) == ([], NATIVE)
    unlike, _, _ = unlike_traces(python, native, BlockToTrace(root, header, transactions), hash_of)
    assert unlike == []
    for to in {transaction.to for transaction in transactions if transaction.to}:
        call = CallRequest(to=to, data=word(FORM), gas=1_000_000)
        made = native.call_natively_or_none(root, header, call, hash_of)
        assert isinstance(made, CallResult)
        assert differing_call_fields(python.call(root, header, call, hash_of), made) == []
