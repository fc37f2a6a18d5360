"""The database of a running node, as another process of the same machine reads it.

LMDB allows several processes to read one environment. A process must not open the same environment twice, so do not use this
in the process of the `LmdbDatabase`. This file must not write. It does not see the batches that the node still keeps in
memory (`group_commits`).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import lmdb

from lacnode.storage.checksum_upgrade import table_names
from lacnode.storage.checksums import DamageListener, ignore_damage
from lacnode.storage.database import Batch, Snapshot
from lacnode.storage.environment import (
    FAILURES,
    MAX_READERS,
    MAX_TABLES,
    LmdbSnapshot,
    LmdbTable,
    translate_lmdb_error,
)
from lacnode.storage.storage_errors import StorageError


class ReadOnlyDatabase:
    """A `Database` of a running node, for reading in another process. `directory` is the data directory of the node.
    Use it from one thread. Raises StorageError if there is no database. The content that `read` shows changes only by
    `refresh` and `close_snapshot`, so one snapshot serves a whole RPC call."""

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
        except FAILURES as error:
            raise translate_lmdb_error(self._path, error) from None
        self._tables: dict[str, LmdbTable] = {}
        self._entries_seen = 0
        self._on_damage: DamageListener = ignore_damage
        self._pages: LmdbSnapshot | None = None

    def refresh(self) -> None:
        """Replace the snapshot by one of the last commit on the disk. Raises StorageError."""
        self.close_snapshot()
        try:
            self._pages = self._open_snapshot()
        except FAILURES as error:
            raise translate_lmdb_error(self._path, error) from None

    def close_snapshot(self) -> None:
        """Close the snapshot, if one is open. The node cannot use the pages of an open snapshot again. The next `read`
        opens a new one."""
        if self._pages is not None:
            self._pages.transaction.abort()
            self._pages = None

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        """The snapshot of the last `refresh`, or a new one if none is open. It stays open after the exit. Raises
        StorageError."""
        # The same snapshot for all reads until `refresh`: two parts of one answer must not come from two blocks.
        if self._pages is None:
            self.refresh()
        assert self._pages is not None
        yield self._pages

    def write(self) -> AbstractContextManager[Batch]:
        """Raises StorageError in every case."""
        raise StorageError("a database that is open for reading cannot be written")

    def group_commits(self) -> AbstractContextManager[None]:
        """Raises StorageError in every case."""
        raise StorageError("a database that is open for reading cannot be written")

    def on_damage(self, listener: DamageListener) -> None:
        """Call `listener` with the error of every damaged value that is read, before the error is raised.
        `checked_items` of a snapshot, which raises no such error, calls it too. It replaces an earlier listener."""
        self._on_damage = listener

    def close(self) -> None:
        """Close the snapshot and the files. The object cannot be used afterwards."""
        self.close_snapshot()
        self._env.close()

    def _open_snapshot(self) -> LmdbSnapshot:
        """A snapshot with all tables. The node creates a table when it first writes to it."""
        try:
            entries = self._count_tables()
        except lmdb.MapResizedError:
            # The map of the node has grown. Zero takes over its size.
            self._env.set_mapsize(0)
            entries = self._count_tables()
        # Handles are opened only when the number of tables has changed: opening one costs a transaction.
        if entries != self._entries_seen:
            for name in set(table_names(self._env)) - self._tables.keys():
                handle = self._env.open_db(name.encode(), create=False)
                self._tables[name] = LmdbTable(self._path, name, handle, lambda error: self._on_damage(error))
            self._entries_seen = entries
        # A copy of the tables: a later `refresh` may add one that this snapshot does not have.
        return LmdbSnapshot(self._env.begin(), dict(self._tables), self._path)

    def _count_tables(self) -> int:
        """The number of tables."""
        with self._env.begin() as transaction:
            return int(transaction.stat()["entries"])
