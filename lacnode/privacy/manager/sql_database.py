"""The database below the store: the supported kinds, the start of a transaction and the names of its failures.

SQLite and PostgreSQL behave alike here. There is one writer at a time, also across processes. So a reader that reads rows
by ascending number misses no row that commits late. The rows that a writer read are still the same when it writes. A write
is on the disk when its transaction has ended. Errors never quote a value, although the database's own errors do.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import sqlalchemy as sql
from sqlalchemy.pool import QueuePool

MEMORY = "sqlite://"
"""A store in memory, for tests."""

OWNER_ONLY_MODE, OTHERS_PERMISSION_BITS = 0o600, 0o077
"""The permissions of the database file. The database shows the sender, the recipients and the time of each payload."""

WAIT_SECONDS = 5
"""How long a writer waits for another writer, and how long a connection waits for the server."""

RETRY_SECONDS = 0.01
PRIMARY_ERROR_CODE = 0xFF
"""The part of SQLite's error codes that names the error without its reason."""

WRITE_LOCK = 0x6C61636E6F6465
"""The advisory lock of PostgreSQL's writers. It replaces SQLite's `BEGIN IMMEDIATE`. The number is `lacnode` in ASCII."""

PIECE_BYTES = 65_536
"""Bytes of a long value that are written at a time."""

_Begins = tuple[Sequence[str], Sequence[str]]
"""The statements that begin a transaction that only reads, and those that begin one that writes."""

# A writer takes the write lock at once. If a reader becomes a writer later, SQLite refuses it and does not wait.
_SQLITE_BEGINS: _Begins = ("BEGIN",), ("BEGIN IMMEDIATE",)

# A reader must see one state throughout: a page and its parties belong together. A writer must not. Its state would be from
# before it got the lock, and it would not see the last writer's rows. The lock ends with the transaction. No code path can
# forget to release it, not even a lost connection.
_POSTGRESQL_BEGINS: _Begins = (
    ("BEGIN ISOLATION LEVEL REPEATABLE READ",),
    ("BEGIN ISOLATION LEVEL READ COMMITTED", f"SELECT pg_advisory_xact_lock({WRITE_LOCK})"),
)

_NAME = re.compile(r":(\w+)")

CONNECTING = {
    "connect_timeout": WAIT_SECONDS,
    "keepalives_idle": WAIT_SECONDS,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Settings of libpq, unless the URL has others. A server that disappears is then noticed within seconds."""


class StoreError(Exception):
    """The manager's store cannot be opened, read or written. The text quotes no value."""


class SqlConnection:
    """A connection to the store within one transaction. In a statement `:name` stands for the value of this name.
    Errors are the driver's: `SqlDatabase` makes StoreError of them."""

    def __init__(self, driver: Any, is_postgresql: bool) -> None:
        self._driver = driver
        self._is_postgresql = is_postgresql

    def execute(self, statement: str, values: Mapping[str, object] | None = None) -> Any:
        """Execute `statement` with `values` by name. Return the driver's cursor, which has the rows. Errors are the
        driver's."""
        # The statements are texts for the driver. SQLAlchemy's expressions took ten times as long, and each payload
        # needs several of them.
        return self._driver.execute(self._text(statement), values or {})

    def execute_many(self, statement: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Execute `statement` once for each of `rows` (values by name). No effect without rows. Errors are the
        driver's."""
        if rows:
            self._driver.cursor().executemany(self._text(statement), rows)

    def find_row(self, statement: str, values: Mapping[str, object] | None = None) -> Any:
        """Execute `statement`. Return its first row, a sequence of values, None if it has none. Errors are the
        driver's."""
        # All rows are read. SQLite cannot commit while an insertion has rows that are not read.
        rows = self.execute(statement, values).fetchall()
        return rows[0] if rows else None

    def find_value(self, statement: str, values: Mapping[str, object] | None = None) -> Any:
        """Execute `statement`. Return the first value of its first row, None if it has no row (or if the value is
        null). Errors are the driver's."""
        row = self.find_row(statement, values)
        return None if row is None else row[0]

    @property
    def can_write_pieces(self) -> bool:
        """True if `write_pieces` can be used: with SQLite."""
        return not self._is_postgresql

    def write_pieces(self, table: str, column: str, number: int, value: bytes) -> None:
        """Write `value` over the bytes of `column` in the row `number` of `table`. The present bytes there must have the
        length of `value`. Only with SQLite (`can_write_pieces`). Errors are the driver's.

        `value` is not copied as a whole, unlike a value of a statement.
        """
        with self._driver.blobopen(table, column, number) as blob, memoryview(value) as view:
            for start in range(0, len(view), PIECE_BYTES):
                blob.write(view[start : start + PIECE_BYTES])

    def _text(self, statement: str) -> str:
        return _psycopg_statement(statement) if self._is_postgresql else statement


@lru_cache(256)
def _psycopg_statement(statement: str) -> str:
    """Return the statement with the names of values as psycopg writes them. SQLite takes them as they are."""
    return _NAME.sub(r"%(\1)s", statement)


class SqlDatabase:
    """Connections to the database at `url`, for any number of threads. The `tables` are created if they are absent.

    `url` is SQLAlchemy's, with `sqlite` or `postgresql+psycopg`. StoreError if the database cannot be opened.
    """

    def __init__(self, url: str, tables: sql.MetaData) -> None:
        self._engine = _open_engine(url)
        self._is_postgresql = self._engine.dialect.name == "postgresql"
        self._begin_read, self._begin_write = _POSTGRESQL_BEGINS if self._is_postgresql else _SQLITE_BEGINS
        self._write_lock = threading.Lock()
        try:
            with self._transaction(self._begin_write, "opened") as connection:
                for statement in _creations(tables, self._engine.dialect):
                    connection.execute(statement)
        except StoreError:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[SqlConnection]:
        """Begin a transaction that only reads, as a context manager. It sees one state of the database throughout.
        StoreError if the database fails."""
        with self._transaction(self._begin_read, "read") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[SqlConnection]:
        """Begin a transaction that is alone in writing, as a context manager. It commits at the end of the block, and
        is rolled back after an error in the block.

        StoreError if the database fails, or if other writers do not end within `WAIT_SECONDS`. If the connection is
        lost at the end, the write may be stored all the same.
        """
        # The threads of this process wait here. SQLite's own waiting sleeps up to 100 ms between two looks.
        if not self._write_lock.acquire(timeout=WAIT_SECONDS):
            raise StoreError("the store cannot be written: earlier writes do not end")
        try:
            with self._transaction(self._begin_write, "written") as connection:
                yield connection
        finally:
            self._write_lock.release()

    @contextmanager
    def _transaction(self, begin: Sequence[str], attempt: str) -> Iterator[SqlConnection]:
        """Begin a transaction with the statements `begin`, and commit it at the end. `attempt` is for the text of errors."""
        failures = (sql.exc.SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)
        pooled = None
        try:
            pooled = self._engine.raw_connection()
            connection = SqlConnection(pooled.driver_connection, self._is_postgresql)
            for statement in begin:
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
        except failures as error:
            is_lost = _is_lost(error, pooled)
            # The pool would otherwise give the lost connection to the next caller.
            if is_lost and pooled is not None:
                pooled.invalidate()
            text = f"the store cannot be {attempt}: {_failure_name(error, is_lost)}"
            raise StoreError(text + (_connection_text(error) if is_lost and attempt == "opened" else "")) from None
        finally:
            # The pool rolls back what was not committed, so an error of any kind leaves no transaction behind.
            if pooled is not None:
                pooled.close()


def _creations(tables: sql.MetaData, dialect: sql.Dialect) -> Iterator[str]:
    """Yield the statements that create the tables and indexes which are absent."""
    for table in tables.sorted_tables:
        yield str(sql.schema.CreateTable(table, if_not_exists=True).compile(dialect=dialect))
        for index in table.indexes:
            yield str(sql.schema.CreateIndex(index, if_not_exists=True).compile(dialect=dialect))


def _open_engine(url: str) -> sql.Engine:
    try:
        parsed = sql.make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        raise StoreError("the store's URL cannot be understood") from None
    if parsed.drivername == "sqlite":
        return _open_sqlite(parsed)
    if parsed.drivername == "postgresql+psycopg":
        return _open_postgresql(parsed)
    raise StoreError(f"the store's URL: sqlite or postgresql was expected, found {parsed.drivername}")


def _open_sqlite(url: sql.URL) -> sql.Engine:
    pool: dict[str, Any] = {}
    if url.database in (None, "", ":memory:"):
        # The connection is the database. So there is one connection, and threads wait for it.
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "connect_args": {"check_same_thread": False}}
    elif not str(url.database).startswith("file:"):
        _make_private(Path(str(url.database)))
    engine = sql.create_engine(url, hide_parameters=True, **pool)

    @sql.event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        _use_write_ahead_log(connection)
        # FULL: a commit is on the disk when it returns. SQLite's default in WAL mode may lose the last commits after a
        # power failure, and a client would have a key without its payload.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}")
        # Python's driver begins transactions by itself, without the write lock. `SqlDatabase` begins them instead.
        connection.isolation_level = None

    return engine


def _make_private(file: Path) -> None:
    """Create the file before SQLite does, for the owner alone. The files beside it get its permissions."""
    # SQLite would create the file with the permissions of the umask, readable by all users.
    try:
        file.touch(OWNER_ONLY_MODE)
        for one in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
            if one.exists() and one.stat().st_mode & OTHERS_PERMISSION_BITS:
                one.chmod(OWNER_ONLY_MODE)
    except OSError as error:
        raise StoreError(f"the store cannot be opened: {error.strerror}: {file}") from None


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the database to write-ahead logging (WAL), so that readers and the writer do not wait for each other."""
    # Two processes may do this to a new file at the same time. SQLite then refuses one of them at once. At all other
    # places the busy timeout makes it wait, so this function waits by itself.
    end = monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY_ERROR_CODE != sqlite3.SQLITE_BUSY or monotonic() > end:
                raise
            sleep(RETRY_SECONDS)


def _open_postgresql(url: sql.URL) -> sql.Engine:
    given = {name: value for name, value in CONNECTING.items() if name not in url.query}
    try:
        engine = sql.create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=given)
    except ImportError:
        raise StoreError(
            "the store's URL: PostgreSQL needs the driver psycopg, which the extra `postgresql` of lacnode brings: "
            "pip install 'lacnode[postgresql]'"
        ) from None

    @sql.event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            # A server may be set to confirm a commit before it is on its disk. A stricter setting than `on` stays.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
            # Without a timeout, a writer that hangs would stop all other managers of the database for ever.
            cursor.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        connection.commit()
        # `SqlDatabase` begins and ends transactions by statements, as with SQLite.
        connection.autocommit = True

    return engine


def _failure_name(error: Exception, is_lost: bool) -> str:
    """Return the failure in words without any value of the statement."""
    # The text of a database error quotes the statement and may quote its values. Only its name is used.
    if is_lost:
        return "its database is not reached"
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def _is_lost(error: Exception, pooled: sql.PoolProxiedConnection | None) -> bool:
    """Return True if the server of a PostgreSQL was lost, or is not reached."""
    # `is_valid` is False if the pool has lost the connection already.
    if pooled is not None and (not pooled.is_valid or getattr(pooled.driver_connection, "closed", False)):
        return True
    # libpq has no SQLSTATE for a failure that happens before, or instead of, an answer of the server.
    return type(error).__name__ == "OperationalError" and getattr(error, "sqlstate", "") is None


def _connection_text(error: Exception) -> str:
    """Return libpq's text about a connection that failed: the server and the user, never the password."""
    lines = str(error).splitlines()
    return f" ({lines[0]})" if lines else ""
