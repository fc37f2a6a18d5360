"""The quota: how many bytes of other managers' payloads are stored, for each sending key and for all together.

There is a bound for each sending key, one for all unknown keys, one for all known keys, and one for the free space on
the disk. Payloads of the own node do not count. Those that a lost store gets back count for the disk alone. The log
warns once before the bound of all known keys, of all unknown keys, or of the disk is reached. This module must not
delete anything: a payload that was confirmed to its sender stays.
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
"""One key may fill one part of this many of the bound of its kind."""

ALARM_SHARE = 0.8
"""The share of a bound at which the log warns."""

MAX_STORED_GROUPS, MAX_STORED_GROUP_BYTES = 20_000, 67_108_864
"""The bounds for group records that known keys send: their number and their bytes."""

MAX_UNKNOWN_GROUPS, MAX_UNKNOWN_GROUP_BYTES = 20_000, 67_108_864
"""The same for all unknown keys, and for records without a proof of a key, as an Orion or a Tessera sends them."""

GROUP_SENDER_SHARE = 8
"""One key may fill one part of this many of the bounds of its kind."""


class QuotaExceededError(Exception):
    """A payload or a group record is refused, because a bound of the quota is reached. The text says which one."""


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """The bounds in bytes. 0 means no bound.

    `all_known_keys_bytes` is for all known keys together (`Quota.is_key_of_called_manager`). `all_unknown_keys_bytes`
    is for all other keys together. One key may fill a sixteenth of the bound of its kind (`SENDER_SHARE`).
    `disk_reserve_bytes` is the space that stays free on the disk.
    """

    all_known_keys_bytes: int = 65_536 * MEGABYTE
    all_unknown_keys_bytes: int = 1_024 * MEGABYTE
    disk_reserve_bytes: int = 1_024 * MEGABYTE


@dataclass(frozen=True, slots=True)
class _QuotaAlarm:
    """A bound that is almost reached: what is bounded, and how much is used or left, both in words."""

    what: str
    how_much: str

    @property
    def text(self) -> str:
        """What is bounded and how much of it is used or left, as one text."""
        return f"{self.what}: {self.how_much}"


@dataclass(slots=True)
class QuotaUsage:
    """The bytes of pushed payloads that are stored for known keys and for unknown keys. 0 before they are counted."""

    known_bytes: int = 0
    unknown_bytes: int = 0


class Quota:
    """Refuses payloads and group records of other managers that would fill the store. Safe to use from several threads.

    `is_key_of_called_manager` says whether a sender's public key (32 bytes) is a known key. Without it no key is.
    `directory` is on the disk that is watched, None if no disk is watched.
    """

    def __init__(
        self,
        settings: QuotaSettings | None = None,
        is_key_of_called_manager: Callable[[bytes], bool] = lambda key: False,
        directory: Path | None = None,
    ) -> None:
        self._settings = settings or QuotaSettings()
        self._is_key_of_called_manager = is_key_of_called_manager
        self._directory = directory
        self._lock = threading.Lock()
        # An alarm is logged once for each bound. A full store would otherwise log it for every payload.
        self._alarmed: set[str] = set()
        self.usage = QuotaUsage()

    def require_space_and_classify(
        self, sender: bytes, sender_bytes: int, size: int, *, was_known: bool = False
    ) -> bool:
        """Check that `size` more bytes of payloads of the key `sender` (32 bytes) may be stored. QuotaExceededError if
        not, also for the disk. OSError if the disk cannot be read. Return the class of the key: True if `sender` is a
        known key, or was one before. Nothing is counted: see `add_used_bytes`.

        `sender_bytes` are stored for the key already, and counted for the known keys if it `was_known`. They are to
        be counted there when the key becomes known. The log warns once if a bound is almost reached.
        """
        # Unknown keys have a bound of their own. A key costs nothing, so any number of keys can fill it. That must not
        # stop the payloads of known managers.
        known = was_known or self._is_key_of_called_manager(sender)
        limit = self._settings.all_known_keys_bytes if known else self._settings.all_unknown_keys_bytes
        used = self.usage.known_bytes if known else self.usage.unknown_bytes
        kind = "known keys" if known else "unknown keys"
        self.check_disk(size)
        # The bytes from the time when the key was unknown come with it.
        moved = sender_bytes if known and not was_known else 0
        self._check_bound(f"payloads of {kind}", used + moved + size, limit)
        # One key must not fill the whole bound of its kind. Sixteen keys can, which is why the common bound comes first
        # and gives the alarm.
        if limit and sender_bytes + size > limit // SENDER_SHARE:
            raise QuotaExceededError(f"one key has filled a sixteenth of what is kept of {kind}")
        return known

    def is_key_of_called_manager(self, sender: bytes) -> bool:
        """Return True if `sender` (a public key of 32 bytes) is a known key: a manager named it as its own when it was
        called, or a Tessera has proven it. What `sender` has stored here does not count."""
        return self._is_key_of_called_manager(sender)

    def check_group(
        self, *, known: bool, used_by_kind: tuple[int, int], used_by_sender: tuple[int, int] | None, size: int
    ) -> None:
        """Check that one more group record of `size` bytes may be stored for a known or an unknown key. Nothing is
        counted here.

        `used_by_kind` and `used_by_sender` are the number and the bytes of the stored records: of all known or all
        unknown keys, and of the sender. `used_by_sender` is None if no key was proven. QuotaExceededError if a bound
        would be exceeded.
        """
        # Unknown keys cost nothing. What they fill must not keep the groups of known managers out.
        most = (MAX_STORED_GROUPS, MAX_STORED_GROUP_BYTES) if known else (MAX_UNKNOWN_GROUPS, MAX_UNKNOWN_GROUP_BYTES)
        kind = "known keys" if known else "unknown keys"
        for used, more, limit in zip(used_by_kind, (1, size), most, strict=True):
            if used + more > limit:
                raise QuotaExceededError(f"no more groups of {kind} are kept")
        for used, more, limit in zip(used_by_sender or (), (1, size), most, strict=False):
            if used + more > limit // GROUP_SENDER_SHARE:
                raise QuotaExceededError(f"one key has filled an eighth of the groups that are kept of {kind}")

    def add_used_bytes(self, known: bool, size: int) -> None:
        """Add `size` bytes of stored payloads to the usage of the known or the unknown keys. A negative `size` takes
        bytes away. Nothing is checked."""
        with self._lock:
            if known:
                self.usage.known_bytes += size
            else:
                self.usage.unknown_bytes += size

    def check_disk(self, size: int) -> None:
        """Check that the disk has space for `size` more bytes beside the reserve. QuotaExceededError if it has not. No
        check if no disk is watched or the reserve is 0. The log warns once if little is left. OSError if the disk cannot
        be read."""
        reserve = self._settings.disk_reserve_bytes
        if self._directory is None or not reserve:
            return
        # The free space is read for every push. Other programs on the machine use the same disk.
        free = shutil.disk_usage(self._directory).free
        if free - size < reserve:
            raise QuotaExceededError("the disk is almost full")
        self._alarm(self._disk_alarm(free - size))

    def _disk_alarm(self, free: int) -> _QuotaAlarm | None:
        """Pushes are refused at the reserve. The alarm comes at twice the reserve, while there is time to act."""
        if free >= 2 * self._settings.disk_reserve_bytes:
            return None
        return _QuotaAlarm("the disk of the transaction manager", f"{free // MEGABYTE} MiB are free")

    def _check_bound(self, what: str, used: int, limit: int) -> None:
        if not limit:
            return
        if used > limit:
            raise QuotaExceededError(f"the bound of {what} is reached")
        self._alarm(_store_alarm(what, used, limit))

    def _alarm(self, alarm: _QuotaAlarm | None) -> None:
        with self._lock:
            if alarm is None or alarm.what in self._alarmed:
                return
            self._alarmed.add(alarm.what)
        log.error(f"{alarm.text}; pushes are refused when no more is left")

    def alarms(self) -> tuple[str, ...]:
        """Return texts about the bounds that are almost reached now, for the node's health. They name no key. Empty if
        there are none. OSError if the disk cannot be read."""
        settings, usage = self._settings, self.usage
        found = [
            _store_alarm("payloads of known keys", usage.known_bytes, settings.all_known_keys_bytes),
            _store_alarm("payloads of unknown keys", usage.unknown_bytes, settings.all_unknown_keys_bytes),
        ]
        if self._directory is not None and settings.disk_reserve_bytes:
            found.append(self._disk_alarm(shutil.disk_usage(self._directory).free))
        return tuple(alarm.text for alarm in found if alarm is not None)


def _store_alarm(what: str, used: int, limit: int) -> _QuotaAlarm | None:
    if not limit or used <= ALARM_SHARE * limit:
        return None
    return _QuotaAlarm(what, f"{used // MEGABYTE} of {limit // MEGABYTE} MiB are used")
