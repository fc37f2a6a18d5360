"""How the coordinator of a devnet speaks to the nodes: one command and one answer for each connection, on the loopback
interface.

Each is one line of JSON. The port and a secret token stand in `control.json` of the node's directory, which only the user
of the devnet can read. Must not know what a command does.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

CONTROL_FILE = "control.json"
MAX_LINE_BYTES = 512 * 1024
"""Bytes of a command or an answer. The longest one gives transactions, see `transaction_handover`."""

READ_SECONDS = 10.0
"""Seconds that a command may take to arrive."""

Document = dict[str, Any]
CommandHandler = Callable[[str, Document], Awaitable[Document]]
"""Gets the name of a command and its values. Returns the answer. Raises ControlError to refuse."""


class ControlError(Exception):
    """A node did not carry out a command. The text says why."""


async def serve_control(
    directory: Path, handle: CommandHandler, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer the commands of the devnet's coordinator for the node in `directory` with what `handle` returns, until
    cancelled. A ControlError, ValueError, TypeError or KeyError of `handle` refuses the command with its text. Reports
    as started when the port is open. `control.json` stays behind. OSError if the port or the file cannot be made."""
    token = secrets.token_hex(16)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    file = directory / CONTROL_FILE
    # The mode comes before the content: no other user may read the token for a moment.
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps({"port": port, "token": token}) + "\n", "utf-8")

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await stream.send_all(_encode(await _answer(stream, token, handle)))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the coordinator has given up

    task_status.started()
    await trio.serve_listeners(answer, listeners)


async def send_command(directory: Path, name: str, values: Document, seconds: float) -> Document:
    """Send a command to the node in `directory`. `values` must be JSON. Return its answer, an object of JSON.

    ControlError if the node does not answer within `seconds`, or refuses. A node that did not answer in time may still
    carry out the command.
    """
    answer: Document | None = None
    try:
        where = json.loads((directory / CONTROL_FILE).read_text("utf-8"))
        with trio.move_on_after(seconds):
            async with await trio.open_tcp_stream("127.0.0.1", int(where["port"])) as stream:
                await stream.send_all(_encode({"token": where["token"], "command": name, "values": values}))
                answer = _decode(await _read_line(stream))
    except (OSError, ValueError, KeyError, TypeError, trio.BrokenResourceError, BaseExceptionGroup) as error:
        raise ControlError(f"{directory.name} does not answer: {error}") from None
    if answer is None:
        raise ControlError(f"{directory.name} has not answered `{name}` within {seconds:.0f} s")
    if "error" in answer:
        raise ControlError(f"{directory.name}: {answer['error']}")
    return answer


async def _answer(stream: trio.SocketStream, token: str, handle: CommandHandler) -> Document:
    request: Document = {}
    try:
        with trio.move_on_after(READ_SECONDS):
            request = _decode(await _read_line(stream))
        if not hmac.compare_digest(str(request.get("token", "")).encode(), token.encode()):
            return {"error": "the token is wrong"}
        return await handle(str(request.get("command")), dict(request.get("values", {})))
    # JSON of thousands of levels ends in a RecursionError. It comes before the token is looked at.
    except (ControlError, ValueError, TypeError, RecursionError, trio.BrokenResourceError) as error:
        return {"error": str(error)}
    # Its text is the key alone. The error would end the node with all its tasks.
    except KeyError as error:
        return {"error": f"missing: {error}"}


async def _read_line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = await stream.receive_some(MAX_LINE_BYTES)
        line += part
        if not part or len(line) > MAX_LINE_BYTES:
            raise ValueError("a line of JSON was expected")
    return line


def _encode(document: Document) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _decode(line: bytes) -> Document:
    document = json.loads(line)
    if not isinstance(document, dict):
        raise ValueError("an object of JSON was expected")
    return document
