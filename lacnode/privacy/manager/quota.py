"""How much of what other managers push is kept: by the key that sends it, of all unknown keys, in total, and as long as the
disk has room. What the own node sends, and what is recovered, is not counted against anyone.

An alarm is given before a bound is reached. Must not delete anything: what was confirmed to its sender is kept.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger("privacy")

MEGABYTE = 1_048_576
SENDER_SHARE = 16
"""A key may fill so much of the bound of its kind: one part of this many."""

ALARM_SHARE = 0.8
"""Of a bound, from which the log warns."""

MAX_STORED_GROUPS, MAX_STORED_GROUP_BYTES = 20_000, 67_108_864
"""Records of groups that others tell of."""


class QuotaExceededError(Exception):
    """Nothing more of this kind is kept; the message says which bound is reached."""


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """Bytes: of all keys that a manager said to have when it was called, of all other keys, and what is left free on the
    disk. 0 means no bound."""

    known_bytes: int = 65_536 * MEGABYTE
    unknown_bytes: int = 1_024 * MEGABYTE
    disk_reserve_bytes: int = 1_024 * MEGABYTE


@dataclass(slots=True)
class Usage:
    """Bytes that are kept of known and of unknown keys."""

    known_bytes: int = 0
    unknown_bytes: int = 0


class Quota:
    """Decides before a payload is written. `is_known` says whether a key is known, `directory` is on the disk that is
    watched, None if there is none. Safe from several threads."""

    def __init__(
        self,
        settings: QuotaSettings | None = None,
        is_known: Callable[[bytes], bool] = lambda key: False,
        directory: Path | None = None,
    ) -> None:
        self._settings = settings or QuotaSettings()
        self._is_known = is_known
        self._directory = directory
        self._lock = threading.Lock()
        self._alarmed: set[str] = set()
        self.usage = Usage()

    def check(self, sender: bytes, sender_bytes: int, size: int) -> bool:
        """Whether `sender`, of which `sender_bytes` are kept, is a known key. QuotaExceededError if `size` bytes more are
        too many."""
        known = self._is_known(sender)
        limit = self._settings.known_bytes if known else self._settings.unknown_bytes
        used = self.usage.known_bytes if known else self.usage.unknown_bytes
        kind = "known keys" if known else "unknown keys"
        self._check_disk(size)
        self._compare(f"payloads of {kind}", used + size, limit)
        if limit and sender_bytes + size > limit // SENDER_SHARE:
            raise QuotaExceededError(f"one key has filled a sixteenth of what is kept of {kind}")
        return known

    def count(self, known: bool, size: int) -> None:
        """So many bytes more are kept."""
        with self._lock:
            if known:
                self.usage.known_bytes += size
            else:
                self.usage.unknown_bytes += size

    def _check_disk(self, size: int) -> None:
        reserve = self._settings.disk_reserve_bytes
        if self._directory is None or not reserve:
            return
        free = shutil.disk_usage(self._directory).free
        if free - size < reserve:
            raise QuotaExceededError("the disk is almost full")
        if free - size < 2 * reserve:
            self._alarm("the disk of the transaction manager", f"{free // MEGABYTE} MiB are free")

    def _compare(self, what: str, used: int, limit: int) -> None:
        if not limit:
            return
        if used > limit:
            raise QuotaExceededError(f"the bound of {what} is reached")
        if used > ALARM_SHARE * limit:
            self._alarm(what, f"{used // MEGABYTE} of {limit // MEGABYTE} MiB are used")

    def _alarm(self, what: str, how_much: str) -> None:
        with self._lock:
            if what in self._alarmed:
                return
            self._alarmed.add(what)
        log.error(f"{what}: {how_much}; pushes are refused when no more is left")
