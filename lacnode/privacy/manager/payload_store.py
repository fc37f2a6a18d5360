"""The store of payloads, groups, known managers and the audit log: SQLite beside the node, or PostgreSQL by its URL.

A write is on the disk when its method returns. So a payload is durable before its key is given to the client. The audit
entry of a payload is in the same transaction. This module must not open a payload. The database has sealed payloads: it
shows the parties, the time and the size, and never the content.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sql

from lacnode.privacy.group_ids import legacy_lookup_id
from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.encrypted_payload import MAX_BOXES, EncryptedPayload, decode_payload, encode_payload
from lacnode.privacy.manager.group_record import GroupRecord, decode_group, encode_group
from lacnode.privacy.manager.quota import MAX_STORED_GROUP_BYTES, MAX_STORED_GROUPS, Quota, QuotaExceededError
from lacnode.privacy.manager.sql_database import MEMORY, SqlDatabase, StoreError

_tables = sql.MetaData()
_SEQUENCE = sql.BigInteger().with_variant(sql.Integer, "sqlite")
_payloads = sql.Table(
    "payloads",
    _tables,
    sql.Column("number", _SEQUENCE, primary_key=True, autoincrement=True),
    sql.Column("key", sql.LargeBinary(32), unique=True, nullable=False),
    sql.Column("body", sql.LargeBinary, nullable=False),
)
_parties = sql.Table(
    "parties",
    _tables,
    sql.Column("payload", _SEQUENCE, sql.ForeignKey("payloads.number"), primary_key=True),
    sql.Column("party", sql.LargeBinary(32), primary_key=True),
    sql.Column("position", sql.Integer, nullable=False),
    sql.Index("parties_by_party", "party", "payload"),
)
_groups = sql.Table(
    "groups",
    _tables,
    sql.Column("number", _SEQUENCE, primary_key=True, autoincrement=True),
    sql.Column("id", sql.LargeBinary(32), unique=True, nullable=False),
    sql.Column("lookup", sql.LargeBinary(32), index=True, nullable=False),
    sql.Column("active", sql.Boolean, nullable=False),
    sql.Column("record", sql.LargeBinary, nullable=False),
)
_known_nodes = sql.Table(
    "known_nodes",
    _tables,
    sql.Column("key", sql.LargeBinary(32), primary_key=True),
    sql.Column("url", sql.Text, nullable=False),
)
_audit = sql.Table(
    "audit",
    _tables,
    sql.Column("number", _SEQUENCE, primary_key=True, autoincrement=False),
    sql.Column("entry", sql.LargeBinary, nullable=False),
    sql.Column("hash", sql.LargeBinary(32), nullable=False),
)

# Without this table a restart would forget how much each key has pushed, and a sender could fill its share again.
_senders = sql.Table(
    "senders",
    _tables,
    sql.Column("sender", sql.LargeBinary(32), primary_key=True),
    sql.Column("known", sql.Boolean, nullable=False),
    sql.Column("bytes", sql.BigInteger, nullable=False),
)
"""The number of pushed bytes by the key that sent them."""

AUDIT_START = bytes(32)
"""The hash before the first entry of the audit log."""


class PayloadConflictError(Exception):
    """Another payload has this key already (another sender, nonce or group), or it has too many boxes."""


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A payload with its number in the store. `parties` has the position of its box for each known party (32 bytes)."""

    number: int
    payload: EncryptedPayload
    parties: Mapping[bytes, int]


@dataclass(frozen=True, slots=True)
class GroupPage:
    """One page of encoded group records.

    `last` is the number of the last group that was read. `has_more` says whether more groups follow.
    """

    records: tuple[bytes, ...]
    last: int
    has_more: bool


class PayloadStore:
    """One database, for any number of threads and processes.

    StoreError from every method if the database fails. The same call can then be made again: its result is the same,
    whether the first call was stored or not.
    """

    def __init__(self, url: str = MEMORY) -> None:
        self._database = SqlDatabase(url, _tables)
        self._quota = Quota()

    def set_quota(self, quota: Quota) -> None:
        """Use `quota` for payloads that other managers push from now on. The stored bytes are counted into it."""
        query = sql.select(_senders.c.known, sql.func.sum(_senders.c.bytes)).group_by(_senders.c.known)
        with self._database.read() as connection:
            for known, size in connection.execute(query):
                quota.add_used_bytes(known, int(size))
        self._quota = quota

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    # -- payloads ----------------------------------------------------------------------------------------------------

    def put_payload(
        self,
        payload: EncryptedPayload,
        parties: Mapping[bytes, int],
        entry: bytes | None = None,
        *,
        is_pushed: bool = False,
    ) -> bool:
        """Store `payload`, and `entry` in the audit log. Return False if the payload is stored already.

        `parties` are public keys (32 bytes) and the positions of their boxes. If the payload is stored already, its new
        boxes are added and there is no entry in the log. PayloadConflictError if the stored payload of this key has another
        sender, nonce or group, or if there would be more than `MAX_BOXES` boxes. QuotaExceededError if the payload
        `is_pushed` and a quota is reached.
        """
        if len(payload.boxes) > MAX_BOXES:
            raise PayloadConflictError
        # One transaction for the payload, its parties, the quota and the log. After a crash there is all of it or none.
        with self._database.write() as connection:
            found = self._read_payload(connection, _payloads.c.key == payload.key)
            if found is None:
                body = encode_payload(payload)
                # The quota is checked inside the transaction. Writers are alone in it, so two pushes at the same time
                # cannot pass the bound together.
                if is_pushed:
                    self._count_pushed_bytes(connection, payload.sender, len(body))
                row = connection.execute(
                    _payloads.insert().values(key=payload.key, body=body).returning(_payloads.c.number)
                )
                self._insert_parties(connection, int(row.scalar_one()), parties)
                if entry is not None:
                    self._append_audit(connection, entry)
                return True
            old = found.payload
            # The key is the hash of the cipher text alone. The same cipher text with another sender or group would make
            # the stored payload answer for a group that it was never sent to.
            if replace(old, boxes=()) != replace(payload, boxes=()):
                raise PayloadConflictError
            new = {party: position for party, position in parties.items() if party not in found.parties}
            # Each push may bring one more box. Without the bound one payload would grow with every push.
            if len(old.boxes) + len(new) > MAX_BOXES:
                raise PayloadConflictError
            if new:
                # The new boxes come after the old ones. The positions of all known parties stay valid.
                boxes = [*old.boxes]
                for party, position in new.items():
                    new[party] = len(boxes)
                    boxes.append(payload.boxes[position])
                whole = replace(old, boxes=tuple(boxes))
                connection.execute(
                    _payloads.update().where(_payloads.c.number == found.number).values(body=encode_payload(whole))
                )
                self._insert_parties(connection, found.number, new)
            return False

    def _count_pushed_bytes(self, connection: sql.Connection, sender: bytes, size: int) -> None:
        """Count a payload against the quota before it is written. A refused payload leaves nothing behind."""
        # The class (known or unknown) of a key is stored with its first payload. A restart counts all its bytes there.
        here = _senders.c.sender == sender
        before = connection.execute(sql.select(_senders.c.bytes).where(here)).scalar()
        known = self._quota.check(sender, before or 0, size)
        if before is None:
            connection.execute(_senders.insert().values(sender=sender, known=known, bytes=size))
        else:
            connection.execute(_senders.update().where(here).values(bytes=before + size))
        self._quota.add_used_bytes(known, size)

    def find_payload(self, key: bytes) -> StoredPayload | None:
        """Return the payload of `key` (32 bytes), None if it is not stored. StoreError if it is damaged."""
        with self._database.read() as connection:
            return self._read_payload(connection, _payloads.c.key == key)

    def read_payloads(self, party: bytes, after: int, limit: int, limit_bytes: float = math.inf) -> list[StoredPayload]:
        """Return payloads of `party` (32 bytes) in the order of their arrival, from the first after number `after`.

        At most `limit` payloads are returned. The list ends when they have `limit_bytes` of cipher text.
        """
        query = (
            sql.select(_parties.c.payload)
            .where(_parties.c.party == party, _parties.c.payload > after)
            .order_by(_parties.c.payload)
            .limit(limit)
        )
        with self._database.read() as connection:
            found, size = [], 0
            # The numbers are read first and the payloads one by one. A query for all bodies would load up to `limit`
            # payloads of 15 MB into memory before the bound could count.
            for number in list(connection.execute(query).scalars()):
                stored = self._read_payload(connection, _payloads.c.number == number)
                if stored is not None:
                    found.append(stored)
                    size += len(stored.payload.cipher_text)
                if size >= limit_bytes:
                    break
            return found

    def _insert_parties(self, connection: sql.Connection, number: int, parties: Mapping[bytes, int]) -> None:
        rows = [{"payload": number, "party": party, "position": position} for party, position in parties.items()]
        if rows:
            connection.execute(_parties.insert(), rows)

    def _read_payload(self, connection: sql.Connection, where: sql.ColumnElement[bool]) -> StoredPayload | None:
        row = connection.execute(sql.select(_payloads.c.number, _payloads.c.body).where(where)).first()
        if row is None:
            return None
        parties = connection.execute(
            sql.select(_parties.c.party, _parties.c.position).where(_parties.c.payload == row.number)
        )
        try:
            payload = decode_payload(bytes(row.body))
        except CborError as error:
            raise StoreError(f"payload {row.number} of the store is damaged: {error}") from None
        return StoredPayload(row.number, payload, {bytes(party): position for party, position in parties})

    def is_empty(self) -> bool:
        """Return True if the store has no payload."""
        with self._database.read() as connection:
            return connection.execute(sql.select(_payloads.c.number).limit(1)).first() is None

    # -- groups ------------------------------------------------------------------------------------------------------

    def put_group(self, record: GroupRecord, entry: bytes | None = None) -> None:
        """Store `record` in place of the known record of its group, and `entry` in the audit log."""
        with self._database.write() as connection:
            self._put_group(connection, record, entry)

    def _put_group(self, connection: sql.Connection, record: GroupRecord, entry: bytes | None) -> None:
        # `lookup` is the id of the LEGACY group of the members: a key for the search by members, in any order.
        values: dict[str, Any] = {
            "lookup": legacy_lookup_id(record.members),
            "active": record.active,
            "record": encode_group(record),
        }
        updated = connection.execute(_groups.update().where(_groups.c.id == record.id).values(**values))
        if updated.rowcount == 0:
            connection.execute(_groups.insert().values(id=record.id, **values))
        if entry is not None:
            self._append_audit(connection, entry)

    def update_group(
        self,
        group_id: bytes,
        decide_record: Callable[[GroupRecord | None], GroupRecord | None],
        entry: bytes | None = None,
        *,
        is_pushed: bool = False,
    ) -> None:
        """Store the record that `decide_record` returns for the known record of a group. None changes nothing.

        No other writer can write in between. QuotaExceededError if a new record `is_pushed` and there are too many.
        """
        with self._database.write() as connection:
            row = connection.execute(sql.select(_groups.c.record).where(_groups.c.id == group_id)).scalar()
            record = decide_record(None if row is None else decode_group(bytes(row)))
            if record is not None:
                if is_pushed and row is None:
                    self._check_group_quota(connection, len(encode_group(record)))
                self._put_group(connection, record, entry)

    def _check_group_quota(self, connection: sql.Connection, size: int) -> None:
        query = sql.select(sql.func.count(), sql.func.sum(sql.func.length(_groups.c.record)))
        count, used = connection.execute(query).one()
        if count >= MAX_STORED_GROUPS or int(used or 0) + size > MAX_STORED_GROUP_BYTES:
            raise QuotaExceededError("no more groups of others are kept")

    def find_group(self, group_id: bytes) -> GroupRecord | None:
        """Return the record of the group `group_id` (32 bytes), also of a deleted group. None if it is unknown."""
        with self._database.read() as connection:
            row = connection.execute(sql.select(_groups.c.record).where(_groups.c.id == group_id)).scalar()
        return None if row is None else decode_group(bytes(row))

    def find_groups(self, members: Iterable[bytes]) -> list[GroupRecord]:
        """Return the active groups of exactly these members, the oldest first."""
        where = sql.and_(_groups.c.lookup == legacy_lookup_id(members), _groups.c.active)
        return self._groups_where(where)

    def read_group_page(self, member: bytes, after: int, limit: int, limit_bytes: int) -> "GroupPage":
        """Return records of the groups of `member` (32 bytes), also of deleted groups, from the first after number `after`.

        The oldest comes first. The page has at most `limit` records and at most `limit_bytes` (but at least one record).
        """
        name, found, size = to_base64(member).encode(), list[bytes](), 0
        query = sql.select(_groups.c.number, _groups.c.record).where(_groups.c.number > after)
        last = after
        with self._database.read() as connection:
            for number, record in connection.execute(query.order_by(_groups.c.number)):
                data = bytes(record)
                # The text of the key is searched in the encoded record first. To decode every record would cost seconds
                # with 20,000 groups, and other managers ask for these pages. A description may contain the text too,
                # so the members decide in the end.
                if name in data and member in decode_group(data).members:
                    if found and (len(found) == limit or size + len(data) > limit_bytes):
                        return GroupPage(tuple(found), last, True)
                    found.append(data)
                    size += len(data)
                # The last number counts records without the member too. The next page does not read them again.
                last = number
        return GroupPage(tuple(found), last, False)

    def _groups_where(self, where: sql.ColumnElement[bool]) -> list[GroupRecord]:
        with self._database.read() as connection:
            rows = connection.execute(sql.select(_groups.c.record).where(where).order_by(_groups.c.number)).scalars()
            return [decode_group(bytes(row)) for row in rows]

    # -- known managers ----------------------------------------------------------------------------------------------

    def read_known_nodes(self) -> dict[bytes, str]:
        """Return the public keys (32 bytes) of known managers and their URLs."""
        with self._database.read() as connection:
            rows = connection.execute(sql.select(_known_nodes.c.key, _known_nodes.c.url))
            return {bytes(row.key): row.url for row in rows}

    def put_known_nodes(self, nodes: Mapping[bytes, str]) -> None:
        """Store `nodes` in place of all known managers."""
        with self._database.write() as connection:
            connection.execute(_known_nodes.delete())
            if nodes:
                connection.execute(_known_nodes.insert(), [{"key": key, "url": url} for key, url in nodes.items()])

    # -- audit -------------------------------------------------------------------------------------------------------

    def append_audit(self, entry: bytes) -> None:
        """Add an entry to the audit log under the next number. Its hash includes the hash of the entry before.

        Several managers may write to one log.
        """
        with self._database.write() as connection:
            self._append_audit(connection, entry)

    def _append_audit(self, connection: sql.Connection, entry: bytes) -> None:
        query = sql.select(_audit.c.number, _audit.c.hash).order_by(_audit.c.number.desc()).limit(1)
        last = connection.execute(query).first()
        number, previous = (1, AUDIT_START) if last is None else (last.number + 1, bytes(last.hash))
        connection.execute(_audit.insert().values(number=number, entry=entry, hash=chain_hash(previous, number, entry)))

    def read_audit_log(self) -> Sequence[tuple[int, bytes, bytes]]:
        """Return every entry of the audit log in order: number, entry, hash."""
        query = sql.select(_audit.c.number, _audit.c.entry, _audit.c.hash).order_by(_audit.c.number)
        with self._database.read() as connection:
            return [(row.number, bytes(row.entry), bytes(row.hash)) for row in connection.execute(query)]


def chain_hash(previous: bytes, number: int, entry: bytes) -> bytes:
    """Return the hash of an entry of the audit log: SHA-256 of the hash before, the number (8 bytes) and the entry."""
    return hashlib.sha256(previous + number.to_bytes(8) + entry).digest()
