"""Who may send a transaction, as the account contract says (Besu's `TransactionSmartContractPermissioningController`).

An answer holds for the state after one block: what a block changes counts from the next one on. Must not look at local
lists.
"""

from functools import cache

from lacnode.permissioning.abi import UnexpectedAnswer, transaction_answer, transaction_call
from lacnode.permissioning.answers import Answers
from lacnode.permissioning.artifacts import artifact
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadable, NoContract
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.sending import IntendedSending, Sending
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

RULE = "account-contract"
NOBODY_HOME = "there is no contract at this address, so that everybody may send"


class AccountContract:
    """The account rules behind the contract at an address, usually an ingress."""

    def __init__(self, reader: ContractReader, address: bytes) -> None:
        self.address = address
        self._answers = Answers(reader, address, known=_own_codes())

    def decide(self, transaction: Sending, sender: bytes, header: BlockHeader, seconds: float) -> Decision:
        """Whether `sender` may send `transaction` on the state after `header`.

        A contract that is not there permits, as in Besu: it would otherwise take a network's voice for ever.
        ContractUnreadable if it is there and gives no answer.
        """
        try:
            data = transaction_call(transaction, sender)
            gist = (sender, transaction.to, transaction.gas_limit)
            allowed = transaction_answer(self._answers.ask(data, header, seconds, gist))
        except NoContract:
            return self._decision(True, header, NOBODY_HOME)
        except UnexpectedAnswer as answer:
            raise ContractUnreadable(f"gives an unexpected answer: {answer}") from None
        verb = "permits" if allowed else "refuses"
        return self._decision(allowed, header, f"the contract {verb} {_described(transaction, sender)}")

    def check(self, header: BlockHeader, seconds: float) -> str | None:
        """What is wrong with the contract, None if it answers by its interface."""
        place = f"account permissioning contract at address {to_hex(self.address)}"
        try:
            if self.decide(IntendedSending(), bytes(20), header, seconds).reason == NOBODY_HOME:
                return f"{place} does not exist: everybody may send"
        except ContractUnreadable as unreadable:
            return f"{place} {unreadable}: nobody can send"
        return None

    def _decision(self, allowed: bool, header: BlockHeader, reason: str) -> Decision:
        return Decision(allowed, RULE, to_hex(self.address), header.number, reason)


@cache
def _own_codes() -> frozenset[bytes]:
    """lacnode's own contracts, which look at sender, target and gas limit, and at nothing else of a transaction."""
    return frozenset(keccak256(artifact(name).runtime_bytecode) for name in ("AccountIngress", "AccountRules"))


def _described(transaction: Sending, sender: bytes) -> str:
    act = "creates a contract" if transaction.to is None else f"is sent to {to_hex(transaction.to)}"
    return f"a transaction of {to_hex(sender)} that {act}"
