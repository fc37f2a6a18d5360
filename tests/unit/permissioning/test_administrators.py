"""An administrator can correct mistaken rules, and a change that would leave nobody able to do so is seen before."""

import pytest
from eth_abi.abi import encode

from lacnode.chainspec.permissioning_schedule import PermissioningSchedule
from lacnode.permissioning import lockout
from lacnode.permissioning.abi import TRANSACTION_ALLOWED
from lacnode.permissioning.account_contract import EXEMPTION_RULE, RULE, SUSPENSION_RULE, AccountContract
from lacnode.permissioning.admin_exemption import AdminExemption
from lacnode.permissioning.contract_reader import (
    ContractReading,
    ContractUnreadableError,
    NoContractError,
    StateUnavailableError,
)
from lacnode.permissioning.lockout import MAX_ADMINS, ChangeSimulation, PermissionContracts
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from tests.simulation.ledger import genesis_block
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.support.scripted_contracts import NO, YES, ScriptedContracts

INGRESS, RULES, ADMIN, NEW_ADMIN = (bytes([number]) * 20 for number in (1, 2, 3, 4))
ALICE, BOB, CAROL = (bytes([number]) * 20 for number in (11, 12, 13))
HEADER = genesis_block((b"\x09" * 20,), 1, IBFT2_ONLY).header
GET_ADMINS, GET_OWNERS = keccak256(b"getAdmins()")[:4], keccak256(b"getOwners()")[:4]


@pytest.fixture
def contracts() -> ScriptedContracts:
    """An ingress with rules that refuse everybody, and with ALICE as its administrator."""
    contracts = ScriptedContracts({(INGRESS, TRANSACTION_ALLOWED): NO})
    contracts.register(INGRESS, admin=ADMIN, rules=RULES)
    contracts.set_admin(ADMIN, ALICE)
    contracts.set_admin(ADMIN, BOB, NO)
    return contracts


class TestExemption:
    @pytest.mark.parametrize("target", [INGRESS, RULES, ADMIN])
    def test_an_administrator_may_call_what_holds_the_rules(self, contracts: ScriptedContracts, target: bytes) -> None:
        exemption = AdminExemption(contracts, INGRESS)
        assert exemption.covers(target, ALICE, HEADER, 1)
        assert not exemption.covers(target, BOB, HEADER, 1)

    def test_nothing_else_is_exempt(self, contracts: ScriptedContracts) -> None:
        exemption = AdminExemption(contracts, INGRESS)
        assert not exemption.covers(None, ALICE, HEADER, 1), "a creation"
        assert not exemption.covers(b"\x77" * 20, ALICE, HEADER, 1)

    def test_it_follows_the_admin_contract_that_is_registered_now(self, contracts: ScriptedContracts) -> None:
        exemption = AdminExemption(contracts, INGRESS)
        assert exemption.covers(RULES, ALICE, HEADER, 1)
        contracts.register(INGRESS, admin=NEW_ADMIN, rules=RULES)
        contracts.set_admin(NEW_ADMIN, BOB)
        contracts.set_admin(NEW_ADMIN, ALICE, NO)
        later = HEADER.with_changes(number=1)
        assert not exemption.covers(RULES, ALICE, later, 1)
        assert exemption.covers(RULES, BOB, later, 1)

    def test_a_state_that_cannot_be_read_is_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nodes that have the whole state may find an administrator, and accept the block."""

        def fail(*arguments: object) -> None:
            raise StateUnavailableError("cannot be read")

        contracts = ScriptedContracts()
        monkeypatch.setattr(contracts, "read", fail)
        with pytest.raises(StateUnavailableError):
            AdminExemption(contracts, INGRESS).covers(RULES, ALICE, HEADER, 1)

    @pytest.mark.parametrize("answer", [b"", b"\x02".rjust(32, b"\0"), bytes(64)])
    def test_an_unclear_answer_exempts_no_one(self, contracts: ScriptedContracts, answer: bytes) -> None:
        contracts.set_admin(ADMIN, ALICE, answer)
        assert not AdminExemption(contracts, INGRESS).covers(RULES, ALICE, HEADER, 1)

    def test_without_an_admin_contract_or_an_ingress_no_one_is_exempt(self, contracts: ScriptedContracts) -> None:
        contracts.register(INGRESS, admin=None, rules=RULES)
        assert not AdminExemption(contracts, INGRESS).covers(RULES, ALICE, HEADER, 1)
        assert not AdminExemption(ScriptedContracts(), INGRESS).covers(RULES, ALICE, HEADER, 1)


class TestAccountContract:
    CALL = UnsignedTransaction(to=RULES, gas_limit=100_000)

    def test_the_exemption_comes_from_the_genesis_and_names_itself(self, contracts: ScriptedContracts) -> None:
        contract = AccountContract(contracts, INGRESS, PermissioningSchedule(admin_exemption_block=5))
        before = contract.decide(self.CALL, ALICE, HEADER.with_changes(number=3), 1)
        assert (before.allowed, before.rule) == (False, RULE), "block 4 is before the exemption"
        at = contract.decide(self.CALL, ALICE, HEADER.with_changes(number=4), 1)
        assert (at.allowed, at.rule, at.source) == (True, EXEMPTION_RULE, "genesis")
        assert f"0x{ALICE.hex()} is an administrator" in at.reason
        assert not contract.decide(self.CALL, BOB, HEADER.with_changes(number=4), 1).allowed

    def test_in_a_suspension_everybody_may_send(self, contracts: ScriptedContracts) -> None:
        contract = AccountContract(contracts, INGRESS, PermissioningSchedule(suspensions=((10, 11),)))
        found = [contract.decide(self.CALL, BOB, HEADER.with_changes(number=parent), 1) for parent in range(8, 12)]
        assert [decision.allowed for decision in found] == [False, True, True, False]
        assert {decision.rule for decision in found if decision.allowed} == {SUSPENSION_RULE}

    def test_without_a_contract_everybody_may_send_and_the_start_says_so(self) -> None:
        contract = AccountContract(NoContracts(), INGRESS)
        assert contract.decide(self.CALL, BOB, HEADER, 1).allowed
        assert "does not exist: every account may send" in str(contract.find_problem(HEADER, 1))

    @pytest.mark.parametrize("answer", [None, b"", bytes(33), b"\x02".rjust(32, b"\0")])
    def test_no_valid_answer_is_an_error_and_not_a_refusal(self, answer: bytes | None) -> None:
        contracts = ScriptedContracts({} if answer is None else {(INGRESS, TRANSACTION_ALLOWED): answer})
        contract = AccountContract(contracts, INGRESS)
        with pytest.raises(ContractUnreadableError):
            contract.decide(self.CALL, ALICE, HEADER, 1)
        assert "no account can send" in str(contract.find_problem(HEADER, 1))

    def test_a_contract_that_answers_has_no_problem(self, contracts: ScriptedContracts) -> None:
        assert AccountContract(contracts, INGRESS).find_problem(HEADER, 1) is None


class NoContracts(ScriptedContracts):
    """No address has code."""

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        raise NoContractError("has no code")


def registered(contracts: ScriptedContracts) -> PermissionContracts:
    return PermissionContracts(contracts, AccountContract(contracts, INGRESS), HEADER)


class TestLockout:
    @pytest.mark.parametrize("question", [GET_ADMINS, GET_OWNERS])
    def test_the_administrators_are_listed(self, contracts: ScriptedContracts, question: bytes) -> None:
        contracts.answers[ADMIN, question] = encode(["address[]"], [["0x" + ALICE.hex(), "0x" + BOB.hex()]])
        assert registered(contracts).has_admin_contract
        assert registered(contracts).admins() == (ALICE, BOB)

    def test_a_hostile_list_is_cut_or_left_out(self, contracts: ScriptedContracts) -> None:
        contracts.answers[ADMIN, GET_ADMINS] = encode(["address[]"], [["0x" + ALICE.hex()] * (MAX_ADMINS + 1)])
        assert len(registered(contracts).admins()) == MAX_ADMINS
        contracts.answers[ADMIN, GET_ADMINS] = (32).to_bytes(32) + b"\xff" * 32
        assert registered(contracts).admins() == ()

    def test_only_an_administrator_that_may_send_can_change_the_rules(self, contracts: ScriptedContracts) -> None:
        everybody = (ALICE, BOB, CAROL)
        assert registered(contracts).find_accounts_able_to_change(everybody) == (), "the rules refuse ALICE"
        contracts.answers[INGRESS, TRANSACTION_ALLOWED] = YES
        assert registered(contracts).find_accounts_able_to_change(everybody) == (ALICE,)
        contracts.answers[INGRESS, TRANSACTION_ALLOWED] = b""
        assert registered(contracts).find_accounts_able_to_change(everybody) == (), "the rules give no answer"

    def test_administrators_are_asked_about_for_a_limited_time(
        self, contracts: ScriptedContracts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contracts.answers[INGRESS, TRANSACTION_ALLOWED] = YES
        monkeypatch.setattr(lockout, "ALL_ANSWERS_SECONDS", 0)
        assert registered(contracts).find_accounts_able_to_change([ALICE] * MAX_ADMINS) == ()
        assert not contracts.asked

    def test_each_contract_that_holds_rules_must_be_callable(self, contracts: ScriptedContracts) -> None:
        # The second word of the question is the target.
        asked = TRANSACTION_ALLOWED + ALICE.rjust(32, b"\0")
        del contracts.answers[INGRESS, TRANSACTION_ALLOWED]
        for target in (INGRESS, RULES, ADMIN):
            contracts.answers[INGRESS, asked + target.rjust(32, b"\0")] = YES
        assert registered(contracts).find_accounts_able_to_change([ALICE]) == (ALICE,)
        contracts.answers[INGRESS, asked + ADMIN.rjust(32, b"\0")] = NO
        assert registered(contracts).find_accounts_able_to_change([ALICE]) == ()

    def test_without_an_admin_contract_there_is_no_lockout(self) -> None:
        found = registered(ScriptedContracts())
        assert not found.has_admin_contract
        assert found.admins() == ()
        assert found.find_accounts_able_to_change([ALICE]) == ()

    @pytest.mark.parametrize(
        ("simulation", "would_lock_out"),
        [
            (ChangeSimulation(True, (), True), True),
            (ChangeSimulation(True, (ALICE,), True), False),
            (ChangeSimulation(False, (), True), False),
            (ChangeSimulation(True, (), False), False),
        ],
    )
    def test_only_a_change_that_succeeds_can_lock_out(self, simulation: ChangeSimulation, would_lock_out: bool) -> None:
        assert simulation.would_lock_out == would_lock_out
