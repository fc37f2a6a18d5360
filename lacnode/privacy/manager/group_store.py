"""The groups in the manager's store: the records of its own groups, and of the groups that other managers announced."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from lacnode.privacy.group_ids import legacy_lookup_id
from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group, encode_orion_group
from lacnode.privacy.manager.quota import Quota
from lacnode.privacy.manager.sql_database import SqlDatabase
from lacnode.privacy.manager.store_tables import GROUPS, TOLD_GROUPS, append_audit_entry


@dataclass(frozen=True, slots=True)
class GroupPage:
    """One page of encoded group records.

    `last` is the number of the last group that was read. `has_more` says whether more groups follow.
    """

    records: tuple[bytes, ...]
    last: int
    has_more: bool


class GroupStore:
    """The records of groups in one database, for any number of threads. StoreError from every method if it fails."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self.quota = Quota()

    def put(self, record: GroupRecord, entry: bytes | None = None) -> None:
        """Store `record` in place of the known record of its group, and `entry` in the audit log."""
        with self._database.write() as connection:
            self._put(connection, record, entry)

    def _put(self, connection: sql.Connection, record: GroupRecord, entry: bytes | None) -> None:
        # `lookup` is the id of the LEGACY group of the members: a key for the search by members, in any order.
        values: dict[str, Any] = {
            "lookup": legacy_lookup_id(record.members),
            "active": record.active,
            "record": encode_orion_group(record),
        }
        updated = connection.execute(GROUPS.update().where(GROUPS.c.id == record.id).values(**values))
        if updated.rowcount == 0:
            connection.execute(GROUPS.insert().values(id=record.id, **values))
        if entry is not None:
            append_audit_entry(connection, entry)

    def update(
        self,
        group_id: bytes,
        decide_record: Callable[[GroupRecord | None], GroupRecord | None],
        entry: bytes | None = None,
        *,
        is_pushed: bool = False,
        teller: bytes = b"",
    ) -> None:
        """Store the record that `decide_record` returns for the known record of a group. None changes nothing.

        No other writer can write in between. QuotaExceededError if a new record `is_pushed` by the key `teller` (empty if
        no key was proven) and there are too many.
        """
        with self._database.write() as connection:
            row = connection.execute(sql.select(GROUPS.c.record).where(GROUPS.c.id == group_id)).scalar()
            record = decide_record(None if row is None else decode_orion_group(bytes(row)))
            if record is not None:
                if is_pushed and row is None:
                    self._count_told(connection, record, teller)
                self._put(connection, record, entry)

    def _count_told(self, connection: sql.Connection, record: GroupRecord, teller: bytes) -> None:
        """Count a group against the quota before it is written. A refused group leaves nothing behind."""
        known, size = bool(teller) and self.quota.is_known(teller), len(encode_orion_group(record))
        of_kind = _told(connection, TOLD_GROUPS.c.known == known)
        # Without a proof there is no key to count for. All such records share the bound of the unknown keys.
        of_sender = (
            _told(connection, sql.and_(TOLD_GROUPS.c.teller == teller, TOLD_GROUPS.c.known == known))
            if teller
            else None
        )
        self.quota.check_group(known=known, of_kind=of_kind, of_sender=of_sender, size=size)
        row = {"id": record.id, "teller": teller, "known": known, "bytes": size}
        connection.execute(TOLD_GROUPS.insert().values(**row))

    def find(self, group_id: bytes) -> GroupRecord | None:
        """Return the record of the group `group_id` (32 bytes), also of a deleted group. None if it is unknown."""
        with self._database.read() as connection:
            row = connection.execute(sql.select(GROUPS.c.record).where(GROUPS.c.id == group_id)).scalar()
        return None if row is None else decode_orion_group(bytes(row))

    def find_by_members(self, members: Iterable[bytes]) -> list[GroupRecord]:
        """Return the active groups of exactly these members, the oldest first."""
        where = sql.and_(GROUPS.c.lookup == legacy_lookup_id(members), GROUPS.c.active)
        return self._records_where(where)

    def read_page(self, member: bytes, after: int, limit: int, limit_bytes: int) -> GroupPage:
        """Return records of the groups of `member` (32 bytes), also of deleted groups, from the first after number `after`.

        The oldest comes first. The page has at most `limit` records and at most `limit_bytes` (but at least one record).
        """
        name, found, size = to_base64(member).encode(), list[bytes](), 0
        query = sql.select(GROUPS.c.number, GROUPS.c.record).where(GROUPS.c.number > after)
        last = after
        with self._database.read() as connection:
            for number, record in connection.execute(query.order_by(GROUPS.c.number)):
                data = bytes(record)
                # The text of the key is searched in the encoded record first. To decode every record would cost seconds
                # with 20,000 groups, and other managers ask for these pages. A description may contain the text too,
                # so the members decide in the end.
                if name in data and member in decode_orion_group(data).members:
                    if found and (len(found) == limit or size + len(data) > limit_bytes):
                        return GroupPage(tuple(found), last, True)
                    found.append(data)
                    size += len(data)
                # The last number counts records without the member too. The next page does not read them again.
                last = number
        return GroupPage(tuple(found), last, False)

    def _records_where(self, where: sql.ColumnElement[bool]) -> list[GroupRecord]:
        with self._database.read() as connection:
            rows = connection.execute(sql.select(GROUPS.c.record).where(where).order_by(GROUPS.c.number)).scalars()
            return [decode_orion_group(bytes(row)) for row in rows]


def _told(connection: sql.Connection, where: sql.ColumnElement[bool]) -> tuple[int, int]:
    """Return the number and the bytes of announced groups."""
    query = sql.select(sql.func.count(), sql.func.sum(TOLD_GROUPS.c.bytes)).where(where)
    count, used = connection.execute(query).one()
    return int(count), int(used or 0)
