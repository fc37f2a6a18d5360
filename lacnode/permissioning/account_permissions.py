"""May this sender send this transaction? The local list and the account contract, combined as in Besu.

The contract is part of what makes a block valid, so every node of a network must have the same setting; the local list is
this node's own business and never judges a block. Must not look at balances or nonces.
"""

from typing import Protocol

from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.decision import Decision
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction

NO_RULES = Decision(True, "no-permissioning", "this node", None, "no rules about accounts are configured")

POOL_SECONDS, BUILDING_SECONDS, BLOCK_SECONDS = 2.0, 0.5, 60.0
"""How long the contract may take for an answer. Judging a block it may take long: a slow machine must not find a block
invalid that others find valid."""


class LocalAccounts(Protocol):
    """A list of accounts in a local file."""

    def decide(self, sender: bytes | None) -> Decision: ...


class AccountPermissions:
    """The rules about senders of one node. Every method may raise ContractUnreadable. Safe to use from several threads."""

    def __init__(self, local: LocalAccounts | None = None, contract: AccountContract | None = None) -> None:
        self._local = local
        self._contract = contract

    def may_enter_pool(self, transaction: Transaction, sender: bytes, head: BlockHeader) -> Decision:
        """For a transaction from a client or a peer."""
        return self._decide(transaction, sender, head, POOL_SECONDS)

    def may_be_selected(self, transaction: Transaction, sender: bytes, parent: BlockHeader) -> Decision:
        """For a block that this node builds on `parent`."""
        return self._decide(transaction, sender, parent, BUILDING_SECONDS)

    def may_be_in_block(self, transaction: Transaction, sender: bytes, parent: BlockHeader) -> Decision:
        """For a block on `parent` that somebody built: the state before the block decides, never what it changes."""
        if self._contract is None:
            return NO_RULES
        return self._contract.decide(transaction, sender, parent, BLOCK_SECONDS)

    def _decide(self, transaction: Transaction, sender: bytes, header: BlockHeader, seconds: float) -> Decision:
        if self._local is not None:
            decision = self._local.decide(sender)
            if not decision.allowed or self._contract is None:
                return decision
        if self._contract is None:
            return NO_RULES
        return self._contract.decide(transaction, sender, header, seconds)


EVERYBODY = AccountPermissions()
"""No permissioning."""
