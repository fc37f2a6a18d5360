"""The database under the manager's store: which kinds there are, how a transaction begins, and what its failure is called.

SQLite and PostgreSQL behave alike here: one writer at a time, across processes too. So whoever reads rows by ascending
number misses none that commits late, and what a writer read is so still when it writes. A write is on the disk when its
transaction has ended. Errors never quote a value: what a database says of a statement does.
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
"""A store that forgets, for tests."""

OWNER_ONLY_MODE, OTHERS_PERMISSION_BITS = 0o600, 0o077
"""Permissions of the database: the manager's user reads and writes it. It shows who sends what to whom and when."""

WAIT_SECONDS = 5
"""How long a writer waits for another, and a connection for the server."""

RETRY_SECONDS = 0.01
PRIMARY_ERROR_CODE = 0xFF
"""The part of SQLite's error codes that says what, without why."""

WRITES = "lacnode_writes"
WRITE_LOCK = 0x6C61636E6F6465
"""The advisory lock that PostgreSQL's writers take, for want of SQLite's `BEGIN IMMEDIATE`: `lacnode` in ASCII."""

CONNECTING = {
    "connect_timeout": WAIT_SECONDS,
    "keepalives_idle": WAIT_SECONDS,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Of libpq, unless the URL says otherwise: a server that is gone without a word is noticed within seconds."""


class StoreError(Exception):
    """The store cannot be opened, read or written."""


class SqlDatabase:
    """Connections to the database at `url` (SQLAlchemy's, `sqlite` or `postgresql+psycopg`), for any number of threads,
    with `tables` in it. StoreError if it cannot be opened."""

    def __init__(self, url: str, tables: sql.MetaData) -> None:
        self._engine = _opened(url)
        # A reader sees one moment throughout. A writer must not: its moment would be that before it got the lock.
        one_moment = {"isolation_level": "REPEATABLE READ"} if self._engine.dialect.name == "postgresql" else {}
        self._reading = self._engine.execution_options(**one_moment)
        self._writing = self._engine.execution_options(**{WRITES: True})
        try:
            with self._writing.begin() as connection:
                tables.create_all(connection)
        except sql.exc.SQLAlchemyError as error:
            self._engine.dispose()
            raise StoreError(f"the store cannot be opened: {_reason(error)}{_words(error)}") from None

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sql.Connection]:
        """A transaction that only reads; StoreError."""
        try:
            with self._reading.begin() as connection:
                yield connection
        except sql.exc.SQLAlchemyError as error:
            raise StoreError(f"the store cannot be read: {_reason(error)}") from None

    @contextmanager
    def write(self) -> Iterator[sql.Connection]:
        """A transaction that is alone in writing, committed on leaving; StoreError. If the connection is lost while it
        ends, it may have been kept all the same."""
        try:
            with self._writing.begin() as connection:
                yield connection
        except sql.exc.SQLAlchemyError as error:
            raise StoreError(f"the store cannot be written: {_reason(error)}") from None


def _opened(url: str) -> sql.Engine:
    try:
        parsed = sql.make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        raise StoreError("the store's URL cannot be understood") from None
    if parsed.drivername == "sqlite":
        return _sqlite(parsed)
    if parsed.drivername == "postgresql+psycopg":
        return _postgresql(parsed)
    raise StoreError(f"the store's URL: sqlite or postgresql was expected, found {parsed.drivername}")


def _sqlite(url: sql.URL) -> sql.Engine:
    pool: dict[str, Any] = {}
    if url.database in (None, "", ":memory:"):
        # One connection that threads wait for: it is the database.
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "connect_args": {"check_same_thread": False}}
    elif not str(url.database).startswith("file:"):
        _make_private(Path(str(url.database)))
    engine = sql.create_engine(url, hide_parameters=True, **pool)

    @sql.event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        _keep_log_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}")
        connection.isolation_level = None

    @sql.event.listens_for(engine, "begin")
    def _begin(connection: sql.Connection) -> None:
        # The write lock at once: a reader that turned writer would be refused by SQLite instead of waiting.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")

    return engine


def _make_private(file: Path) -> None:
    """Have the file there before SQLite makes it, which lets everybody read it. The files beside it get its permissions."""
    try:
        file.touch(OWNER_ONLY_MODE)
        for one in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
            if one.exists() and one.stat().st_mode & OTHERS_PERMISSION_BITS:
                one.chmod(OWNER_ONLY_MODE)
    except OSError as error:
        raise StoreError(f"the store cannot be opened: {error.strerror}: {file}") from None


def _keep_log_ahead(connection: sqlite3.Connection) -> None:
    """Have changes written ahead of the file (WAL). Of two who do this at once to a new file SQLite refuses one, and does
    not have it wait as it does elsewhere."""
    end = monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY_ERROR_CODE != sqlite3.SQLITE_BUSY or monotonic() > end:
                raise
            sleep(RETRY_SECONDS)


def _postgresql(url: sql.URL) -> sql.Engine:
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
            # A server may be set to confirm what is not on its disk yet; a stricter setting than `on` stays.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
            cursor.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        connection.commit()

    @sql.event.listens_for(engine, "begin")
    def _begin(connection: sql.Connection) -> None:
        if connection.get_execution_options().get(WRITES):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")

    return engine


def _reason(error: sql.exc.SQLAlchemyError) -> str:
    """What went wrong, in words that hold nothing of what was to be written."""
    if not isinstance(error, sql.exc.DBAPIError):
        return type(error).__name__
    cause = error.orig
    if _is_lost(error):
        return "its database is not reached"
    return getattr(cause, "sqlite_errorname", None) or type(cause).__name__


def _is_lost(error: sql.exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    # libpq gives no SQLSTATE to what failed before, or instead of, an answer of the server.
    return isinstance(error, sql.exc.OperationalError) and getattr(error.orig, "sqlstate", "") is None


def _words(error: sql.exc.SQLAlchemyError) -> str:
    """What libpq says of a connection that cannot be made: server and user, never the password."""
    if not isinstance(error, sql.exc.DBAPIError) or not _is_lost(error):
        return ""
    return f" ({str(error.orig).splitlines()[0]})"
