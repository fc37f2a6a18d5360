"""The database of a node: one LMDB environment with one named sub-database per table.

A batch is collected in memory and written in one transaction at its end. If the map is too small, the map grows and the
batch is written again. This costs a copy of references, and keeps LMDB's write transactions short. Commits are durable
in LMDB's safe mode (pages before the meta page). `MDB_NOSYNC` is only for tests (`durable=False`): after a power cut
its meta page may point to pages that were not written. Blocks of a bulk import share a transaction instead
(`group_commits`).

The database must not be opened twice: the locks of LMDB do not work inside one process.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from lacnode.storage.checksums import DamageListener, ignore_damage
from lacnode.storage.database import Batch, Snapshot
from lacnode.storage.database_metadata import claim_directory
from lacnode.storage.disk import PRIVATE_DIRECTORY
from lacnode.storage.environment import Environment, LmdbSnapshot
from lacnode.storage.file_lock import FileLock
from lacnode.storage.layers import Layer, LayeredBatch, LayeredSnapshot
from lacnode.storage.storage_errors import StorageError, storage_error

GROUP_BATCHES = 64
"""Batches of a group that may wait in memory before they are written."""

GROUP_BYTES = 16 << 20
"""Bytes of values of a group that may wait in memory."""

INITIAL_MAP_BYTES = 16 << 30
"""Bytes of address space, not of disk. The file grows only with its content."""


class LmdbDatabase:
    """The database in `directory` (the data directory of a node): its `database/` and the marker file. Missing files
    and directories are made.

    `durable=False` does not flush, for tests. `initial_map_size` is in bytes. Raises StorageLockedError if it is open
    elsewhere, StorageForeignError if it is another program's, StorageCorruptError, StorageFullError or StorageError.
    The text names the directory.
    """

    def __init__(self, directory: Path, *, durable: bool = True, initial_map_size: int = INITIAL_MAP_BYTES) -> None:
        self.directory = directory
        files = directory / "database"
        self._on_damage: DamageListener = ignore_damage
        # The lock comes first: the marker and the files must not be touched while another process uses them.
        self._lock = _lock_directory(directory, files)
        try:
            claim_directory(directory)
            self._environment = Environment(
                # The listener is set later, so it is looked up at each call.
                files,
                durable=durable,
                map_size=initial_map_size,
                damage_listener=lambda error: self._on_damage(error),
            )
        except StorageError:
            self._lock.release()
            raise
        self._layers: tuple[Layer, ...] = ()
        """Batches of a group that are committed but not on the disk. Readers see them above the pages."""
        self._commit_values: dict[str, Callable[[], Mapping[bytes, bytes]]] = {}
        self._groups = 0
        self._waiting_bytes = 0
        self._state = threading.Lock()
        self._writer = threading.Lock()

    def read(self) -> "_Reading":
        """Open a snapshot of the last commit, groups included. It closes at the exit of the context. Raises
        StorageError if the database is closed."""
        # Pages and layers are taken together. Between the two, a flush could move a layer into pages that are newer.
        with self._state:
            return _Reading(self._environment, self._environment.open_read_transaction(), self._layers)

    @contextmanager
    def write(self) -> Iterator[Batch]:
        """Open a batch. It commits on a clean exit and is dropped on an exception. Batches of other threads wait. A
        thread must not open a second batch inside: it would wait for ever.

        Raises StorageFullError, StorageCorruptError or StorageError at the exit, and StorageError at the entry if the
        database is closed.
        """
        # One batch at a time. It reads its own snapshot, and its changes rest on that snapshot.
        with self._writer:
            pages = self._environment.open_read_transaction()
            batch = LayeredBatch(pages, self._layers)
            try:
                yield batch
            finally:
                self._environment.close_read_transaction(pages)
            # The snapshot is closed before the commit: the commit may have to grow the map, and would wait for it.
            self._commit(batch.changes)

    @contextmanager
    def group_commits(self) -> Iterator[None]:
        """Keep batches in memory while the `with` block runs, those of other threads too. Once there are `GROUP_BATCHES`
        or `GROUP_BYTES` of values, write them to the disk in one transaction. Readers of this process see each at once.

        The exit of the outermost group writes the rest, also after an exception. StorageError if a write to the disk
        fails: the waiting batches are lost then.
        """
        with self._writer:
            self._groups += 1
        try:
            yield
        finally:
            with self._writer:
                self._groups -= 1
                # Groups may be nested. The outermost one writes.
                if not self._groups:
                    self._flush(self._layers)

    def flush(self) -> None:
        """Write what a group keeps in memory to the disk, so that other processes see it. Raises StorageError: the
        waiting batches are lost then."""
        with self._writer:
            self._flush(self._layers)

    def forget_dead_readers(self) -> None:
        """Release the snapshots of processes that have ended. Their pages could never be used again. Raises
        StorageError."""
        self._environment.forget_dead_readers()

    @contextmanager
    def open_disk_snapshot(self) -> Iterator[LmdbSnapshot]:
        """Open a snapshot of what is on the disk, for a check of all values. It does not have the batches that a group
        keeps in memory. It closes at the exit of the context. Raises StorageError if the database is closed."""
        # Without the layers of a group: a check is about the disk.
        pages = self._environment.open_read_transaction()
        try:
            yield pages
        finally:
            self._environment.close_read_transaction(pages)

    def on_damage(self, listener: DamageListener) -> None:
        """Call `listener` with the error of every damaged value, in the thread that finds it, before it is raised. It
        replaces an earlier listener."""
        self._on_damage = listener

    def add_commit_values(self, table: str, values: Callable[[], Mapping[bytes, bytes]]) -> None:
        """From now on call `values` with each commit to the disk, and store its result, a mapping of keys to values, in
        `table` in the same commit. Keys that a later result does not have stay. Nothing is stored now. `values` is
        called in the thread that commits, and must not write to this database. It replaces an earlier function for
        `table`."""
        with self._writer:
            self._commit_values[table] = values

    def close(self) -> None:
        """Wait for a batch and, for `MAP_GROWTH_TIMEOUT_SECONDS`, for open snapshots. Then close the files and release
        the lock. Closing twice is harmless. Close after the end of a group: its waiting batches are not written
        here."""
        # Both locks: neither a batch nor the opening of a snapshot may be under way when the file is unmapped.
        with self._writer, self._state:
            self._environment.close()
            self._lock.release()

    def _commit(self, changes: Layer) -> None:
        layers = (*self._layers, changes)
        self._waiting_bytes += sum(len(value or b"") for table in changes.values() for value in table.values())
        # Outside a group every batch goes to the disk at once. Inside, the two bounds limit what a crash can lose.
        if self._groups and len(layers) < GROUP_BATCHES and self._waiting_bytes < GROUP_BYTES:
            with self._state:
                self._layers = layers
        else:
            self._flush(layers)

    def _flush(self, layers: Sequence[Layer]) -> None:
        """Write `layers` in one transaction. If that fails, none of them exists any longer."""
        try:
            if layers:
                # Computed now, so that the stored log position is not older than the batches.
                values = {table: values() for table, values in self._commit_values.items()}
                self._environment.write((*layers, values) if values else layers)
        finally:
            # Also after a failure. Readers would otherwise see batches that the disk never gets.
            self._waiting_bytes = 0
            with self._state:
                self._layers = ()


class _Reading:
    """An open snapshot. It is a class and not a generator, because execution opens one for every trie node."""

    __slots__ = ("_environment", "_layers", "_pages")

    def __init__(self, environment: Environment, pages: LmdbSnapshot, layers: tuple[Layer, ...]) -> None:
        self._environment = environment
        self._pages = pages
        self._layers = layers

    def __enter__(self) -> Snapshot:
        # Without layers the pages are returned themselves: one call less for each read.
        return LayeredSnapshot(self._pages, self._layers) if self._layers else self._pages

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._environment.close_read_transaction(self._pages)


def _lock_directory(directory: Path, files: Path) -> FileLock:
    try:
        files.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(files, "making the directory", error) from None
    return FileLock(files / "lacnode.lock", f"the database in {directory}")
