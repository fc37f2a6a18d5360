"""The account contract: the rules about senders (Besu's `TransactionSmartContractPermissioningController`).

An answer holds for the state after one block. The changes of a block count from the next block on. This module must not
look at local lists.
"""

from functools import cache

from lacnode.chainspec.permissioning_schedule import NO_EXCEPTIONS, PermissioningSchedule
from lacnode.permissioning.abi import UnexpectedAnswerError, decode_transaction_answer, encode_transaction_call
from lacnode.permissioning.admin_exemption import AdminExemption
from lacnode.permissioning.artifacts import load_artifact
from lacnode.permissioning.contract_answer_cache import ContractAnswerCache
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError, NoContractError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.transaction_call import TransactionCall, UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

RULE = "account-contract"
SUSPENSION_RULE, EXEMPTION_RULE = "account-contract-suspended", "admin-exemption"
NO_CONTRACT_REASON = "there is no contract at this address, so that every account may send"


class AccountContract:
    """The account rules behind the contract at `address` (20 bytes), which is usually an ingress contract. Safe to use
    from several threads.

    `schedule` contains the exceptions that the genesis makes.
    """

    def __init__(self, reader: ContractReader, address: bytes, schedule: PermissioningSchedule = NO_EXCEPTIONS) -> None:
        self.address = address
        self._schedule = schedule
        self._answers = ContractAnswerCache(reader, address, known_code_hashes=_own_code_hashes())
        self._exemption = AdminExemption(reader, address)

    def decide(self, transaction: TransactionCall, sender: bytes, header: BlockHeader, seconds: float) -> Decision:
        """Decide whether `sender` (20 bytes) may send `transaction` in the block after that of `header`, on the state
        after the block of `header`. The exceptions of the genesis come first.

        Each call of the contract, and of the contracts that say who is an exempt administrator, has at most `seconds`.
        `math.inf` is no limit. If the address has no contract, the decision is a permission, as in Besu.
        ContractUnreadableError if the contract exists and gives no valid answer, or if the state cannot be read.
        """
        exception = self._exception(transaction, sender, header, seconds)
        # The exceptions come first. An administrator must be able to correct the rules even when the rules contract
        # runs out of gas at each question.
        if exception is not None:
            return exception
        try:
            data = encode_transaction_call(transaction, sender)
            # Most transactions of a sender differ only in their payload. With the relevant question as the key, the
            # cache answers them without a call.
            relevant = UnsignedTransaction(to=transaction.to, gas_limit=transaction.gas_limit)
            question = encode_transaction_call(relevant, sender)
            allowed = decode_transaction_answer(self._answers.ask(data, header, seconds, question))
            # A refusal here would make the network unusable for good: no transaction could ever create the contract.
        except NoContractError:
            return self._decision(True, header, NO_CONTRACT_REASON)
        except UnexpectedAnswerError as answer:
            # This is an error and not a refusal. The pool and the block builder leave the transaction out, and the
            # explanation names the contract as the reason, not the sender.
            raise ContractUnreadableError(f"gives an unexpected answer: {answer}") from None
        verb = "permits" if allowed else "refuses"
        return self._decision(allowed, header, f"the contract {verb} {_describe(transaction, sender)}")

    def _exception(
        self, transaction: TransactionCall, sender: bytes, header: BlockHeader, seconds: float
    ) -> Decision | None:
        """Return the decision of the genesis for the block after `header`, None if the contract decides."""
        # `header` is the parent. The schedule of the genesis counts the block that will contain the transaction.
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

    def find_problem(self, header: BlockHeader, seconds: float) -> str | None:
        """Return a sentence that says what is wrong with the contract. None if it answers by its interface, or if the
        genesis suspends it in the next block: it is not asked then. For the check at the start.

        The state after the block of `header` counts. A missing contract and an answer that takes longer than `seconds`
        are problems too. A refusal is not a problem.
        """
        place = f"account permissioning contract at address {to_hex(self.address)}"
        try:
            # Any question shows whether the contract answers. The content of the answer does not matter here.
            if self.decide(UnsignedTransaction(), bytes(20), header, seconds).reason == NO_CONTRACT_REASON:
                return f"{place} does not exist: every account may send"
        except ContractUnreadableError as unreadable:
            return f"{place} {unreadable}: no account can send"
        return None

    def _decision(self, allowed: bool, header: BlockHeader, reason: str) -> Decision:
        return Decision(allowed, RULE, to_hex(self.address), header.number, reason)


@cache
def _own_code_hashes() -> frozenset[bytes]:
    """The hashes of lacnode's own contracts. They look at the sender, the target and the gas limit alone."""
    return frozenset(keccak256(load_artifact(name).runtime_bytecode) for name in ("AccountIngress", "AccountRules"))


def _describe(transaction: TransactionCall, sender: bytes) -> str:
    act = "creates a contract" if transaction.to is None else f"is sent to {to_hex(transaction.to)}"
    return f"a transaction of {to_hex(sender)} that {act}"
