"""The account rules that LACNet deployed on its local network, asked through its ingress, against calling them directly."""

from itertools import product
from pathlib import Path

import pytest

from lacnode.chain.block_file import ImportStoppedError, import_blocks
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import load_genesis
from lacnode.evm.engine import CallRequest
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.permissioning.abi import (
    RULES_NAME,
    decode_registered_address,
    encode_registered_call,
    encode_transaction_call,
)
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import AccountPermissions
from lacnode.permissioning.node_contract import NodeContract
from lacnode.primitives.transaction import Transaction
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.rpc_chain import signed

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "lacnet-local"
BLOCKS = DATA / "blocks-0-118.rlp"
ACCOUNT_INGRESS = bytes.fromhex("8888".rjust(40, "0"))
NODE_INGRESS = bytes.fromhex("9999".rjust(40, "0"))
REGISTERED_AT = 50
HUB = bytes.fromhex("1Fa12C57ABab623beCc34A69cB526AD39c6338D6")
LISTED = bytes.fromhex("211152ca21d5daedbcfbf61173886bbb1a217242")

pytestmark = pytest.mark.skipif(not BLOCKS.exists(), reason="the real chain (shared/data/lacnet-local) is not here")


class Network:
    """The chain as it is, and its account rules beside it."""

    def __init__(self) -> None:
        spec = load_genesis(DATA / "genesis.json")
        database = MemoryDatabase()
        engine = PyEvmEngine(spec, DatabaseNodeStore(database))
        self.contracts = ChainContracts(spec, engine, lambda number: self.chain.hash_at(number))
        self.rules = AccountContract(self.contracts, ACCOUNT_INGRESS)
        self.chain = Blockchain(spec, database, engine)
        import_blocks(self.chain, BLOCKS)

    def called(self, contract: bytes, data: bytes, number: int) -> bytes:
        """What calling `contract` directly gives after block `number`."""
        header = self.chain.header_at(number)
        assert header is not None
        result = self.chain.call(header, CallRequest(to=contract, data=data, gas=header.gas_limit))
        assert result.success
        return result.output

    def rules_contract(self, number: int) -> bytes | None:
        return decode_registered_address(self.called(ACCOUNT_INGRESS, encode_registered_call(RULES_NAME), number))

    def transactions(self) -> list[tuple[Transaction, bytes]]:
        """Every transaction of the chain, with its sender."""
        found = []
        for number in range(1, 119):
            block = self.chain.block_at(number)
            assert block is not None
            hash_ = self.chain.hash_at(number)
            assert hash_ is not None
            receipt_records = self.chain.receipt_records_of(hash_)
            assert receipt_records is not None
            found += [
                (tx, outcome.sender) for tx, outcome in zip(block.body.transactions, receipt_records, strict=True)
            ]
        return found


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


def test_with_the_contract_in_force_a_block_that_breaks_its_rules_is_refused() -> None:
    """That network was run with the contract off when block 110 was made: its sender is not on the list."""
    spec = load_genesis(DATA / "genesis.json")
    database = MemoryDatabase()
    engine = PyEvmEngine(spec, DatabaseNodeStore(database))
    contracts = ChainContracts(spec, engine, lambda number: chain.hash_at(number))
    permissions = AccountPermissions(contract=AccountContract(contracts, ACCOUNT_INGRESS))
    chain = Blockchain(spec, database, engine, permissions=permissions)
    with pytest.raises(
        ImportStoppedError, match=r"block 110.*account-permission.*Sender 0xbceda2ba.* is not on the Account"
    ):
        import_blocks(chain, BLOCKS)
    assert chain.head.header.number == 109


@pytest.mark.parametrize("number", [REGISTERED_AT, 118])
def test_it_answers_as_the_rules_called_directly(network: Network, number: int) -> None:
    assert network.rules_contract(REGISTERED_AT - 1) is None
    rules = network.rules_contract(number)
    header = network.chain.header_at(number)
    assert rules is not None
    assert header is not None
    made = [transaction for transaction, _ in network.transactions()]
    # What the rules want: no price, the hub as target, gas for the payload's length.
    meant = [signed(to=HUB, gas=gas, data=bytes(100)) for gas in (100_000, 400_000)]
    senders = {sender for _, sender in network.transactions()} | {LISTED, bytes(19) + b"\x07"}
    seen = set()
    for transaction, sender in product(made + meant, sorted(senders)):
        direct = network.called(rules, encode_transaction_call(transaction, sender), number)
        decision = network.rules.decide(transaction, sender, header, 60)
        assert decision.allowed == (direct == (1).to_bytes(32)), str(decision)
        assert decision.block == number
        seen.add(decision.allowed)
    assert seen == {True, False}


def test_before_they_were_registered_everybody_may_send(network: Network) -> None:
    header = network.chain.header_at(REGISTERED_AT - 1)
    assert header is not None
    for transaction, sender in network.transactions():
        assert network.rules.decide(transaction, sender, header, 60).allowed


def test_a_contract_that_is_not_there_lets_everybody_send_and_nobody_connect(network: Network) -> None:
    nowhere, header = bytes(19) + b"\x63", network.chain.head.header
    decision = AccountContract(network.contracts, nowhere).decide(signed(), bytes(20), header, 60)
    assert decision.allowed
    assert "no contract" in decision.reason
    wrong = NodeContract(network.contracts, nowhere).find_problem(header, 60)
    assert wrong is not None
    assert "does not exist" in wrong


def test_the_node_ingress_answers_interface_1_and_refuses_while_no_rules_are_registered(network: Network) -> None:
    header = network.chain.head.header
    assert NodeContract(network.contracts, NODE_INGRESS).find_problem(header, 60) is None
    wrong = NodeContract(network.contracts, NODE_INGRESS, version=2).find_problem(header, 60)
    assert wrong is not None
    assert "does not match the expected interface version 2" in wrong
