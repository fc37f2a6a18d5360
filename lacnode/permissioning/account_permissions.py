"""May this sender send this transaction? The local list and the account contract, combined as in Besu.

The contract is part of what makes a block valid, so every node of a network must have the same setting; the local list is
this node's own business and never judges a block. Must not look at balances or nonces.
"""

import math
from typing import Protocol

from lacnode.permissioning.account_contract import RULE, AccountContract
from lacnode.permissioning.check_counters import ACCOUNT_CONTRACT, ACCOUNT_LOCAL, CheckCounters
from lacnode.permissioning.contract_reader import ContractUnreadableError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.transaction_call import TransactionCall
from lacnode.primitives.header import BlockHeader

NO_RULES = Decision(True, "no-permissioning", "this node", None, "no rules about accounts are configured")

POOL_SECONDS, BUILDING_SECONDS = 2.0, 0.5
"""How long the contract may take for an answer."""

NO_TIME_LIMIT = math.inf
"""For an answer that a block's validity hangs on: a slow machine must not find a block invalid that others find valid.
The gas for an answer is bounded."""


class LocalAccounts(Protocol):
    """A list of accounts in a local file."""

    def decide(self, sender: bytes | None) -> Decision: ...


class AccountPermissions:
    """The rules about senders of one node. Every method may raise ContractUnreadableError. Safe to use from several
    threads."""

    def __init__(self, local: LocalAccounts | None = None, contract: AccountContract | None = None) -> None:
        self.counts = CheckCounters(ACCOUNT_CONTRACT, ACCOUNT_LOCAL)
        self._local = local
        self._contract = contract

    def may_enter_pool(self, transaction: TransactionCall, sender: bytes, head: BlockHeader) -> Decision:
        """For a transaction from a client or a peer."""
        return self._decide(transaction, sender, head, POOL_SECONDS)

    def may_be_selected(self, transaction: TransactionCall, sender: bytes, parent: BlockHeader) -> Decision:
        """For a block that this node builds on `parent`."""
        return self._decide(transaction, sender, parent, BUILDING_SECONDS)

    def may_be_in_block(self, transaction: TransactionCall, sender: bytes, parent: BlockHeader) -> Decision:
        """For a block on `parent` that somebody built: the state before the block decides, never what it changes."""
        if self._contract is None:
            return NO_RULES
        return self._by_contract(self._contract, transaction, sender, parent, NO_TIME_LIMIT)

    def _decide(self, transaction: TransactionCall, sender: bytes, header: BlockHeader, seconds: float) -> Decision:
        local = None if self._local is None else self._local.decide(sender)
        if local is not None:
            self.counts.add(ACCOUNT_LOCAL, local.allowed)
        if self._contract is None or (local is not None and not local.allowed):
            return NO_RULES if local is None else self.counts.add_decision(local)
        return self._by_contract(self._contract, transaction, sender, header, seconds)

    def _by_contract(
        self,
        contract: AccountContract,
        transaction: TransactionCall,
        sender: bytes,
        header: BlockHeader,
        seconds: float,
    ) -> Decision:
        try:
            decision = contract.decide(transaction, sender, header, seconds)
        except ContractUnreadableError:
            self.counts.add_unanswered(ACCOUNT_CONTRACT, RULE)
            raise
        self.counts.add(ACCOUNT_CONTRACT, decision.allowed)
        return self.counts.add_decision(decision)


ALLOW_ALL_ACCOUNTS = AccountPermissions()
"""No permissioning."""
