"""The upgrade of a database without checksums: each value gets a checksum, once, when the database is opened.

Values are rewritten in transactions of some thousand values. Each transaction also stores the progress. So a crash at any
moment loses no value, and the next start goes on from there. Values that were damaged before keep their content. Only
`lacnode database verify` can find those, if the value has a hash. This must not run while another process reads.
"""

from pathlib import Path
from typing import Any

from lacnode.storage.checksums import CHECKSUM_BYTES, TableChecksums

FORMAT_TABLE = b"lacnode.format"
"""The table that holds the progress. Callers of the database do not see it."""

PROGRESS, ALL = b"checksums", b"\xff"
"""The key of the progress. Its value is (table, zero byte, key) of the last value with a checksum. `ALL` is above all."""

BATCH_VALUES = 20_000
BATCH_BYTES = 32 << 20


def table_names(environment: Any) -> list[str]:
    """The names of the tables of an open `lmdb.Environment`, ascending, without `FORMAT_TABLE`. Raises lmdb.Error, or
    UnicodeDecodeError for a damaged name."""
    with environment.begin() as transaction:
        names = [bytes(name) for name in transaction.cursor().iternext(values=False)]
    return sorted(name.decode() for name in names if name != FORMAT_TABLE)


def add_checksums(path: Path, environment: Any) -> None:
    """Add a checksum to every value of the database in `path`, whose open `lmdb.Environment` is `environment`. Do
    nothing if all values have one already. If the program ended in the middle, the next call continues there. Raises
    lmdb.Error if LMDB fails, or UnicodeDecodeError for a damaged name of a table: finished work stays."""
    marks = environment.open_db(FORMAT_TABLE)
    with environment.begin() as transaction:
        done = bytes(transaction.get(PROGRESS, b"", db=marks))
    # Tables are upgraded in ascending order, so the ones before the table in the progress are finished.
    names = [] if done == ALL else [name for name in table_names(environment) if name.encode() >= done.split(b"\0")[0]]
    for name in names:
        # Only the table in which the upgrade stopped starts in the middle.
        start = done.partition(b"\0")[2] if done.startswith(name.encode() + b"\0") else b""
        _add_to_table(environment, marks, TableChecksums(str(path), name), name.encode(), start)
    # A new database has no values. It gets the mark at once, so that it is never upgraded.
    if done != ALL:
        with environment.begin(write=True) as transaction:
            transaction.put(PROGRESS, ALL, db=marks)


def _add_to_table(environment: Any, marks: Any, checksums: TableChecksums, name: bytes, done: bytes) -> None:
    """Add checksums to the values after key `done`, batch by batch."""
    handle = environment.open_db(name, create=False)
    last: bytes | None = done
    while last is not None:
        with environment.begin(write=True) as transaction:
            # Values and progress are in one commit. Apart from each other, a crash would give some values two checksums.
            values, last = _next_values(transaction, handle, last)
            for key, value in values:
                transaction.put(key, checksums.add_checksum(key, value), db=handle)
            if last is not None:
                transaction.put(PROGRESS, name + b"\0" + last, db=marks)


def _next_values(transaction: Any, handle: Any, after: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
    """The values after key `after` that fit a batch, and the last key of them. The key is None if no value is left."""
    values: list[tuple[bytes, bytes]] = []
    size = 0
    with transaction.cursor(db=handle) as cursor:
        found = cursor.set_range(after) if after else cursor.first()
        # The key of the progress itself has a checksum already.
        if found and after and cursor.key() == after:
            found = cursor.next()
        # Both bounds: LMDB keeps all pages that a transaction changes in memory until it commits.
        while found and len(values) < BATCH_VALUES and size < BATCH_BYTES:
            key, value = cursor.item()
            values.append((key, value))
            size += len(key) + len(value) + CHECKSUM_BYTES
            found = cursor.next()
    return values, values[-1][0] if values else None
