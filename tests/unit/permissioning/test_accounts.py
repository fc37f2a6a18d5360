"""What the rules about senders count of their decisions."""

from dataclasses import replace

import pytest

from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import AccountPermissions
from lacnode.permissioning.contract_reader import ContractReading, ContractUnreadableError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from tests.support.rpc_chain import node

SENDER, OTHER = b"\x01" * 20, b"\x02" * 20


class Contract:
    """Permits everybody, unless it is broken."""

    is_broken = False

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        if self.is_broken:
            raise ContractUnreadableError("reverted")
        return ContractReading((1).to_bytes(32), frozenset(), frozenset(), True)

    def fingerprint(self, accounts: object, header: BlockHeader) -> bool:
        return self.is_broken


class List:
    """A local list with one sender."""

    def decide(self, sender: bytes | None) -> Decision:
        return Decision(sender == SENDER, "local-accounts", "list.toml", None, "the list decides")


def test_every_decision_counts_once_under_the_rule_that_made_it() -> None:
    contract, head = Contract(), node().chain.head.header
    permissions = AccountPermissions(List(), AccountContract(contract, bytes(20)))
    permissions.may_enter_pool(UnsignedTransaction(), SENDER, head)
    permissions.may_enter_pool(UnsignedTransaction(), OTHER, head)
    permissions.may_be_in_block(UnsignedTransaction(), OTHER, head)
    assert permissions.counts.decisions() == {("account-contract", True): 2, ("local-accounts", False): 1}
    contract.is_broken = True
    with pytest.raises(ContractUnreadableError):
        permissions.may_be_selected(UnsignedTransaction(), SENDER, replace(head, number=1))
    assert permissions.counts.decisions()["account-contract", False] == 1
    checks = permissions.counts.as_dict()
    assert checks["transaction_smart_contract_check_count"] == 3
    assert checks["transaction_smart_contract_check_count_permitted"] == 2
    assert checks["transaction_smart_contract_check_count_unpermitted"] == 0
