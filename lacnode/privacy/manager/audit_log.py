"""The audit log: the sender, the recipients, the digest and the time of each payload.

Each entry has the hash of the entry before. So an entry that was removed or changed shows, unless all entries after it
were written again or removed with it. The log must not have contents of payloads.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.store_tables import AUDIT_START, audit_chain_hash


class AuditLogError(Exception):
    """The stored audit log differs from the log that was written. The text names the first entry that is wrong."""


def audit_entry(
    event: str,
    digest: bytes,
    sender: bytes,
    recipients: Sequence[bytes],
    group: bytes,
    result: str = "ok",
    unproven: Sequence[bytes] = (),
) -> bytes:
    """Return one entry as JSON in UTF-8, with the present UTC time. It is not stored here.

    `event` is `sent`, `received`, `group-created`, `group-deleted` or `recovered`. `digest` (the payload's key, zeros
    for a group) and `group` (the group's id) have 32 bytes. `result` is `ok`, or what went wrong in words. `sender`,
    `recipients` and `unproven` are public keys. `unproven` are the recipients whose managers did not prove their keys.
    The field is absent if there are none.
    """
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
    """Yield every entry of the store's audit log in order: its fields, its number (from 1) and its hash (hexadecimal
    without 0x). AuditLogError at the first entry that does not fit the chain of hashes. StoreError if the store fails.
    """
    previous = AUDIT_START
    # The expected number is compared too. Without it, entries could be cut off at the start, or be reordered together
    # with their hashes.
    for expected, (number, entry, digest) in enumerate(store.read_audit_log(), start=1):
        # A reader that has noted a hash earlier can compare it. A chain that was computed again from some entry on
        # ends in another hash.
        if number != expected or audit_chain_hash(previous, number, entry) != digest:
            raise AuditLogError(f"entry {expected} of the audit log is missing or was changed")
        yield {"number": number, **json.loads(entry), "hash": digest.hex()}
        previous = digest
