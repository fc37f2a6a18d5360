"""The interface of the embedded database: named tables of byte keys, atomic batches, stable snapshots.

There are two implementations with the same behaviour and the same tests: `lmdb_database.LmdbDatabase` for nodes, and
`memory_database.MemoryDatabase` for networks inside one process. This file must not know what is stored.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from lacnode.storage.checksums import DamageListener

# The interfaces are `Protocol` classes: no implementation imports another one, and tests can give their own.


class Snapshot(Protocol):
    """The content of the database at one moment. Later writes do not change it.

    Leave the context of `Database.read` as soon as possible. An open snapshot keeps its pages from being used again,
    and a database that must grow waits for it.
    """

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under `key`, or None if there is none. A table that was never written is empty.

        Raises DamagedValueError if the value was altered, and StorageError if the database cannot be read.
        """
        ...

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values from the first key that is not below `start`, in ascending order of the keys. Without
        `start`, all of them.

        The iterator is valid while the snapshot is open. It raises DamagedValueError at an altered value, and
        StorageError if the database cannot be read.
        """
        ...


class Batch(Snapshot, Protocol):
    """A snapshot with changes of its own. Reads of the batch find them. Snapshots that are opened after the commit see
    them, and earlier ones never do."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Store `value` under `key` (1 to 511 bytes) and replace an earlier value. Raises ValueError for another length
        of the key."""
        ...

    def delete(self, table: str, key: bytes) -> None:
        """Remove `key`. Do nothing if it does not exist."""
        ...


class Database(Protocol):
    """Tables of keys and values, with snapshots and atomic batches. Safe to use from any thread."""

    def read(self) -> AbstractContextManager[Snapshot]:
        """Open a snapshot of the last commit. It closes at the exit of the context. Raises StorageError if the database
        is closed."""
        ...

    def write(self) -> AbstractContextManager[Batch]:
        """Open a batch. It commits on a clean exit and is dropped on an exception. Batches of other threads wait. A
        thread must not open a second batch inside: it would wait for ever.

        Raises StorageFullError, StorageCorruptError or StorageError at the exit, and StorageError at the entry if the
        database is closed. Nothing of the batch is stored then.
        """
        ...

    def group_commits(self) -> AbstractContextManager[None]:
        """Make several batches durable together, those of other threads too. Groups may be nested. Inside, each batch
        is atomic and visible to every reader of this process at once. The batches reach the disk together, at the exit
        of the outermost group or after some of its batches. StorageError if that fails. A crash loses whole batches,
        the newest ones."""
        ...

    def close(self) -> None:
        """Release files and lock. Later reads and writes raise StorageError. Closing twice is harmless."""
        ...


class CheckedDatabase(Database, Protocol):
    """The database of a node. It reports damaged values, so that they can be repaired."""

    def on_damage(self, listener: DamageListener) -> None:
        """Call `listener` with the error of every damaged value, in the thread that finds it, before the error is
        raised. It replaces an earlier listener."""
        ...
