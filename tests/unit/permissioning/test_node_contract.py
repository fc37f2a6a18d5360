"""What a node contract is told to be when it does not answer as it should, by each interface."""

from collections.abc import Callable

import pytest

from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import CONNECTION_ALLOWED_V1, CONNECTION_ALLOWED_V2, PERMITTED, REFUSED
from lacnode.permissioning.contract_reader import ContractReading, ContractTimeoutError, NoContractError
from lacnode.permissioning.node_contract import NODE_DENIED, NodeContract
from lacnode.primitives.header import BlockHeader
from tests.simulation.ledger import genesis_block
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.support.scripted_contracts import NO, YES, ScriptedContracts

INGRESS, RULES = b"\x01" * 20, b"\x02" * 20
HEADER = genesis_block((b"\x09" * 20,), 1, IBFT2_ONLY).header
ONE, OTHER = (Enode(bytes([number]) * 64, f"10.0.0.{number}", 30303, None) for number in (1, 2))
NAMED = Enode(OTHER.id, "writer.example", 30303, None)


class Failing(ScriptedContracts):
    """Every call fails with `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        raise self._error


BROKEN: dict[str, tuple[Callable[[], ScriptedContracts], str]] = {
    "reverts": (ScriptedContracts, "it reverted"),
    "runs for ever": (
        lambda: Failing(ContractTimeoutError("gave no answer within 2 s")),
        "it gave no answer within 2 s",
    ),
    "no code": (lambda: Failing(NoContractError("has no code")), "it has no code"),
    "answers nonsense": (
        lambda: ScriptedContracts({(INGRESS, CONNECTION_ALLOWED_V1): b"*", (INGRESS, CONNECTION_ALLOWED_V2): b"*"}),
        "it gives an unexpected answer: Unexpected result",
    ),
}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_contract_permits_no_connection_and_is_named(kind: str, version: int) -> None:
    make, told = BROKEN[kind]
    contract = NodeContract(make(), INGRESS, version)
    decision = contract.decide(ONE, OTHER, HEADER, 1)
    assert not decision.allowed
    assert decision.reason.endswith(", which permits no connection")
    assert not contract.gives_answer(ONE, OTHER, HEADER, 1)
    problem = str(NodeContract(make(), INGRESS, version).find_problem(HEADER, 1))
    assert f"does not match the expected interface version {version}: {told}" in problem
    assert not contract.lists_as_denied(OTHER.id, HEADER, 1)


@pytest.mark.parametrize(("answer", "allowed"), [(PERMITTED, True), (REFUSED, False)])
def test_yes_and_no_are_answers(answer: bytes, allowed: bool) -> None:
    contract = NodeContract(ScriptedContracts({(INGRESS, CONNECTION_ALLOWED_V1): answer}), INGRESS, 1)
    assert contract.decide(ONE, OTHER, HEADER, 1).allowed == allowed
    assert contract.gives_answer(ONE, OTHER, HEADER, 1)
    assert contract.find_problem(HEADER, 1) is None


def test_a_question_that_the_interface_cannot_express_is_no_fault_of_the_contract() -> None:
    contract = NodeContract(ScriptedContracts(), INGRESS, 1)
    assert contract.gives_answer(ONE, NAMED, HEADER, 1)
    assert not contract.can_encode_question(ONE, NAMED)
    assert contract.can_encode_question(ONE, OTHER)
    assert NodeContract(ScriptedContracts(), INGRESS, 2).can_encode_question(ONE, NAMED)
    assert not contract.decide(ONE, NAMED, HEADER, 1).allowed


def test_a_list_of_denied_nodes_is_asked_of_the_registered_rules() -> None:
    contracts = ScriptedContracts({(RULES, NODE_DENIED + ONE.id): YES, (RULES, NODE_DENIED + OTHER.id): NO})
    contracts.register(INGRESS, admin=None, rules=RULES)
    contract = NodeContract(contracts, INGRESS, 1)
    assert contract.lists_as_denied(ONE.id, HEADER, 1)
    assert not contract.lists_as_denied(OTHER.id, HEADER, 1)
    contracts.register(INGRESS, admin=None, rules=None)
    assert not contract.lists_as_denied(ONE.id, HEADER.with_changes(number=1), 1)
