"""The seam to the chain: reading a contract at a block of it. Must not know what executes."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

from lacnode.primitives.header import BlockHeader


class ContractUnreadableError(Exception):
    """A contract that gives no answer; the text says why, in a clause that fits after "the contract"."""


class ContractTimeoutError(ContractUnreadableError):
    """The contract gave no answer in the time it had. With more time it might give one, so no block is judged by this."""


class NoContractError(ContractUnreadableError):
    """There is no code at the address."""


class StateUnavailableError(ContractUnreadableError):
    """The state after the block cannot be read."""


@dataclass(frozen=True, slots=True)
class ContractReading:
    """What a call gave. `accounts` were looked at on the way, and `codes` are the hashes of the code they have;
    `is_lasting` says that nothing but their code and storage decided, so that the answer is the same as long as those
    are."""

    output: bytes
    accounts: frozenset[bytes]
    codes: frozenset[bytes]
    is_lasting: bool


class ContractReader(Protocol):
    """Calls contracts on the state after a block of the chain, from nobody, for free, changing nothing."""

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        """Call `contract` with `data`; ContractUnreadableError if that fails, ContractTimeoutError if it takes longer than
        `seconds`, which may be infinite: the gas for an answer is bounded."""
        ...

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        """Equal at two blocks if code and storage of `accounts`, and the rules of execution, are the same."""
        ...
