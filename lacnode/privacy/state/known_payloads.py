"""What is known of a payload without reading it again: anybody can send many markers of one payload, which may have fifteen
megabytes.

A payload is named by the digest of its cipher text, so what was read of it once stays true. Of a payload that was carried
out it is in the database; of others that were read lately, in memory. Must not hold what a payload says.
"""

import threading
from dataclasses import dataclass, replace

from lacnode.privacy.state.announced_payloads import facts_of
from lacnode.storage.database import Database

MAX_KNOWN_PAYLOADS = 10_000
"""Payloads of which something is known in memory."""

_ENCODED_BYTES = 32 + 32 + 20 + 8


@dataclass(frozen=True, slots=True)
class KnownPayload:
    """The group and the key (32 bytes each) that a payload is for and from, and the account and the nonce of the private
    transaction in it; without an account as long as its signature was not looked at."""

    group_id: bytes
    private_from: bytes
    account: bytes = b""
    nonce: int = 0

    def encode(self) -> bytes:
        """As it is kept, of a payload that was carried out."""
        return self.group_id + self.private_from + self.account + self.nonce.to_bytes(8)

    @classmethod
    def decode(cls, data: bytes) -> "KnownPayload":
        """The inverse of `encode`."""
        return cls(data[:32], data[32:64], data[64:84], int.from_bytes(data[84:]))


class KnownPayloads:
    """Safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._remembered: dict[bytes, KnownPayload] = {}

    def of(self, payload_key: bytes) -> KnownPayload | None:
        """What is known of the payload; None if it was not read yet, or not lately."""
        with self._lock:
            known = self._remembered.get(payload_key)
        if known is not None and known.account:
            return known
        with self._database.read() as snapshot:
            facts = facts_of(snapshot, payload_key)
        return KnownPayload.decode(facts) if len(facts) == _ENCODED_BYTES else known

    def was_read(self, payload_key: bytes, group_id: bytes, private_from: bytes) -> None:
        """The payload was read, and belongs to this group."""
        with self._lock:
            if payload_key not in self._remembered:
                self._remember(payload_key, KnownPayload(group_id, private_from))

    def was_signed(self, payload_key: bytes, account: bytes, nonce: int) -> None:
        """The private transaction of a payload that was read is of this account."""
        with self._lock:
            known = self._remembered.get(payload_key)
            if known is not None:
                self._remember(payload_key, replace(known, account=account, nonce=nonce))

    def _remember(self, payload_key: bytes, known: KnownPayload) -> None:
        self._remembered.pop(payload_key, None)
        self._remembered[payload_key] = known
        if len(self._remembered) > MAX_KNOWN_PAYLOADS:
            del self._remembered[next(iter(self._remembered))]
