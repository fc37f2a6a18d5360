"""The type of a node, as lacnode's own rules and LACChain's list give it."""

import pytest

from lacnode.permissioning import node_type
from lacnode.permissioning.abi import RULES_NAME, encode_registered_call
from lacnode.permissioning.listed_nodes import GET_BY_INDEX, GET_SIZE, MAX_LISTED_NODES
from lacnode.permissioning.node_type import LACCHAIN_ENTRY, NODE_OF, read_node_type
from lacnode.permissioning.topology import NodeType
from tests.simulation.ledger import genesis_block
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.support.scripted_contracts import ScriptedContracts

INGRESS, RULES = b"\x01" * 20, b"\x02" * 20
HEADER = genesis_block((b"\x09" * 20,), 1, IBFT2_ONLY).header
NODE, OTHER = b"\xaa" * 64, b"\xbb" * 64


def word(number: int) -> bytes:
    return number.to_bytes(32)


def own_rules(entry: bytes) -> ScriptedContracts:
    contracts = ScriptedContracts({(RULES, NODE_OF + NODE): entry})
    contracts.register(INGRESS, admin=None, rules=RULES)
    return contracts


def listing(*entries: bytes, size: int | None = None, ingress: bytes = INGRESS) -> ScriptedContracts:
    contracts = ScriptedContracts({(RULES, GET_SIZE): word(len(entries) if size is None else size)})
    for index, entry in enumerate(entries):
        contracts.answers[RULES, GET_BY_INDEX + word(index)] = entry
    contracts.register(ingress, admin=None, rules=RULES)
    return contracts


def lacchain_entry(node_id: bytes, number: int) -> bytes:
    return (node_id + bytes(64) + word(number)).ljust(LACCHAIN_ENTRY, b"\0")


def type_of(contracts: ScriptedContracts) -> NodeType | None:
    return read_node_type(contracts, INGRESS, NODE, HEADER)


@pytest.mark.parametrize("expected", list(NodeType))
def test_own_rules_and_lacchains_list_give_the_type(expected: NodeType) -> None:
    assert type_of(own_rules(word(1) + word(expected.value) + bytes(96))) is expected
    entries = (lacchain_entry(OTHER, NodeType.BOOT.value), lacchain_entry(NODE, expected.value))
    assert type_of(listing(*entries)) is expected
    assert expected.lower_name == expected.name.lower()


def test_a_node_that_is_not_listed_has_no_type() -> None:
    assert type_of(own_rules(bytes(160))) is None
    assert type_of(listing(lacchain_entry(OTHER, 1))) is None
    assert type_of(listing()) is None


def test_an_unknown_number_is_no_type() -> None:
    assert type_of(own_rules(word(1) + word(2**255) + bytes(96))) is None
    assert type_of(listing(lacchain_entry(NODE, 5))) is None


def test_besus_entries_have_no_types() -> None:
    assert type_of(listing(NODE + bytes(64))) is None


def test_a_list_that_claims_too_much_is_read_to_a_bound() -> None:
    contracts = listing(size=2**256 - 1)
    contracts.answers[RULES, GET_BY_INDEX] = lacchain_entry(OTHER, 1)
    assert type_of(contracts) is None
    assert len([data for _, data in contracts.asked if data.startswith(GET_BY_INDEX)]) == MAX_LISTED_NODES


def test_an_address_that_is_no_ingress_has_no_types() -> None:
    assert type_of(ScriptedContracts()) is None
    assert type_of(ScriptedContracts({(INGRESS, encode_registered_call(RULES_NAME)): b"\xff" * 32})) is None


def test_an_ingress_without_rules_is_read_itself() -> None:
    contracts = ScriptedContracts({(INGRESS, NODE_OF + NODE): word(1) + word(2) + bytes(96)})
    contracts.register(INGRESS, admin=None, rules=None)
    assert type_of(contracts) is NodeType.WRITER


def test_a_list_is_read_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_type, "ALL_CALLS_SECONDS", 0)
    contracts = listing(lacchain_entry(NODE, 1))
    assert type_of(contracts) is None
    assert not contracts.asked
