"""JSON-RPC calls of the command line to a running node. Each call has a deadline.

It uses no HTTP library, because a command must start fast. Must not retry: a call that failed may have had its effect.
"""

import http.client
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

MAX_REPLY_BYTES = 16 * 1024 * 1024


class NodeUnreachableError(Exception):
    """The node did not answer in time, or its answer is no JSON-RPC. The call may have had its effect."""


class CallRefusedError(Exception):
    """The node answered the call of `method` with an error. `code`, `message` (text) and `data` (None if there is none)
    are those of the node's error. The text of the exception also names the method and the code."""

    def __init__(self, method: str, error: Mapping[str, object]) -> None:
        super().__init__(f"{method}: {error.get('message')} ({error.get('code')})")
        self.method = method
        self.code = error.get("code")
        self.message = str(error.get("message"))
        self.data = error.get("data")


def call(url: str, method: str, params: Sequence[object] = (), timeout: float = 10.0) -> object:
    """Return the result of one call, a JSON value. `timeout` is in seconds, for the connection and for each read. It
    blocks.

    NodeUnreachableError if the node does not answer with JSON-RPC, and CallRefusedError if the call ended in an error.
    """
    reply = _answer(url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, timeout)
    if not isinstance(reply, Mapping):
        raise NodeUnreachableError(f"{url} answers, but not with JSON-RPC")
    error = reply.get("error")
    if isinstance(error, Mapping):
        raise CallRefusedError(method, error)
    # Such as `{"message":"Host not authorized."}`, the body of status 403.
    if "result" not in reply:
        raise NodeUnreachableError(f"{url} answers without a result: {str(reply.get('message'))[:200]}")
    return reply["result"]


def call_all(url: str, calls: Sequence[tuple[str, list[object]]], timeout: float = 2.0) -> list[object]:
    """Return the results of `calls` (method, parameters) as one batch, in their order. A call that ended in an error or
    has no reply has the result None, as one whose result is null.

    `timeout` is in seconds, for the connection and for each read. NodeUnreachableError if the node does not answer in
    this time, or not with a batch.
    """
    # The replies of a batch may come in any order (JSON-RPC 2.0, section 6), so they are matched by id.
    replies = {reply.get("id"): reply.get("result") for reply in _replies(url, calls, timeout)}
    return [replies.get(number) for number in range(len(calls))]


def block_number(url: str) -> int:
    """Return the number of the node's head. It waits at most 2 seconds for each read. NodeUnreachableError if the node
    does not answer with a number."""
    (result,) = call_all(url, [("eth_blockNumber", [])])
    number = read_quantity(result)
    if number is None:
        raise NodeUnreachableError(f"{url} gives no block number")
    return number


def read_quantity(result: object) -> int | None:
    """Return the number of a result that is a quantity: a text of `0x` and 1 to 64 hexadecimal digits. None for any
    other result."""
    # `int` alone takes signs, spaces and underscores too.
    is_quantity = isinstance(result, str) and re.fullmatch("0x[0-9a-fA-F]{1,64}", result)
    return int(str(result), 16) if is_quantity else None


def _replies(url: str, calls: Sequence[tuple[str, list[object]]], timeout: float) -> list[dict[str, Any]]:
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    replies = _answer(url, batch, timeout)
    # The calls have numbers as their ids. A list cannot be an id, or a key of a dict.
    if not isinstance(replies, list) or not all(
        isinstance(reply, dict) and isinstance(reply.get("id"), int | str | None) for reply in replies
    ):
        raise NodeUnreachableError(f"{url} answers, but not with JSON-RPC")
    return replies


def _answer(url: str, document: object, timeout: float) -> object:
    try:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    # A port above 65,535, or a bracket without the other one.
    except ValueError as error:
        raise NodeUnreachableError(f"{url!r} is no address of a node: {error}") from None
    try:
        connection.request("POST", parts.path or "/", json.dumps(document), {"Content-Type": "application/json"})
        # The read is bounded: another program on this port must not fill the memory of the command.
        # `orjson` refuses a document that is nested without end. Python's own reader may crash on it.
        answer: object = orjson.loads(connection.getresponse().read(MAX_REPLY_BYTES))
        return answer
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NodeUnreachableError(f"{url} does not answer: {error}") from None
    finally:
        connection.close()
