"""The audit log: who sent what digest to whom and when. Entries are chained by hash, so that taking one out or changing
one shows. Must not hold contents.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.payload_store import AUDIT_START, PayloadStore, chain_hash


class AuditLogError(Exception):
    """The log is not what was written."""


def audit_entry(
    event: str,
    digest: bytes,
    sender: bytes,
    recipients: Sequence[bytes],
    group: bytes,
    result: str = "ok",
    unproven: Sequence[bytes] = (),
) -> bytes:
    """One line, as of now: `event` is sent, received, group-created, group-deleted or recovered; digest and group are 32
    bytes. `unproven` are the recipients whose managers have not proven their keys; there is no such field without any."""
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "digest": to_base64(digest),
        "sender": to_base64(sender),
        "recipients": [to_base64(recipient) for recipient in recipients],
        "privacyGroupId": to_base64(group),
        "result": result,
    }
    if unproven:
        line["unproven"] = [to_base64(key) for key in unproven]
    return json.dumps(line, separators=(",", ":")).encode()


def export_audit_log(store: PayloadStore) -> Iterator[dict[str, Any]]:
    """Every entry of the store's log with its number and hash (hex); AuditLogError where the chain does not hold."""
    previous = AUDIT_START
    for expected, (number, entry, digest) in enumerate(store.audit(), start=1):
        if number != expected or chain_hash(previous, number, entry) != digest:
            raise AuditLogError(f"entry {expected} of the audit log is missing or was changed")
        yield {"number": number, **json.loads(entry), "hash": digest.hex()}
        previous = digest
