"""A PostgreSQL server of the tests' own: made, started, crashed and removed with them; none where it is not installed."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg

INSTALLED = "/usr/lib/postgresql"
"""Where Debian and Ubuntu keep the server, outside PATH."""

READY = "database system is ready to accept connections"
ABSENT = f"no PostgreSQL server here: initdb and postgres are neither on PATH nor in {INSTALLED}/*/bin"


class PostgresqlServer:
    """Runs in a directory of its own, on loopback, with a password. `options` are `name=value` settings."""

    USER = "lacnode"

    def __init__(self, binaries: Path, directory: Path, options: tuple[str, ...] = ()) -> None:
        self._binaries = binaries
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            # The server refuses root.
            self._as = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
            shutil.chown(directory, "nobody")
        self.data, self._options = directory / "data", options
        self.password = secrets.token_hex(16)
        password = directory / "password"
        password.write_text(self.password)
        self._run(
            "initdb", f"-D{self.data}", f"-U{self.USER}", "-Ascram-sha-256", f"--pwfile={password}", "-N", "-EUTF8"
        )
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    def _run(self, name: str, *words: str) -> None:
        subprocess.run([self._binaries / name, *words], check=True, capture_output=True, cwd="/", **self._as)

    def start(self) -> None:
        """Return when it accepts connections."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *self._options]
        words = [str(self._binaries / "postgres"), f"-D{self.data}", *(f"-c{setting}" for setting in settings)]
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd="/", **self._as)
        assert self._process.stderr is not None
        said = _until_ready(self._process.stderr)
        assert READY in said, said

    def stop(self) -> None:
        """Break every connection and stop."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stop at once, as if the power had gone: what was not in the write-ahead log is lost."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.communicate(timeout=30)
            self._process = None

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection that commits each statement."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.USER,
            password=self.password,
            dbname=database,
            autocommit=True,
        )

    def new_database(self) -> str:
        """The name of an empty one."""
        name = f"db{secrets.token_hex(4)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def url(self, database: str) -> str:
        """As SQLAlchemy has it."""
        return f"postgresql+psycopg://{self.USER}:{self.password}@127.0.0.1:{self.port}/{database}"


def _until_ready(lines: IO[str]) -> str:
    said = ""
    for line in lines:
        said += line
        if READY in line:
            break
    return said


@contextmanager
def running_server(*options: str) -> Iterator[PostgresqlServer | None]:
    """A started server, None where there is none to start."""
    binaries = _binaries()
    if binaries is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="lacnode-postgresql-") as directory:
        server = PostgresqlServer(binaries, Path(directory), options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _binaries() -> Path | None:
    on_path = shutil.which("initdb")
    installed = sorted(Path(INSTALLED).glob("*/bin/initdb"))
    found = [*([Path(on_path)] if on_path else []), *reversed(installed)]
    return next((initdb.parent for initdb in found if (initdb.parent / "postgres").exists()), None)
