"""The LMDB environment: read transactions, one write transaction, tables, checksums, and a map that grows.

LMDB may change the size of its map only while this process has no open transaction. So open snapshots are counted, and
growing waits for them for a bounded time. This file must not know batches or groups.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from lacnode.storage.checksum_upgrade import add_checksums, table_names
from lacnode.storage.checksums import DamageListener, TableChecksums, ignore_damage
from lacnode.storage.disk import PRIVATE_FILE
from lacnode.storage.free_pages import BrokenFreeListError, FreePages
from lacnode.storage.layers import Layer
from lacnode.storage.storage_errors import (
    VERIFY_DATABASE_ADVICE,
    DamagedValueError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    storage_error,
)

MAX_TABLES = 64
MAX_READERS = 512
MAP_GROWTH_TIMEOUT_SECONDS = 30.0
"""Seconds that growing waits for open snapshots to close."""

_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.PanicError,
    lmdb.IncompatibleError,
    lmdb.BadTxnError,
    lmdb.BadValsizeError,
    MemoryError,
    OverflowError,
    SystemError,
    UnicodeDecodeError,
)
"""The errors that reading altered pages raises. A length in them may be absurd, and the name of a table may be no text."""

FAILURES = (lmdb.Error, *_DAMAGE)
"""The errors of LMDB, with those of altered pages. `translate_lmdb_error` takes them."""


class LmdbTable:
    """The handle and the checksums of one table."""

    __slots__ = ("checksums", "handle")

    def __init__(self, path: Path, name: str, handle: Any, listener: DamageListener = ignore_damage) -> None:
        self.handle = handle
        self.checksums = TableChecksums(str(path), name, listener)


class LmdbSnapshot:
    """One read transaction as a `Snapshot`. It does not have the tables that were created after it was opened."""

    def __init__(self, transaction: Any, tables: dict[str, LmdbTable], path: Path) -> None:
        self.transaction = transaction
        self._tables = tables
        self._path = path

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of `key` in `table`, without its checksum. None if there is no such key or table.

        Raises DamagedValueError for an altered value, StorageCorruptError for a damaged page, and StorageError, the
        base of both, for any other failure.
        """
        found = self._tables.get(table)
        # A table that was never written has no handle.
        if found is None:
            return None
        try:
            stored: bytes | None = self.transaction.get(key, db=found.handle)
        except FAILURES as error:
            raise translate_lmdb_error(self._path, error) from None
        return None if stored is None else found.checksums.verify_checksum(key, stored)

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys and values of `table` from the first key that is not below `start`, in the order of the keys.

        Raises DamagedValueError at an altered value, StorageCorruptError at a damaged page, and StorageError, the base
        of both, at any other failure.
        """
        found = self._tables.get(table)
        if found is not None:
            for key, stored in self._stored_items(table, found, start):
                yield key, found.checksums.verify_checksum(key, stored)

    def checked_items(self, table: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the keys and values of `table` in the order of the keys. A damaged value is None, and the iteration
        goes on. The listener of damages is called for it.

        A damaged page ends the iteration with StorageCorruptError, any other failure with StorageError, the base of it.
        """
        found = self._tables.get(table)
        if found is not None:
            for key, stored in self._stored_items(table, found, b""):
                try:
                    yield key, found.checksums.verify_checksum(key, stored)
                except DamagedValueError:
                    yield key, None

    @property
    def table_names(self) -> tuple[str, ...]:
        """The existing tables, ascending."""
        return tuple(sorted(self._tables))

    def _stored_items(self, table: str, found: LmdbTable, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        last: bytes | None = None
        try:
            with self.transaction.cursor(db=found.handle) as cursor:
                if not (cursor.set_range(start) if start else cursor.first()):
                    return
                for key, stored in cursor:
                    # A damaged page may point back to an earlier one, and the iteration would never end.
                    if last is not None and key <= last:
                        raise lmdb.CorruptedError(f"the keys of table {table} are out of order")
                    last = key
                    yield key, stored
        # LMDB trusts its pages. Altered ones raise anything, from its own errors to MemoryError.
        except FAILURES as error:
            raise translate_lmdb_error(self._path, error) from None


class Environment:
    """The LMDB environment in the directory `path`, which is created if it is missing. A database without checksums
    gets them first.

    `durable`: flush every commit. `map_size`: the least size of the map in bytes. `damage_listener` is called with the
    error of each damaged value. Raises StorageError or a subclass.
    """

    def __init__(
        self, path: Path, *, durable: bool, map_size: int, damage_listener: DamageListener = ignore_damage
    ) -> None:
        self._path = path
        self._damage_listener = damage_listener
        self._condition = threading.Condition()
        self._open_pages = 0
        """Open read transactions of this process."""
        self._readers_wait = False
        """Whether new read transactions must wait, because the map is about to grow."""
        self._closed = False
        with _translate_errors(path):
            self._env = lmdb.open(
                str(path),
                mode=PRIVATE_FILE,
                map_size=_map_size_for(path, map_size),
                max_dbs=MAX_TABLES,
                max_readers=MAX_READERS,
                # Trie nodes are read in random order: reading ahead would fill the page cache with pages of no use.
                readahead=False,
                # No zeroing of new pages: each is written in full, and the values have checksums.
                meminit=False,
                sync=durable,
                max_spare_txns=8,
            )
            _restore_length(path, self._env)
            # A reader process that died leaves its slot. The pages that it could read would never be used again.
            self._env.reader_check()
            add_checksums(path, self._env)
            self._tables = self._existing_tables()

    def open_read_transaction(self) -> LmdbSnapshot:
        """Open a snapshot of the last commit. Close it with `close_read_transaction`. It waits while the map grows.
        Raises StorageError if the database is closed or has too many readers."""
        with self._condition:
            if self._readers_wait:
                # A new reader now would make the growing of the map wait once more, without end under load.
                self._condition.wait_for(lambda: not self._readers_wait)
            if self._closed:
                raise StorageError(f"the database in {self._path} is closed")
            try:
                pages = LmdbSnapshot(self._env.begin(), self._tables, self._path)
            except lmdb.Error as error:
                raise translate_lmdb_error(self._path, error) from None
            self._open_pages += 1
            return pages

    def close_read_transaction(self, pages: LmdbSnapshot) -> None:
        """End a read transaction that `open_read_transaction` began. Do it once: the snapshot cannot be used
        afterwards."""
        with self._condition:
            # Aborted and not committed: a read transaction has nothing to commit, and aborting frees its slot.
            pages.transaction.abort()
            self._open_pages -= 1
            if not self._open_pages:
                self._condition.notify_all()

    def write(self, layers: Sequence[Layer]) -> None:
        """Write all `layers`, the oldest first, in one transaction. Only one thread may call this at a time. A map that
        is too small grows, which waits for open snapshots.

        Raises StorageFullError, StorageCorruptError or StorageError, and then nothing is written. StorageError also if
        a snapshot stays open for `MAP_GROWTH_TIMEOUT_SECONDS`.
        """
        with _translate_errors(self._path):
            # Each turn that fails has doubled the map, so the loop ends.
            while not self._try_write(layers):
                pass

    def forget_dead_readers(self) -> None:
        """Release the snapshots of processes that have ended. Do nothing after `close`. Raises StorageError."""
        with self._condition, _translate_errors(self._path):
            if not self._closed:
                self._env.reader_check()

    def close(self) -> None:
        """Close the environment. Closing twice is harmless.

        It waits for open snapshots, for `MAP_GROWTH_TIMEOUT_SECONDS` at most. A snapshot that is still open then must
        not be used any longer.
        """
        with self._condition:
            # Closing unmaps the file. A thread that reads from it would crash the process.
            self._condition.wait_for(lambda: not self._open_pages, MAP_GROWTH_TIMEOUT_SECONDS)
            self._closed = True
            self._env.close()

    def _try_write(self, layers: Sequence[Layer]) -> bool:
        """Whether `layers` are committed. False if the map was too small and has grown."""
        transaction = self._env.begin(write=True)
        try:
            tables = self._put(transaction, layers)
            transaction.commit()
        except lmdb.MapFullError:
            self._abort(transaction, grow=True)
            return False
        except BaseException:
            # Also for a keyboard interrupt: an open write transaction blocks every later write.
            self._abort(transaction, grow=False)
            raise
        # Only after the commit: the handle of a new table is not valid if the transaction was aborted.
        self._tables = tables
        return True

    def _put(self, transaction: Any, layers: Sequence[Layer]) -> dict[str, LmdbTable]:
        """Put `layers` into the tables. Return all tables with the new ones."""
        # A copy: open snapshots still use the old dictionary.
        tables = dict(self._tables)
        for layer in layers:
            for table, changes in layer.items():
                if table not in tables:
                    handle = self._env.open_db(table.encode(), txn=transaction)
                    tables[table] = LmdbTable(self._path, table, handle, self._damage_listener)
                _put_all(transaction, tables[table], changes)
        return tables

    def _abort(self, transaction: Any, *, grow: bool) -> None:
        """Abort the transaction. With `grow`, double the size of the map.

        Both need a moment without readers. The map must not move under them. lmdb 3.0 aborts a write transaction only when
        no thread is in a call on the environment, and busy readers can delay that without end.

        Raises StorageError if the map has to grow and a snapshot stays open.
        """
        with self._condition:
            self._readers_wait = True
            try:
                quiet = self._condition.wait_for(lambda: not self._open_pages, MAP_GROWTH_TIMEOUT_SECONDS)
                transaction.abort()
                if grow and not quiet:
                    raise StorageError(f"the database in {self._path} has to grow, but a snapshot is kept open")
                if grow:
                    self._env.set_mapsize(2 * self._env.info()["map_size"])
            finally:
                # In every case, or all readers of the node would wait forever.
                self._readers_wait = False
                self._condition.notify_all()

    def _existing_tables(self) -> dict[str, LmdbTable]:
        return {
            name: LmdbTable(self._path, name, self._env.open_db(name.encode(), create=False), self._damage_listener)
            for name in table_names(self._env)
        }


def _put_all(transaction: Any, table: LmdbTable, changes: Mapping[bytes, bytes | None]) -> None:
    add_checksum = table.checksums.add_checksum
    # In ascending order LMDB fills its pages one after the other, which is several times faster than in random order.
    for key, value in sorted(changes.items()):
        if value is None:
            # A key that is absent is no error: a batch may remove what it never wrote.
            transaction.delete(key, db=table.handle)
        else:
            transaction.put(key, add_checksum(key, value), db=table.handle)


def translate_lmdb_error(path: Path, error: Exception) -> StorageError:
    """Return LMDB's `error` as an error of this package: StorageCorruptError, StorageFullError or StorageError. `path`
    is the directory of the database. To find out whether the disk is full, it may write a file of one MiB there and
    remove it."""
    text = f"the database in {path}: {str(error) or type(error).__name__}"
    # Damage is tested first: `lmdb.Error` is the base class of most of these.
    if isinstance(error, _DAMAGE):
        return StorageCorruptError(f"{text}; the files are damaged: {VERIFY_DATABASE_ADVICE}")
    if isinstance(error, lmdb.DiskError) or ("Input/output error" in str(error) and _is_full(path)):
        return StorageFullError(f"{text}; free some disk space")
    return StorageError(text)


def _is_full(path: Path) -> bool:
    """Whether less than a MiB is free. LMDB reports a write that fell short as an input/output error."""
    # The free space that the system reports does not know quotas. Only writing shows whether writing works.
    probe = path / "space.probe"
    try:
        probe.write_bytes(bytes(1 << 20))
    except OSError as error:
        return isinstance(storage_error(path, "probing", error), StorageFullError)
    finally:
        probe.unlink(missing_ok=True)
    return False


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (*FAILURES, OSError) as error:
        raise translate_lmdb_error(path, error) from None


def _map_size_for(path: Path, wanted: int) -> int:
    """The size of the map in bytes: `wanted`, doubled until the existing file fits twice."""
    data = path / "data.mdb"
    # A map that is as large as the file would have to grow at the first commit.
    size = data.stat().st_size if data.exists() else 0
    while wanted < 2 * size:
        wanted *= 2
    return wanted


def _restore_length(path: Path, env: Any) -> None:
    """Extend a file that ends before its last page by zeros. Raises StorageCorruptError if content is missing there.

    A read beyond the end of a mapped file would kill the process. LMDB reads zeros in place of content as damage, or
    ends the process too.
    """
    info, page_bytes = env.info(), env.stat()["psize"]
    # The meta page says how many pages are in use. It is at the start of the file, so it survives most cuts.
    length = (info["last_pgno"] + 1) * page_bytes
    data = path / "data.mdb"
    size = data.stat().st_size
    if size >= length:
        return
    first, last = size // page_bytes, info["last_pgno"]
    with data.open("rb") as file:
        try:
            free = FreePages(file.fileno(), page_bytes, info["last_txnid"]).from_page(first)
        except BrokenFreeListError:
            free = set()
    # Counted: a damaged meta page may say any number of pages.
    if sum(page <= last for page in free) <= last - first:
        text = f"the database in {path}: data.mdb was cut short. It has {size} bytes instead of {length}"
        raise StorageCorruptError(f"{text}; {VERIFY_DATABASE_ADVICE}")
    os.truncate(data, length)
