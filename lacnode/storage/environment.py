"""The LMDB environment: read transactions, one write transaction, tables, checksums, and a map that grows.

LMDB may change the size of its map only while no transaction of the process is open, so open snapshots are counted,
and growing waits for them for a bounded time. Must not know batches or groups.
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
"""Seconds that growing waits for open snapshots to be closed."""

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
"""What reading altered pages raises. A length in them may be absurd, and a table's name no text."""

_FAILURES = (lmdb.Error, *_DAMAGE)


class LmdbTable:
    """One table: LMDB's handle, and its checksums."""

    __slots__ = ("checksums", "handle")

    def __init__(self, path: Path, name: str, handle: Any, listener: DamageListener = ignore_damage) -> None:
        self.handle = handle
        self.checksums = TableChecksums(str(path), name, listener)


class LmdbSnapshot:
    """One read transaction as a `Snapshot`. Tables made after it was opened are not in it."""

    def __init__(self, transaction: Any, tables: dict[str, LmdbTable], path: Path) -> None:
        self.transaction = transaction
        self._tables = tables
        self._path = path

    def get(self, table: str, key: bytes) -> bytes | None:
        found = self._tables.get(table)
        if found is None:
            return None
        try:
            stored: bytes | None = self.transaction.get(key, db=found.handle)
        except _FAILURES as error:
            raise translate_lmdb_error(self._path, error) from None
        return None if stored is None else found.checksums.verify_checksum(key, stored)

    def items(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        found = self._tables.get(table)
        if found is not None:
            for key, stored in self._stored_items(table, found, start):
                yield key, found.checksums.verify_checksum(key, stored)

    def checked_items(self, table: str) -> Iterator[tuple[bytes, bytes | None]]:
        """As `items`, but goes on after a damaged value, which is None."""
        found = self._tables.get(table)
        if found is not None:
            for key, stored in self._stored_items(table, found, b""):
                try:
                    yield key, found.checksums.verify_checksum(key, stored)
                except DamagedValueError:
                    yield key, None

    @property
    def table_names(self) -> tuple[str, ...]:
        """The tables that there are, ascending."""
        return tuple(sorted(self._tables))

    def _stored_items(self, table: str, found: LmdbTable, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        last: bytes | None = None
        try:
            with self.transaction.cursor(db=found.handle) as cursor:
                if not (cursor.set_range(start) if start else cursor.first()):
                    return
                for key, stored in cursor:
                    if last is not None and key <= last:
                        raise lmdb.CorruptedError(f"the keys of table {table} are out of order")
                    last = key
                    yield key, stored
        except _FAILURES as error:
            raise translate_lmdb_error(self._path, error) from None


class Environment:
    """The environment in the directory `path`, made there if there is none."""

    def __init__(
        self, path: Path, *, durable: bool, map_size: int, damage_listener: DamageListener = ignore_damage
    ) -> None:
        self._path = path
        self._damage_listener = damage_listener
        self._gate = threading.Condition()
        self._open_pages = 0
        self._readers_wait = False
        self._closed = False
        with _translated(path):
            self._env = lmdb.open(
                str(path),
                mode=PRIVATE_FILE,
                map_size=_map_size_for(path, map_size),
                max_dbs=MAX_TABLES,
                max_readers=MAX_READERS,
                readahead=False,
                meminit=False,
                sync=durable,
                max_spare_txns=8,
            )
            _refill(path, self._env)
            self._env.reader_check()  # a process that reads may have died with the last node
            add_checksums(path, self._env)
            self._tables = self._existing_tables()

    def open_pages(self) -> LmdbSnapshot:
        """A read transaction; close it with `close_pages`."""
        with self._gate:
            if self._readers_wait:
                self._gate.wait_for(lambda: not self._readers_wait)
            if self._closed:
                raise StorageError(f"the database in {self._path} is closed")
            try:
                pages = LmdbSnapshot(self._env.begin(), self._tables, self._path)
            except lmdb.Error as error:
                raise translate_lmdb_error(self._path, error) from None
            self._open_pages += 1
            return pages

    def close_pages(self, pages: LmdbSnapshot) -> None:
        with self._gate:
            pages.transaction.abort()
            self._open_pages -= 1
            if not self._open_pages:
                self._gate.notify_all()

    def write(self, layers: Sequence[Layer]) -> None:
        """All of `layers`, oldest first, in one transaction. One thread at a time."""
        with _translated(self._path):
            while not self._written(layers):
                pass

    def forget_dead_readers(self) -> None:
        """Free the snapshots of processes that have ended."""
        with self._gate, _translated(self._path):
            if not self._closed:
                self._env.reader_check()

    def close(self) -> None:
        """Closing twice is harmless. A snapshot still open elsewhere keeps this waiting for a while, then is lost."""
        with self._gate:
            self._gate.wait_for(lambda: not self._open_pages, MAP_GROWTH_TIMEOUT_SECONDS)
            self._closed = True
            self._env.close()

    def _written(self, layers: Sequence[Layer]) -> bool:
        """Whether `layers` are committed; False if the map was too small and has grown."""
        transaction = self._env.begin(write=True)
        try:
            tables = self._put(transaction, layers)
            transaction.commit()
        except lmdb.MapFullError:
            self._give_up(transaction, grow=True)
            return False
        except BaseException:
            self._give_up(transaction, grow=False)
            raise
        self._tables = tables
        return True

    def _put(self, transaction: Any, layers: Sequence[Layer]) -> dict[str, LmdbTable]:
        """The tables, new ones included, after putting `layers` into them."""
        tables = dict(self._tables)
        for layer in layers:
            for table, changes in layer.items():
                if table not in tables:
                    handle = self._env.open_db(table.encode(), txn=transaction)
                    tables[table] = LmdbTable(self._path, table, handle, self._damage_listener)
                _put_all(transaction, tables[table], changes)
        return tables

    def _give_up(self, transaction: Any, *, grow: bool) -> None:
        """Abort, and make the map twice as large if it has to `grow`.

        Both need readers out of the way: the map may not move under them, and lmdb 3.0 aborts a write transaction only
        when no thread is in a call on the environment, for which busy readers keep it waiting without end.
        """
        with self._gate:
            self._readers_wait = True
            try:
                quiet = self._gate.wait_for(lambda: not self._open_pages, MAP_GROWTH_TIMEOUT_SECONDS)
                transaction.abort()
                if grow and not quiet:
                    raise StorageError(f"the database in {self._path} has to grow, but a snapshot is kept open")
                if grow:
                    self._env.set_mapsize(2 * self._env.info()["map_size"])
            finally:
                self._readers_wait = False
                self._gate.notify_all()

    def _existing_tables(self) -> dict[str, LmdbTable]:
        return {
            name: LmdbTable(self._path, name, self._env.open_db(name.encode(), create=False), self._damage_listener)
            for name in table_names(self._env)
        }


def _put_all(transaction: Any, table: LmdbTable, changes: Mapping[bytes, bytes | None]) -> None:
    add_checksum = table.checksums.add_checksum
    for key, value in sorted(changes.items()):
        if value is None:
            transaction.delete(key, db=table.handle)
        else:
            transaction.put(key, add_checksum(key, value), db=table.handle)


def translate_lmdb_error(path: Path, error: Exception) -> StorageError:
    """LMDB's `error` in this room's words."""
    text = f"the database in {path}: {str(error) or type(error).__name__}"
    if isinstance(error, _DAMAGE):
        return StorageCorruptError(f"{text}; the files are damaged: {VERIFY_DATABASE_ADVICE}")
    if isinstance(error, lmdb.DiskError) or ("Input/output error" in str(error) and _is_full(path)):
        return StorageFullError(f"{text}; free some disk space")
    return StorageError(text)


def _is_full(path: Path) -> bool:
    """Whether there is no room for a MiB. LMDB calls a write that fell short an input/output error."""
    probe = path / "space.probe"
    try:
        probe.write_bytes(bytes(1 << 20))
    except OSError as error:
        return isinstance(storage_error(path, "probing", error), StorageFullError)
    finally:
        probe.unlink(missing_ok=True)
    return False


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_FAILURES, OSError) as error:
        raise translate_lmdb_error(path, error) from None


def _map_size_for(path: Path, wanted: int) -> int:
    """`wanted`, doubled until what is there fits twice."""
    data = path / "data.mdb"
    size = data.stat().st_size if data.exists() else 0
    while wanted < 2 * size:
        wanted *= 2
    return wanted


def _refill(path: Path, env: Any) -> None:
    """Give a file that was cut short its length back, in zeros: LMDB then reports damage where a read beyond the end
    of a mapped file would kill the process."""
    length = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    data = path / "data.mdb"
    if data.stat().st_size < length:
        os.truncate(data, length)
