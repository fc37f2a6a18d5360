"""A contract's answers, remembered for exactly as long as they hold.

An answer holds on the state it was read from, and on later ones as long as nothing that decided it has changed: a change
of rules is seen by the very next question. Must not decide anything itself.
"""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace

from lacnode.permissioning.contract_reader import (
    ContractReader,
    ContractReading,
    ContractTimeoutError,
    ContractUnreadableError,
    StateUnavailableError,
)
from lacnode.primitives.header import BlockHeader

MAX_CACHED_ANSWERS = 65_536

MAX_OUTPUT_BYTES = 4096
"""Of an answer that is remembered. No interface answers with more than a few words."""

MAX_TIMEOUTS = 2
"""Questions after one block that a contract may leave without an answer in time. It is not asked again after that block:
each costs as much as a block full of transactions."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    outcome: ContractReading | ContractUnreadableError
    state_root: bytes
    block: int
    fingerprint: Hashable


class ContractAnswerCache:
    """The answers of one contract. Safe to use from several threads.

    `known` are hashes of code that is known to look at nothing of a question but its gist (see `ask`).
    """

    def __init__(
        self,
        reader: ContractReader,
        contract: bytes,
        capacity: int = MAX_CACHED_ANSWERS,
        known: frozenset[bytes] = frozenset(),
    ) -> None:
        self.contract = contract
        self._reader = reader
        self._capacity = capacity
        self._known = known
        self._lock = threading.Lock()
        self._remembered: OrderedDict[Hashable, _Remembered] = OrderedDict()
        self._timeouts: tuple[tuple[bytes, int], int] = ((b"", -1), 0)
        self._fingerprints: tuple[tuple[bytes, int], dict[frozenset[bytes], Hashable]] = ((b"", -1), {})

    def ask(self, data: bytes, header: BlockHeader, seconds: float, gist: Hashable = None) -> bytes:
        """The output of a call with `data` after the block of `header`; ContractUnreadableError if there is none.

        `seconds` is infinite where a block is judged. Then gas alone bounds the answer, so that every machine finds the
        same: neither an earlier lack of time nor this node's impatience counts.

        `gist` is the part of the question that known contracts look at: their answer to one is their answer to all that
        share it. Of any other contract every byte of `data` counts.
        """
        key = hashlib.blake2b(data, digest_size=32).digest()
        outcome = None if gist is None else self._remembered_outcome(gist, header, seconds)
        outcome = outcome or self._remembered_outcome(key, header, seconds)
        outcome = outcome or self._read(data, header, seconds, key, gist)
        if isinstance(outcome, ContractUnreadableError):
            raise outcome
        return outcome.output

    def _remembered_outcome(
        self, key: Hashable, header: BlockHeader, seconds: float
    ) -> ContractReading | ContractUnreadableError | None:
        with self._lock:
            found = self._remembered.get(key)
            if found is None:
                return None
            self._remembered.move_to_end(key)
        if isinstance(found.outcome, ContractTimeoutError) and seconds == math.inf:
            return None
        if found.state_root == header.state_root and found.block == header.number:
            return found.outcome
        if isinstance(found.outcome, ContractUnreadableError) or not found.outcome.is_lasting:
            return None
        if found.fingerprint != self._fingerprint(found.outcome.accounts, header):
            return None
        with self._lock:
            self._remembered[key] = replace(found, state_root=header.state_root, block=header.number)
        return found.outcome

    def _read(
        self, data: bytes, header: BlockHeader, seconds: float, key: Hashable, gist: Hashable
    ) -> ContractReading | ContractUnreadableError:
        outcome: ContractReading | ContractUnreadableError
        fingerprint: Hashable = None
        if seconds < math.inf and self._timeouts_after(header) >= MAX_TIMEOUTS:
            return ContractTimeoutError(f"is not asked again after block {header.number}: it gave no answer in time")
        try:
            outcome = self._reader.read(self.contract, data, header, seconds)
            if len(outcome.output) > MAX_OUTPUT_BYTES:
                raise ContractUnreadableError(f"gives an unexpected answer: {len(outcome.output)} bytes")
            if gist is not None and outcome.is_lasting and outcome.codes <= self._known:
                key = gist
            if outcome.is_lasting:
                fingerprint = self._fingerprint(outcome.accounts, header)
        except StateUnavailableError:
            raise
        except ContractUnreadableError as unreadable:
            outcome = unreadable
        if isinstance(outcome, ContractTimeoutError):
            self._count_timeout(header)
        with self._lock:
            self._remembered[key] = _Remembered(outcome, header.state_root, header.number, fingerprint)
            self._remembered.move_to_end(key)
            if len(self._remembered) > self._capacity:
                self._remembered.popitem(last=False)
        return outcome

    def _timeouts_after(self, header: BlockHeader) -> int:
        at, count = self._timeouts
        return count if at == (header.state_root, header.number) else 0

    def _count_timeout(self, header: BlockHeader) -> None:
        with self._lock:
            self._timeouts = ((header.state_root, header.number), self._timeouts_after(header) + 1)

    def _fingerprint(self, accounts: frozenset[bytes], header: BlockHeader) -> Hashable:
        """Reckoned once a block and set of accounts: every answer of one contract usually hangs on the same few."""
        at = (header.state_root, header.number)
        with self._lock:
            if self._fingerprints[0] != at:
                self._fingerprints = (at, {})
            known = self._fingerprints[1]
        if accounts not in known:
            known[accounts] = self._reader.fingerprint(accounts, header)
        return known[accounts]
