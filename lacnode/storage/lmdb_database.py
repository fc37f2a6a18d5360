"""The database of a node: one LMDB environment, a named sub-database per table.

A batch is collected in memory and written in one transaction at its end, so that a map that turns out too small can
grow and the batch be written again; it costs a copy of references and keeps LMDB's write transactions short. Commits
are durable in LMDB's safe mode (pages before meta page), never `MDB_NOSYNC`, with which a power cut can leave a meta
page that points nowhere: blocks imported in bulk share a transaction instead (`group`).

Must not be opened twice, by anybody: LMDB's own locks do not hold inside one process.
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
"""Batches that may wait in a group before they are written."""

GROUP_BYTES = 16 << 20
"""Bytes of values that may wait in a group."""

INITIAL_MAP_BYTES = 16 << 30
"""Bytes of address space, not of disk: the file grows only with what is in it."""


class LmdbDatabase:
    """The database in `directory` (a node's data directory): its `database/` and the marker beside it.

    `durable=False` leaves flushing to the operating system: for tests, which do not pull the plug. Raises
    StorageLockedError, StorageForeignError, StorageCorruptError, StorageFullError or StorageError, naming the directory.
    """

    def __init__(self, directory: Path, *, durable: bool = True, initial_map_size: int = INITIAL_MAP_BYTES) -> None:
        self.directory = directory
        files = directory / "database"
        self._on_damage: DamageListener = ignore_damage
        self._lock = _locked(directory, files)
        try:
            claim_directory(directory)
            self._environment = Environment(
                files, durable=durable, map_size=initial_map_size, damage_listener=lambda error: self._on_damage(error)
            )
        except StorageError:
            self._lock.release()
            raise
        self._layers: tuple[Layer, ...] = ()
        self._companions: dict[str, Callable[[], Mapping[bytes, bytes]]] = {}
        self._groups = 0
        self._waiting = 0
        self._state = threading.Lock()
        self._writer = threading.Lock()

    def read(self) -> "_Reading":
        with self._state:
            return _Reading(self._environment, self._environment.open_pages(), self._layers)

    @contextmanager
    def write(self) -> Iterator[Batch]:
        with self._writer:
            pages = self._environment.open_pages()
            batch = LayeredBatch(pages, self._layers)
            try:
                yield batch
            finally:
                self._environment.close_pages(pages)
            self._commit(batch.changes)

    @contextmanager
    def group(self) -> Iterator[None]:
        with self._writer:
            self._groups += 1
        try:
            yield
        finally:
            with self._writer:
                self._groups -= 1
                if not self._groups:
                    self._flush(self._layers)

    def flush(self) -> None:
        """Commit what a group keeps in memory, so that other processes see it."""
        with self._writer:
            self._flush(self._layers)

    def forget_dead_readers(self) -> None:
        """Free the snapshots of processes that have ended: their pages could never be used again."""
        self._environment.forget_dead_readers()

    @contextmanager
    def pages(self) -> Iterator[LmdbSnapshot]:
        """What is on the disk, table by table, for a check of everything."""
        pages = self._environment.open_pages()
        try:
            yield pages
        finally:
            self._environment.close_pages(pages)

    def on_damage(self, listener: DamageListener) -> None:
        """Have `listener` told of every damaged value that is met, in the thread that meets it."""
        self._on_damage = listener

    def add_commit_values(self, table: str, values: Callable[[], Mapping[bytes, bytes]]) -> None:
        """Put what `values` gives at that moment into `table` with each commit to the disk. It is called in any thread."""
        with self._writer:
            self._companions[table] = values

    def close(self) -> None:
        with self._writer, self._state:
            self._environment.close()
            self._lock.release()

    def _commit(self, changes: Layer) -> None:
        layers = (*self._layers, changes)
        self._waiting += sum(len(value or b"") for table in changes.values() for value in table.values())
        if self._groups and len(layers) < GROUP_BATCHES and self._waiting < GROUP_BYTES:
            with self._state:
                self._layers = layers
        else:
            self._flush(layers)

    def _flush(self, layers: Sequence[Layer]) -> None:
        """Write `layers` in one transaction. If that fails, none of them was ever there."""
        try:
            if layers:
                companions = {table: values() for table, values in self._companions.items()}
                self._environment.write((*layers, companions) if companions else layers)
        finally:
            self._waiting = 0
            with self._state:
                self._layers = ()


class _Reading:
    """An open snapshot. A class and not a generator, because execution opens one for every trie node it reads."""

    __slots__ = ("_environment", "_layers", "_pages")

    def __init__(self, environment: Environment, pages: LmdbSnapshot, layers: tuple[Layer, ...]) -> None:
        self._environment = environment
        self._pages = pages
        self._layers = layers

    def __enter__(self) -> Snapshot:
        return LayeredSnapshot(self._pages, self._layers) if self._layers else self._pages

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._environment.close_pages(self._pages)


def _locked(directory: Path, files: Path) -> FileLock:
    try:
        files.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(files, "making the directory", error) from None
    return FileLock(files / "lacnode.lock", f"the database in {directory}")
