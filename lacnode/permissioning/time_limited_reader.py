"""Reads contracts for a limited time altogether. A question about rules may take hundreds of calls, and any contract may
use the whole time limit of each. This module must not cache answers."""

import time
from collections.abc import Callable, Hashable, Iterable

from lacnode.permissioning.contract_reader import ContractReader, ContractReading, ContractTimeoutError
from lacnode.primitives.header import BlockHeader


class TimeLimitedReader:
    """A `ContractReader` whose calls together take `total_seconds` from its construction on. `clock` returns monotonic
    seconds. Answers that come in time are those of `reader`."""

    def __init__(
        self, reader: ContractReader, total_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._until_seconds = clock() + total_seconds

    @property
    def seconds_left(self) -> float:
        """The seconds that are left for all further calls. 0 if the time is over."""
        return max(0.0, self._until_seconds - self._clock())

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        """Call `contract` (20 bytes) with `data` on the state after the block of `header`, for `seconds` or the time
        that is left. ContractTimeoutError if no time is left. The other errors are those of `ContractReader.read`."""
        left_seconds = self.seconds_left
        if not left_seconds:
            raise ContractTimeoutError("is not asked any more: its answers took too long")
        return self._reader.read(contract, data, header, min(seconds, left_seconds))

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        """Return what `ContractReader.fingerprint` returns, with its errors. It has no time limit."""
        return self._reader.fingerprint(accounts, header)
