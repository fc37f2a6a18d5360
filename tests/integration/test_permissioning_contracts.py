"""Every rule of lacnode's own contracts, every caller that must be denied, and the bytes they were compiled to."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import decode

from lacnode.chain.chain_contracts import ChainContracts
from lacnode.crypto.secp256k1 import address_of
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import (
    ADMIN_NAME,
    PERMITTED,
    REFUSED,
    RULES_NAME,
    encode_connection_call,
    encode_enode_words,
    encode_node_call,
    encode_transaction_call,
)
from lacnode.permissioning.artifacts import NAMES, load_artifact
from lacnode.permissioning.node_contract import NodeContract
from lacnode.permissioning.node_permissions import NodePermissions, PermissioningContext
from lacnode.permissioning.refusal_explanation import RefusalExplainer
from lacnode.permissioning.topology import CONNECTIONS, GROUPS, NodeType
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from tests.support.contract_network import (
    ACCOUNT_INGRESS,
    ACCOUNT_RULES,
    ADMIN,
    GAS,
    NODE_INGRESS,
    NODE_RULES,
    OUTSIDER,
    Contracts,
    enode,
)
from tests.support.evm_network import RICH, hash_of, signed

SOURCES = Path(__file__).resolve().parents[2] / "lacnode" / "permissioning" / "contracts"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "cadena" / "contracts"
TYPES = [NodeType.VALIDATOR, NodeType.BOOT, NodeType.WRITER, NodeType.OBSERVER]
ENTRY = "bytes32,bytes32,bytes16,uint16,uint8,bytes6,string,string,string,bytes32"
SPLIT = "bytes32,bytes32,bytes16,uint16"
UNREADABLE = (
    "node.example 256.0.0.1 10.0.0  : ::: 0 1::2::3 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7:8:: 12345:: "
    "0:0:0:0:0:0:0: :0:0:0:0:0:0:0 fe80::1%eth0 ::g ::1] [::"
)
"""Hosts, the empty one among them, that are no IP address."""


def split(node: Enode) -> tuple[bytes, bytes, bytes, int]:
    words = encode_enode_words(node)
    return words[:32], words[32:64], words[64:80], int.from_bytes(words[96:])


def entry(word: str, type_: NodeType = NodeType.WRITER) -> tuple[object, ...]:
    return (*split(enode(word)), type_.value, bytes(6), word, "", "", GROUPS[type_])


def connected(contracts: Contracts, source: Enode, destination: Enode) -> bool:
    """Interface 1 through the ingress."""
    output = contracts.network.call(to=NODE_INGRESS, data=encode_connection_call(source, destination), gas=GAS).output
    assert output in (PERMITTED, REFUSED)
    return output == PERMITTED


def permitted(contracts: Contracts, node: Enode) -> bool:
    """Interface 2 through the ingress."""
    output = contracts.network.call(to=NODE_INGRESS, data=encode_node_call(node), gas=GAS).output
    assert output in (bytes(32), bytes(31) + b"\1")
    return output != bytes(32)


def allowed(
    contracts: Contracts, sender: bytes, to: bytes | None = b"\x42" * 20, gas: int = 21_000
) -> tuple[bool, str]:
    """Through the ingress, and the rule that the rules contract names."""
    data = encode_transaction_call(UnsignedTransaction(to=to, gas_limit=gas, data=b"payload"), sender)
    output = contracts.network.call(to=ACCOUNT_INGRESS, data=data, gas=GAS).output
    assert output in (bytes(32), bytes(31) + b"\1")
    decided, rule = contracts.ask(
        ACCOUNT_RULES, "transactionDecision(address,address,uint256,uint256,uint256,bytes)",
        sender, to or bytes(20), 0, 0, gas, b"payload", returns="bool,bytes32",
    )  # fmt: skip
    assert decided == (output != bytes(32))
    return decided, rule.rstrip(b"\0").decode()


def rule_of(contracts: Contracts, source: Enode, destination: Enode) -> str:
    signature = f"connectionDecision({SPLIT},{SPLIT})"
    decided, rule = contracts.ask(NODE_RULES, signature, *split(source), *split(destination), returns="bool,bytes32")
    assert decided == connected(contracts, source, destination)
    return str(rule.rstrip(b"\0").decode())


class TestNodeRules:
    def test_roles_connect_as_lacchains_topology_says(self) -> None:
        contracts = Contracts({f"{type_.lower_name}-{n}": type_ for type_ in TYPES for n in (1, 2)})
        pairs = {frozenset(pair) for pair in CONNECTIONS}
        for one in TYPES:
            for other in TYPES:
                source, destination = enode(f"{one.lower_name}-1"), enode(f"{other.lower_name}-2")
                expected = frozenset((one, other)) in pairs
                assert connected(contracts, source, destination) is expected, (one, other)
                assert rule_of(contracts, source, destination) == ("allowed" if expected else "groups-apart")

    def test_a_stranger_connects_to_nobody(self) -> None:
        contracts = Contracts({"boot": NodeType.BOOT})
        assert rule_of(contracts, enode("stranger"), enode("boot")) == "source-unlisted"
        assert rule_of(contracts, enode("boot"), enode("stranger")) == "target-unlisted"
        assert permitted(contracts, enode("boot"))
        assert not permitted(contracts, enode("stranger"))

    def test_a_node_is_its_key_until_its_address_is_insisted_on(self) -> None:
        contracts = Contracts({"boot": NodeType.BOOT, "writer": NodeType.WRITER})
        boot, writer = enode("boot"), enode("writer")
        moved = [Enode(writer.id, "10.9.9.9", 30303, None), Enode(writer.id, writer.host, 1, None)]
        for node in moved:
            assert connected(contracts, node, boot)
            assert permitted(contracts, node)
        assert contracts.send(NODE_RULES, "insistOnAddress(bool)", True)
        for node in moved:
            assert rule_of(contracts, node, boot) == "source-address"
            assert rule_of(contracts, boot, node) == "target-address"
            assert not permitted(contracts, node)
        assert connected(contracts, writer, boot)
        assert permitted(contracts, writer)

    @pytest.mark.parametrize(
        ("text", "host"),
        [
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
            ("2001:DB8:1:2:3:4:5:abcd", "2001:db8:1:2:3:4:5:abcd"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("fe80::1:0:0:ff", "fe80::1:0:0:ff"),
            ("::1", "::1"),
            ("::", "::"),
        ],
    )
    def test_an_insisted_ipv6_address_is_read(self, text: str, host: str) -> None:
        """As Besu writes it, compressed and in brackets, and in any other form; another address is another."""
        contracts = Contracts()
        listed = Enode(enode("six").id, host, 30303, None)
        contracts.send(NODE_RULES, f"addEnode({ENTRY})", *split(listed), *entry("six")[4:])
        contracts.send(NODE_RULES, "insistOnAddress(bool)", True)
        assert permitted(contracts, replace(listed, host=text))
        assert not permitted(contracts, replace(listed, host="2001:db8::2"))
        assert not permitted(contracts, replace(listed, tcp=30304))

    @pytest.mark.parametrize(
        ("host", "place"), [("10.9.9.9", "10.9.9.9:30303"), ("2001:db8::1", "[2001:db8::1]:30303")]
    )
    def test_it_is_told_where_a_node_that_moved_is_listed(self, host: str, place: str) -> None:
        contracts = Contracts()
        listed = Enode(enode("moved").id, host, 30303, None)
        contracts.send(NODE_RULES, f"addEnode({ENTRY})", *split(listed), *entry("moved")[4:])
        network = contracts.network
        explainer = RefusalExplainer(ChainContracts(network.spec, network.engine, hash_of), NODE_INGRESS)
        assert explainer.find_other_listed_address(enode("moved"), network.header) == place
        assert explainer.find_other_listed_address(listed, network.header) is None

    @pytest.mark.parametrize("host", UNREADABLE.split(" "))
    def test_a_host_that_cannot_be_read_is_no_listed_address(self, host: str) -> None:
        """Not even of a node that was listed without an address."""
        contracts = Contracts()
        node = enode("nowhere")
        values = (node.id[:32], node.id[32:], bytes(16), node.tcp, *entry("nowhere")[4:])
        contracts.send(NODE_RULES, f"addEnode({ENTRY})", *values)
        question = Enode(node.id, host, node.tcp, None)
        assert permitted(contracts, question)
        contracts.send(NODE_RULES, "insistOnAddress(bool)", True)
        assert not permitted(contracts, question)

    def test_a_denied_node_connects_to_nobody_until_it_is_pardoned(self) -> None:
        contracts = Contracts({"boot": NodeType.BOOT, "writer": NodeType.WRITER})
        high, low, _, _ = split(enode("writer"))
        assert contracts.send(NODE_RULES, "denyNode(bytes32,bytes32)", high, low)
        assert contracts.ask(NODE_RULES, "nodeDenied(bytes32,bytes32)", high, low, returns="bool")
        assert rule_of(contracts, enode("writer"), enode("boot")) == "source-denied"
        assert rule_of(contracts, enode("boot"), enode("writer")) == "target-denied"
        assert not permitted(contracts, enode("writer"))
        assert contracts.send(NODE_RULES, "pardonNode(bytes32,bytes32)", high, low)
        assert connected(contracts, enode("writer"), enode("boot"))

    def test_a_denied_validator_is_denied_by_the_node_too(self) -> None:
        """Validators admit one another whatever the contract says, unless it denies one by name. Denials that leave no
        quorum could never be taken back, so they do not count."""
        contracts = Contracts()
        own, *others = nodes = [enode(word) for word in ("own", "second", "third", "fourth")]
        validators = [address_of(node.id) for node in nodes]
        network = contracts.network
        reader = ChainContracts(network.spec, network.engine, hash_of)
        rules = NodePermissions(own.id, contract=NodeContract(reader, NODE_INGRESS))

        def admitted() -> list[bool]:
            context = PermissioningContext(network.header, validators, is_current=True, is_isolated=False)
            return [rules.decide(other, own, context, 5).allowed for other in others]

        assert admitted() == [True, True, True]
        contracts.send(NODE_RULES, "denyNode(bytes32,bytes32)", *split(others[0])[:2])
        assert admitted() == [False, True, True]
        contracts.send(NODE_RULES, "denyNode(bytes32,bytes32)", *split(others[1])[:2])
        assert admitted() == [True, True, True]
        contracts.send(NODE_RULES, "pardonNode(bytes32,bytes32)", *split(others[0])[:2])
        assert admitted() == [True, False, True]

    def test_nodes_are_added_listed_and_removed(self) -> None:
        contracts = Contracts({"boot": NodeType.BOOT, "first": NodeType.WRITER, "last": NodeType.WRITER})
        assert contracts.refusal(NODE_RULES, f"addEnode({ENTRY})", *entry("first")) == "the node is listed already"
        logs = contracts.send(NODE_RULES, f"addEnode({ENTRY})", *entry("new"))
        assert logs is not None
        assert [log.topics[0].hex() for log in logs] == [
            "983a527ad2402ad85d7f70bcae14ec1567e0b0d2e06a6f72ffbcabfe3e8863ea",  # NodeAdded, as in Besu's rules
            "66120f934b66d52127e448f8e94c2460ea62821335e0dd18e89ed38a4a09b413",  # NodePermissionsUpdated of the ingress
        ]
        assert connected(contracts, enode("new"), enode("boot"))
        assert contracts.send(NODE_RULES, f"removeEnode({SPLIT})", *split(enode("first")))
        assert not connected(contracts, enode("first"), enode("boot"))
        size = contracts.ask(NODE_RULES, "getSize()", returns="uint256")
        names = [contracts.ask(NODE_RULES, "getByIndex(uint256)", n, returns=ENTRY)[6] for n in range(size)]
        assert sorted(names) == ["boot", "last", "new"]
        assert (
            contracts.refusal(NODE_RULES, f"removeEnode({SPLIT})", *split(enode("first"))) == "the node is not listed"
        )
        for word in ("last", "new", "boot"):
            assert contracts.send(NODE_RULES, f"removeEnode({SPLIT})", *split(enode(word))) is not None
        assert contracts.ask(NODE_RULES, "getSize()", returns="uint256") == 0

    def test_groups_are_connected_and_parted(self) -> None:
        contracts = Contracts({"writer": NodeType.WRITER, "observer": NodeType.OBSERVER})
        writer, observer = enode("writer"), enode("observer")
        groups = GROUPS[NodeType.WRITER], GROUPS[NodeType.OBSERVER]
        assert contracts.send(NODE_RULES, "addConnection(bytes32,bytes32)", *groups)
        assert connected(contracts, writer, observer)
        assert connected(contracts, observer, writer)
        assert contracts.send(NODE_RULES, "removeConnection(bytes32,bytes32)", *groups)
        assert not connected(contracts, writer, observer)
        assert not connected(contracts, observer, writer)

    @pytest.mark.parametrize(
        "id_",
        ["", "0" * 127, "0" * 129, "g" * 128, "é" * 64, "0x" + "0" * 126],
        ids=["empty", "127", "129", "g", "é", "0x"],
    )
    def test_what_is_no_node_id_is_permitted_nothing(self, id_: str) -> None:
        contracts = Contracts({"boot": NodeType.BOOT})
        signature = "connectionAllowed(string,string,uint16)"
        assert contracts.ask(NODE_INGRESS, signature, id_, "10.0.0.1", 30303, returns="bool") is False

    def test_a_node_id_is_read_in_either_case(self) -> None:
        contracts, boot = Contracts({"boot": NodeType.BOOT}), enode("boot")
        signature = "connectionAllowed(string,string,uint16)"
        for text in (boot.id.hex(), boot.id.hex().upper()):
            assert contracts.ask(NODE_INGRESS, signature, text, boot.host, boot.tcp, returns="bool") is True


class TestAccountRules:
    def test_listed_accounts_send_and_others_do_not(self) -> None:
        contracts = Contracts()
        assert allowed(contracts, RICH.address) == (True, "allowed")
        assert allowed(contracts, OUTSIDER.address) == (False, "sender-unlisted")
        assert contracts.send(ACCOUNT_RULES, "addAccount(address)", OUTSIDER.address)
        assert allowed(contracts, OUTSIDER.address) == (True, "allowed")
        assert contracts.send(ACCOUNT_RULES, "removeAccount(address)", OUTSIDER.address)
        assert allowed(contracts, OUTSIDER.address) == (False, "sender-unlisted")

    def test_to_create_contracts_is_a_right_of_its_own(self) -> None:
        contracts = Contracts()
        contracts.send(ACCOUNT_RULES, "addAccount(address)", OUTSIDER.address)
        assert allowed(contracts, OUTSIDER.address, None) == (False, "no-deploy-right")
        assert contracts.send(ACCOUNT_RULES, "setDeployRight(address,bool)", OUTSIDER.address, True)
        assert allowed(contracts, OUTSIDER.address, None) == (True, "allowed")
        contracts.send(ACCOUNT_RULES, "removeAccount(address)", OUTSIDER.address)
        contracts.send(ACCOUNT_RULES, "addAccount(address)", OUTSIDER.address)
        assert allowed(contracts, OUTSIDER.address, None) == (False, "no-deploy-right"), "it went with the account"

    def test_targets_can_be_restricted(self) -> None:
        contracts, target = Contracts(), b"\x42" * 20
        assert contracts.send(ACCOUNT_RULES, "restrictTargets(bool)", True)
        assert allowed(contracts, RICH.address, target) == (False, "target-not-allowed")
        assert contracts.send(ACCOUNT_RULES, "addTarget(address)", target)
        assert allowed(contracts, RICH.address, target) == (True, "allowed")
        assert allowed(contracts, RICH.address, None) == (True, "allowed")
        assert contracts.send(ACCOUNT_RULES, "removeTarget(address)", target)
        assert allowed(contracts, RICH.address, target) == (False, "target-not-allowed")

    def test_gas_can_have_a_ceiling(self) -> None:
        contracts = Contracts()
        assert contracts.send(ACCOUNT_RULES, "setGasCeiling(uint128)", 100_000)
        assert allowed(contracts, RICH.address, gas=100_000) == (True, "allowed")
        assert allowed(contracts, RICH.address, gas=100_001) == (False, "gas-ceiling")
        assert contracts.send(ACCOUNT_RULES, "setGasCeiling(uint128)", 0)
        assert allowed(contracts, RICH.address, gas=2**63) == (True, "allowed")

    def test_lists_can_be_read(self) -> None:
        contracts = Contracts()
        others = [bytes(19) + bytes([n]) for n in (1, 2, 3)]
        assert contracts.send(ACCOUNT_RULES, "addAccounts(address[])", [*others, RICH.address])
        assert contracts.send(ACCOUNT_RULES, "removeAccount(address)", others[0])
        expected = {"0x" + address.hex() for address in (RICH.address, *others[1:])}
        assert set(contracts.ask(ACCOUNT_RULES, "getAccounts()", returns="address[]")) == expected
        size = contracts.ask(ACCOUNT_RULES, "getSize()", returns="uint256")
        assert {
            contracts.ask(ACCOUNT_RULES, "getByIndex(uint256)", n, returns="address") for n in range(size)
        } == expected


CHANGES: list[tuple[bytes, str, tuple[object, ...]]] = [
    (NODE_RULES, f"addEnode({ENTRY})", entry("new")),
    (NODE_RULES, f"removeEnode({SPLIT})", split(enode("boot"))),
    (NODE_RULES, "denyNode(bytes32,bytes32)", split(enode("boot"))[:2]),
    (NODE_RULES, "addConnection(bytes32,bytes32)", (bytes(32), bytes(32))),
    (NODE_RULES, "removeConnection(bytes32,bytes32)", (bytes(32), bytes(32))),
    (NODE_RULES, "insistOnAddress(bool)", (True,)),
    (ACCOUNT_RULES, "addAccount(address)", (OUTSIDER.address,)),
    (ACCOUNT_RULES, "addAccounts(address[])", ([OUTSIDER.address],)),
    (ACCOUNT_RULES, "removeAccount(address)", (RICH.address,)),
    (ACCOUNT_RULES, "setDeployRight(address,bool)", (RICH.address, False)),
    (ACCOUNT_RULES, "restrictTargets(bool)", (True,)),
    (ACCOUNT_RULES, "addTarget(address)", (OUTSIDER.address,)),
    (ACCOUNT_RULES, "setGasCeiling(uint128)", (1,)),
]
OTHER_CHANGES: list[tuple[bytes, str, tuple[object, ...]]] = [
    (NODE_RULES, "enterReadOnly()", ()),
    (NODE_RULES, "exitReadOnly()", ()),
    (NODE_RULES, "pardonNode(bytes32,bytes32)", split(enode("boot"))[:2]),
    (ACCOUNT_RULES, "exitReadOnly()", ()),
    (ACCOUNT_RULES, "removeTarget(address)", (OUTSIDER.address,)),
    (ACCOUNT_RULES, "enterReadOnly()", ()),
    (ADMIN, "addAdmin(address)", (OUTSIDER.address,)),
    (ADMIN, "addAdmins(address[])", ([OUTSIDER.address],)),
    (ADMIN, "removeAdmin(address)", (RICH.address,)),
    (NODE_INGRESS, "setContractAddress(bytes32,address)", (RULES_NAME, OUTSIDER.address)),
    (NODE_INGRESS, "removeContract(bytes32)", (RULES_NAME,)),
    (ACCOUNT_INGRESS, "setContractAddress(bytes32,address)", (ADMIN_NAME, OUTSIDER.address)),
    (ACCOUNT_INGRESS, "removeContract(bytes32)", (RULES_NAME,)),
]


@pytest.mark.parametrize(
    ("contract", "signature", "values"), CHANGES + OTHER_CHANGES, ids=lambda value: str(value)[:40]
)
def test_nobody_but_an_admin_changes_anything(contract: bytes, signature: str, values: tuple[object, ...]) -> None:
    contracts = Contracts({"boot": NodeType.BOOT})
    assert contracts.refusal(contract, signature, *values, by=OUTSIDER) == "the sender is no admin"
    assert contracts.send(contract, signature, *values, by=OUTSIDER) is None


@pytest.mark.parametrize(("contract", "signature", "values"), CHANGES, ids=lambda value: str(value)[:40])
def test_every_change_leaves_an_event_and_none_is_made_in_read_only_mode(
    contract: bytes, signature: str, values: tuple[object, ...]
) -> None:
    contracts = Contracts({"boot": NodeType.BOOT})
    assert contracts.send(contract, "enterReadOnly()")
    assert contracts.refusal(contract, signature, *values) == "the rules are read-only"
    assert contracts.send(contract, "exitReadOnly()")
    assert contracts.send(contract, signature, *values)


PARTS, NEW_PARTS = split(enode("boot")), split(enode("new"))
PAIR = (b"a" * 32, b"b" * 32)
WHO, WHOSE = OUTSIDER.address, to_hex(OUTSIDER.address)
TOLD, REGISTERED = "NodePermissionsUpdated(bool)", "RegistryUpdated(address,bytes32)"
FIRST = {
    "pardonNode(bytes32,bytes32)": "denyNode(bytes32,bytes32)",
    "removeTarget(address)": "addTarget(address)",
    "removeAdmin(address)": "addAdmin(address)",
    "removeAccount(address)": "addAccount(address)",
    "setDeployRight(address,bool)": "addAccount(address)",
}
"""What has to be done, with the same values, before a change can be made."""

NODE_EVENTS: list[tuple[str, tuple[object, ...], str, tuple[object, ...], bool | None]] = [
    (f"addEnode({ENTRY})", entry("new"), f"NodeAdded(bool,{SPLIT})", (True, *NEW_PARTS), False),
    (f"removeEnode({SPLIT})", PARTS, f"NodeRemoved(bool,{SPLIT})", (True, *PARTS), True),
    ("denyNode(bytes32,bytes32)", PARTS[:2], "NodeDenied(bytes32,bytes32)", PARTS[:2], True),
    ("pardonNode(bytes32,bytes32)", PARTS[:2], "NodePardoned(bytes32,bytes32)", PARTS[:2], False),
    ("addConnection(bytes32,bytes32)", PAIR, "ConnectionAdded(bytes32,bytes32)", PAIR, False),
    ("removeConnection(bytes32,bytes32)", PAIR, "ConnectionRemoved(bytes32,bytes32)", PAIR, True),
    ("insistOnAddress(bool)", (True,), "AddressInsisted(bool)", (True,), True),
    ("insistOnAddress(bool)", (False,), "AddressInsisted(bool)", (False,), False),
    ("enterReadOnly()", (), "ReadOnly(bool)", (True,), None),
]
OTHER_EVENTS: list[tuple[bytes, str, tuple[object, ...], str, tuple[object, ...]]] = [
    (ACCOUNT_RULES, "addAccount(address)", (WHO,), "AccountAdded(bool,address)", (True, WHOSE)),
    (ACCOUNT_RULES, "addAccounts(address[])", ([WHO],), "AccountAdded(bool,address)", (True, WHOSE)),
    (ACCOUNT_RULES, "removeAccount(address)", (WHO,), "AccountRemoved(bool,address)", (True, WHOSE)),
    (ACCOUNT_RULES, "setDeployRight(address,bool)", (WHO, True), "DeployRightSet(address,bool)", (WHOSE, True)),
    (ACCOUNT_RULES, "restrictTargets(bool)", (True,), "TargetsRestricted(bool)", (True,)),
    (ACCOUNT_RULES, "addTarget(address)", (WHO,), "TargetAdded(bool,address)", (True, WHOSE)),
    (ACCOUNT_RULES, "removeTarget(address)", (WHO,), "TargetRemoved(bool,address)", (True, WHOSE)),
    (ACCOUNT_RULES, "setGasCeiling(uint128)", (7,), "GasCeilingSet(uint256)", (7,)),
    (ADMIN, "addAdmin(address)", (WHO,), "AdminAdded(bool,address,string)", (True, WHOSE, "added")),
    (ADMIN, "removeAdmin(address)", (WHO,), "AdminRemoved(bool,address)", (True, WHOSE)),
    (NODE_INGRESS, "setContractAddress(bytes32,address)", (PAIR[0], ADMIN), REGISTERED, (to_hex(ADMIN), PAIR[0])),
    (NODE_INGRESS, "removeContract(bytes32)", (RULES_NAME,), REGISTERED, (to_hex(bytes(20)), RULES_NAME)),
]
EVENTS = [(NODE_RULES, *row) for row in NODE_EVENTS] + [(*row, None) for row in OTHER_EVENTS]
"""Contract, change, values; its event with its values; what the ingress says: whether rules were added, None if nothing."""


@pytest.mark.parametrize(
    ("contract", "change", "values", "event", "told", "restricts"), EVENTS, ids=[row[1][:40] for row in EVENTS]
)
def test_the_event_of_a_change_says_what_has_changed(
    contract: bytes,
    change: str,
    values: tuple[object, ...],
    event: str,
    told: tuple[object, ...],
    restricts: bool | None,
) -> None:
    contracts = Contracts({"boot": NodeType.BOOT})
    if change in FIRST:
        assert contracts.send(contract, FIRST[change], *values[: FIRST[change].count(",") + 1])
    logs = contracts.send(contract, change, *values)
    assert logs is not None
    expected = [(event, told)] + ([] if restricts is None else [(TOLD, (restricts,))])
    assert [log.topics for log in logs] == [(keccak256(signature.encode()),) for signature, _ in expected]
    assert [log.address for log in logs] == [contract, NODE_INGRESS][: len(expected)]
    for log, (signature, content) in zip(logs, expected, strict=True):
        assert decode(signature[signature.index("(") + 1 : -1].split(","), log.data) == content


class TestAdmin:
    def test_several_admins_and_the_last_one_stays(self) -> None:
        contracts = Contracts()
        assert contracts.refusal(ADMIN, "removeAdmin(address)", RICH.address) == "an admin cannot remove itself"
        assert contracts.send(ADMIN, "addAdmin(address)", OUTSIDER.address)
        assert contracts.send(ACCOUNT_RULES, "addAccount(address)", OUTSIDER.address, by=OUTSIDER)
        assert contracts.send(ADMIN, "removeAdmin(address)", RICH.address, by=OUTSIDER)
        assert contracts.ask(ADMIN, "getAdmins()", returns="address[]") == ("0x" + OUTSIDER.address.hex(),)
        assert contracts.refusal(ACCOUNT_RULES, "addTarget(address)", bytes(19) + b"\1") == "the sender is no admin"
        assert contracts.refusal(ADMIN, "removeAdmin(address)", OUTSIDER.address, by=OUTSIDER)


class TestTheWayBack:
    """An admin's mistake can be undone: by itself, or it is refused with the reason."""

    HOLDERS = (ACCOUNT_INGRESS, ACCOUNT_RULES, ADMIN, NODE_INGRESS, NODE_RULES)

    @pytest.mark.parametrize(
        ("mistake", "values", "word", "remedy", "undone_by"),
        [
            ("restrictTargets(bool)", (True,), "target-not-allowed", "restrictTargets(bool)", (False,)),
            ("setGasCeiling(uint128)", (1,), "gas-ceiling", "setGasCeiling(uint128)", (0,)),
            ("removeAccount(address)", (RICH.address,), "sender-unlisted", "addAccount(address)", (RICH.address,)),
        ],
    )
    def test_rules_against_everybody_are_undone_by_an_admin(
        self, mistake: str, values: tuple[object, ...], word: str, remedy: str, undone_by: tuple[object, ...]
    ) -> None:
        contracts = Contracts()
        assert contracts.send(ACCOUNT_RULES, mistake, *values)
        assert allowed(contracts, RICH.address) == (False, word)
        assert all(self.may_call(contracts, RICH.address, holder) for holder in self.HOLDERS)
        assert contracts.send(ACCOUNT_RULES, remedy, *undone_by)
        assert allowed(contracts, RICH.address) == (True, "allowed")

    def may_call(self, contracts: Contracts, sender: bytes, target: bytes | None) -> bool:
        """What nodes are told, with a high gas limit."""
        data = encode_transaction_call(UnsignedTransaction(to=target, gas_limit=GAS), sender)
        return contracts.network.call(to=ACCOUNT_INGRESS, data=data, gas=GAS).output == bytes(31) + b"\1"

    def test_who_is_no_admin_gains_nothing_by_it(self) -> None:
        contracts = Contracts()
        assert not any(self.may_call(contracts, OUTSIDER.address, holder) for holder in self.HOLDERS)

    def test_rules_that_break_later_are_replaced_by_an_admin(self) -> None:
        contracts = Contracts()
        # Called without data it is gone; otherwise it permits everything.
        code = bytes.fromhex("3660075733ff005b600160005260206000f3")
        rules = contracts.create(code)
        assert contracts.send(ACCOUNT_INGRESS, "setContractAddress(bytes32,address)", RULES_NAME, rules) is not None
        contracts.network.execute(signed(RICH, contracts.next_nonce(), to=rules, gas=GAS))
        assert not self.may_call(contracts, RICH.address, None)
        assert self.may_call(contracts, RICH.address, ACCOUNT_INGRESS)
        assert contracts.send(ACCOUNT_INGRESS, "setContractAddress(bytes32,address)", RULES_NAME, ACCOUNT_RULES)
        assert self.may_call(contracts, RICH.address, None)

    def test_an_admin_may_not_create_contracts_without_the_right(self) -> None:
        contracts = Contracts()
        assert contracts.send(ACCOUNT_RULES, "removeAccount(address)", RICH.address)
        assert not self.may_call(contracts, RICH.address, None)

    @pytest.mark.parametrize("ingress", [ACCOUNT_INGRESS, NODE_INGRESS])
    @pytest.mark.parametrize("name", [RULES_NAME, ADMIN_NAME, b"other".ljust(32, b"\0")])
    def test_an_address_without_code_is_not_registered(self, ingress: bytes, name: bytes) -> None:
        refusal = Contracts().refusal(ingress, "setContractAddress(bytes32,address)", name, b"\x77" * 20)
        assert refusal == "there is no contract at this address"

    @pytest.mark.parametrize(
        ("ingress", "name", "other", "reason"),
        [
            (ACCOUNT_INGRESS, RULES_NAME, NODE_RULES, "the contract does not answer transactionAllowed"),
            (ACCOUNT_INGRESS, RULES_NAME, ACCOUNT_INGRESS, "the contract does not answer transactionAllowed"),
            (ACCOUNT_INGRESS, ADMIN_NAME, ACCOUNT_RULES, "the sender would not be an admin any more"),
            (NODE_INGRESS, RULES_NAME, ACCOUNT_RULES, "the contract does not answer connectionAllowed"),
            (NODE_INGRESS, ADMIN_NAME, NODE_RULES, "the sender would not be an admin any more"),
        ],
    )
    def test_a_contract_of_another_kind_is_not_registered(
        self, ingress: bytes, name: bytes, other: bytes, reason: str
    ) -> None:
        assert Contracts().refusal(ingress, "setContractAddress(bytes32,address)", name, other) == reason

    def test_rules_that_return_a_flood_are_not_registered(self) -> None:
        """They would be asked for every transaction."""
        contracts = Contracts()
        flood = contracts.create(bytes.fromhex("620186a06000f3"))  # 100,000 bytes of zeros
        for ingress in (ACCOUNT_INGRESS, NODE_INGRESS):
            assert contracts.refusal(ingress, "setContractAddress(bytes32,address)", RULES_NAME, flood) is not None


class TestIngress:
    def test_the_admin_contract_cannot_be_removed(self) -> None:
        refusal = Contracts().refusal(NODE_INGRESS, "removeContract(bytes32)", ADMIN_NAME)
        assert refusal == "the admin contract can only be replaced"

    def test_without_rules_nobody_connects_and_everybody_sends(self) -> None:
        contracts = Contracts({"boot": NodeType.BOOT})
        for ingress in (NODE_INGRESS, ACCOUNT_INGRESS):
            assert contracts.send(ingress, "removeContract(bytes32)", RULES_NAME)
        assert not connected(contracts, enode("boot"), enode("boot"))
        assert not permitted(contracts, enode("boot"))
        data = encode_transaction_call(UnsignedTransaction(), OUTSIDER.address)
        assert contracts.network.call(to=ACCOUNT_INGRESS, data=data, gas=GAS).output == bytes(31) + b"\1"

    def test_only_the_rules_announce_a_change_of_rules(self) -> None:
        refusal = Contracts().refusal(NODE_INGRESS, "emitRulesChangeEvent(bool)", True)
        assert refusal == "the sender is not the rules contract"

    @pytest.mark.parametrize(
        ("selector", "signature"),
        [
            ("0d2020dd", "getContractAddress(bytes32)"), ("e001f841", "setContractAddress(bytes32,address)"),
            ("a43e04d8", "removeContract(bytes32)"), ("10d9042e", "getAllContractKeys()"), ("de8fa431", "getSize()"),
            ("fe9fbb80", "isAuthorized(address)"), ("11601306", "RULES_CONTRACT()"), ("1e7c27cb", "ADMIN_CONTRACT()"),
            ("8aa10435", "getContractVersion()"),
        ],
    )  # fmt: skip
    def test_has_besus_functions(self, selector: str, signature: str) -> None:
        """The selectors are those of Besu's contracts, as their clients call them."""
        assert keccak256(signature.encode())[:4].hex() == selector
        for name in ("NodeIngress", "AccountIngress"):
            assert signature in {_signature(item) for item in load_artifact(name).abi}
            assert bytes.fromhex("63" + selector) in load_artifact(name).runtime_bytecode


def _signature(item: dict[str, object]) -> str:
    inputs = item.get("inputs")
    assert isinstance(inputs, list)
    return f"{item.get('name')}({','.join(argument['type'] for argument in inputs)})"


def test_the_committed_bytes_are_what_the_sources_compile_to(tmp_path: Path) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("Node.js is not here, and the Solidity compiler needs it")
    for file in [*SOURCES.glob("*.sol"), *SOURCES.glob("*.json"), SOURCES / "build.mjs"]:
        shutil.copy(file, tmp_path)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    rebuilt = tmp_path / "rebuilt.json"
    subprocess.run(["node", "build.mjs", str(rebuilt)], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert rebuilt.read_text() == (SOURCES / "artifacts.json").read_text()
    assert set(json.loads(rebuilt.read_text())["contracts"]) == set(NAMES)
    subprocess.run(["node", "build.mjs", str(rebuilt), str(EXAMPLES)], cwd=tmp_path, check=True, timeout=300)
    assert rebuilt.read_text() == (EXAMPLES / "artifacts.json").read_text()
