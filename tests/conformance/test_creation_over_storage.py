"""EIP-7610 in every fork: nothing is created where storage is. Cases of our own for what official tests once found.

Only a genesis can make such an account: it has storage, but neither code nor nonce. A creation there must end like any
creation at a taken address: the creator's nonce grows, the gas is gone, and the account stays as it was.
"""

from collections.abc import Sequence

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import GenesisAccount
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import recover_sender, sign
from lacnode.evm.engine import ExecutedBlock, StateView
from lacnode.evm.py_evm_block import created_contract_address
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import LEGACY, Transaction, encode_signed_transaction
from tests.conformance.execution import network
from tests.support.engines import engine
from tests.support.evm_network import push

SENDER = NodeKey.from_private_key(keccak256(b"sender"))
CREATOR = b"\xc0" * 20
GAS = 10_000_000
STORES = bytes.fromhex("60016001550000")
"""Init code that writes 1 to slot 1."""

FORKS = [fork for fork in Fork if fork >= Fork.BYZANTIUM]
WITH_CREATE2 = [fork for fork in FORKS if fork >= Fork.CONSTANTINOPLE]


def with_storage(address: bytes, balance: int = 5) -> GenesisAccount:
    return GenesisAccount(address, balance, 0, b"", ((1, 0x77), (2, 0x88)))


def creator(*creation: bytes) -> GenesisAccount:
    """A contract that creates by `creation`, and stores in slot 0 the result plus 1."""
    code = b"".join(creation) + push(1, 1) + b"\x01" + push(0, 1) + b"\x55\x00"
    return GenesisAccount(CREATOR, 0, 1, code, ())


def create(init: bytes) -> bytes:
    return push(init) + push(0, 1) + b"\x52" + push(len(init), 1) + push(32 - len(init), 1) + push(0, 1) + b"\xf0"


def create2(init: bytes, salt: int) -> bytes:
    salted = push(salt, 1) + push(len(init), 1) + push(32 - len(init), 1) + push(0, 1)
    return push(init) + push(0, 1) + b"\x52" + salted + b"\xf5"


def create2_address(init: bytes, salt: int) -> bytes:
    return keccak256(b"\xff" + CREATOR + salt.to_bytes(32) + keccak256(init))[12:]


def execute(fork: Fork, to: bytes, data: bytes, accounts: Sequence[GenesisAccount]) -> tuple[ExecutedBlock, StateView]:
    """One transaction of `SENDER` in a block of its own."""
    nodes: dict[bytes, bytes] = {}
    executing = engine(network(fork, 1), nodes)
    root, first = executing.initial_state([GenesisAccount(SENDER.address, 10**18, 0, b"", ()), *accounts])
    nodes.update(first)
    header = (
        network(fork, 1)
        .genesis.header(root)
        .with_changes(number=1, gas_limit=10 * GAS, coinbase=b"\xcb" * 20, base_fee=0 if fork >= Fork.LONDON else None)
    )
    payload = [b"", rlp.encode_scalar(1), rlp.encode_scalar(GAS), to, b"", data]
    signature = sign(keccak256(rlp.encode(payload)), SENDER.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    transaction = Transaction.decode(encode_signed_transaction(LEGACY, payload, 27 + signature[64], r, s))
    assert recover_sender(transaction) == SENDER.address
    executed = executing.execute(root, header, [transaction], lambda _: None)
    nodes.update(executed.nodes)
    return executed, executing.accounts(executed.state_root)


def assert_untouched(state: StateView, account: GenesisAccount) -> None:
    assert (state.balance(account.address), state.nonce(account.address)) == (account.balance, 0)
    assert state.code(account.address) == b""
    assert tuple((slot, state.storage(account.address, slot)) for slot, _ in account.storage) == account.storage


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
class TestFails:
    def test_by_a_transaction(self, fork: Fork) -> None:
        taken = with_storage(created_contract_address(SENDER.address, 0))
        block, state = execute(fork, b"", STORES, [taken])
        assert [receipt.status for receipt in block.receipts] == [0]
        assert block.gas_used == GAS
        assert state.nonce(SENDER.address) == 1
        assert_untouched(state, taken)

    def test_by_create(self, fork: Fork) -> None:
        taken = with_storage(created_contract_address(CREATOR, 1))
        block, state = execute(fork, CREATOR, b"", [creator(create(STORES)), taken])
        assert [receipt.status for receipt in block.receipts] == [1]
        assert state.storage(CREATOR, 0) == 1, "CREATE gave 0"
        assert state.nonce(CREATOR) == 2
        assert block.gas_used > (GAS - 100_000) * 63 // 64, "the gas given to the creation is gone"
        assert_untouched(state, taken)

    def test_by_create_in_init_code(self, fork: Fork) -> None:
        outer = created_contract_address(SENDER.address, 0)
        taken = with_storage(created_contract_address(outer, 1))
        block, state = execute(fork, b"", create(STORES) + push(9, 1) + b"\x55\x00", [taken])
        assert [receipt.status for receipt in block.receipts] == [1]
        assert state.storage(outer, 9) == 0, "the inner creation gave 0"
        assert state.nonce(outer) == 2
        assert_untouched(state, taken)

    def test_without_any_balance(self, fork: Fork) -> None:
        taken = with_storage(created_contract_address(CREATOR, 1), balance=0)
        _, state = execute(fork, CREATOR, b"", [creator(create(STORES)), taken])
        assert state.storage(CREATOR, 0) == 1
        assert state.storage(taken.address, 1) == 0x77


@pytest.mark.parametrize("fork", WITH_CREATE2, ids=lambda fork: fork.name)
def test_create2_fails(fork: Fork) -> None:
    taken = with_storage(create2_address(STORES, 3))
    block, state = execute(fork, CREATOR, b"", [creator(create2(STORES, 3)), taken])
    assert state.storage(CREATOR, 0) == 1
    assert state.nonce(CREATOR) == 2
    assert block.gas_used > (GAS - 100_000) * 63 // 64
    assert_untouched(state, taken)


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_a_balance_alone_does_not_matter(fork: Fork) -> None:
    address = created_contract_address(CREATOR, 1)
    rich = GenesisAccount(address, 5, 0, b"", ())
    _, state = execute(fork, CREATOR, b"", [creator(create(STORES)), rich])
    assert state.storage(CREATOR, 0) == int.from_bytes(address) + 1
    assert (state.nonce(address), state.balance(address), state.storage(address, 1)) == (1, 5, 1)
