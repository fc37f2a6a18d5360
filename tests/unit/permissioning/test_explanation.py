"""What is found out about a refusal from Besu's standard rules contracts, both versions, by the questions that they know.

Contracts compiled from ConsenSys' permissioning-smart-contracts (v1.1.0 and the newest of v2) gave these answers on the
real engine; they are played here because neither their sources nor their bytes are part of this repository.
"""

from typing import Any

import pytest
from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import encode_enode_words, encode_node_call
from lacnode.permissioning.contract_reader import ContractReading, ContractUnreadableError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.permissioning.refusal_explanation import (
    ACCOUNT_LISTED,
    ALL_CALLS_SECONDS,
    LACCHAIN_RELAY,
    NODE_OF,
    OWN_CONNECTION,
    OWN_TRANSACTION,
    SILENCE_SECONDS,
    TARGET_LISTED,
    RefusalExplainer,
)
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from tests.simulation.ledger import genesis_block
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.support.scripted_contracts import NO, YES, ScriptedContracts

INGRESS, RULES = b"\x01" * 20, b"\x02" * 20
HEADER = genesis_block((b"\x03" * 20,), 1, IBFT2_ONLY).header
REFUSAL = Decision(False, "node-contract", "0x01", 0, "the contract refuses")


def node(word: str, host: str = "10.0.0.1") -> Enode:
    return Enode(NodeKey.from_private_key(keccak256(word.encode())).public_key, host, 30303, None)


def selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


class Standard:
    """Besu's standard rules behind their ingress: exact places in a list, and accounts."""

    def __init__(self, version: int, listed: list[Enode], accounts: list[bytes]) -> None:
        self.version, self.listed, self.accounts = version, listed, accounts

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        output = self._answer(contract, data)
        if output is None:
            raise ContractUnreadableError("reverted")
        return ContractReading(output, frozenset(), frozenset(), False)

    def fingerprint(self, accounts: object, header: BlockHeader) -> int:
        return 0

    def _answer(self, contract: bytes, data: bytes) -> bytes | None:
        asked, words = data[:4], data[4:]
        if contract == INGRESS:
            known = asked == selector("getContractAddress(bytes32)")
            return encode(["address"], [RULES]) if known else None
        if asked == selector("getSize()"):
            return encode(["uint256"], [len(self.listed)])
        if asked == selector("getByIndex(uint256)"):
            return self._entry(self.listed[int.from_bytes(words)])
        if asked == selector("accountInWhitelist(address)" if self.version == 1 else "accountPermitted(address)"):
            return encode(["bool"], [words[12:32] in self.accounts])
        if self.version == 1 and asked == selector("enodeInWhitelist(bytes32,bytes32,bytes16,uint16)"):
            return encode(["bool"], [words in [encode_enode_words(enode) for enode in self.listed]])
        if self.version == 2 and asked == selector("enodePermitted(string,string,uint16)"):
            return encode(["bool"], [words in [encode_node_call(enode)[4:] for enode in self.listed]])
        return None

    def _entry(self, enode: Enode) -> bytes:
        if self.version == 1:
            return encode_enode_words(enode)
        return encode(["string", "string", "uint16"], [enode.id.hex(), enode.host, enode.tcp])


def test_a_node_that_moved_is_told_where_it_is_listed() -> None:
    for version in (1, 2):
        explainer = RefusalExplainer(Standard(version, [node("boot"), node("writer")], []), INGRESS)
        told = explainer.explain_connection(REFUSAL, node("boot"), node("writer", "10.9.9.9"), HEADER)
        short = f"{node('writer').id.hex()[:16]}…@10.9.9.9:30303"
        expected = (
            f"{short} is not in the contract's list with this address and port; its key is listed with 10.0.0.1:30303"
        )
        assert told.reason == expected, version
        assert told.source == "0x" + RULES.hex()


def test_strangers_are_told_that_they_are_not_listed() -> None:
    for version in (1, 2):
        explainer = RefusalExplainer(Standard(version, [node("boot")], []), INGRESS)
        told = explainer.explain_connection(REFUSAL, node("stranger"), node("boot"), HEADER)
        assert told.reason.endswith("…@10.0.0.1:30303 is not in the contract's list with this address and port"), (
            version
        )
        assert node("boot").id.hex()[:16] not in told.reason


@pytest.mark.parametrize("size", [64, 65, 79, 80, 127])
def test_an_entry_that_ends_within_its_address_is_no_place(size: int) -> None:
    """Any rules contract may answer so. An error here would end the node."""
    rules = Standard(1, [node("writer")], [])
    rules._entry = lambda enode: encode_enode_words(enode)[:size]  # type: ignore[method-assign]
    told = RefusalExplainer(rules, INGRESS).explain_connection(
        REFUSAL, node("boot"), node("writer", "10.9.9.9"), HEADER
    )
    assert told.reason.endswith("…@10.9.9.9:30303 is not in the contract's list with this address and port")


@pytest.mark.parametrize("host", ["a" * 254, "10.0.0.7\n2026-01-01 an invented log line"])
def test_a_listed_text_that_is_no_host_is_not_told(host: str) -> None:
    explainer = RefusalExplainer(Standard(2, [node("writer", host)], []), INGRESS)
    told = explainer.explain_connection(REFUSAL, node("boot"), node("writer"), HEADER)
    assert told.reason.endswith("…@10.0.0.1:30303 is not in the contract's list with this address and port")


def test_an_account_that_is_not_listed_is_named() -> None:
    member, outsider = b"\x11" * 20, b"\x22" * 20
    for version in (1, 2):
        explainer = RefusalExplainer(Standard(version, [], [member]), INGRESS)
        told = explainer.explain_transaction(REFUSAL, UnsignedTransaction(), outsider, HEADER)
        assert told.reason == f"0x{outsider.hex()} is not in the contract's list of accounts", version
        assert (
            explainer.explain_transaction(REFUSAL, UnsignedTransaction(), member, HEADER).reason
            == "the contract refuses"
        )


def test_a_host_name_is_told_to_be_no_question_for_interface_1() -> None:
    """And not that the two nodes are in groups which may not connect."""
    listed = [node("boot"), node("writer")]
    permissions = PermissioningRules(
        PermissioningSettings(node_contract=INGRESS, node_contract_version=1), Standard(1, listed, []),
        own_id=node("boot").id, bootnodes=(), static_nodes=(),
    )  # fmt: skip
    context = PermissioningContext(HEADER, (), is_current=True, is_isolated=False)
    told = permissions.explain_connection(node("boot"), node("writer", "writer.example"), context)
    assert not told.allowed
    assert told.reason == (
        "the contract cannot be asked: 'writer.example' is no IP address, and interface 1 knows nothing else, "
        "which permits no connection"
    )


class TestOwnRules:
    """lacnode's own contracts name the rule that refused."""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (b"groups-apart", "the two nodes are in groups that may not connect"),
            (b"target-unlisted", "the other node's key is not in the contract's list"),
            (b"a-later-rule", "the contract's rule 'a-later-rule' refuses"),
        ],
    )
    def test_the_rule_of_a_connection_is_told(self, name: bytes, expected: str) -> None:
        contracts = ScriptedContracts({(RULES, OWN_CONNECTION): bytes(32) + name.ljust(32, b"\0")})
        contracts.register(INGRESS, admin=None, rules=RULES)
        told = RefusalExplainer(contracts, INGRESS).explain_connection(REFUSAL, node("a"), node("b"), HEADER)
        assert (told.reason, told.source) == (expected, "0x" + RULES.hex())

    def test_the_rule_of_a_transaction_is_told(self) -> None:
        contracts = ScriptedContracts({(RULES, OWN_TRANSACTION): bytes(32) + b"gas-ceiling".ljust(32, b"\0")})
        contracts.register(INGRESS, admin=None, rules=RULES)
        explainer = RefusalExplainer(contracts, INGRESS)
        told = explainer.explain_transaction(REFUSAL, UnsignedTransaction(), bytes(20), HEADER)
        assert told.reason == "the gas limit is above the contract's ceiling"

    def test_a_contract_that_permits_by_now_gives_no_rule(self) -> None:
        contracts = ScriptedContracts({(RULES, OWN_TRANSACTION): (1).to_bytes(32) + bytes(32)})
        contracts.register(INGRESS, admin=None, rules=RULES)
        explainer = RefusalExplainer(contracts, INGRESS)
        assert explainer.explain_transaction(REFUSAL, UnsignedTransaction(), bytes(20), HEADER) == REFUSAL

    def test_a_node_that_moved_is_found_by_its_key(self) -> None:
        listed = node("writer", "10.0.0.7")
        contracts = ScriptedContracts(
            {(RULES, NODE_OF + listed.id): (1).to_bytes(32) * 3 + encode_enode_words(listed)[64:]}
        )
        contracts.register(INGRESS, admin=None, rules=RULES)
        explainer = RefusalExplainer(contracts, INGRESS)
        assert explainer.find_other_listed_address(node("writer", "10.0.0.8"), HEADER) == "10.0.0.7:30303"
        assert explainer.find_other_listed_address(listed, HEADER) is None
        assert explainer.find_other_listed_address(node("stranger"), HEADER) is None


def test_without_registered_rules_the_explanation_says_so() -> None:
    contracts = ScriptedContracts()
    contracts.register(INGRESS, admin=None, rules=None)
    explainer = RefusalExplainer(contracts, INGRESS)
    for told in (
        explainer.explain_connection(REFUSAL, node("a"), node("b"), HEADER),
        explainer.explain_transaction(REFUSAL, UnsignedTransaction(), bytes(20), HEADER),
    ):
        assert told.reason == "the contract refuses: no rules are registered in it"


class TestLacchainsRules:
    SENDER, TARGET = b"\x11" * 20, b"\x22" * 20

    def reasons(self, transaction: UnsignedTransaction, *, knows_target: bytes) -> list[str]:
        contracts = ScriptedContracts({(INGRESS, TARGET_LISTED): knows_target, (INGRESS, ACCOUNT_LISTED[0]): YES})
        told = RefusalExplainer(contracts, INGRESS).explain_transaction(REFUSAL, transaction, self.SENDER, HEADER)
        return told.reason.split("; ")

    def test_the_target_and_the_price_and_the_gas_are_told(self) -> None:
        call = UnsignedTransaction(to=self.TARGET, gas_price=7, gas_limit=300_104, data=b"\1")
        assert self.reasons(call, knows_target=NO) == [
            f"the target 0x{self.TARGET.hex()} is not in the contract's list of targets",
            "the gas price must be 0 and is 7",
            "the gas limit must be at least 300105 for this payload and is 300104",
        ]
        creation = UnsignedTransaction(gas_limit=400_000)
        assert self.reasons(creation, knows_target=NO) == [
            "the creation of contracts is not in the contract's list of targets"
        ]

    def test_a_relayed_transaction_is_told_what_it_must_name(self) -> None:
        relayed = UnsignedTransaction(to=self.TARGET, gas_limit=400_000, data=LACCHAIN_RELAY[0])
        (reason,) = self.reasons(relayed, knows_target=YES)
        assert reason.startswith("a relayed transaction must name its gas limit")


class Slow(Standard):
    """Standard rules that take `clock` 0.4 seconds further with each entry of their list."""

    def __init__(self, clock: list[float], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clock, self.calls = clock, 0

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        self.calls += 1
        self.clock[0] += 0.4 if data.startswith(selector("getByIndex(uint256)")) else 0
        return super().read(contract, data, header, seconds)


def test_a_slow_list_takes_the_time_of_one_explanation_a_minute() -> None:
    """Any stranger that calls causes an explanation, and other connections wait for it."""
    clock = [100.0]
    contract = Slow(clock, 2, [node(str(number)) for number in range(500)], [])
    explainer = RefusalExplainer(contract, INGRESS, lambda: clock[0])
    stranger = node("a stranger")
    explainer.explain_connection(REFUSAL, stranger, node("1"), HEADER)
    assert clock[0] - 100 < ALL_CALLS_SECONDS + 1
    calls = contract.calls
    assert explainer.explain_connection(REFUSAL, node("another stranger"), node("1"), HEADER) == REFUSAL
    assert explainer.find_other_listed_address(stranger, HEADER) is None
    assert contract.calls == calls
    clock[0] += SILENCE_SECONDS
    contract.listed.clear()
    assert explainer.explain_connection(REFUSAL, stranger, node("1"), HEADER) != REFUSAL
