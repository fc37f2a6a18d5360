"""The rules about senders of transactions: the local list and the account contract, combined as in Besu.

The contract is a part of what makes a block valid. So every node of a network must have the same setting for it. The
local list is the policy of this node alone and never decides whether a block is valid. This module must not look at
balances or nonces.
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
"""The time limit of the contract for one answer. A block must be built quickly, so its limit is lower."""

NO_TIME_LIMIT = math.inf
"""No time limit, for an answer that decides whether a block is valid. The gas of the call is bounded.

A slow machine must not refuse a block that other machines accept."""


class LocalAccounts(Protocol):
    """The interface of a list of accounts in a local file. It does not block."""

    def decide(self, sender: bytes | None) -> Decision:
        """Return a permission if the list in force includes `sender` (20 bytes), else a refusal. A change of the file
        counts once the list is read again. None is a transaction without a sender, which is refused."""


class AccountPermissions:
    """The account rules of one node: the local list and the contract. None is a source that is off. Both sources must
    allow, except in a received block, where the contract alone decides. Safe to use from several threads.

    Each method takes the sender's address (20 bytes) and the header of the block whose state decides. Each method
    raises ContractUnreadableError if the contract gives no answer.
    """

    def __init__(self, local: LocalAccounts | None = None, contract: AccountContract | None = None) -> None:
        self.counts = CheckCounters(ACCOUNT_CONTRACT, ACCOUNT_LOCAL)
        self._local = local
        self._contract = contract

    def may_enter_pool(self, transaction: TransactionCall, sender: bytes, head: BlockHeader) -> Decision:
        """Decide about a transaction of `sender` (20 bytes) that a client or a peer sent to the pool, on the state
        after `head`.

        The local list is asked first. If it refuses, the contract is not asked. The contract has `POOL_SECONDS` for its
        answer. A permission if no rules are configured. ContractUnreadableError if the contract gives no answer.
        """
        return self._decide(transaction, sender, head, POOL_SECONDS)

    def may_be_selected(self, transaction: TransactionCall, sender: bytes, parent: BlockHeader) -> Decision:
        """Decide about a transaction of `sender` (20 bytes) for the block that this node builds on `parent`.

        The local list is asked first. If it refuses, the contract is not asked. The contract has `BUILDING_SECONDS` for
        its answer, on the state after `parent`. A permission if no rules are configured. ContractUnreadableError if the
        contract gives no answer.
        """
        return self._decide(transaction, sender, parent, BUILDING_SECONDS)

    def may_be_in_block(self, transaction: TransactionCall, sender: bytes, parent: BlockHeader) -> Decision:
        """Decide about a transaction of `sender` (20 bytes) in a received block on `parent`. The state before the block
        decides.

        The contract alone decides, without a time limit. The local list does not count. A permission if there is no
        contract. ContractUnreadableError if the contract gives no answer.
        """
        # The state after `parent` decides, never what the block itself changes. All nodes have this state, in any
        # order of their checks, so they find the same answer. The local list does not count here: a block
        # would be valid on one node and invalid on another.
        if self._contract is None:
            return NO_RULES
        return self._decide_by_contract(self._contract, transaction, sender, parent, NO_TIME_LIMIT)

    def _decide(self, transaction: TransactionCall, sender: bytes, header: BlockHeader, seconds: float) -> Decision:
        local = None if self._local is None else self._local.decide(sender)
        if local is not None:
            self.counts.count_check(ACCOUNT_LOCAL, local.allowed)
        # The local list is asked first, because it costs nothing. Its refusal is final: all rules must agree.
        if self._contract is None or (local is not None and not local.allowed):
            return NO_RULES if local is None else self.counts.count_decision(local)
        return self._decide_by_contract(self._contract, transaction, sender, header, seconds)

    def _decide_by_contract(
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
            # A contract without an answer is counted apart. Operators see in the metrics that the rules are broken,
            # and not that many senders are refused.
            self.counts.count_unanswered(ACCOUNT_CONTRACT, RULE)
            raise
        self.counts.count_check(ACCOUNT_CONTRACT, decision.allowed)
        return self.counts.count_decision(decision)


ALLOW_ALL_ACCOUNTS = AccountPermissions()
"""No permissioning."""
