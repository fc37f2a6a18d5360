"""A few JSON-RPC calls to a node of the devnet, with a deadline. No library: `devnet status` must start at once."""

import http.client
import json
from collections.abc import Sequence
from urllib.parse import urlsplit


class NodeSilent(Exception):
    """The node did not answer, or not with JSON-RPC."""


def call_all(url: str, calls: Sequence[tuple[str, list[object]]], timeout: float = 2.0) -> list[object]:
    """The results of `calls` (method, parameters) sent as one batch, None for a call that ended in an error.

    Raises NodeSilent if the node does not answer within `timeout` seconds.
    """
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
        replies = json.loads(connection.getresponse().read())
        by_id = {reply["id"]: reply.get("result") for reply in replies}
        return [by_id.get(number) for number in range(len(batch))]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise NodeSilent(f"{url} does not answer: {error}") from None
    finally:
        connection.close()


def block_number(url: str) -> int:
    """The node's head; NodeSilent if it does not answer."""
    (number,) = call_all(url, [("eth_blockNumber", [])])
    if not isinstance(number, str):
        raise NodeSilent(f"{url} gives no block number")
    return int(number, 16)
