"""The cache of one contract's answers.

An answer holds on the state that it was read from. It also holds on a later state if nothing has changed that it depends
on. A change of the rules therefore takes effect at the very next question. This module must not decide anything itself.
"""

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from lacnode.permissioning.answer_time import AnswerTimeLimit
from lacnode.permissioning.contract_reader import (
    ContractReader,
    ContractReading,
    ContractTimeoutError,
    ContractUnreadableError,
    NoContractError,
    StateUnavailableError,
)
from lacnode.primitives.header import BlockHeader

# How the cache knows that an answer still holds: the engine reports which accounts a call read, and whether the answer
# depends on anything but their code and storage (such as the block number or a balance). The fingerprint of
# these accounts is kept with the answer. A later block with the same fingerprint gives the same answer, because the
# execution would read the same data. An answer that depends on more is kept for its own block only.

MAX_CACHED_ANSWERS = 65_536

MAX_OUTPUT_BYTES = 4096
"""The largest output that is kept. No interface has an answer of more than a few words."""

MAX_READ_ACCOUNTS = 16
"""The largest number of accounts that an answer which holds for later blocks may depend on. Rules in use read less than ten.

A contract may read thousands of accounts for each question. To keep them with each answer would fill the memory."""


@dataclass(frozen=True, slots=True)
class _CachedAnswer:
    outcome: ContractReading | ContractUnreadableError
    block: Hashable
    fingerprint: Hashable


class ContractAnswerCache:
    """The answers of the contract at the address `contract` (20 bytes). Safe to use from several threads.

    `capacity` is the largest number of answers. A full cache drops the one that was used longest ago.
    `known_code_hashes` are hashes of code (32 bytes each). A contract with such code looks at a part of a question
    only, which `ask` takes as `relevant_question`. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        reader: ContractReader,
        contract: bytes,
        capacity: int = MAX_CACHED_ANSWERS,
        known_code_hashes: frozenset[bytes] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.contract = contract
        self._reader = reader
        self._capacity = capacity
        self._known_codes = known_code_hashes
        self._time = AnswerTimeLimit(clock)
        self._lock = threading.Lock()
        self._cached: OrderedDict[Hashable, _CachedAnswer] = OrderedDict()
        # For one block only: the latest that was asked about.
        self._fingerprints: tuple[Hashable, dict[frozenset[bytes], Hashable]] = (None, {})

    def ask(self, data: bytes, header: BlockHeader, seconds: float, relevant_question: bytes | None = None) -> bytes:
        """Return the output of a call of the contract with `data` on the state after the block of `header`. The output
        is from the cache if a cached one still holds there. An error is cached for its block alone, and raised again
        there: a timeout for any finite `seconds`, but no StateUnavailableError.

        `seconds` is the time limit. It is infinite if the answer decides whether a block is valid. Gas alone then
        limits the call, so that every node finds the same answer. Earlier timeouts do not count then. After timeouts
        and slow answers a finite limit is lower for a time, also after other blocks (`AnswerTimeLimit`).

        `relevant_question` is the same question without the parts that a contract of `known_code_hashes` does not look
        at. Such a contract gives one answer to all questions with the same relevant question. For any other contract
        every byte of `data` counts. None: every byte of `data` counts.

        ContractUnreadableError if the contract gives no answer, or one of more than `MAX_OUTPUT_BYTES`. Its subclasses:
        NoContractError if there is no code, ContractTimeoutError after the time limit or if the contract is not asked
        for now, StateUnavailableError if the state cannot be read.
        """
        # The key is a hash, because `data` contains the whole payload of a transaction. Keys of full length would let a
        # sender of large transactions fill the memory.
        key = hashlib.blake2b(data, digest_size=32).digest()
        outcome = None if relevant_question is None else self._cached_outcome(relevant_question, header, seconds)
        outcome = outcome or self._cached_outcome(key, header, seconds)
        outcome = outcome or self._read(data, header, seconds, key, relevant_question)
        if isinstance(outcome, ContractUnreadableError):
            raise outcome
        return outcome.output

    def _cached_outcome(
        self, key: Hashable, header: BlockHeader, seconds: float
    ) -> ContractReading | ContractUnreadableError | None:
        with self._lock:
            found = self._cached.get(key)
            if found is None:
                return None
            # The order of the dictionary is the order of use. A full cache drops the answer that was used longest ago.
            self._cached.move_to_end(key)
        # A timeout says something about this machine, not about the contract. It must never make a block invalid.
        if isinstance(found.outcome, ContractTimeoutError) and seconds == math.inf:
            return None
        if found.block == _block_of(header):
            return found.outcome
        # A failure is not carried to another block: its reason may be gone there.
        if isinstance(found.outcome, ContractUnreadableError) or not found.outcome.is_lasting:
            return None
        if found.fingerprint != self._fingerprint(found.outcome.accounts, header):
            return None
        # The answer now counts for this block too. Only the block is moved forward, and the fingerprint stays. The
        # next question after this block then needs no fingerprint.
        with self._lock:
            self._cached[key] = replace(found, block=_block_of(header))
        return found.outcome

    def _read(
        self, data: bytes, header: BlockHeader, seconds: float, key: Hashable, relevant_question: bytes | None
    ) -> ContractReading | ContractUnreadableError:
        if seconds == math.inf:
            return self._read_within(data, header, seconds, key, relevant_question)
        # A contract that runs until the time limit costs its whole limit for every transaction that arrives. The node
        # asks it little then, so that the pool stays usable and blocks come in time.
        with self._time.limit_question(seconds) as question:
            if not question.seconds:
                return ContractTimeoutError("gave no answer in time, and is not asked for now")
            outcome = self._read_within(data, header, question.seconds, key, relevant_question)
            if isinstance(outcome, ContractTimeoutError):
                question.record_timeout()
            return outcome

    def _read_within(
        self, data: bytes, header: BlockHeader, seconds: float, key: Hashable, relevant_question: bytes | None
    ) -> ContractReading | ContractUnreadableError:
        outcome = self._read_outcome(data, header, seconds)
        if relevant_question is not None:
            outcome = self._without_payload(outcome, relevant_question, header, seconds)
            # The relevant question may be the key only if every contract that the call went through is known. An
            # unknown contract behind a known ingress may look at the payload, and its answer would be wrong for
            # another payload.
            if self._is_of_known_code(outcome):
                key = relevant_question
        fingerprint: Hashable = None
        if isinstance(outcome, ContractReading) and outcome.is_lasting:
            fingerprint = self._fingerprint(outcome.accounts, header)
        with self._lock:
            self._cached[key] = _CachedAnswer(outcome, _block_of(header), fingerprint)
            self._cached.move_to_end(key)
            if len(self._cached) > self._capacity:
                self._cached.popitem(last=False)
        return outcome

    def _without_payload(
        self,
        outcome: ContractReading | ContractUnreadableError,
        relevant_question: bytes,
        header: BlockHeader,
        seconds: float,
    ) -> ContractReading | ContractUnreadableError:
        """Return the answer of a known contract to the relevant question if the question itself failed, else `outcome`."""
        # A payload may be too large for the gas of an answer. A node that has an answer of a known contract to a smaller
        # payload does not ask again. A node that has none must find the same, or the two would disagree about a block.
        # Time says nothing about the contract.
        is_failure = isinstance(outcome, ContractUnreadableError)
        if not is_failure or isinstance(outcome, (ContractTimeoutError, NoContractError)):
            return outcome
        relevant = self._read_outcome(relevant_question, header, seconds)
        return relevant if isinstance(relevant, ContractTimeoutError) or self._is_of_known_code(relevant) else outcome

    def _read_outcome(
        self, data: bytes, header: BlockHeader, seconds: float
    ) -> ContractReading | ContractUnreadableError:
        try:
            reading = self._reader.read(self.contract, data, header, seconds)
        except StateUnavailableError:
            # The state may be available a moment later. A cached failure would outlive its reason.
            raise
        except ContractUnreadableError as unreadable:
            # A failure is cached for this block. Otherwise each transaction of a sender would repeat the costly call.
            return unreadable
        # A contract may answer with megabytes. The cache must not hold them for MAX_CACHED_ANSWERS senders.
        if len(reading.output) > MAX_OUTPUT_BYTES:
            return ContractUnreadableError(f"gives an unexpected answer: {len(reading.output)} bytes")
        # An answer for its own block alone needs no accounts.
        if not reading.is_lasting or len(reading.accounts) > MAX_READ_ACCOUNTS:
            return ContractReading(reading.output, frozenset(), frozenset(), is_lasting=False)
        return reading

    def _is_of_known_code(self, outcome: ContractReading | ContractUnreadableError) -> bool:
        return isinstance(outcome, ContractReading) and outcome.is_lasting and outcome.code_hashes <= self._known_codes

    def _fingerprint(self, accounts: frozenset[bytes], header: BlockHeader) -> Hashable:
        """The fingerprint of `accounts` after the block of `header`. It is computed once for each block and set.

        Almost all answers of one contract depend on the same few accounts.
        """
        block = _block_of(header)
        with self._lock:
            if self._fingerprints[0] != block:
                self._fingerprints = (block, {})
            known = self._fingerprints[1]
        # The fingerprint is read without the lock: it reads the database. Two threads may compute it twice at worst,
        # and both find the same value.
        if accounts not in known:
            known[accounts] = self._reader.fingerprint(accounts, header)
        return known[accounts]


def _block_of(header: BlockHeader) -> Hashable:
    """Return a value that differs for blocks in which a contract may see a difference. Two blocks of one number and
    state can have different proposers and times."""
    return header.number, header.state_root, header.coinbase, header.timestamp
