"""The store of payloads, groups, known managers and the audit log: SQLite beside the node, or PostgreSQL by its URL.

A write is on the disk when its method returns. So a payload is durable before its key is given to the client. The audit
entry of a payload that another manager sent is in the same transaction. That of an own payload follows its delivery.
This module must not open a payload. The database has sealed payloads: it shows the parties, the time and the size, and
never the content.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.encrypted_payload import (
    MAX_BOXES,
    EncryptedPayload,
    decode_orion_payload,
    encode_orion_payload,
)
from lacnode.privacy.manager.group_store import GroupStore
from lacnode.privacy.manager.quota import Quota
from lacnode.privacy.manager.sql_database import MEMORY, SqlConnection, SqlDatabase, StoreError
from lacnode.privacy.manager.store_tables import TABLES, append_audit_entry

PAYLOAD_ROWS_BYTES, PARTY_ROWS_BYTES = 768, 128
"""What a payload takes beside its body: its rows, indexes and audit entry, and the rows of each party. It counts to the
quota: a stranger may push millions of payloads of 200 bytes."""

LONG_BODY_BYTES = 1_048_576
"""Size from which a payload is written in pieces, if the database can. Its bytes are written twice then: first zeros, which
reserve their place."""

_COUNT_BYTES = (
    "INSERT INTO senders (sender, known, bytes) VALUES (:sender, :known, :bytes)"
    " ON CONFLICT (sender) DO UPDATE SET known = :known, bytes = :bytes"
)

_CountedBytes = list[tuple[bool, int]]
"""What one payload has changed in the usage of the quota: for known (True) or unknown keys, so many bytes."""


class PayloadConflictError(Exception):
    """Another payload has this key already (another sender, nonce or group), or it would have more than `MAX_BOXES`
    boxes."""


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A payload with its number in the store, which grows with the arrival. `parties` has for each known party (a
    public key of 32 bytes) the position of a box that it can open. For the sender this may be the box of a recipient.
    """

    number: int
    payload: EncryptedPayload
    parties: Mapping[bytes, int]


class PayloadStore:
    """The manager's store: one database, SQLite or PostgreSQL by its SQLAlchemy `url`, for any number of threads and
    processes.

    StoreError from every method if the database fails. What the method wrote is then stored as a whole or not at all.
    `put_payload` and the methods of `groups` may be called again in both cases. `append_audit` may then add a second
    entry. `groups` are the groups in the same database.
    """

    def __init__(self, url: str = MEMORY) -> None:
        self._database = SqlDatabase(url, TABLES)
        self.groups = GroupStore(self._database)
        self._quota = Quota()

    def set_quota(self, quota: Quota) -> None:
        """Use `quota` for payloads and groups that other managers push from now on. The bytes of stored payloads that
        were pushed before are counted into it."""
        with self._database.read() as connection:
            for known, size in connection.execute("SELECT known, sum(bytes) FROM senders GROUP BY known"):
                # SQLite has numbers in place of booleans.
                quota.add_used_bytes(bool(known), int(size))
        self._quota = self.groups.quota = quota

    def close(self) -> None:
        """Close every connection. The store must not be used after it."""
        self._database.close()

    # -- payloads ----------------------------------------------------------------------------------------------------

    def put_payload(
        self,
        payload: EncryptedPayload,
        parties: Mapping[bytes, int],
        entry: bytes | None = None,
        *,
        is_pushed: bool = False,
        is_recovered: bool = False,
    ) -> bool:
        """Store `payload`, and `entry` (encoded) in the audit log. Return True if it is new, False if it is stored
        already. It is on the disk when this returns.

        `parties` are as in `StoredPayload`. If the payload is stored already, its new boxes are added and there is no
        entry in the log. PayloadConflictError if the stored payload of this key has another sender, nonce or group, or
        if there would be more than `MAX_BOXES` boxes. QuotaExceededError if the payload `is_pushed` and a quota is
        reached, or if it `is_recovered` and the disk is almost full. StoreError if the database fails.
        """
        if len(payload.boxes) > MAX_BOXES:
            raise PayloadConflictError
        counted: _CountedBytes | None = [] if is_pushed else None
        try:
            # One transaction for the payload, its parties, the quota and the log. After a crash there is all of it or
            # none.
            with self._database.write() as connection:
                return self._put(connection, payload, parties, entry, counted, is_recovered)
        except BaseException:
            # The rows of the senders are as before. A restart would read them, and the usage must be the same now.
            for known, size in counted or ():
                self._quota.add_used_bytes(known, -size)
            raise

    def _put(
        self,
        connection: SqlConnection,
        payload: EncryptedPayload,
        parties: Mapping[bytes, int],
        entry: bytes | None,
        counted: _CountedBytes | None,
        is_recovered: bool,
    ) -> bool:
        key = payload.key
        # Looked up before the payload is encoded: a payload of 15 MB that is stored already would be in memory once
        # more. An own payload is almost always new, and is inserted without this.
        if counted is not None and connection.find_row("SELECT number FROM payloads WHERE key = :key", {"key": key}):
            self._add_boxes(connection, payload, parties, counted)
            return False
        body = encode_orion_payload(payload)
        if counted is not None:
            # Checked before the insertion. SQLite writes a large payload to its log before the transaction ends, so
            # refused ones would wear out the disk. Writers are alone in the transaction: two pushes at the same time
            # cannot pass the bound together.
            size = len(body) + PAYLOAD_ROWS_BYTES + PARTY_ROWS_BYTES * len(parties)
            self._count_pushed_bytes(connection, payload.sender, size, counted)
        elif is_recovered:
            self._quota.check_disk(len(body))
        number = _insert_body(connection, key, body)
        del body
        if number is None:
            self._add_boxes(connection, payload, parties, None)
            return False
        _insert_parties(connection, number, parties)
        if entry is not None:
            append_audit_entry(connection, entry)
        return True

    def _add_boxes(
        self,
        connection: SqlConnection,
        payload: EncryptedPayload,
        parties: Mapping[bytes, int],
        counted: _CountedBytes | None,
    ) -> None:
        """Add the new boxes of a payload that is stored already. PayloadConflictError if it is another payload."""
        found = self._read_payload(connection, "key = :value", payload.key)
        assert found is not None, "its key is in the table"
        number, old, known = found.number, found.payload, found.parties
        # The key is the hash of the cipher text alone. The same cipher text with another sender or group would make
        # the stored payload answer for a group that it was never sent to.
        if replace(old, boxes=()) != replace(payload, boxes=()):
            raise PayloadConflictError
        # The cipher text is the same, and is not kept twice.
        old = replace(old, cipher_text=payload.cipher_text)
        del found
        new = {party: position for party, position in parties.items() if party not in known}
        # Each push may bring one more box. Without the bound one payload would grow with every push.
        if len(old.boxes) + len(new) > MAX_BOXES:
            raise PayloadConflictError
        if not new:
            return
        # The new boxes come after the old ones. The positions of all known parties stay valid.
        boxes = [*old.boxes]
        for party, position in new.items():
            new[party] = len(boxes)
            boxes.append(payload.boxes[position])
        size = len(encode_orion_payload(old))
        body = encode_orion_payload(replace(old, boxes=tuple(boxes)))
        if counted is not None:
            # A payload of 300 bytes may get boxes of 200 kB by its second push.
            self._count_pushed_bytes(connection, old.sender, len(body) - size + PARTY_ROWS_BYTES * len(new), counted)
        _replace_body(connection, number, body)
        _insert_parties(connection, number, new)

    def _count_pushed_bytes(self, connection: SqlConnection, sender: bytes, size: int, counted: _CountedBytes) -> None:
        """Count a payload against the quota before it is written. A refused payload leaves nothing behind."""
        row = connection.find_row("SELECT known, bytes FROM senders WHERE sender = :sender", {"sender": sender})
        was_known, stored = (False, 0) if row is None else (bool(row[0]), int(row[1]))
        known = self._quota.require_space_and_classify(sender, stored, size, was_known=was_known)
        connection.execute(_COUNT_BYTES, {"sender": sender, "known": known, "bytes": stored + size})
        # All bytes of a key are counted in one class, that of its row. A restart counts them by the rows.
        for change in ((was_known, -stored), (known, stored + size)):
            self._quota.add_used_bytes(*change)
            counted.append(change)

    def find_payload(self, key: bytes) -> StoredPayload | None:
        """Return the payload of `key` (32 bytes), None if it is not stored. StoreError if it is damaged or the database
        fails."""
        with self._database.read() as connection:
            return self._read_payload(connection, "key = :value", key)

    def find_readable_keys(self, keys: Sequence[bytes], party: bytes) -> set[bytes]:
        """Return those of `keys` (32 bytes each) whose payload is stored with the public key `party` (32 bytes) as a
        party, which can read it."""
        if not keys:
            return set()
        # One query for all. Most of the payloads that managers ask each other for belong to other groups.
        values = {f"key{number}": key for number, key in enumerate(keys)}
        # A cross join keeps the order of the tables in SQLite. It would otherwise read all payloads of the party.
        query = (
            "SELECT payloads.key FROM payloads CROSS JOIN parties"
            f" WHERE payloads.key IN ({', '.join(f':{name}' for name in values)})"
            " AND parties.payload = payloads.number AND parties.party = :party"
        )
        with self._database.read() as connection:
            return {bytes(key) for (key,) in connection.execute(query, {**values, "party": party})}

    def read_payloads(
        self, party: bytes, after_number: int, limit: int, limit_bytes: float = math.inf
    ) -> list[StoredPayload]:
        """Return payloads with the party `party` (a public key of 32 bytes) in the order of their arrival, from the
        first after the number `after_number` (0 for all). Empty if there are no more.

        At most `limit` payloads are returned. The list ends when they have `limit_bytes` of cipher text, so the last
        one may pass this bound. StoreError if one is damaged.
        """
        query = "SELECT payload FROM parties WHERE party = :party AND payload > :after ORDER BY payload LIMIT :limit"
        values = {"party": party, "after": after_number, "limit": limit}
        with self._database.read() as connection:
            found, size = [], 0
            # The numbers are read first and the payloads one by one. A query for all bodies would load up to `limit`
            # payloads of 15 MB into memory before the bound could count.
            for (number,) in connection.execute(query, values).fetchall():
                stored = self._read_payload(connection, "number = :value", number)
                if stored is not None:
                    found.append(stored)
                    size += len(stored.payload.cipher_text)
                if size >= limit_bytes:
                    break
            return found

    def _read_payload(self, connection: SqlConnection, where: str, value: bytes | int) -> StoredPayload | None:
        """Return the payload for which `where` is true. `:value` stands for `value` in it."""
        row = connection.find_row(f"SELECT number, body FROM payloads WHERE {where}", {"value": value})
        if row is None:
            return None
        number, body = row
        parties = connection.execute("SELECT party, position FROM parties WHERE payload = :number", {"number": number})
        try:
            payload = decode_orion_payload(bytes(body))
        except CborError as error:
            raise StoreError(f"payload {number} of the store is damaged: {error}") from None
        return StoredPayload(number, payload, {bytes(party): position for party, position in parties})

    def is_empty(self) -> bool:
        """Return True if the store has no payload. Groups and the audit log do not count."""
        with self._database.read() as connection:
            return connection.find_row("SELECT number FROM payloads LIMIT 1") is None

    # -- known managers ----------------------------------------------------------------------------------------------

    def read_known_nodes(self) -> dict[bytes, str]:
        """Return the public keys (32 bytes) of the managers that were stored last, and their URLs. Empty if there are
        none."""
        with self._database.read() as connection:
            return _find_known_nodes(connection)

    def put_known_nodes(self, nodes: Mapping[bytes, str]) -> None:
        """Store `nodes` (public keys of 32 bytes and URLs) in place of all known managers. Only rows that differ are
        written."""
        with self._database.write() as connection:
            # All rows have up to 4 MB, and most of them stay the same.
            stored = _find_known_nodes(connection)
            connection.execute_many(
                "DELETE FROM known_nodes WHERE key = :key", [{"key": key} for key in stored.keys() - nodes.keys()]
            )
            connection.execute_many(
                "INSERT INTO known_nodes (key, url) VALUES (:key, :url) ON CONFLICT (key) DO UPDATE SET url = :url",
                [{"key": key, "url": url} for key, url in nodes.items() if stored.get(key) != url],
            )

    # -- audit -------------------------------------------------------------------------------------------------------

    def append_audit(self, entry: bytes) -> None:
        """Add the encoded entry to the audit log under the next number. Its hash includes the hash of the entry before.

        Several managers may write to one log.
        """
        with self._database.write() as connection:
            append_audit_entry(connection, entry)

    def read_audit_log(self) -> Sequence[tuple[int, bytes, bytes]]:
        """Return every entry of the audit log in order: its number (from 1), the encoded entry and its hash (32 bytes).
        The hashes are not checked here."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT number, entry, hash FROM audit ORDER BY number")
            return [(number, bytes(entry), bytes(digest)) for number, entry, digest in rows]


def _find_known_nodes(connection: SqlConnection) -> dict[bytes, str]:
    return {bytes(key): url for key, url in connection.execute("SELECT key, url FROM known_nodes")}


def _insert_body(connection: SqlConnection, key: bytes, body: bytes) -> int | None:
    """Insert a payload by its key and its encoding. Return its number, None if the key is stored already."""
    value, parameter = _written_value(connection, body)
    number = connection.find_value(
        f"INSERT INTO payloads (key, body) VALUES (:key, {value}) ON CONFLICT (key) DO NOTHING RETURNING number",
        {"key": key, "body": parameter},
    )
    if number is not None and parameter is not body:
        connection.write_pieces("payloads", "body", int(number), body)
    return None if number is None else int(number)


def _insert_parties(connection: SqlConnection, number: int, parties: Mapping[bytes, int]) -> None:
    connection.execute_many(
        "INSERT INTO parties (payload, party, position) VALUES (:payload, :party, :position)",
        [{"payload": number, "party": party, "position": position} for party, position in parties.items()],
    )


def _replace_body(connection: SqlConnection, number: int, body: bytes) -> None:
    value, parameter = _written_value(connection, body)
    connection.execute(
        f"UPDATE payloads SET body = {value} WHERE number = :number", {"number": number, "body": parameter}
    )
    if parameter is not body:
        connection.write_pieces("payloads", "body", number, body)


def _written_value(connection: SqlConnection, body: bytes) -> tuple[str, bytes | int]:
    """Return the SQL of the value of `body`, and its parameter. The parameter of a long body is its size: it must be
    written in pieces afterwards."""
    if connection.can_write_pieces and len(body) >= LONG_BODY_BYTES:
        return "zeroblob(:body)", len(body)
    return ":body", body
