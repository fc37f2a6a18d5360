"""JSON-RPC over raw sockets, as an attacker uses it: many calls open at once, answers not looked at."""

import json
from collections.abc import Sequence

import trio

READ_BYTES = 65_536


def request(method: str, *params: object) -> dict[str, object]:
    """One JSON-RPC call."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}


def post(body: bytes, *headers: str) -> bytes:
    """An HTTP request with `body`, and the length that it has."""
    lines = ("POST / HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers)
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body


async def exchange(port: int, document: object) -> bytes:
    """Send one document on a new connection and read until its end; whatever came, empty if nothing did."""
    body = json.dumps(document).encode()
    received = b""
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(post(body, "Connection: close"))
            while data := await stream.receive_some(READ_BYTES):
                received = (received + data)[-READ_BYTES:]
    except OSError:
        return received
    except trio.BrokenResourceError:
        return received
    return received


def result_of(answer: bytes) -> object:
    """The result in an answer, None where there is none."""
    try:
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
    except ValueError:
        return None
    return document.get("result") if isinstance(document, dict) else None


async def ask(port: int, method: str, *params: object) -> object:
    """The result of one call on a new connection, None where there is none."""
    return result_of(await send(port, method, params))


async def send(port: int, method: str, params: Sequence[object]) -> bytes:
    """One call on a new connection."""
    return await exchange(port, request(method, *params))
