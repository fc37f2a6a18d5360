"""One JSON text in, one JSON text out: batches, methods, and errors as Besu words them.

Synchronous, and called in a worker thread. What a method fails with unexpectedly is logged here and never told to the
client. Like Besu, and unlike JSON-RPC's own text, notifications are not carried out.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from lacnode.rpc import errors
from lacnode.rpc.envelope import (
    Call,
    Json,
    Malformed,
    NotJson,
    encode,
    failure,
    parameter_count,
    parse,
    read_call,
    success,
)
from lacnode.rpc.errors import RpcError
from lacnode.rpc.registry import Handler, Registry
from lacnode.rpc.services import RpcServices

log = structlog.get_logger("rpc")

BATCH_REPLY_BYTES = 128 * 2**20
"""What the replies of one batch may take together; the calls left over are refused."""

Own = Mapping[str, Handler]
"""Methods of one connection; they come before those of the registry."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply's text, empty where nothing is owed, and whether HTTP calls the request a bad one."""

    body: bytes
    bad_request: bool = False


class Dispatcher:
    """Answers with the methods of `registry`. `max_batch` calls may come together over HTTP, any number if not positive."""

    def __init__(self, registry: Registry, services: RpcServices, *, max_batch: int = 0, pretty: bool = False) -> None:
        self._registry = registry
        self._services = services
        self._max_batch = max_batch
        self._pretty = pretty

    def http(self, data: bytes, until: float = math.inf) -> Reply:
        """Answer the body of an HTTP request. After `until` (monotonic seconds) the rest of a batch is refused."""
        try:
            value = parse(data)
        except NotJson:
            return self._refused(errors.parse_error())
        if isinstance(value, dict):
            return self._single(value, {})
        if not isinstance(value, list):
            return self._refused(errors.parse_error())
        if not value:
            return self._refused(errors.invalid_request())
        if 0 < self._max_batch < len(value):
            return Reply(self._encoded(failure(None, errors.batch_too_large())))
        return self._batch(value, {}, until)

    def websocket(self, data: bytes, own: Own, until: float = math.inf) -> Reply:
        """Answer a WebSocket message. `own` are the connection's methods; `until` as for HTTP."""
        if not data:
            return self._refused(errors.invalid_request())
        try:
            value = parse(data)
        except NotJson:
            return self._refused(errors.internal_error())
        if isinstance(value, dict):
            return self._single(value, own)
        return self._batch(value, own, until) if isinstance(value, list) else self._refused(errors.internal_error())

    # -- calls -------------------------------------------------------------------------------------------------------

    def _single(self, value: object, own: Own) -> Reply:
        reply = self._answer(value, own)
        if reply is None:
            return Reply(b"")
        error = reply.get("error")
        bad = isinstance(error, Mapping) and error["code"] in (errors.PARSE_ERROR, errors.INVALID_REQUEST)
        return Reply(self._encoded(reply), bad)

    def _batch(self, values: Sequence[object], own: Own, until: float) -> Reply:
        parts: list[bytes] = []
        size = 0
        for value in values:
            if size > BATCH_REPLY_BYTES:
                reply = _refusal(value, RpcError(errors.LIMIT_EXCEEDED, "Replies exceed max batch reply size"))
            elif time.monotonic() > until:
                reply = _refusal(value, errors.timeout())
            else:
                reply = self._answer(value, own)
            if reply is not None:
                parts.append(self._encoded(reply))
                size += len(parts[-1])
        return Reply(b"[" + b",".join(parts) + b"]")

    def _answer(self, value: object, own: Own) -> Json | None:
        """The reply to one call, None for a notification."""
        try:
            call = read_call(value)
        except Malformed as malformed:
            return failure(malformed.id, errors.invalid_request())
        if not call.wants_reply:
            return None
        try:
            return success(call.id, self._call(call, own))
        except RpcError as error:
            return failure(call.id, error)

    def _call(self, call: Call, own: Own) -> object:
        handler = own.get(call.method)
        if handler is None:
            method = self._registry.find(call.method)
            if method.arity is not None and parameter_count(call.params) != method.arity:
                raise errors.invalid_params(f"exactly {method.arity} parameter(s) were expected")
            handler = method.handler
        try:
            return handler(self._services, call.params)
        except RpcError:
            raise
        except Exception:
            log.exception("a method failed", method=call.method)
            raise errors.internal_error() from None

    # -- replies -----------------------------------------------------------------------------------------------------

    def _refused(self, error: RpcError) -> Reply:
        return Reply(self._encoded(failure(None, error)), bad_request=True)

    def _encoded(self, reply: Json) -> bytes:
        try:
            return encode(reply, pretty=self._pretty)
        except (TypeError, ValueError, RecursionError):
            log.exception("a method answered with what JSON cannot say")
            return encode(failure(reply.get("id"), errors.internal_error()), pretty=self._pretty)


def _refusal(value: object, error: RpcError) -> Json | None:
    """The reply to a call that is not carried out."""
    try:
        call = read_call(value)
    except Malformed as malformed:
        return failure(malformed.id, errors.invalid_request())
    return failure(call.id, error) if call.wants_reply else None
