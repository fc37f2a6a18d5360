"""Whether an administrator calls one of the contracts that hold the rules about accounts: with this exemption, mistaken
rules cannot keep administrators from mending them.

lacnode's own ingress makes the exemption itself. This is for networks with other contracts, whose genesis asks for it.
"""

from lacnode.permissioning.abi import (
    ADMIN_NAME,
    IS_AUTHORIZED,
    RULES_NAME,
    UnexpectedAnswerError,
    decode_address,
    decode_node_answer,
    encode_registered_call,
)
from lacnode.permissioning.contract_answer_cache import ContractAnswerCache
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.primitives.header import BlockHeader

MAX_ADMIN_ANSWERS = 4096


class AdminExemption:
    """The exemption of the administrators behind the ingress at an address. Safe to use from several threads."""

    def __init__(self, reader: ContractReader, ingress: bytes) -> None:
        self._reader = reader
        self._ingress = ContractAnswerCache(reader, ingress, MAX_ADMIN_ANSWERS)
        self._admins: dict[bytes, ContractAnswerCache] = {}

    def covers(self, target: bytes | None, sender: bytes, header: BlockHeader, seconds: float) -> bool:
        """Whether `sender` is an administrator after the block of `header`, and `target` holds rules. No answer is a no."""
        if target is None:
            return False
        try:
            admin = self._registered(ADMIN_NAME, header, seconds)
            if admin is None or target not in (
                self._ingress.contract, admin, self._registered(RULES_NAME, header, seconds)
            ):  # fmt: skip
                return False
            return decode_node_answer(
                self._answers_of(admin).ask(IS_AUTHORIZED + sender.rjust(32, b"\0"), header, seconds)
            )
        except (ContractUnreadableError, UnexpectedAnswerError):
            return False

    def _registered(self, name: bytes, header: BlockHeader, seconds: float) -> bytes | None:
        return decode_address(self._ingress.ask(encode_registered_call(name), header, seconds))

    def _answers_of(self, admin: bytes) -> ContractAnswerCache:
        """One contract at a time: the registered one."""
        if admin not in self._admins:
            self._admins = {admin: ContractAnswerCache(self._reader, admin, MAX_ADMIN_ANSWERS)}
        return self._admins[admin]
