"""Who may connect: the rules in their order, at every kind of moment."""

from dataclasses import replace

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import PERMITTED, REFUSED, encode_connection_call, encode_node_call
from lacnode.permissioning.contract_reader import ContractReading, ContractUnreadableError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.node_contract import NodeContract
from lacnode.permissioning.node_permissions import NodePermissions, PermissioningContext
from lacnode.permissioning.refused_connections import MAX_REFUSED_CONNECTIONS, RefusedConnections
from lacnode.primitives.header import BlockHeader
from tests.support.rpc_chain import node

KEYS = [NodeKey.generate() for _ in range(4)]
OWN, VALIDATOR, BOOT, STRANGER = (Enode(key.public_key, f"10.0.0.{n}", 30303, None) for n, key in enumerate(KEYS, 1))
ADDRESS = bytes(18) + b"\x99\x99"
HEADER = node().chain.head.header


class Contract:
    """Answers interface 1 with whatever it is given."""

    def __init__(self, output: bytes | ContractUnreadableError) -> None:
        self.output = output

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        if isinstance(self.output, ContractUnreadableError):
            raise self.output
        return ContractReading(self.output, frozenset(), frozenset(), True)

    def fingerprint(self, accounts: object, header: BlockHeader) -> int:
        return 0


class ContractOfNodes(Contract):
    """Answers interface 2: it permits the nodes given and no others."""

    def __init__(self, *permitted: Enode) -> None:
        super().__init__(REFUSED)
        self._calls = {encode_node_call(enode) for enode in permitted}

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        self.output = (data in self._calls).to_bytes(32)
        return super().read(contract, data, header, seconds)


class List:
    """A local list of nodes."""

    def __init__(self, *listed: Enode) -> None:
        self._listed = {enode.id for enode in listed} | {OWN.id}

    def decide(self, enode: Enode) -> Decision:
        return Decision(enode.id in self._listed, "local-nodes", "list.toml", None, "the list decides")


def rules(
    answer: bytes | ContractUnreadableError | None = REFUSED,
    listed: List | None = None,
    fixed: tuple[Enode, ...] = (BOOT,),
) -> NodePermissions:
    contract = None if answer is None else NodeContract(Contract(answer), ADDRESS)
    return NodePermissions(
        OWN.id, local=listed, contract=contract, bootnodes=[BOOT.id], fixed=[enode.id for enode in fixed]
    )


SETTLED = PermissioningContext(HEADER, (KEYS[0].address, KEYS[1].address), is_current=True, is_isolated=False)
BEHIND = replace(SETTLED, validators=(), is_current=False)
ALONE = replace(SETTLED, is_isolated=True)


def decided(
    permissions: NodePermissions, source: Enode, destination: Enode, context: PermissioningContext = SETTLED
) -> tuple[bool, str]:
    decision = permissions.decide(source, destination, context, 1)
    return decision.allowed, decision.rule


@pytest.mark.parametrize(("answer", "allowed"), [(PERMITTED, True), (REFUSED, False)])
def test_the_contract_decides_about_strangers(answer: bytes, allowed: bool) -> None:
    assert decided(rules(answer), STRANGER, OWN) == (allowed, "node-contract")


@pytest.mark.parametrize(
    ("permitted", "allowed"), [((OWN, STRANGER), True), ((OWN,), False), ((STRANGER,), False), ((), False)]
)
def test_by_interface_2_both_nodes_must_be_permitted(permitted: tuple[Enode, ...], allowed: bool) -> None:
    contract = NodeContract(ContractOfNodes(*permitted), ADDRESS, version=2)
    permissions = NodePermissions(OWN.id, contract=contract)
    for source, destination in ((STRANGER, OWN), (OWN, STRANGER)):
        assert decided(permissions, source, destination) == (allowed, "node-contract")


@pytest.mark.parametrize(
    "answer",
    [ContractUnreadableError("reverted"), b"", bytes(31), bytes(32), bytes(33), b"\xff" * 31 + b"\xfe", bytes(100_000)],
)
def test_a_broken_contract_is_closed_for_strangers_and_open_among_validators(
    answer: bytes | ContractUnreadableError,
) -> None:
    assert decided(rules(answer), STRANGER, OWN) == (False, "node-contract")
    assert decided(rules(answer), VALIDATOR, OWN) == (True, "validators-of-the-state")
    assert decided(rules(answer), OWN, VALIDATOR) == (True, "validators-of-the-state")


@pytest.mark.parametrize("answer", [ContractUnreadableError("reverted"), b"", REFUSED])
def test_a_node_that_is_no_validator_hears_from_validators_that_a_broken_contract_was_mended(
    answer: bytes | ContractUnreadableError,
) -> None:
    ordinary = replace(SETTLED, validators=(KEYS[1].address,))
    expected = (False, "node-contract") if answer == REFUSED else (True, "validators-of-the-state")
    assert decided(rules(answer), VALIDATOR, OWN, ordinary) == expected
    assert decided(rules(answer), OWN, VALIDATOR, ordinary) == expected
    assert decided(rules(answer), STRANGER, OWN, ordinary) == (False, "node-contract")
    assert decided(rules(answer), VALIDATOR, STRANGER, ordinary) == (False, "node-contract")
    assert decided(rules(answer, List()), VALIDATOR, OWN, ordinary) == (False, "local-nodes")


def test_decisions_are_counted_by_their_rule() -> None:
    permissions = rules(REFUSED, List(VALIDATOR))
    for source in (STRANGER, STRANGER, VALIDATOR):
        decided(permissions, source, OWN)
    assert permissions.counts.decisions() == {("local-nodes", False): 2, ("validators-of-the-state", True): 1}


def test_a_validator_is_open_to_validators_only() -> None:
    assert decided(rules(), STRANGER, VALIDATOR) == (False, "node-contract")


def test_who_is_no_validator_any_more_is_decided_about_by_the_contract() -> None:
    assert decided(rules(), VALIDATOR, OWN, replace(SETTLED, validators=(OWN.id,))) == (False, "node-contract")


def test_a_node_that_is_behind_connects_to_its_fixed_nodes_only() -> None:
    assert decided(rules(REFUSED), OWN, BOOT, BEHIND) == (True, "not-synchronised")
    assert decided(rules(PERMITTED), OWN, STRANGER, BEHIND) == (False, "not-synchronised")
    assert decided(rules(PERMITTED), STRANGER, OWN, BEHIND) == (False, "not-synchronised")


def test_a_node_without_fixed_nodes_goes_by_the_contract_from_the_first_second() -> None:
    assert decided(rules(PERMITTED, fixed=()), OWN, STRANGER, BEHIND) == (True, "node-contract")


def test_a_node_without_other_peers_may_connect_to_a_bootnode() -> None:
    assert decided(rules(), OWN, BOOT, ALONE) == (True, "insufficient-peers")
    assert decided(rules(), OWN, STRANGER, ALONE) == (False, "node-contract")
    assert decided(rules(), OWN, BOOT, SETTLED) == (False, "node-contract")


def test_a_doctored_local_list_lets_nobody_in_whom_the_contract_refuses() -> None:
    assert decided(rules(REFUSED, List(STRANGER)), STRANGER, OWN) == (False, "node-contract")


def test_local_list_and_contract_must_both_permit() -> None:
    assert decided(rules(PERMITTED, List()), STRANGER, OWN) == (False, "local-nodes")
    assert decided(rules(PERMITTED, List(STRANGER)), STRANGER, OWN) == (True, "node-contract")


def test_a_validator_that_the_operator_left_out_by_name_is_refused() -> None:
    assert decided(rules(PERMITTED, List()), VALIDATOR, OWN) == (False, "local-nodes")


def test_without_a_contract_the_local_list_alone_decides() -> None:
    assert decided(rules(None, List(STRANGER)), STRANGER, OWN, BEHIND) == (True, "local-nodes")
    assert decided(rules(None, List()), STRANGER, OWN, ALONE) == (False, "local-nodes")


def test_a_host_name_cannot_be_asked_about_by_interface_1() -> None:
    named = Enode(STRANGER.id, "node.example", 30303, None)
    decision = rules(PERMITTED).decide(named, OWN, SETTLED, 1)
    assert not decision.allowed
    assert "'node.example' is no IP address" in decision.reason


class TestQuestions:
    ENODE = Enode(
        bytes.fromhex(
            "6f8a80d14311c39f35f516fa664deaaaa13e85b2f7493f37f6144d86991ec012"
            "937307647bd3b9a82abe2974e1407241d54947bbb39763a4cac9f77166ad92a0"
        ),
        "10.3.58.6",
        30303,
        None,
    )

    def test_interface_1_as_besu_writes_it(self) -> None:
        words = (
            self.ENODE.id.hex()
            + "00000000000000000000ffff0a033a0600000000000000000000000000000000"
            + "000000000000000000000000000000000000000000000000000000000000765f"
        )
        assert encode_connection_call(self.ENODE, self.ENODE).hex() == "3620b1df" + words * 2

    def test_ipv6_and_an_unknown_port(self) -> None:
        enode = replace(self.ENODE, host="2001:db8::1", tcp=0)
        assert encode_connection_call(enode, self.ENODE)[4 + 64 : 4 + 128].hex() == (
            "20010db800000000000000000000000100000000000000000000000000000000" + "00" * 32
        )

    def test_interface_2_as_besu_writes_it(self) -> None:
        data = encode_node_call(self.ENODE)
        assert len(data) == 324
        assert data[:4].hex() == "45a59e5b"
        assert [int.from_bytes(data[4 + 32 * n : 36 + 32 * n]) for n in range(4)] == [0x60, 0x100, 0x765F, 0x80]

    def test_interface_2_has_an_ipv6_address_in_brackets(self) -> None:
        """As `EnodeURLImpl.getHost` gives it, which deployed contracts compare with what is listed."""
        data = encode_node_call(replace(self.ENODE, host="2001:db8::1"))
        assert data[-64:-32] == (13).to_bytes(32)
        assert data[-32:] == b"[2001:db8::1]".ljust(32, b"\0")


class TestRefusedConnections:
    REFUSAL = Decision(False, "node-contract", "0x99", 7, "not listed")

    def test_the_same_refusal_is_news_once(self) -> None:
        table = RefusedConnections(lambda: 5.0)
        assert table.record_refusal(STRANGER, True, self.REFUSAL)
        assert not table.record_refusal(STRANGER, True, replace(self.REFUSAL, block=8))
        assert table.record_refusal(STRANGER, True, replace(self.REFUSAL, reason="another"))
        assert table.record_refusal(STRANGER, False, self.REFUSAL)

    def test_who_is_permitted_now_is_no_longer_in_it(self) -> None:
        table = RefusedConnections(lambda: 5.0)
        table.record_refusal(STRANGER, True, self.REFUSAL)
        table.record_refusal(BOOT, True, self.REFUSAL)
        table.remove(STRANGER.id)
        assert [refusal.enode for refusal in table.all()] == [BOOT]

    def test_strangers_cannot_fill_it(self) -> None:
        table = RefusedConnections(lambda: 5.0)
        for number in range(MAX_REFUSED_CONNECTIONS + 5):
            table.record_refusal(replace(STRANGER, id=number.to_bytes(64)), True, self.REFUSAL)
        assert len(table.all()) == MAX_REFUSED_CONNECTIONS
        assert table.all()[0].enode.id == (MAX_REFUSED_CONNECTIONS + 4).to_bytes(64)
