"""The groups in the manager's store: the records of its own groups, and of the groups that other managers announced."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lacnode.privacy.group_ids import members_lookup_id
from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group, encode_orion_group
from lacnode.privacy.manager.quota import Quota
from lacnode.privacy.manager.sql_database import SqlConnection, SqlDatabase
from lacnode.privacy.manager.store_tables import append_audit_entry


@dataclass(frozen=True, slots=True)
class GroupPage:
    """One page of group records, each encoded in Orion's CBOR.

    `last_number` is the store's number of the last group that was read, also if it is not one of the member's. The next
    page begins after it. `has_more` says whether more groups of the member follow.
    """

    records: tuple[bytes, ...]
    last_number: int
    has_more: bool


class GroupStore:
    """The records of groups in one database, for any number of threads. Every method raises StoreError if the database
    fails. `quota` bounds the records that other managers announce."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self.quota = Quota()

    def put(self, record: GroupRecord, entry: bytes | None = None) -> None:
        """Store `record` in place of the known record of its group, and `entry` (encoded) in the audit log, in one
        transaction. None adds no entry. StoreError if the database fails."""
        with self._database.write() as connection:
            self._put(connection, record, entry)

    def _put(self, connection: SqlConnection, record: GroupRecord, entry: bytes | None) -> None:
        # `lookup` is the id of the LEGACY group of the members: a key for the search by members, in any order.
        values: dict[str, object] = {
            "id": record.id,
            "lookup": members_lookup_id(record.members),
            "active": record.active,
            "record": encode_orion_group(record),
        }
        updated = connection.execute(
            "UPDATE groups SET lookup = :lookup, active = :active, record = :record WHERE id = :id", values
        )
        if updated.rowcount == 0:
            connection.execute(
                "INSERT INTO groups (id, lookup, active, record) VALUES (:id, :lookup, :active, :record)", values
            )
        if entry is not None:
            append_audit_entry(connection, entry)

    def update(
        self,
        group_id: bytes,
        decide_record: Callable[[GroupRecord | None], GroupRecord | None],
        entry: bytes | None = None,
        *,
        is_pushed: bool = False,
        proven_teller: bytes = b"",
    ) -> None:
        """Store the record that `decide_record` returns for the known record of the group (None for an unknown one),
        and `entry` in the audit log. Nothing is stored if `decide_record` returns None. Its errors pass through.

        No other writer can write in between. `is_pushed` says that another manager announced the record, and
        `proven_teller` is the key that it has proven (32 bytes, empty if none). QuotaExceededError if such a record is
        of an unknown group and would exceed a bound of the quota. StoreError if the database fails, CborError if the
        known record is damaged.
        """
        with self._database.write() as connection:
            known = _find_record(connection, group_id)
            record = decide_record(known)
            if record is not None:
                if is_pushed and known is None:
                    self._count_told(connection, record, proven_teller)
                self._put(connection, record, entry)

    def _count_told(self, connection: SqlConnection, record: GroupRecord, teller: bytes) -> None:
        """Count a group against the quota before it is written. A refused group leaves nothing behind."""
        known, size = bool(teller) and self.quota.is_key_of_called_manager(teller), len(encode_orion_group(record))
        row = {"id": record.id, "teller": teller, "known": known, "bytes": size}
        used_by_kind = _told(connection, "known = :known", row)
        # Without a proof there is no key to count for. All such records share the bound of the unknown keys.
        used_by_sender = _told(connection, "teller = :teller AND known = :known", row) if teller else None
        self.quota.check_group(known=known, used_by_kind=used_by_kind, used_by_sender=used_by_sender, size=size)
        connection.execute(
            "INSERT INTO told_groups (id, teller, known, bytes) VALUES (:id, :teller, :known, :bytes)", row
        )

    def find(self, group_id: bytes) -> GroupRecord | None:
        """Return the record of the group `group_id` (32 bytes), also of a deleted group. None if it is unknown.
        StoreError if the database fails, CborError if the record is damaged."""
        with self._database.read() as connection:
            return _find_record(connection, group_id)

    def find_by_members(self, members: Iterable[bytes]) -> list[GroupRecord]:
        """Return the active groups of exactly these members (public keys of 32 bytes, in any order), the oldest first.
        Empty if there are none. StoreError if the database fails, CborError if a record is damaged."""
        query = "SELECT record FROM groups WHERE lookup = :lookup AND active ORDER BY number"
        with self._database.read() as connection:
            rows = connection.execute(query, {"lookup": members_lookup_id(members)})
            return [decode_orion_group(bytes(row)) for (row,) in rows]

    def read_page(self, member: bytes, after: int, limit: int, limit_bytes: int) -> GroupPage:
        """Return records of the groups of `member` (32 bytes), also of deleted groups, from the first after number
        `after` (0 for all).

        The oldest comes first. The page has at most `limit` records and at most `limit_bytes` (but at least one record,
        if there is one). StoreError if the database fails, CborError if a record is damaged.
        """
        name, found, size = to_base64(member).encode(), list[bytes](), 0
        query = "SELECT number, record FROM groups WHERE number > :after ORDER BY number"
        last = after
        with self._database.read() as connection:
            for number, record in connection.execute(query, {"after": after}):
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


def _find_record(connection: SqlConnection, group_id: bytes) -> GroupRecord | None:
    record = connection.find_value("SELECT record FROM groups WHERE id = :id", {"id": group_id})
    return None if record is None else decode_orion_group(bytes(record))


def _told(connection: SqlConnection, where: str, values: Mapping[str, object]) -> tuple[int, int]:
    """Return the number and the bytes of announced groups."""
    count, used = connection.find_row(f"SELECT count(*), sum(bytes) FROM told_groups WHERE {where}", values)
    return int(count), int(used or 0)
