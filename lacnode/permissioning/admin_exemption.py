"""The exemption of administrators from the account rules.

An administrator may call the contracts that hold the account rules, as long as the ingress and the admin contract
answer. Mistaken rules can then still be corrected. lacnode's own ingress contract makes this exemption itself. This
module is for networks with other contracts. Their genesis asks for the exemption.
"""

from lacnode.permissioning.abi import (
    ADMIN_NAME,
    RULES_NAME,
    UnexpectedAnswerError,
    decode_node_answer,
    decode_registered_address,
    encode_is_authorized_call,
    encode_registered_call,
)
from lacnode.permissioning.contract_answer_cache import ContractAnswerCache
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError, StateUnavailableError
from lacnode.primitives.header import BlockHeader

MAX_ADMIN_ANSWERS = 4096


class AdminExemption:
    """The exemption of the administrators behind one ingress contract. Safe to use from several threads.

    `ingress` is the address of the ingress (20 bytes).
    """

    def __init__(self, reader: ContractReader, ingress: bytes) -> None:
        self._reader = reader
        self._ingress = ContractAnswerCache(reader, ingress, MAX_ADMIN_ANSWERS)
        self._answers_of_admin: ContractAnswerCache | None = None

    def covers(self, target: bytes | None, sender: bytes, header: BlockHeader, seconds: float) -> bool:
        """Return True if `sender` is an administrator and `target` is the ingress, the admin or the rules contract.

        `sender` and `target` are addresses of 20 bytes. `target` is None if the transaction creates a contract. The
        result is then False. The contracts are read on the state after the block of `header`. Each call has at most
        `seconds`. The result is False, without an error, if a contract gives no valid answer. StateUnavailableError if
        the state cannot be read.
        """
        if target is None:
            return False
        try:
            # The ingress is asked for the addresses each time (the cache makes that cheap), and not once at the start.
            # The administrators can register other contracts, and the exemption must then follow at the next block.
            admin = self._registered(ADMIN_NAME, header, seconds)
            # A transaction to any other target keeps to the rules. The exemption is for corrections only.
            if admin is None or target not in (
                self._ingress.contract, admin, self._registered(RULES_NAME, header, seconds)
            ):  # fmt: skip
                return False
            # The admin contract answers with the same form as interface 2: one word that is 0 or 1.
            return decode_node_answer(self._answers_of(admin).ask(encode_is_authorized_call(sender), header, seconds))
        except StateUnavailableError:
            # This node lacks a part of the state. Others may find an administrator.
            raise
        except (ContractUnreadableError, UnexpectedAnswerError):
            # Without an answer the exemption does not hold. The account contract then decides about the transaction,
            # as it does about every other one.
            return False

    def _registered(self, name: bytes, header: BlockHeader, seconds: float) -> bytes | None:
        return decode_registered_address(self._ingress.ask(encode_registered_call(name), header, seconds))

    def _answers_of(self, admin: bytes) -> ContractAnswerCache:
        """The answers of the admin contract. Only the contract that is registered now is kept."""
        answers = self._answers_of_admin
        # One contract. An old admin contract is not asked again, so its answers only cost memory. Another thread may ask
        # after a block with another one, so the attribute is read once.
        if answers is None or answers.contract != admin:
            answers = self._answers_of_admin = ContractAnswerCache(self._reader, admin, MAX_ADMIN_ANSWERS)
        return answers
