"""One JSON text in, one JSON text out: envelopes, batches, and errors as Besu words them.

Synchronous, and called in a worker thread. What a method fails with unexpectedly is logged here and never told to the
client.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import structlog

from lacnode.rpc import errors
from lacnode.rpc.errors import RpcError
from lacnode.rpc.registry import Handler, Registry
from lacnode.rpc.services import RpcServices

log = structlog.get_logger("rpc")

NO_BODY = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply's text, empty where nothing is owed, and whether HTTP calls the request a bad one."""

    body: bytes
    bad_request: bool = False


class Dispatcher:
    """Answers requests with the methods of `registry`. `own` are methods of one connection, which come first."""

    def __init__(self, registry: Registry, services: RpcServices, *, max_batch: int = 0, pretty: bool = False) -> None:
        self._registry = registry
        self._services = services
        self._max_batch = max_batch
        self._options = orjson.OPT_INDENT_2 if pretty else 0

    def http(self, data: bytes) -> Reply:
        """Answer the body of an HTTP request."""
        try:
            request = _parsed(data)
        except ValueError:
            return self._single_error(errors.parse_error())
        if isinstance(request, list):
            if not request:
                return self._single_error(errors.invalid_request())
            if 0 < self._max_batch < len(request):
                return Reply(self._encode(_failure(None, errors.batch_too_large())))
            return Reply(self._encode_batch(self._batch(request, {})))
        reply = self._one(request, {})
        if reply is None:
            return Reply(NO_BODY)
        error = reply.get("error")
        bad = isinstance(error, Mapping) and error["code"] in (errors.PARSE_ERROR, errors.INVALID_REQUEST)
        return Reply(self._encode(reply), bad)

    def websocket(self, data: bytes, own: Mapping[str, Handler]) -> Reply:
        """Answer a WebSocket message; `own` are the connection's own methods."""
        try:
            request = _parsed(data) if data else {}
        except ValueError:
            return self._single_error(errors.internal_error())
        if isinstance(request, list):
            return Reply(self._encode_batch(self._batch(request, own)))
        reply = self._one(request, own)
        return Reply(NO_BODY if reply is None else self._encode(reply))

    # -- one call ------------------------------------------------------------------------------------------------

    def _batch(self, requests: Sequence[object], own: Mapping[str, Handler]) -> list[dict[str, object]]:
        replies = (self._one(request, own) for request in requests)
        return [reply for reply in replies if reply is not None]

    def _one(self, request: object, own: Mapping[str, Handler]) -> dict[str, object] | None:
        """The reply to one call, None for a notification."""
        if not isinstance(request, dict):
            return _failure(None, errors.invalid_request())
        id_ = request.get("id")
        try:
            if isinstance(id_, bool | list | dict):
                id_ = None
                raise errors.invalid_request()
            result = self._call(request, own)
        except RpcError as error:
            return _failure(id_, error) if "id" in request or error.code == errors.INVALID_REQUEST else None
        return {"jsonrpc": "2.0", "id": _exact(id_), "result": result} if "id" in request else None

    def _call(self, request: Mapping[str, object], own: Mapping[str, Handler]) -> object:
        name, params = request.get("method"), request.get("params")
        if not isinstance(name, str):
            raise errors.invalid_request()
        if params is None:
            params = []
        if not isinstance(params, list):
            raise errors.invalid_request()
        handler = own.get(name)
        if handler is None:
            method = self._registry.find(name)
            if method.arity is not None and len([] if params == [None] else params) != method.arity:
                raise errors.invalid_params(f"exactly {method.arity} parameter was expected")
            handler = method.handler
        try:
            return handler(self._services, params)
        except RpcError:
            raise
        except Exception:
            log.exception("a method failed", method=name)
            raise errors.internal_error() from None

    # -- JSON ----------------------------------------------------------------------------------------------------

    def _single_error(self, error: RpcError) -> Reply:
        return Reply(self._encode(_failure(None, error)), bad_request=True)

    def _encode(self, reply: Mapping[str, object]) -> bytes:
        return orjson.dumps(reply, option=self._options)

    def _encode_batch(self, replies: Sequence[Mapping[str, object]]) -> bytes:
        return orjson.dumps(replies)


def _failure(id_: object, error: RpcError) -> dict[str, object]:
    shown: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return {"jsonrpc": "2.0", "id": _exact(id_), "error": shown}


def _parsed(data: bytes) -> object:
    """The JSON value of `data`; ValueError if it is none. Ids keep all their digits."""
    parsed = orjson.loads(data)
    requests = parsed if isinstance(parsed, list) else [parsed]
    if any(isinstance(r, dict) and isinstance(r.get("id"), float) and abs(r["id"]) >= 2**53 for r in requests):
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("nested too deeply") from None
    return parsed


def _exact(id_: object) -> object:
    """An id as it came: whole numbers may be larger than what JSON libraries like."""
    if isinstance(id_, int) and not -(2**63) <= id_ < 2**64:
        return orjson.Fragment(str(id_).encode())
    return id_
