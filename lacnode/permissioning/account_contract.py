"""Who may send a transaction, as the account contract says (Besu's `TransactionSmartContractPermissioningController`).

An answer holds for the state after one block: what a block changes counts from the next one on. Must not look at local
lists.
"""

from functools import cache

from lacnode.chainspec.permissioning_schedule import NO_EXCEPTIONS, PermissioningSchedule
from lacnode.permissioning.abi import UnexpectedAnswerError, decode_transaction_answer, encode_transaction_call
from lacnode.permissioning.admin_exemption import AdminExemption
from lacnode.permissioning.artifacts import artifact
from lacnode.permissioning.contract_answer_cache import ContractAnswerCache
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError, NoContractError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.transaction_call import TransactionCall, UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

RULE = "account-contract"
SUSPENSION_RULE, EXEMPTION_RULE = "account-contract-suspended", "admin-exemption"
NO_CONTRACT_REASON = "there is no contract at this address, so that everybody may send"


class AccountContract:
    """The account rules behind the contract at an address, usually an ingress."""

    def __init__(self, reader: ContractReader, address: bytes, schedule: PermissioningSchedule = NO_EXCEPTIONS) -> None:
        self.address = address
        self._schedule = schedule
        self._answers = ContractAnswerCache(reader, address, known=_own_codes())
        self._exemption = AdminExemption(reader, address)

    def decide(self, transaction: TransactionCall, sender: bytes, header: BlockHeader, seconds: float) -> Decision:
        """Whether `sender` may send `transaction` on the state after `header`.

        A contract that is not there permits, as in Besu: it would otherwise take a network's voice for ever.
        ContractUnreadableError if it is there and gives no answer. The genesis may make exceptions.
        """
        exception = self._exception(transaction, sender, header, seconds)
        if exception is not None:
            return exception
        try:
            data = encode_transaction_call(transaction, sender)
            gist = (sender, transaction.to, transaction.gas_limit)
            allowed = decode_transaction_answer(self._answers.ask(data, header, seconds, gist))
        except NoContractError:
            return self._decision(True, header, NO_CONTRACT_REASON)
        except UnexpectedAnswerError as answer:
            raise ContractUnreadableError(f"gives an unexpected answer: {answer}") from None
        verb = "permits" if allowed else "refuses"
        return self._decision(allowed, header, f"the contract {verb} {_described(transaction, sender)}")

    def _exception(
        self, transaction: TransactionCall, sender: bytes, header: BlockHeader, seconds: float
    ) -> Decision | None:
        """The decision where the genesis passes over the contract in the block after `header`, else None."""
        number = header.number + 1
        if self._schedule.is_suspended(number):
            reason = f"the genesis suspends the account contract in block {number}"
            return Decision(True, SUSPENSION_RULE, "genesis", header.number, reason)
        if not self._schedule.exempts_admins(number):
            return None
        if not self._exemption.covers(transaction.to, sender, header, seconds):
            return None
        reason = f"{to_hex(sender)} is an administrator and calls a contract that holds the rules"
        return Decision(True, EXEMPTION_RULE, "genesis", header.number, reason)

    def check(self, header: BlockHeader, seconds: float) -> str | None:
        """What is wrong with the contract, None if it answers by its interface."""
        place = f"account permissioning contract at address {to_hex(self.address)}"
        try:
            if self.decide(UnsignedTransaction(), bytes(20), header, seconds).reason == NO_CONTRACT_REASON:
                return f"{place} does not exist: everybody may send"
        except ContractUnreadableError as unreadable:
            return f"{place} {unreadable}: nobody can send"
        return None

    def _decision(self, allowed: bool, header: BlockHeader, reason: str) -> Decision:
        return Decision(allowed, RULE, to_hex(self.address), header.number, reason)


@cache
def _own_codes() -> frozenset[bytes]:
    """lacnode's own contracts, which look at sender, target and gas limit, and at nothing else of a transaction."""
    return frozenset(keccak256(artifact(name).runtime_bytecode) for name in ("AccountIngress", "AccountRules"))


def _described(transaction: TransactionCall, sender: bytes) -> str:
    act = "creates a contract" if transaction.to is None else f"is sent to {to_hex(transaction.to)}"
    return f"a transaction of {to_hex(sender)} that {act}"
