"""The database below the store: the supported kinds, the start of a transaction and the names of its failures.

SQLite and PostgreSQL behave alike here. There is one writer at a time, also across processes. So a reader that reads rows
by ascending number misses no row that commits late. The rows that a writer read are still the same when it writes. A write
is on the disk when its transaction has ended. Errors never quote a value, although the database's own errors do.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
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

WRITES = "lacnode_writes"
WRITE_LOCK = 0x6C61636E6F6465
"""The advisory lock of PostgreSQL's writers. It replaces SQLite's `BEGIN IMMEDIATE`. The number is `lacnode` in ASCII."""

CONNECTING = {
    "connect_timeout": WAIT_SECONDS,
    "keepalives_idle": WAIT_SECONDS,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Settings of libpq, unless the URL has others. A server that disappears is then noticed within seconds."""


class StoreError(Exception):
    """The store cannot be opened, read or written. The text quotes no value."""


class SqlDatabase:
    """Connections to the database at `url`, for any number of threads. The `tables` are created if they are absent.

    `url` is SQLAlchemy's, with `sqlite` or `postgresql+psycopg`. StoreError if the database cannot be opened.
    """

    def __init__(self, url: str, tables: sql.MetaData) -> None:
        self._engine = _open_engine(url)
        # A reader must see one state throughout: a page and its parties belong together. A writer must not. Its state
        # would be from before it got the lock, and it would not see the last writer's rows.
        one_moment = {"isolation_level": "REPEATABLE READ"} if self._engine.dialect.name == "postgresql" else {}
        self._reading = self._engine.execution_options(**one_moment)
        self._writing = self._engine.execution_options(**{WRITES: True})
        try:
            with self._writing.begin() as connection:
                tables.create_all(connection)
        except sql.exc.SQLAlchemyError as error:
            self._engine.dispose()
            raise StoreError(f"the store cannot be opened: {_failure_name(error)}{_connection_text(error)}") from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sql.Connection]:
        """Begin a transaction that only reads. StoreError if the database fails."""
        try:
            with self._reading.begin() as connection:
                yield connection
        except sql.exc.SQLAlchemyError as error:
            raise StoreError(f"the store cannot be read: {_failure_name(error)}") from None

    @contextmanager
    def write(self) -> Iterator[sql.Connection]:
        """Begin a transaction that is alone in writing. It commits at the end of the block.

        StoreError if the database fails. If the connection is lost at the end, the write may be stored all the same.
        """
        try:
            with self._writing.begin() as connection:
                yield connection
        except sql.exc.SQLAlchemyError as error:
            raise StoreError(f"the store cannot be written: {_failure_name(error)}") from None


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
        # Python's driver begins transactions by itself, without the write lock. SQLAlchemy's event below does it instead.
        connection.isolation_level = None

    @sql.event.listens_for(engine, "begin")
    def _begin(connection: sql.Connection) -> None:
        # The write lock is taken at once. If a reader becomes a writer later, SQLite refuses it and does not wait.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")

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

    @sql.event.listens_for(engine, "begin")
    def _begin(connection: sql.Connection) -> None:
        # The lock ends with the transaction. No code path can forget to release it, not even a lost connection.
        if connection.get_execution_options().get(WRITES):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")

    return engine


def _failure_name(error: sql.exc.SQLAlchemyError) -> str:
    """Return the failure in words without any value of the statement."""
    # The text of a database error quotes the statement and may quote its values. Only its name is used.
    if not isinstance(error, sql.exc.DBAPIError):
        return type(error).__name__
    cause = error.orig
    if _is_lost(error):
        return "its database is not reached"
    return getattr(cause, "sqlite_errorname", None) or type(cause).__name__


def _is_lost(error: sql.exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    # libpq has no SQLSTATE for a failure that happens before, or instead of, an answer of the server.
    return isinstance(error, sql.exc.OperationalError) and getattr(error.orig, "sqlstate", "") is None


def _connection_text(error: sql.exc.SQLAlchemyError) -> str:
    """Return libpq's text about a connection that failed: the server and the user, never the password."""
    if not isinstance(error, sql.exc.DBAPIError) or not _is_lost(error):
        return ""
    return f" ({str(error.orig).splitlines()[0]})"
