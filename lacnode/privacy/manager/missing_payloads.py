"""The queue of payloads that the node asked for and that this manager does not have.

It decides which payloads to ask other managers for, and when. Most of them belong to other groups, and no manager will
send them. So each is asked for a limited number of times, with growing pauses. Any account can send markers of payloads that
no manager has. So those of known signers come first, and the signers of the others have turns. This module must not send
anything.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

FIRST_FETCH_PAUSE_SECONDS, LONGEST_FETCH_PAUSE_SECONDS = 1.0, 60.0
FETCH_ATTEMPTS = 12
MAX_MISSING_PAYLOADS = 10_000

MAX_PREFERRED_OF_SIGNER = MAX_MISSING_PAYLOADS // 10
"""The largest number of payloads of one known signer that come before those of unknown signers. Any account becomes known by
one marker of a payload that it has seen on the chain."""

KNOWN_SIGNERS_SHARE = 0.75
"""The share of the questions that payloads of known signers may have while others wait."""


@dataclass(slots=True)
class _MissingPayload:
    """A payload that is asked for at `due` (seconds of the clock), after `attempts` questions.

    `signer` is the account (20 bytes) of its marker, empty if the node did not tell it. `is_known` says that an earlier
    marker of this account was for this node.
    """

    due: float
    attempts: int = 0
    signer: bytes = b""
    is_known: bool = False


class MissingPayloads:
    """The payloads that other managers are to be asked for: a bounded queue with growing pauses. Safe to use from
    several threads. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._missing: dict[bytes, _MissingPayload] = {}
        self._preferred: dict[bytes, dict[bytes, None]] = {}
        """The payloads of each known signer, the oldest first."""
        self._preferred_count = 0

    def __len__(self) -> int:
        return len(self._missing)

    def add_missing(self, key: bytes) -> None:
        """Record that the payload `key` (32 bytes) is missing, due at once. No effect if it is in the queue or if the
        queue is full."""
        with self._lock:
            # A key that was given up stays in the queue with its count. If it were removed, the node's next question
            # would start its attempts again, and the other managers would be asked for ever.
            if len(self._missing) < MAX_MISSING_PAYLOADS:
                self._missing.setdefault(key, _MissingPayload(self._clock()))

    def set_signer(self, key: bytes, signer: bytes, *, is_known: bool) -> None:
        """Record that the account `signer` (20 bytes) signed the marker of the missing payload `key` (32 bytes). The
        first signer stays, unless it is unknown and a known one follows. `is_known`: an earlier marker of this account
        was for this node.

        A payload of a known signer that is not in the queue is added. In a full queue it takes the place of a payload
        of an unknown signer. If there is none, it takes the place of one of the signer that has most. It is not added
        if that signer does not have at least two more than `signer`. A payload of an unknown signer that is not in the
        queue is ignored. A signer with `MAX_PREFERRED_OF_SIGNER` payloads in the queue counts as unknown for the next
        ones.
        """
        with self._lock:
            missing = self._missing.get(key)
            is_known = is_known and len(self._preferred.get(signer, ())) < MAX_PREFERRED_OF_SIGNER
            if missing is None and is_known and self._drop_least_promising(signer):
                missing = self._missing.setdefault(key, _MissingPayload(self._clock()))
            # A payload may have several markers, as a stranger can send another one. It must not lower the rank.
            if missing is not None and (not missing.signer or (is_known and not missing.is_known)):
                missing.signer, missing.is_known = signer, is_known
                if is_known:
                    self._preferred.setdefault(signer, {})[key] = None
                    self._preferred_count += 1

    def remove_found(self, key: bytes) -> None:
        """Remove the payload `key` (32 bytes), which has arrived. No effect if it is not in the queue."""
        with self._lock:
            self._remove(key)

    def begin_due_attempts(self, limit: int) -> list[bytes]:
        """Return up to `limit` keys (32 bytes) whose time has come, and count one attempt for each. If more are due,
        keys of known signers come first, but take at most `KNOWN_SIGNERS_SHARE` of `limit` if enough others are due to
        fill the rest. The keys stay in the queue: each is due again after a pause that doubles up to
        `LONGEST_FETCH_PAUSE_SECONDS`, and never after `FETCH_ATTEMPTS`. A full queue then loses the keys that have had
        all their attempts."""
        with self._lock:
            now = self._clock()
            due = [
                (key, missing)
                for key, missing in self._missing.items()
                if missing.due <= now and missing.attempts < FETCH_ATTEMPTS
            ]
            chosen = due if len(due) <= limit else _choose(due, limit)
            for _, missing in chosen:
                # The pauses are 1, 2, 4 ... 60 seconds. A payload that was only late comes soon, and one that never
                # comes costs little.
                pause = min(FIRST_FETCH_PAUSE_SECONDS * 2**missing.attempts, LONGEST_FETCH_PAUSE_SECONDS)
                missing.due, missing.attempts = now + pause, missing.attempts + 1
            # The keys that were given up are only removed when there is no more space. Until then they stop questions.
            if len(self._missing) >= MAX_MISSING_PAYLOADS:
                for key in [key for key, missing in self._missing.items() if missing.attempts >= FETCH_ATTEMPTS]:
                    self._remove(key)
            return [key for key, _ in chosen]

    def _drop_least_promising(self, signer: bytes) -> bool:
        """Drop a payload if the queue is full, for one of the known signer `signer`. Return False if it is full of
        payloads of known signers of which none has more."""
        if len(self._missing) < MAX_MISSING_PAYLOADS:
            return True
        if self._preferred_count >= len(self._missing):
            # Any account becomes known by one marker. Ten of them could otherwise fill the queue for as long as they like.
            largest = max(self._preferred.values(), key=len)
            has_more = len(largest) > len(self._preferred.get(signer, ())) + 1
            return has_more and self._remove(next(iter(largest)))
        # The first one, not the one with most attempts: to compare 10,000 for each marker would take a second a block.
        least = next((key for key, missing in self._missing.items() if not missing.is_known), None)
        return least is not None and self._remove(least)

    def _remove(self, key: bytes) -> bool:
        """Remove a payload. Return False if it is not in the queue."""
        missing = self._missing.pop(key, None)
        if missing is not None and missing.is_known:
            preferred = self._preferred[missing.signer]
            del preferred[key]
            self._preferred_count -= 1
            # Without this the table would grow with each account that was ever known.
            if not preferred:
                del self._preferred[missing.signer]
        return missing is not None


_Entry = tuple[bytes, _MissingPayload]


def _choose(due: Iterable[_Entry], limit: int) -> list[_Entry]:
    """Return `limit` of the payloads that are due, those of known signers first."""
    known, others = list[_Entry](), list[_Entry]()
    for entry in due:
        (known if entry[1].is_known else others).append(entry)
    known, others = _in_turn(known), _in_turn(others)
    # A known signer may send markers of payloads that no manager has, too. The others keep a part of the questions.
    first = max(int(KNOWN_SIGNERS_SHARE * limit), limit - len(others))
    return list(islice((*known[:first], *others, *known[first:]), limit))


def _in_turn(entries: list[_Entry]) -> list[_Entry]:
    """Return the payloads in the order of the questions: each signer has a turn, then each has its second one."""
    turns, ordered = Counter[bytes](), list[tuple[int, int, _Entry]]()
    # Within a signer, and between signers of the same turn, the payload that was asked for least comes first. Payloads that
    # no manager has must not be asked for again before the new ones are asked for once. The sort keeps the order of arrival.
    for entry in sorted(entries, key=lambda entry: entry[1].attempts):
        signer = entry[1].signer
        ordered.append((turns[signer], entry[1].attempts, entry))
        turns[signer] += 1
    return [entry for _, _, entry in sorted(ordered, key=lambda turn: turn[:2])]
