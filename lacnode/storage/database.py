"""The seam of the embedded database: named tables of byte keys, atomic batches, snapshots that do not move.

Two implementations behave alike and share one contract test: `lmdb_database.LmdbDatabase` for nodes,
`memory_database.MemoryDatabase` for networks inside one process. Must not know what is stored.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from lacnode.storage.checksums import DamageListener


class Snapshot(Protocol):
    """One moment of the database. Writes that follow do not show in it. Hold it for as short as you can: it keeps the
    pages it may read from being reused, and a database that has to grow waits for it."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under `key`, or None. A table nobody wrote to is empty."""
        ...

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values from the first key not below `start`, ascending. Valid while the snapshot is open."""
        ...


class Batch(Snapshot, Protocol):
    """A snapshot that shows its own changes, which reach others only when the batch commits."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Store `value` under `key` (1 to 511 bytes; ValueError otherwise)."""
        ...

    def delete(self, table: str, key: bytes) -> None:
        """Remove `key`, if it is there."""
        ...


class Database(Protocol):
    """A database. Safe to use from any thread."""

    def read(self) -> AbstractContextManager[Snapshot]:
        """A snapshot of the last commit."""
        ...

    def write(self) -> AbstractContextManager[Batch]:
        """A batch that commits on a clean exit and vanishes on an exception. Batches of other threads wait.

        Raises StorageFullError, StorageCorruptError or StorageError at the exit, with nothing of the batch kept.
        """
        ...

    def group(self) -> AbstractContextManager[None]:
        """Make batches durable together: inside, each is atomic and visible to every reader at once, but reaches the
        disk with the others, at the exit or every few batches. A crash loses whole batches, the newest ones."""
        ...

    def close(self) -> None:
        """Release files and lock. Nothing may be used afterwards; closing twice is harmless."""
        ...


class CheckedDatabase(Database, Protocol):
    """The database of a node, which repairs what is damaged."""

    def on_damage(self, listener: DamageListener) -> None:
        """Have `listener` told of every damaged value that is met, in the thread that meets it."""
        ...
