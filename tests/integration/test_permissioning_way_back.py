"""The way back where contracts know none: exceptions in the genesis, and a look at a change before it is sent."""

import math
import time
from typing import Any

import pytest

from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.simulated_contracts import SimulatedContracts
from lacnode.chainspec.genesis import GenesisError, parse_genesis
from lacnode.chainspec.permissioning_schedule import NO_EXCEPTIONS, PermissioningSchedule
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import UNLIMITED, BudgetExceededError
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import AccountPermissions
from lacnode.permissioning.lockout import PermissionContracts
from lacnode.permissioning.transaction_call import UnsignedTransaction
from tests.support.contract_network import ACCOUNT_RULES, ADMIN, GAS, OUTSIDER, Contracts, call_data
from tests.support.evm_network import RICH, hash_of


def push(data: bytes) -> bytes:
    return bytes([0x5F + len(data)]) + data


def foreign_ingress(rules: bytes = ACCOUNT_RULES, admin: bytes = ADMIN) -> bytes:
    """Code of an ingress that names both contracts, passes every other question on to the rules, and exempts no account."""
    starts = bytes.fromhex("60003560e01c630d2020dd14")
    passes_on = (
        bytes.fromhex("36600060003760206000366000") + push(rules) + bytes.fromhex("5afa5060206000f3")
    )  # fmt: skip
    returns = bytes.fromhex("60005260206000f3")
    names = len(starts) + 3 + len(passes_on)
    reads_name = bytes.fromhex("5b60043560001a607214")
    names_rules = names + len(reads_name) + 3 + len(push(admin)) + len(returns)
    return b"".join(
        (
            starts, bytes([0x60, names, 0x57]), passes_on,
            reads_name, bytes([0x60, names_rules, 0x57]), push(admin), returns,
            b"\x5b", push(rules), returns,
        )
    )  # fmt: skip


class Foreign:
    """A network with an ingress that is not lacnode's. RICH is the admin of its rules."""

    def __init__(self, schedule: PermissioningSchedule = NO_EXCEPTIONS) -> None:
        self.contracts = Contracts()
        self.schedule = schedule
        self.ingress = self.contracts.create(foreign_ingress())
        network = self.contracts.network
        self.contract = AccountContract(ChainContracts(network.spec, network.engine, hash_of), self.ingress, schedule)

    def decision(self, sender: NodeKey, to: bytes | None, gas: int = GAS) -> tuple[bool, str]:
        header = self.contracts.network.header
        decision = AccountPermissions(contract=self.contract).may_be_in_block(
            UnsignedTransaction(to=to, gas_limit=gas), sender.address, header
        )
        return decision.allowed, decision.rule

    def outlook(self, contract: bytes, signature: str, *values: Any, by: NodeKey = RICH) -> tuple[bool, list[NodeKey]]:
        """Whether a change succeeds, and who of RICH and OUTSIDER could change the rules after it."""
        network = self.contracts.network
        sending = UnsignedTransaction(to=contract, gas_limit=GAS, data=call_data(signature, *values))
        changed = SimulatedContracts(
            network.spec, network.engine, hash_of, network.header, sending, by.address, UNLIMITED
        )
        after = AccountContract(changed.reader, self.ingress, self.schedule)
        holders = PermissionContracts(changed.reader, after, changed.header)
        can_change = holders.find_accounts_able_to_change([RICH.address, OUTSIDER.address])
        return changed.succeeded, [key for key in (RICH, OUTSIDER) if key.address in can_change]


class TestAdminExemption:
    def test_rules_against_everybody_are_undone_by_an_admin(self) -> None:
        foreign = Foreign(PermissioningSchedule(admin_exemption_block=0))
        assert foreign.contracts.send(ACCOUNT_RULES, "setGasCeiling(uint128)", 1)
        assert foreign.decision(RICH, b"\x42" * 20) == (False, "account-contract")
        for holder in (foreign.ingress, ACCOUNT_RULES, ADMIN):
            assert foreign.decision(RICH, holder) == (True, "admin-exemption")
            assert foreign.decision(OUTSIDER, holder) == (False, "account-contract")
        assert foreign.decision(RICH, None) == (False, "account-contract")

    def test_holds_from_its_block_on(self) -> None:
        number = Foreign().contracts.network.header.number
        later = Foreign(PermissioningSchedule(admin_exemption_block=number + 3))
        assert later.contracts.send(ACCOUNT_RULES, "setGasCeiling(uint128)", 1)
        assert later.decision(RICH, ADMIN) == (False, "account-contract")
        assert later.contracts.send(ADMIN, "addAdmin(address)", OUTSIDER.address)
        assert later.decision(RICH, ADMIN) == (True, "admin-exemption")

    def test_an_admin_contract_that_fails_exempts_no_account(self) -> None:
        foreign = Foreign(PermissioningSchedule(admin_exemption_block=0))
        broken = foreign.contracts.create(bytes.fromhex("5b600056"))
        ingress = foreign.contracts.create(foreign_ingress(admin=broken))
        network = foreign.contracts.network
        contract = AccountContract(ChainContracts(network.spec, network.engine, hash_of), ingress, foreign.schedule)
        decision = contract.decide(UnsignedTransaction(to=broken, gas_limit=GAS), OUTSIDER.address, network.header, 1)
        assert not decision.allowed


def test_the_genesis_suspends_the_contract_for_some_blocks() -> None:
    number = Foreign().contracts.network.header.number + 1
    for first, last, allowed in ((number, number, True), (number + 1, number + 9, False), (1, number - 1, False)):
        foreign = Foreign(PermissioningSchedule(suspensions=((first, last),)))
        rule = "account-contract-suspended" if allowed else "account-contract"
        assert foreign.decision(OUTSIDER, None) == (allowed, rule)


def genesis(**permissioning: Any) -> dict[str, Any]:
    config = {"chainId": 7, "berlinBlock": 0, "ibft2": {}, "lacnode": {"permissioning": permissioning}}
    return {"config": config, "difficulty": "0x1", "gasLimit": "0x1000000", "alloc": {}}


class TestGenesis:
    def test_names_the_exceptions(self) -> None:
        spec = parse_genesis(genesis(adminExemptionBlock=5, suspensions=[{"fromBlock": 10, "toBlock": 20}]))
        schedule = spec.permissioning
        assert [schedule.exempts_admins(number) for number in (4, 5, 6)] == [False, True, True]
        assert [schedule.is_suspended(number) for number in (9, 10, 20, 21)] == [False, True, True, False]
        assert not spec.warnings

    def test_has_none_by_itself(self) -> None:
        schedule = parse_genesis(genesis()).permissioning
        assert not schedule.exempts_admins(1_000_000)
        assert not schedule.is_suspended(1)

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"suspensions": [{"fromBlock": 20, "toBlock": 10}]}, "toBlock 10 must not be before fromBlock 20"),
            ({"suspensions": [{"fromBlock": 20}]}, "toblock"),
            ({"adminExemptionBlock": "soon"}, "adminexemptionblock"),
        ],
    )
    def test_with_a_mistake_is_refused(self, wrong: dict[str, Any], told: str) -> None:
        with pytest.raises(GenesisError, match=told):
            parse_genesis(genesis(**wrong))

    def test_an_unknown_key_is_told_of(self) -> None:
        (warning,) = parse_genesis(genesis(adminExemption=1)).warnings
        assert "config.lacnode.permissioning.adminexemption:" in warning


class TestOutlook:
    def test_of_changes_that_lock_out(self) -> None:
        foreign = Foreign()
        assert foreign.outlook(ACCOUNT_RULES, "addAccount(address)", OUTSIDER.address) == (True, [RICH])
        for signature, value in (
            ("setGasCeiling(uint128)", 1), ("restrictTargets(bool)", True), ("removeAccount(address)", RICH.address),
        ):  # fmt: skip
            assert foreign.outlook(ACCOUNT_RULES, signature, value) == (True, []), signature

    def test_sees_another_admin_who_can_undo_it(self) -> None:
        foreign = Foreign()
        assert foreign.contracts.send(ADMIN, "addAdmin(address)", OUTSIDER.address)
        assert foreign.contracts.send(ACCOUNT_RULES, "addAccount(address)", OUTSIDER.address)
        assert foreign.outlook(ACCOUNT_RULES, "removeAccount(address)", RICH.address) == (True, [OUTSIDER])

    def test_tells_a_change_that_fails_and_changes_nothing(self) -> None:
        foreign = Foreign()
        root = foreign.contracts.network.header.state_root
        assert foreign.outlook(ACCOUNT_RULES, "removeAccount(address)", OUTSIDER.address) == (False, [RICH])
        assert foreign.contracts.network.header.state_root == root
        assert foreign.decision(RICH, ADMIN) == (True, "account-contract")

    def test_of_an_endless_change_ends(self) -> None:
        foreign = Foreign()
        endless = foreign.contracts.create(bytes.fromhex("5b600056"))
        network = foreign.contracts.network
        budget = UNLIMITED.with_deadline(time.monotonic() + 0.2)
        sending = UnsignedTransaction(to=endless, gas_limit=100_000_000)
        with pytest.raises(BudgetExceededError):
            SimulatedContracts(network.spec, network.engine, hash_of, network.header, sending, RICH.address, budget)

    def test_of_a_transaction_that_cannot_be_in_a_block_says_so(self) -> None:
        foreign = Foreign()
        network = foreign.contracts.network
        sending = UnsignedTransaction(to=ADMIN, gas_limit=10**12)
        with pytest.raises(TransactionRejectedError):
            SimulatedContracts(network.spec, network.engine, hash_of, network.header, sending, RICH.address, UNLIMITED)


def test_judging_a_block_waits_for_an_answer_as_long_as_its_gas_lasts() -> None:
    foreign = Foreign(PermissioningSchedule(admin_exemption_block=0))
    decision = foreign.contract.decide(
        UnsignedTransaction(to=ADMIN, gas_limit=GAS), RICH.address, foreign.contracts.network.header, math.inf
    )
    assert decision.allowed
