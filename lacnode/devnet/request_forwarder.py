"""Passes HTTP requests of the developer endpoint on to the RPC port of the first node.

Requests wait while the nodes of the devnet are stopped. Must not repeat a request: it may have had its effect.
"""

import http.client
from functools import partial

import orjson
import trio

from lacnode.devnet.request_pause import RequestPause
from lacnode.http.http_messages import JSON, Request, Response
from lacnode.rpc.errors import INTERNAL_ERROR, RpcError

FORWARDED_SECONDS = 330.0
"""Seconds that the node may take to answer: more than its own limit."""

MAX_FORWARDED = 100
"""Requests that may wait for the node at a time."""

MAX_REPLY_BYTES = 64 * 2**20
"""Bytes of one response of the node. The longest answer of a node is shorter."""

_NOT_FORWARDED = frozenset(("connection", "content-length", "host", "keep-alive", "transfer-encoding", "expect"))
_NOT_RETURNED = frozenset(("connection", "content-length", "transfer-encoding", "content-encoding", "date"))


class RequestForwarder:
    """Passes HTTP requests on to the node at `port` on the loopback interface, and returns its responses. Requests wait
    while `pause` holds them. Use it on the event loop."""

    def __init__(self, port: int, pause: RequestPause) -> None:
        self._port = port
        self._pause = pause
        self._limiter = trio.CapacityLimiter(MAX_FORWARDED)

    async def forward(self, request: Request) -> Response:
        """Return the node's response. Status 502 if its body has more than `MAX_REPLY_BYTES`, and 503 if the node does
        not answer. The body of both is an object with a `message`. It waits while the nodes are stopped, and while
        `MAX_FORWARDED` other requests are at the node."""
        async with self._pause.admit_request():
            return await trio.to_thread.run_sync(
                partial(_exchange, self._port, request), limiter=self._limiter, abandon_on_cancel=True
            )

    async def call(self, method: str, *params: object) -> object:
        """Return the result of one JSON-RPC call. RpcError with the node's error, or if the node does not answer or
        answers too much."""
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        response = await self.forward(Request("POST", "/", {JSON[0]: JSON[1]}, body))
        try:
            answer = orjson.loads(response.body)
            error = answer.get("error")
        except (orjson.JSONDecodeError, AttributeError):
            raise RpcError(INTERNAL_ERROR, "the node does not answer") from None
        if error is not None:
            raise RpcError(error["code"], error["message"], error.get("data"))
        # Failures of HTTP, those of `forward` too, are objects with a message alone.
        if "result" not in answer:
            raise RpcError(INTERNAL_ERROR, str(answer.get("message", "the node does not answer")))
        return answer["result"]


def _exchange(port: int, request: Request) -> Response:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=FORWARDED_SECONDS)
    # Without a coding: the endpoint compresses what it sends itself.
    headers = {name: value for name, value in request.headers.items() if name not in _NOT_FORWARDED}
    headers["accept-encoding"] = "identity"
    try:
        connection.request(request.method, request.target, request.body, headers)
        reply = connection.getresponse()
        kept = tuple((name.lower(), value) for name, value in reply.getheaders() if name.lower() not in _NOT_RETURNED)
        body = reply.read(MAX_REPLY_BYTES + 1)
        # A part of a JSON document is none: the client would not know why.
        if len(body) > MAX_REPLY_BYTES:
            return _failure(502, f"the answer of the node has more than {MAX_REPLY_BYTES} bytes")
        return Response(reply.status, body, kept)
    except (OSError, http.client.HTTPException):
        return _failure(503, "the node does not answer")
    finally:
        connection.close()


def _failure(status: int, message: str) -> Response:
    return Response(status, orjson.dumps({"message": message}), (JSON,))
