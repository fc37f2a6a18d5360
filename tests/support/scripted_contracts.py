"""Contracts that answer known questions with known bytes, and fail at every other question."""

from collections.abc import Hashable, Iterable

from lacnode.permissioning.abi import ADMIN_NAME, RULES_NAME, encode_is_authorized_call, encode_registered_call
from lacnode.permissioning.contract_reader import ContractReading, ContractUnreadableError
from lacnode.primitives.header import BlockHeader

YES, NO = (1).to_bytes(32), bytes(32)


class ScriptedContracts:
    """A `ContractReader`. `answers` has the output for a contract (20 bytes) and the start of a question."""

    def __init__(self, answers: dict[tuple[bytes, bytes], bytes] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[bytes, bytes]] = []

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        self.asked.append((contract, data))
        for (known, start), output in self.answers.items():
            if known == contract and data.startswith(start):
                return ContractReading(output, frozenset({contract}), frozenset(), False)
        raise ContractUnreadableError("reverted")

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        return header.number

    def register(self, ingress: bytes, *, admin: bytes | None, rules: bytes | None) -> None:
        """Let `ingress` name these contracts. None is a name without a contract."""
        for name, contract in ((ADMIN_NAME, admin), (RULES_NAME, rules)):
            self.answers[ingress, encode_registered_call(name)] = (contract or b"").rjust(32, b"\0")

    def set_admin(self, admin: bytes, account: bytes, answer: bytes = YES) -> None:
        """Let the contract `admin` answer whether `account` is an administrator."""
        self.answers[admin, encode_is_authorized_call(account)] = answer
