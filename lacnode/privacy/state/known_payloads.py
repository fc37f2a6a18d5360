"""Facts about payloads that were read before, so that they need not be read again.

Any account can send many markers of one payload, which may have 15 MB. The name of a payload is the digest of its cipher
text, so a fact about it stays true. The facts of executed payloads are in the database. Facts of other payloads that were
read lately are in memory. This module must not keep the content of a payload.
"""

import threading
from dataclasses import dataclass, replace

from lacnode.privacy.state.announced_payloads import read_encoded_facts
from lacnode.storage.database import Database

MAX_KNOWN_PAYLOADS = 10_000
"""The largest number of payloads with facts in memory."""

_ENCODED_BYTES = 32 + 32 + 20 + 8


@dataclass(frozen=True, slots=True)
class PayloadFacts:
    """What is kept of a payload that was read: its group and the key of its sender (32 bytes each), and the account (20
    bytes) and nonce of its private transaction. The content is not kept.

    `account` is empty if the signature was not verified yet. The nonce counts only with an account.
    """

    group_id: bytes
    private_from: bytes
    account: bytes = b""
    nonce: int = 0

    def encode(self) -> bytes:
        """Encode the facts of an executed payload for the database: 92 bytes if it has an account."""
        return self.group_id + self.private_from + self.account + self.nonce.to_bytes(8)

    @classmethod
    def decode(cls, data: bytes) -> "PayloadFacts":
        """Decode what `encode` made of facts with an account. Other lengths are not checked and give wrong facts."""
        return cls(data[:32], data[32:64], data[64:84], int.from_bytes(data[84:]))


class KnownPayloadFacts:
    """The facts about payloads that were read before: in memory, and in the database if they were executed. Safe to use
    from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._remembered: dict[bytes, PayloadFacts] = {}

    def find(self, payload_key: bytes) -> PayloadFacts | None:
        """Return the facts of the payload `payload_key` (32 bytes). None if it was never read, or if it was not
        executed with success and its reading is forgotten (`MAX_KNOWN_PAYLOADS`, a restart). None also if an earlier
        version executed it, which stored no facts, and its reading is forgotten."""
        with self._lock:
            known = self._remembered.get(payload_key)
        # Facts with an account are complete. Others in memory may be older than those in the database.
        if known is not None and known.account:
            return known
        with self._database.read() as snapshot:
            facts = read_encoded_facts(snapshot, payload_key)
        # Rows of earlier versions have no facts. Then only the memory can help.
        return PayloadFacts.decode(facts) if len(facts) == _ENCODED_BYTES else known

    def record_read(self, payload_key: bytes, group_id: bytes, private_from: bytes) -> None:
        """Record in memory that the payload `payload_key` was read and belongs to this group, with the key of its
        sender (32 bytes each). Facts that are known stay. Above `MAX_KNOWN_PAYLOADS` the oldest facts are forgotten."""
        with self._lock:
            # Complete facts must not be replaced by facts without an account.
            if payload_key not in self._remembered:
                self._remember(payload_key, PayloadFacts(group_id, private_from))

    def record_signature(self, payload_key: bytes, account: bytes, nonce: int) -> None:
        """Record in memory the account (20 bytes) and the nonce of the private transaction in the payload `payload_key`
        (32 bytes). No effect if its reading was not recorded."""
        with self._lock:
            known = self._remembered.get(payload_key)
            if known is not None:
                self._remember(payload_key, replace(known, account=account, nonce=nonce))

    def _remember(self, payload_key: bytes, known: PayloadFacts) -> None:
        # Removed and added again: the order is by the last use, and the oldest fact is dropped.
        self._remembered.pop(payload_key, None)
        self._remembered[payload_key] = known
        if len(self._remembered) > MAX_KNOWN_PAYLOADS:
            del self._remembered[next(iter(self._remembered))]
