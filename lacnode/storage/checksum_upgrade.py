"""Databases from before values had checksums: each value gets one, once, when the database is opened.

Values are rewritten in transactions of a few thousand. Each says in the same commit how far the work has come, so that
a crash at any moment loses no value and the next start goes on from there. What was damaged before is taken as it is:
only `lacnode database verify` can tell, where a value has a hash. Must not run beside a reader.
"""

from pathlib import Path
from typing import Any

from lacnode.storage.checksums import CHECKSUM_BYTES, TableChecksums

FORMAT_TABLE = b"lacnode.format"
"""Not a table for others: it holds how far the values have checksums."""

PROGRESS, ALL = b"checksums", b"\xff"
"""The table and key (table, zero byte, key) up to which values have checksums; `ALL` is above every table's name."""

BATCH_VALUES = 20_000
BATCH_BYTES = 32 << 20


def table_names(environment: Any) -> list[str]:
    """Names of the tables, ascending."""
    with environment.begin() as transaction:
        names = [bytes(name) for name in transaction.cursor().iternext(values=False)]
    return sorted(name.decode() for name in names if name != FORMAT_TABLE)


def add_checksums(path: Path, environment: Any) -> None:
    """Have every value of the database in `path` carry a checksum. lmdb.Error if a commit fails; what is done stays."""
    marks = environment.open_db(FORMAT_TABLE)
    with environment.begin() as transaction:
        done = bytes(transaction.get(PROGRESS, b"", db=marks))
    names = [] if done == ALL else [name for name in table_names(environment) if name.encode() >= done.split(b"\0")[0]]
    for name in names:
        start = done.partition(b"\0")[2] if done.startswith(name.encode() + b"\0") else b""
        _add_to_table(environment, marks, TableChecksums(str(path), name), name.encode(), start)
    if done != ALL:
        with environment.begin(write=True) as transaction:
            transaction.put(PROGRESS, ALL, db=marks)


def _add_to_table(environment: Any, marks: Any, checksums: TableChecksums, name: bytes, done: bytes) -> None:
    """Seal the values behind key `done`, batch by batch."""
    handle = environment.open_db(name, create=False)
    last: bytes | None = done
    while last is not None:
        with environment.begin(write=True) as transaction:
            values, last = _next_values(transaction, handle, last)
            for key, value in values:
                transaction.put(key, checksums.add_checksum(key, value), db=handle)
            if last is not None:
                transaction.put(PROGRESS, name + b"\0" + last, db=marks)


def _next_values(transaction: Any, handle: Any, after: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
    """The values behind key `after` that fit a batch, and the last key of them; None if there is none left."""
    values: list[tuple[bytes, bytes]] = []
    size = 0
    with transaction.cursor(db=handle) as cursor:
        found = cursor.set_range(after) if after else cursor.first()
        if found and after and cursor.key() == after:
            found = cursor.next()
        while found and len(values) < BATCH_VALUES and size < BATCH_BYTES:
            key, value = cursor.item()
            values.append((key, value))
            size += len(key) + len(value) + CHECKSUM_BYTES
            found = cursor.next()
    return values, values[-1][0] if values else None
