"""JSON-RPC on a socket of the file system (Besu's `JsonRpcIpcService`): calls of programs on this machine.

A client sends JSON texts one after the other, and gets each answer in a line of its own. The bounds are those of the other
ports. The file is for the user of the node alone: this port asks for no token.
"""

import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import structlog
import trio

from lacnode.http.connection_server import ConnectionServer, PortUnavailableError
from lacnode.rpc import errors
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.envelope import error_reply
from lacnode.rpc.json_stream import JsonStream, JsonStreamError
from lacnode.rpc.request_runner import RequestRunner
from lacnode.rpc.settings import IpcSettings

log = structlog.get_logger("rpc")

READ_BYTES = 65_536
MAX_IPC_CONNECTIONS = 80
MAX_IPC_MESSAGE_BYTES = 5_242_880
"""Bytes of a call or a batch, as over HTTP."""

ARRIVAL_SECONDS = 60.0
"""Seconds that a message may take to arrive, from its first byte to its last."""

SEND_SECONDS, SEND_BYTES_PER_SECOND = 60.0, 50_000
"""A client has `SEND_SECONDS` to read an answer, and one second more for each `SEND_BYTES_PER_SECOND`."""

BACKLOG = 64
"""Connections that wait for their acceptance."""

MAX_PATH_BYTES = 107
"""The longest name of a socket (Linux)."""

OWNER_ONLY = 0o600
CLIENT = "ipc"
"""The address by which the limits for one client count. All programs of this machine are one client."""


class IpcServer:
    """Answers the calls on the socket file `settings.path`. `dispatcher` has its methods, and `runner` runs them."""

    def __init__(self, settings: IpcSettings, dispatcher: Dispatcher, runner: RequestRunner) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._runner = runner

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, then remove the file. Reports as started when the socket is open. PortUnavailableError
        if the socket cannot be made: another process listens at the path, the path is too long or is a file that is no
        socket, or the system refuses the socket."""
        with _socket_file(self._settings.path) as made:
            async with trio.SocketListener(trio.socket.from_stdlib_socket(made)) as listener:
                log.info(f"IPC endpoint opened: {self._settings.path}")
                task_status.started()
                await ConnectionServer("IPC", MAX_IPC_CONNECTIONS, self._converse).serve([listener])

    async def _converse(self, stream: trio.SocketStream) -> None:
        texts = JsonStream(MAX_IPC_MESSAGE_BYTES)
        while True:
            # A client may be silent for as long as it likes between two messages, as on a terminal.
            data = await stream.receive_some(READ_BYTES)
            with trio.move_on_after(ARRIVAL_SECONDS) as arrival:
                while data:
                    try:
                        messages = texts.feed(bytes(data))
                    except JsonStreamError:
                        await self._send(stream, orjson.dumps(error_reply(None, errors.parse_error())))
                        return
                    for message in messages:
                        # The time of an answer is not the client's.
                        arrival.deadline = float("inf")
                        await self._send(stream, await self._answer(message))
                        arrival.deadline = trio.current_time() + ARRIVAL_SECONDS
                    if texts.is_empty:
                        break
                    data = await stream.receive_some(READ_BYTES)
            if not data or arrival.cancelled_caught:
                return

    async def _answer(self, message: bytes) -> bytes:
        until = time.monotonic() + self._settings.timeout
        with trio.move_on_after(self._settings.timeout):
            return (
                await self._runner.run(message, self._dispatcher.answer_http(message, until, None, CLIENT), CLIENT)
            ).body
        return orjson.dumps(error_reply(None, errors.timeout()))

    async def _send(self, stream: trio.SocketStream, answer: bytes) -> None:
        # A notification has no answer.
        if not answer:
            return
        with trio.move_on_after(SEND_SECONDS + len(answer) / SEND_BYTES_PER_SECOND) as reading:
            await stream.send_all(answer + b"\n")
        if reading.cancelled_caught:
            raise trio.BrokenResourceError("the client does not read its answer")


@contextmanager
def _socket_file(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at `path`, and whose file goes at the end. PortUnavailableError if it cannot be made."""
    made = _bound(path)
    inode = path.lstat().st_ino
    try:
        yield made
    finally:
        with suppress(OSError):
            # Another node may have made a socket of the same name after an operator removed this one.
            if path.lstat().st_ino == inode:
                path.unlink()


def _bound(path: Path) -> socket.socket:
    """Return a socket that listens at `path`. PortUnavailableError if it cannot be made."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise PortUnavailableError(
            f"--Xrpc-ipc-path: {path} is longer than {MAX_PATH_BYTES} bytes, and no socket can be so"
        )
    _remove_left_socket(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before the file is there: no other user can connect in between.
        os.fchmod(made.fileno(), OWNER_ONLY)
        made.bind(str(path))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise PortUnavailableError(f"--Xrpc-ipc-path: {path} cannot be listened on: {error.strerror}") from None
    return made


def _remove_left_socket(path: Path) -> None:
    """Remove a socket that a node left when it was killed. PortUnavailableError if it is in use, or is no socket."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise PortUnavailableError(f"--Xrpc-ipc-path: {path} is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            with suppress(OSError):
                path.unlink()
            return
    raise PortUnavailableError(f"--Xrpc-ipc-path: {path} is in use by another process")
