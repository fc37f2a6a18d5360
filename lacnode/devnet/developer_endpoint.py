"""The JSON-RPC port of a devnet for developers, in the process of the first validator.

It answers the methods of `developer_methods` and passes everything else on to that validator. It stays open while the nodes
are stopped for a snapshot or a revert. Must not listen on another interface than the loopback one, nor serve a web page of
another origin than the devnet's origins.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import structlog
import trio

from lacnode.devnet.allowed_pages import HOSTS
from lacnode.devnet.developer_methods import DeveloperMethod
from lacnode.devnet.devnet_state import DevnetStateError
from lacnode.devnet.manifest import DevnetError
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.http.arriving_bodies import ArrivingBodies
from lacnode.http.connection_server import ConnectionServer, open_listeners
from lacnode.http.http_connection import MAX_PORT_REQUEST_BYTES, MAX_PORT_RESPONSE_BYTES, HttpConnection
from lacnode.http.http_messages import JSON, Request, Response
from lacnode.http.send_backlog import SendBacklog
from lacnode.rpc.errors import INTERNAL_ERROR, LIMIT_EXCEEDED, SERVER_ERROR, RpcError, invalid_params
from lacnode.rpc.host_cors_filter import HostAndCorsFilter
from lacnode.rpc.reply_memory import ReplyMemory

log = structlog.get_logger("devnet")

MAX_CONNECTIONS = 500
MAX_BODY_BYTES = 5 * 2**20
MAX_BATCH = 1024
"""Calls of one batch. It is the limit of the node behind this port."""

MAX_BATCH_REPLY_BYTES = 14 * 2**20
"""Bytes of a batch's replies before the last one. It is the limit of the node behind this port."""


class DeveloperEndpoint:
    """Answers the calls of `methods` itself and passes all other requests on to `node`. `origins` are regular
    expressions of the origins of web pages that may call. InvalidCorsOriginError if one is no regular expression."""

    def __init__(self, node: RequestForwarder, methods: Mapping[str, DeveloperMethod], origins: Iterable[str]) -> None:
        self._node = node
        self._methods = methods
        self._filter = HostAndCorsFilter(HOSTS, origins)
        self._memory = ReplyMemory()

    async def run(self, port: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Reports as started when the port is open. PortUnavailableError if it is taken."""
        listeners = await open_listeners("127.0.0.1", port)
        backlog, arriving = SendBacklog(MAX_PORT_RESPONSE_BYTES), ArrivingBodies(MAX_PORT_REQUEST_BYTES)
        server = ConnectionServer(
            "developer endpoint",
            MAX_CONNECTIONS,
            lambda stream: HttpConnection(stream, self, MAX_BODY_BYTES, backlog, arriving).run(),
        )
        task_status.started()
        await server.serve(listeners)

    def answer_head(self, head: Request) -> Response | None:
        """Return the refusal of a request by its `Host` and `Origin`, None if its body must be read."""
        refusal = self._filter.refusal(head.headers)
        if refusal is None:
            return None
        return Response(refusal.status, refusal.body, (JSON,) if refusal.body else (), close=True)

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request. A call of a method of this endpoint, with an `id`, is answered here. A batch
        with such a call is answered one call after the other, and the calls of other methods in it are passed on to the
        node singly. All else is passed on as it is, also a batch of more than `MAX_BATCH` calls. Errors of methods
        become JSON-RPC errors."""
        document = self._own_calls(request)
        if isinstance(document, dict):
            return self._json(await self._call(document), request)
        if isinstance(document, list):
            return self._json(await self._batch(document), request)
        return await self._node.forward(request)

    def _json(self, document: object, request: Request) -> Response:
        return Response(200, orjson.dumps(document), (JSON, *self._filter.cors_headers(request.headers)))

    def _own_calls(self, request: Request) -> object:
        """Return the call or the batch of `request` if a method of this endpoint is in it, None otherwise."""
        try:
            document = orjson.loads(request.body) if request.method == "POST" else None
        except orjson.JSONDecodeError:
            return None
        calls = document if isinstance(document, list) else [document]
        if len(calls) > MAX_BATCH or not all(isinstance(call, dict) for call in calls):
            return None
        return document if any(map(self._is_own, calls)) else None

    async def _batch(self, calls: Sequence[dict[str, Any]]) -> list[orjson.Fragment]:
        """Return the replies to the calls of a batch. The calls left over are refused if these replies have more than
        `MAX_BATCH_REPLY_BYTES`, or those of all unfinished batches more than `reply_memory.UNFINISHED_BYTES`."""
        replies: list[orjson.Fragment] = []
        size = 0
        try:
            for call in calls:
                is_refused = size > MAX_BATCH_REPLY_BYTES or self._memory.is_full
                # The replies wait as text. As objects they would take many times as much.
                reply = orjson.dumps(_failure(call, _TOO_LARGE) if is_refused else await self._call(call))
                replies.append(orjson.Fragment(reply))
                size += len(reply)
                self._memory.add(len(reply))
            return replies
        finally:
            self._memory.add(-size)

    def _is_own(self, call: object) -> bool:
        if not isinstance(call, dict):
            return False
        method = call.get("method")
        return isinstance(method, str) and method in self._methods and "id" in call

    async def _call(self, call: dict[str, Any]) -> object:
        try:
            params = call.get("params") or []
            if not isinstance(params, list):
                raise invalid_params("a list of parameters was expected")
            if self._is_own(call):
                result = await self._methods[call["method"]](params)
            else:
                result = await self._node.call(str(call.get("method")), *params)
            return {"jsonrpc": "2.0", "id": call.get("id"), "result": result}
        except RpcError as error:
            return _failure(call, error)
        except (DevnetError, DevnetStateError) as error:
            return _failure(call, RpcError(SERVER_ERROR, str(error)))
        except (ValueError, KeyError, TypeError) as error:
            return _failure(call, invalid_params(str(error)))
        except Exception:
            log.exception("a method of the developer endpoint failed", method=call.get("method"))
            return _failure(call, RpcError(INTERNAL_ERROR, "Internal error"))


_TOO_LARGE = RpcError(LIMIT_EXCEEDED, "The replies of this batch, or of all batches, are too long")


def _failure(call: Mapping[str, Any], error: RpcError) -> dict[str, object]:
    shown: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return {"jsonrpc": "2.0", "id": call.get("id"), "error": shown}
