"""A devnet's administrator changes accounts, and makes calls in the name of others, on both engines alike. Other chains
have no such rule."""

from collections.abc import Sequence
from typing import Any

import pytest

from lacnode.chainspec.genesis import GenesisError, parse_genesis
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.state_changes import DATA_BYTE_GAS, TRANSACTION_GAS
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.evm.state_administration import (
    IMPERSONATION_ADDRESS,
    STATE_CHANGE_ADDRESS,
    AccountUpdate,
    ImpersonatedCall,
    state_administrator_of,
)
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.revert_text import revert_text
from lacnode.primitives.transaction import Transaction
from tests.support.rpc_chain import (
    ETHER,
    LOGGER_ADDRESS,
    POOR,
    REVERTER_ADDRESS,
    RICH,
    STORER,
    STORER_ADDRESS,
    RpcTestNode,
    genesis_document,
    node,
    signed,
)

ADMINISTRATOR = NodeKey.from_private_key(b"\x66" * 32)
PLACE = b"\x71" * 20
"""An address without an account."""

CONTRACT_SENDER = b"\x72" * 20
"""Another one. The tests give it code: no key can send for it."""

PRAGUE = {
    "berlinBlock": 0,
    "londonBlock": 0,
    "zeroBaseFee": True,
    "shanghaiTime": 0,
    "cancunTime": 0,
    "pragueTime": 0,
    "withdrawalRequestContractAddress": to_hex(LOGGER_ADDRESS),
    "consolidationRequestContractAddress": to_hex(LOGGER_ADDRESS),
    "depositContractAddress": to_hex(LOGGER_ADDRESS),
}
DEVNET = {"lacnode": {"devnet": True, "stateAdministrator": to_hex(ADMINISTRATOR.address)}}


@pytest.fixture(params=[EngineKind.PYTHON, EngineKind.NATIVE], ids=["python", "native"])
def kind(request: pytest.FixtureRequest) -> EngineKind:
    """The engine of the node that builds blocks."""
    found: EngineKind = request.param
    if found is EngineKind.NATIVE and (reason := why_no_library()) is not None:
        pytest.skip(reason)
    return found


def devnet(kind: EngineKind = EngineKind.PYTHON) -> RpcTestNode:
    return node(forks={**PRAGUE, **DEVNET}, evm=kind)


def node_with_other_engine(kind: EngineKind) -> RpcTestNode:
    """A node whose engine is not `kind`. Without the native library it has py-evm too, and checks the blocks alone."""
    has_other = kind is EngineKind.PYTHON and why_no_library() is None
    return devnet(EngineKind.NATIVE if has_other else EngineKind.PYTHON)


def order(
    data: bytes, nonce: int = 0, *, key: NodeKey = ADMINISTRATOR, value: int = 0, price: int = 0, gas: int = 5_000_000
) -> Transaction:
    return signed(key, nonce, to=STATE_CHANGE_ADDRESS, data=data, value=value, price=price, gas=gas)


def grown(builder: RpcTestNode, *transactions: Transaction) -> Block:
    """A block of `transactions`."""
    builder.send(*transactions)
    block = builder.grow()
    assert [each.hash for each in block.transactions] == [each.hash for each in transactions]
    return block


def statuses(built: RpcTestNode, block: Block) -> list[object]:
    found = [built.call("eth_getTransactionReceipt", to_hex(each.hash)) for each in block.transactions]
    return [receipt["status"] for receipt in found if isinstance(receipt, dict)]


def reason(built: RpcTestNode, data: bytes, value: int = 0) -> str:
    """The text with which the transaction of a change reverts."""
    block = grown(built, order(data, value=value))
    assert statuses(built, block) == ["0x0"]
    asked = {"from": to_hex(ADMINISTRATOR.address), "to": to_hex(STATE_CHANGE_ADDRESS), "data": to_hex(data)}
    error = built.error("eth_call", {**asked, "value": hex(value)}, hex(block.header.number - 1))
    assert isinstance(error.data, str)
    return revert_text(bytes.fromhex(error.data[2:])) or ""


def values(built: RpcTestNode, address: bytes) -> tuple[object, ...]:
    at = (to_hex(address), "latest")
    return (
        built.call("eth_getBalance", *at),
        built.call("eth_getTransactionCount", *at),
        built.call("eth_getCode", *at),
        built.call("eth_getStorageAt", to_hex(address), "0x0", "latest"),
    )


def word(value: int) -> str:
    return to_hex(value.to_bytes(32))


def test_all_values_of_an_account_change_and_both_engines_agree(kind: EngineKind) -> None:
    built = devnet(kind)
    change = AccountUpdate(PLACE, balance=5, nonce=7, code=STORER, storage=((0, 9), (2**255, 1)))
    # A transaction before it and one after it in the same block: the second one calls the code that it has set.
    paid = grown(built, signed(to=ADMINISTRATOR.address, value=10**9), signed(nonce=1, to=POOR.address, value=10**9))
    block = grown(
        built,
        signed(nonce=2, price=3),
        order(change.encode_transaction_data(), price=2),
        signed(POOR, price=1, to=PLACE, data=(8).to_bytes(32)),
    )
    assert statuses(built, block) == ["0x1"] * 3
    assert values(built, PLACE) == ("0x5", "0x7", to_hex(STORER), word(8))
    other = node_with_other_engine(kind)
    assert other.chain.import_block(paid)
    assert other.chain.import_block(block)
    assert other.chain.head.header.state_root == built.chain.head.header.state_root
    # The next block, which the native library can execute, goes on from there.
    block = grown(built, signed(nonce=3, to=PLACE, data=(3).to_bytes(32)))
    assert other.chain.import_block(block)
    assert values(other, PLACE) == ("0x5", "0x7", to_hex(STORER), word(3))


def test_what_is_not_named_stays(kind: EngineKind) -> None:
    built = devnet(kind)
    grown(built, signed(nonce=0, to=STORER_ADDRESS, data=(8).to_bytes(32)))
    grown(built, order(AccountUpdate(STORER_ADDRESS, balance=1).encode_transaction_data()))
    grown(built, order(AccountUpdate(STORER_ADDRESS, code=b"\x00").encode_transaction_data(), 1))
    assert values(built, STORER_ADDRESS) == ("0x1", "0x0", "0x00", word(8))


def test_a_balance_falls_and_an_account_without_anything_is_gone(kind: EngineKind) -> None:
    built = devnet(kind)
    grown(built, order(AccountUpdate(PLACE, balance=5).encode_transaction_data()))
    with_account = built.chain.head.header.state_root
    grown(built, order(AccountUpdate(PLACE, balance=0).encode_transaction_data(), 1))
    assert built.chain.head.header.state_root != with_account
    assert not built.chain.state_at(built.chain.head.header).exists(PLACE)


@pytest.mark.parametrize("key", [RICH, ADMINISTRATOR])
def test_only_the_administrator_of_a_devnet_changes_anything(kind: EngineKind, key: NodeKey) -> None:
    """A transaction of another sender, and one on a chain whose genesis names no administrator, are ordinary ones."""
    built = devnet(kind) if key is RICH else node(forks=PRAGUE, evm=kind)
    before = values(built, STORER_ADDRESS)
    grown(built, order(AccountUpdate(STORER_ADDRESS, balance=7, code=b"\x00").encode_transaction_data(), key=key))
    assert values(built, STORER_ADDRESS) == before


def test_a_contract_that_the_administrator_calls_cannot_pass_it_on(kind: EngineKind) -> None:
    built = devnet(kind)
    data = AccountUpdate(STORER_ADDRESS, balance=7).encode_transaction_data()
    copied = bytes.fromhex("36600060003760006000366000600073") + STATE_CHANGE_ADDRESS + bytes.fromhex("5af100")
    grown(built, order(AccountUpdate(PLACE, code=copied).encode_transaction_data()))
    grown(built, signed(ADMINISTRATOR, 1, to=PLACE, data=data))
    assert built.call("eth_getBalance", to_hex(STORER_ADDRESS), "latest") == "0x0"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (AccountUpdate(RICH.address, nonce=0), "the nonce is 1 and cannot fall to 0"),
        (AccountUpdate(PLACE, nonce=2**64 - 1), "a nonce is at most"),
        (AccountUpdate(PLACE, storage=((0, 1),)), "set its code first"),
        (AccountUpdate(PLACE, balance=1, storage=((0, 1),)), "set its code first"),
        (AccountUpdate(PLACE, code=bytes(24_577)), "contracts of this network have at most 24576"),
        (AccountUpdate(PLACE, code=b"\xef\x01"), "begins with 0xEF"),
        (AccountUpdate(bytes(19) + b"\x04", code=b"\x00"), "address of precompiles"),
        (AccountUpdate(ADMINISTRATOR.address, balance=1), "belongs to the rules of the chain"),
        (AccountUpdate(STATE_CHANGE_ADDRESS, code=b"\x00"), "belongs to the rules of the chain"),
        (AccountUpdate(LOGGER_ADDRESS, code=b""), "belongs to the rules of the chain"),
    ],
)
def test_a_change_that_is_not_possible_reverts_with_the_reason(change: AccountUpdate, text: str) -> None:
    built = devnet()
    grown(built, signed(nonce=0))
    before = values(built, change.address)
    assert text in reason(built, change.encode_transaction_data())
    if change.address != ADMINISTRATOR.address:
        assert values(built, change.address) == before


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\x01" * 40, AccountUpdate(PLACE, balance=1).encode_transaction_data() + b"\x00"]
)
def test_other_data_changes_nothing(data: bytes) -> None:
    assert "the data is no change of an account" in reason(devnet(), data)


def test_ether_is_not_taken() -> None:
    built = devnet()
    grown(built, signed(nonce=0, to=ADMINISTRATOR.address, value=5))
    assert "would be lost" in reason(built, AccountUpdate(PLACE, balance=1).encode_transaction_data(), value=5)
    assert built.call("eth_getBalance", to_hex(ADMINISTRATOR.address), "latest") == "0x5"


def test_the_gas_bounds_a_change_and_the_estimate_is_enough(kind: EngineKind) -> None:
    built = devnet(kind)
    slots: Sequence[tuple[int, int]] = [(slot, 1) for slot in range(50)]
    update = AccountUpdate(PLACE, code=STORER, storage=tuple(slots))
    data = update.encode_transaction_data()
    call = {"from": to_hex(ADMINISTRATOR.address), "to": to_hex(STATE_CHANGE_ADDRESS), "data": to_hex(data)}
    estimate = int(str(built.call("eth_estimateGas", call)), 16)
    assert estimate > 50 * 20_000
    assert statuses(built, grown(built, order(data, gas=estimate // 2))) == ["0x0"]
    assert values(built, PLACE)[2] == "0x"
    assert statuses(built, grown(built, order(data, 1, gas=estimate))) == ["0x1"]
    assert values(built, PLACE)[3] == word(1)
    # What a devnet sends with it, without an estimate: the most that a transaction takes, and the gas of the change.
    enough = TRANSACTION_GAS + DATA_BYTE_GAS * len(data) + update.gas
    assert statuses(built, grown(built, order(data, 2, gas=enough))) == ["0x1"]


def test_a_trace_shows_the_change(kind: EngineKind) -> None:
    built = devnet(kind)
    block = grown(
        built, order(AccountUpdate(PLACE, balance=5, code=STORER, storage=((0, 9),)).encode_transaction_data())
    )
    (hash_,) = [to_hex(each.hash) for each in block.transactions]
    traced = built.call(
        "debug_traceTransaction", hash_, {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    )
    assert isinstance(traced, dict)
    found = traced["post"][to_hex(PLACE)]
    assert (found["balance"], found["code"]) == ("0x5", to_hex(STORER))
    called = built.call("debug_traceTransaction", hash_, {"tracer": "callTracer"})
    assert isinstance(called, dict)
    assert called["to"] == to_hex(STATE_CHANGE_ADDRESS)


def test_only_the_genesis_of_a_devnet_may_name_an_administrator() -> None:
    named = {"stateAdministrator": to_hex(ADMINISTRATOR.address)}
    with pytest.raises(GenesisError, match="only a devnet may have an account"):
        parse_genesis(genesis_document({**PRAGUE, "lacnode": named}))
    assert state_administrator_of(parse_genesis(genesis_document({**PRAGUE, "lacnode": {"devnet": True}}))) is None


def test_the_code_of_a_changed_account_is_found_by_its_hash() -> None:
    built = devnet()
    grown(built, order(AccountUpdate(PLACE, code=STORER).encode_transaction_data()))
    assert built.chain.state_at(built.chain.head.header).code_hash_and_storage_root(PLACE)[0] == keccak256(STORER)


# -- impersonated calls ----------------------------------------------------------------------------------------------


def impersonating(call: ImpersonatedCall, nonce: int = 0, *, price: int = 0, value: int = 0) -> Transaction:
    to, data = IMPERSONATION_ADDRESS, call.encode_transaction_data()
    return signed(ADMINISTRATOR, nonce, to=to, data=data, price=price, value=value, gas=5_000_000)


def receipt(built: RpcTestNode, transaction: Transaction) -> dict[str, Any]:
    found = built.call("eth_getTransactionReceipt", to_hex(transaction.hash))
    assert isinstance(found, dict)
    return found


TELLER = bytes.fromhex("33600055" + "32600155" + "34600255" + "00")
"""Stores its caller, the origin of the transaction, and the value."""


def test_a_call_comes_from_the_impersonated_account_and_the_receipt_from_the_administrator(kind: EngineKind) -> None:
    built = devnet(kind)
    changes = AccountUpdate(PLACE, code=TELLER), AccountUpdate(CONTRACT_SENDER, balance=9, code=b"\x00")
    setup = [grown(built, order(change.encode_transaction_data(), nonce)) for nonce, change in enumerate(changes)]
    transaction = impersonating(ImpersonatedCall(CONTRACT_SENDER, PLACE, 4, b""), 2)
    block = grown(built, transaction)
    found = receipt(built, transaction)
    assert (found["status"], found["from"], found["to"]) == (
        "0x1",
        to_hex(ADMINISTRATOR.address),
        to_hex(IMPERSONATION_ADDRESS),
    )
    slots = [built.call("eth_getStorageAt", to_hex(PLACE), hex(slot), "latest") for slot in range(3)]
    assert slots == [word(int.from_bytes(CONTRACT_SENDER))] * 2 + [word(4)]
    # The value and the nonce are the account's own, and the gas is free.
    assert values(built, CONTRACT_SENDER)[:2] == ("0x5", "0x1")
    assert values(built, ADMINISTRATOR.address)[:2] == ("0x0", "0x3")
    traced = built.call("debug_traceTransaction", to_hex(transaction.hash), {"tracer": "callTracer"})
    assert isinstance(traced, dict)
    assert (traced["from"], traced["to"]) == (to_hex(CONTRACT_SENDER), to_hex(PLACE))
    listed = built.call("trace_transaction", to_hex(transaction.hash))
    assert isinstance(listed, list)
    action = listed[0]["action"]
    assert (action["from"], action["to"], action["value"]) == (to_hex(CONTRACT_SENDER), to_hex(PLACE), "0x4")
    other = node_with_other_engine(kind)
    for each in (*setup, block):
        assert other.chain.import_block(each)
    assert other.chain.head.header.state_root == built.chain.head.header.state_root


def test_logs_and_reverts_of_the_call_are_those_of_the_transaction(kind: EngineKind) -> None:
    built = devnet(kind)
    logs, reverts = (
        impersonating(ImpersonatedCall(PLACE, to, 0, (7).to_bytes(32)), nonce)
        for nonce, to in enumerate((LOGGER_ADDRESS, REVERTER_ADDRESS))
    )
    grown(built, logs, reverts)
    (log,) = receipt(built, logs)["logs"]
    assert (log["address"], log["data"]) == (to_hex(LOGGER_ADDRESS), word(7))
    assert receipt(built, reverts)["status"] == "0x0"
    asked = {"from": to_hex(ADMINISTRATOR.address), "to": to_hex(IMPERSONATION_ADDRESS), "data": to_hex(reverts.data)}
    error = built.error("eth_estimateGas", asked)
    assert error.data == word(7)
    # The nonce counts as for a transaction of its own that fails.
    assert values(built, PLACE)[1] == "0x2"


@pytest.mark.parametrize(
    ("call", "price", "value", "text"),
    [
        (ImpersonatedCall(PLACE, RICH.address, 1, b""), 0, 0, "has 0 wei, less than the value 1"),
        (ImpersonatedCall(ADMINISTRATOR.address, RICH.address, 0, b""), 0, 0, "cannot impersonate itself"),
        (ImpersonatedCall(PLACE, RICH.address, 0, b""), 1, 0, "a gas price of 0"),
        (ImpersonatedCall(PLACE, RICH.address, 0, b""), 0, 1, "would be lost"),
    ],
)
def test_a_call_that_is_not_possible_reverts_and_changes_nothing(
    call: ImpersonatedCall, price: int, value: int, text: str
) -> None:
    built = devnet()
    grown(built, signed(nonce=0, to=ADMINISTRATOR.address, value=ETHER))
    before = [values(built, address) for address in (PLACE, RICH.address)]
    transaction = impersonating(call, price=price, value=value)
    grown(built, transaction)
    assert receipt(built, transaction)["status"] == "0x0"
    assert text in failure(built, transaction)
    assert [values(built, address) for address in (PLACE, RICH.address)] == before
    assert values(built, IMPERSONATION_ADDRESS)[0] == "0x0"


def test_nobody_else_impersonates(kind: EngineKind) -> None:
    built = devnet(kind)
    data = ImpersonatedCall(RICH.address, PLACE, 5, b"").encode_transaction_data()
    transaction = signed(POOR, to=IMPERSONATION_ADDRESS, data=data)
    grown(built, transaction)
    assert receipt(built, transaction)["status"] == "0x1"
    assert values(built, PLACE)[0] == "0x0"


def failure(built: RpcTestNode, transaction: Transaction) -> str:
    """The text with which `transaction`, in the last block, reverts."""
    sent = built.call("debug_traceTransaction", to_hex(transaction.hash), {"tracer": "callTracer"})
    assert isinstance(sent, dict)
    return revert_text(bytes.fromhex(sent["output"][2:])) or ""
