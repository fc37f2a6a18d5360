"""A few JSON-RPC calls to a node of the devnet, with a deadline. No library: `devnet status` must start at once."""

import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit


class NodeSilent(Exception):
    """The node did not answer, or not with JSON-RPC."""


class CallRefused(Exception):
    """The node answered with an error, whose message this is."""


def call(url: str, method: str, params: list[object], timeout: float = 10.0) -> object:
    """The result of one call. Raises NodeSilent, and CallRefused if it ended in an error."""
    (reply,) = _replies(url, [(method, params)], timeout)
    if "error" in reply:
        raise CallRefused(str(reply["error"].get("message")))
    return reply.get("result")


def call_all(url: str, calls: Sequence[tuple[str, list[object]]], timeout: float = 2.0) -> list[object]:
    """The results of `calls` (method, parameters) sent as one batch, None for a call that ended in an error.

    Raises NodeSilent if the node does not answer within `timeout` seconds.
    """
    replies = {reply.get("id"): reply.get("result") for reply in _replies(url, calls, timeout)}
    return [replies.get(number) for number in range(len(calls))]


def block_number(url: str) -> int:
    """The node's head; NodeSilent if it does not answer."""
    (number,) = call_all(url, [("eth_blockNumber", [])])
    if not isinstance(number, str):
        raise NodeSilent(f"{url} gives no block number")
    return int(number, 16)


def _replies(url: str, calls: Sequence[tuple[str, list[object]]], timeout: float) -> list[dict[str, Any]]:
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
        replies = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NodeSilent(f"{url} does not answer: {error}") from None
    finally:
        connection.close()
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise NodeSilent(f"{url} answers, but not with JSON-RPC")
    return replies
