"""The database of a running node, as another process of this machine reads it.

LMDB lets several processes read one environment. A process must not open the same environment twice, so this must not be
used in the process that has the `LmdbDatabase`. Must not write. Batches that the node still keeps in memory (`group`) are
not seen here.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import lmdb

from lacnode.storage.checksum_upgrade import table_names
from lacnode.storage.checksums import DamageListener, ignore_damage
from lacnode.storage.database import Batch, Snapshot
from lacnode.storage.environment import MAX_READERS, MAX_TABLES, LmdbSnapshot, LmdbTable, translate_lmdb_error
from lacnode.storage.storage_errors import StorageError


class ReadOnlyDatabase:
    """See `Database`; `directory` is a node's data directory. For one thread. Raises StorageError.

    What `read` shows stands still between two calls of `refresh`, so that one snapshot serves a whole method call.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "database"
        try:
            self._env = lmdb.open(
                str(self._path),
                readonly=True,
                create=False,
                max_dbs=MAX_TABLES,
                max_readers=MAX_READERS,
                readahead=False,
                max_spare_txns=1,
            )
        except lmdb.Error as error:
            raise translate_lmdb_error(self._path, error) from None
        self._tables: dict[str, LmdbTable] = {}
        self._entries_seen = 0
        self._on_damage: DamageListener = ignore_damage
        self._pages: LmdbSnapshot | None = None

    def refresh(self) -> None:
        """Show what was committed up to now."""
        self.release()
        try:
            self._pages = self._opened()
        except lmdb.Error as error:
            raise translate_lmdb_error(self._path, error) from None

    def release(self) -> None:
        """End the snapshot. The node cannot use pages again that an old snapshot still shows."""
        if self._pages is not None:
            self._pages.transaction.abort()
            self._pages = None

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        if self._pages is None:
            self.refresh()
        assert self._pages is not None
        yield self._pages

    def write(self) -> AbstractContextManager[Batch]:
        raise StorageError("a database that is open for reading cannot be written")

    def group(self) -> AbstractContextManager[None]:
        raise StorageError("a database that is open for reading cannot be written")

    def on_damage(self, listener: DamageListener) -> None:
        """Have `listener` told of every damaged value that is met, before it is raised."""
        self._on_damage = listener

    def close(self) -> None:
        self.release()
        self._env.close()

    def _opened(self) -> LmdbSnapshot:
        """A snapshot with the tables that there are now: the node makes a table when it first writes to it."""
        try:
            entries = self._entries()
        except lmdb.MapResizedError:
            self._env.set_mapsize(0)  # the node's map has grown: take over its size
            entries = self._entries()
        if entries != self._entries_seen:
            for name in set(table_names(self._env)) - self._tables.keys():
                handle = self._env.open_db(name.encode(), create=False)
                self._tables[name] = LmdbTable(self._path, name, handle, lambda error: self._on_damage(error))
            self._entries_seen = entries
        return LmdbSnapshot(self._env.begin(), dict(self._tables), self._path)

    def _entries(self) -> int:
        """How many tables there are."""
        with self._env.begin() as transaction:
            return int(transaction.stat()["entries"])
