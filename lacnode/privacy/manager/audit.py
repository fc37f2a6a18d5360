"""The audit log: who sent what digest to whom and when. Entries are chained by hash, so that taking one out or changing
one shows. Must not hold contents.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lacnode.privacy.keys import to_text
from lacnode.privacy.manager.payload_store import PayloadStore

START = bytes(32)
"""What the first entry is chained to."""


class AuditBroken(Exception):
    """The log is not what was written."""


class AuditLog:
    """Appends to the store's log, for any number of threads, and of managers on one store."""

    def __init__(self, store: PayloadStore) -> None:
        self._store = store

    def record(
        self, event: str, digest: bytes, sender: bytes, recipients: Sequence[bytes], group: bytes, result: str = "ok"
    ) -> None:
        """One line: `event` is sent, received, group-created, group-deleted or recovered; digest and group are 32 bytes."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "digest": to_text(digest),
            "sender": to_text(sender),
            "recipients": [to_text(recipient) for recipient in recipients],
            "privacyGroupId": to_text(group),
            "result": result,
        }
        entry = json.dumps(line, separators=(",", ":")).encode()
        self._store.append_audit(entry, START, chained)

    def export(self) -> Iterator[dict[str, Any]]:
        """Every entry with its number and hash (hex); AuditBroken where the chain does not hold."""
        previous = START
        for expected, (number, entry, digest) in enumerate(self._store.audit(), start=1):
            if number != expected or chained(previous, number, entry) != digest:
                raise AuditBroken(f"entry {expected} of the audit log is missing or was changed")
            yield {"number": number, **json.loads(entry), "hash": digest.hex()}
            previous = digest


def chained(previous: bytes, number: int, entry: bytes) -> bytes:
    """SHA-256 of the hash before, the entry's number (8 bytes) and the entry."""
    return hashlib.sha256(previous + number.to_bytes(8) + entry).digest()
