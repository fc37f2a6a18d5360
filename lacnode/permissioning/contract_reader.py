"""The interface to the chain: calls of a contract on the state after a block. Must not know the engine that executes."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

from lacnode.primitives.header import BlockHeader


class ContractUnreadableError(Exception):
    """A contract gives no answer. The text is a clause that fits after "the contract", such as "does not exist"."""


class ContractTimeoutError(ContractUnreadableError):
    """The contract gave no answer within its time limit.

    With more time it might give one. The validity of a block must never depend on this error.
    """


class NoContractError(ContractUnreadableError):
    """There is no contract at the address: it has no code."""


class StateUnavailableError(ContractUnreadableError):
    """The state after the block is not in the database, or cannot be read."""


@dataclass(frozen=True, slots=True)
class ContractReading:
    """The result of a call. `output` are the bytes that the contract returned.

    `accounts` are the addresses (20 bytes) that the call read. `code_hashes` are the hashes of their code (32 bytes),
    without accounts that have no code. `is_lasting` says that the call did not read the block, a balance or a nonce.
    The output then stays the same as long as `ContractReader.fingerprint` of `accounts` does. That covers the code and
    the storage of `accounts`, but also the fork and the gas limit of the block, and its coinbase if that is warm and one
    of `accounts`. If `is_lasting` is False, the output is valid for this block only.
    """

    output: bytes
    accounts: frozenset[bytes]
    code_hashes: frozenset[bytes]
    is_lasting: bool


class ContractReader(Protocol):
    """Calls contracts on the state after any block of the chain, which the caller names by its header.

    The sender is the zero address. The gas is bounded, and no account pays it. A call changes nothing. A call without
    an answer raises ContractUnreadableError. No method returns None.
    """

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        """Call `contract` (20 bytes) with `data` on the state after the block of `header`.

        `seconds` may be infinite, because the gas of the call is bounded. NoContractError if there is no code,
        ContractTimeoutError if the call takes longer than `seconds`, StateUnavailableError if the state cannot be read.
        ContractUnreadableError, the base of these three, if the call fails for another reason, such as a revert.
        """
        ...

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        """Return a value for comparison. If it is equal at two blocks, a call that read only `accounts`
        (`ContractReading.is_lasting`) gives the same output at both.

        The value covers the code and the storage of `accounts` (20-byte addresses) after the block of `header`, whether
        they exist and have a balance and a nonce, which of them is the block's warm coinbase (from Shanghai on), the
        gas limit of the block, and its fork. StateUnavailableError if the state cannot be read.
        """
        ...
