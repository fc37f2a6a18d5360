"""One JSON text in, one JSON text out: batches, methods, and errors as Besu words them.

A request is answered in steps. The steps are the parts of a generator, and `request_runner` runs them. Between two steps the
generator yields what it waits for: a `ReadCall`, for its result, `PAUSE`, for the next turn, or `THREAD`, before work that
may not run on the event loop.

An unexpected exception of a method is logged here. The client gets "Internal error" and no detail. CallLimitExceededError is
expected, since the contract of a flexible group may take too long. It is answered with "Timeout expired" and not logged.
MissingNodeError is answered with "World state unavailable" and logged without its traceback.

Notifications are not carried out. This is Besu's behaviour, and it differs from the text of JSON-RPC 2.0.
"""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import structlog

from lacnode.evm.engine import CallLimitExceededError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.rpc import errors
from lacnode.rpc.call_statistics import CallStatistics
from lacnode.rpc.envelope import (
    Call,
    Json,
    MalformedCallError,
    NotJsonError,
    TooManyValuesError,
    encode_reply,
    error_reply,
    parameter_count,
    parse_call,
    parse_json,
    success_reply,
)
from lacnode.rpc.errors import BusyError, RpcError
from lacnode.rpc.method_registry import Handler, Method, MethodRegistry
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.reply_memory import ReplyMemory
from lacnode.rpc.services import RpcServices
from lacnode.rpc.short_read_trials import ShortReadTrials
from lacnode.rpc.user import Authenticator, User

log = structlog.get_logger("rpc")

BATCH_REPLY_BYTES = 14 * 2**20
"""Bytes that the replies of one batch may take together. The rest of the calls is refused."""

MAX_REPLY_BYTES = 25 * 2**20
"""Bytes of the JSON text of the reply to one call. A reader's result is shorter."""

STEP_SECONDS = 0.05
"""Time that the calls of a batch may run before other requests get a turn."""

MAX_CLIENTS = 1_000
"""Number of clients whose services are kept."""

RETRY_AFTER_SECONDS = 1
"""Value of the header `Retry-After` for a client that was refused."""

_PRIVATE = ("eea_", "priv_", "privx_")
_OPERATORS_TOO = frozenset(
    (
        "lac_comparePrivacyGroup",
        "lac_acceptGroupHistory",
        "lac_dismissGroupHistory",
        "lac_whyPrivateTransactionIgnored",
    )
)
"""Methods about one group. A tenant calls them as a member of the group. The operator calls them without a key."""

_STATUS = {errors.PARSE_ERROR: 400, errors.INVALID_REQUEST: 400, errors.UNAUTHORIZED: 401}
"""HTTP's status for a single call that ended in an error, by the error's code. Other errors have status 200, except
BusyError, which brings its own."""


Own = Mapping[str, Handler]
"""Methods of one connection. They take precedence over those of the registry."""


@dataclass(frozen=True, slots=True)
class _Caller:
    """The sender of a call: the methods of its connection (`own`, by name), its user (None without a valid token, or if
    the port needs none), and the services for it."""

    own: Own
    user: User | None
    services: RpcServices


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a message of a client. `body` is the JSON text, empty if the client expects no reply. `status` is
    the status of HTTP. `retry_after` is in seconds for a call that was refused with BusyError, and 0 for every other
    reply."""

    body: bytes
    status: int = 200
    retry_after: int = 0


class Pause(Enum):
    """What a generator of steps yields to give way. `PAUSE`: it has run long enough, and other requests get a turn.
    `THREAD`: the next step is work for a worker thread. A step that runs in one already goes on there."""

    PAUSE = "pause"
    THREAD = "thread"


Steps = Generator[ReadCall | Pause, object, Reply]
"""The steps of an answer. After a `ReadCall`, send the generator its result or throw the error that the call ended with, of
any class: the steps make a reply of each, and log what is no RpcError."""

T = TypeVar("T")
Part = Generator[ReadCall | Pause, object, T]
"""A part of the steps that returns the result of the part."""


class Dispatcher:
    """Answers requests with the methods of `registry`.

    `max_batch` is the number of calls that a batch over HTTP may have. There is no limit if it is not positive.
    `pretty` indents replies. The `authenticator` decides about every call if there is one. `trials`, `memory` and
    `statistics` are those that all ports of a node share. None stands for a new one.
    """

    def __init__(
        self,
        registry: MethodRegistry,
        services: RpcServices,
        *,
        max_batch: int = 0,
        pretty: bool = False,
        authenticator: Authenticator | None = None,
        trials: ShortReadTrials | None = None,
        memory: ReplyMemory | None = None,
        statistics: CallStatistics | None = None,
    ) -> None:
        self._registry = registry
        self._services = services
        self._authenticator = authenticator
        self._max_batch = max_batch
        self._pretty = pretty
        self._trials = trials or ShortReadTrials()
        self._memory = memory or ReplyMemory()
        self._statistics = statistics or CallStatistics()
        self._services_of_client: dict[str, RpcServices] = {}
        self._log = RateLimitedLog("rpc", time.monotonic)

    def answer_http(
        self, data: bytes, until: float = math.inf, authorization: str | None = None, client: str = ""
    ) -> Steps:
        """Yield the steps of the answer to the body of an HTTP request, and return the reply. Every error is a reply.

        The rest of a batch is refused after `until` (monotonic seconds). `authorization` is the header with the
        caller's token, or None. `client` is the caller's address, by which limits for each client count.
        """
        # A client without a token learns nothing if every method needs one, not even whether its JSON is correct.
        authenticator = self._authenticator
        if authenticator is not None and authorization is None and authenticator.requires_token_for_every_method():
            return Reply(self._encoded(error_reply(None, errors.unauthorized())), 401)
        if self._authenticator is not None:
            # To check the signature of a token takes longer than a quick method.
            yield Pause.THREAD
        caller = self._caller({}, authorization, client)
        try:
            value = parse_json(data)
        except TooManyValuesError:
            # The text was not parsed, so its calls are not counted. An array with more objects than the limit is most
            # likely a batch that is too large, and Besu's error for it helps the client more than "Parse error".
            if data.lstrip().startswith(b"[") and data.count(b"{") > self._max_batch > 0:
                return Reply(self._encoded(error_reply(None, errors.batch_too_large())))
            return self._refused(errors.parse_error())
        except NotJsonError:
            return self._refused(errors.parse_error())
        if isinstance(value, dict):
            return (yield from self._single(value, caller))
        if not isinstance(value, list):
            return self._refused(errors.parse_error())
        if not value:
            return self._refused(errors.invalid_request())
        if 0 < self._max_batch < len(value):
            return Reply(self._encoded(error_reply(None, errors.batch_too_large())))
        return (yield from self._batch(value, caller, until))

    def answer_websocket(
        self, data: bytes, own: Own, until: float = math.inf, authorization: str | None = None, client: str = ""
    ) -> Steps:
        """Yield the steps of the answer to a WebSocket message, and return the reply. Every error is a reply.

        `own` are the connection's methods. `until` and `client` are as for HTTP. `authorization` is the header of the
        upgrade request, or None. Its token is checked for every message, so that an open connection loses its rights
        when the token expires.
        """
        # Besu's codes differ from HTTP's here: text that is no JSON is "Internal error", and no batch limit applies.
        if not data:
            return self._refused(errors.invalid_request())
        try:
            value = parse_json(data)
        except NotJsonError:
            return self._refused(errors.internal_error())
        if isinstance(value, dict):
            return (yield from self._single(value, self._caller(own, authorization, client)))
        if isinstance(value, list):
            return (yield from self._batch(value, self._caller(own, authorization, client), until))
        return self._refused(errors.internal_error())

    def _caller(self, own: Own, authorization: str | None, client: str) -> _Caller:
        user = None if self._authenticator is None else self._authenticator.find_user(authorization)
        # Limits for each client (filters, turns, trials) count by this address.
        services = self._for_client(client) if client else self._services
        return _Caller(own, user, services)

    def _for_client(self, client: str) -> RpcServices:
        """Return the services for the address `client`. They are kept: making them takes longer than a quick method."""
        services = self._services_of_client.get(client)
        if services is None:
            if len(self._services_of_client) >= MAX_CLIENTS:
                self._services_of_client.clear()
            services = self._services_of_client[client] = self._services.for_client(client)
        return services

    # -- calls -------------------------------------------------------------------------------------------------------

    def _single(self, value: object, caller: _Caller) -> Steps:
        try:
            reply = yield from self._answer(value, caller)
        except BusyError as error:
            id_ = value.get("id") if isinstance(value, dict) else None
            # Only a single call can use HTTP's status for a refusal. A batch has one status for many replies.
            return Reply(self._encoded(error_reply(id_, error)), error.status, RETRY_AFTER_SECONDS)
        if reply is None:
            return Reply(b"")
        shown = reply.get("error")
        code = int(shown["code"]) if isinstance(shown, Mapping) else 0
        return Reply(self._encoded(reply), _STATUS.get(code, 200))

    def _batch(self, values: Sequence[object], caller: _Caller, until: float) -> Steps:
        yield Pause.THREAD
        parts: list[bytes] = []
        size = 0
        pause_at = time.monotonic() + STEP_SECONDS
        try:
            for value in values:
                if time.monotonic() > pause_at:
                    # Without a pause a batch of a thousand short calls would hold its worker thread for seconds.
                    yield Pause.PAUSE
                    pause_at = time.monotonic() + STEP_SECONDS
                # The replies of a batch stay in memory until the last call is done. The checks stand before each
                # call, since a call that is refused costs nothing.
                if size > BATCH_REPLY_BYTES or self._memory.is_full:
                    reply = _refusal(value, RpcError(errors.LIMIT_EXCEEDED, "Replies exceed max batch reply size"))
                elif time.monotonic() > until:
                    reply = _refusal(value, errors.timeout())
                else:
                    reply = yield from self._batched(value, caller)
                if reply is not None:
                    parts.append(self._encoded(reply))
                    size += len(parts[-1])
                    self._memory.add(len(parts[-1]))
            return Reply(b"[" + b",".join(parts) + b"]")
        finally:
            # `finally` runs too if the client is gone and the generator is closed. Otherwise the bytes would count
            # forever, and all batches would be refused in the end.
            self._memory.add(-size)

    def _batched(self, value: object, caller: _Caller) -> Part[Json | None]:
        """Return the reply to a call of a batch. A refusal becomes an error reply, as HTTP has no status for one call."""
        try:
            return (yield from self._answer(value, caller))
        except BusyError as error:
            return _refusal(value, error)

    def _answer(self, value: object, caller: _Caller) -> Part[Json | None]:
        """Return the reply to one call, or None for a notification. BusyError if the call cannot be carried out now."""
        try:
            call = parse_call(value)
        except MalformedCallError as malformed:
            return error_reply(malformed.id, errors.invalid_request())
        if not call.wants_reply:
            return None
        try:
            return success_reply(call.id, (yield from self._call(call, caller)))
        except BusyError:
            # BusyError is an RpcError. It must reach `_single`, which gives it a status of HTTP.
            raise
        except RpcError as error:
            return error_reply(call.id, error)

    def _call(self, call: Call, caller: _Caller) -> Part[object]:
        # Permission is checked before the services are chosen. A caller without it must not learn whether the method
        # needs a tenant.
        method = self._method(call, caller)
        if not method.is_quick:
            yield Pause.THREAD
        # From here on the method is one of this node's, so it may be counted by its name.
        began = time.monotonic()
        try:
            return (yield from self._carried_out(method.handler, call, self._services_for(caller, call.method)))
        except RpcError as error:
            self._statistics.count_error(call.method, error)
            raise
        finally:
            self._statistics.count_call(call.method, time.monotonic() - began)

    def _carried_out(self, handler: Handler, call: Call, services: RpcServices) -> Part[object]:
        try:
            result = handler(services, call.params)
            if not isinstance(result, ReadCall):
                return result
            # Most calls end within the short trial, so that no reader process has to be started for them.
            done, result_of_trial = self._trials.try_answer(result, services, services.client)
            return result_of_trial if done else (yield result)
        except RpcError:
            raise
        except Exception as failure:
            raise _error_for(failure, call.method, self._log) from None

    def _method(self, call: Call, caller: _Caller) -> Method:
        own = caller.own.get(call.method)
        # The registry is asked first: an unknown method is "Method not found" even for a caller without a permission.
        method = self._registry.find(call.method) if own is None else Method(call.method, "", own)
        if self._authenticator is not None and not self._authenticator.permits(caller.user, call.method):
            raise errors.unauthorized()
        if method.arity is not None and parameter_count(call.params) != method.arity:
            expected = f"exactly {method.arity} parameter(s) were expected"
            raise errors.RpcError(errors.INVALID_PARAMS, errors.INVALID_COUNT, expected)
        return method

    def _services_for(self, caller: _Caller, method: str) -> RpcServices:
        """Return the services for this caller. On a node with several tenants, the private part is that of the caller's key.

        RpcError "Unauthorized" without a token, and "Invalid Request" if the token names no key.
        """
        room = caller.services.privacy if method.startswith(_PRIVATE) or method in _OPERATORS_TOO else None
        if room is None or not room.has_tenants:
            return caller.services
        if caller.user is None:
            raise errors.unauthorized()
        if caller.user.privacy_key is None:
            # A token without a key is the operator's. The operator may ask about each group, but may
            # not use private methods.
            if method in _OPERATORS_TOO:
                return caller.services
            raise errors.invalid_request()
        return caller.services.for_tenant(caller.user.privacy_key)

    # -- replies -----------------------------------------------------------------------------------------------------

    def _refused(self, error: RpcError) -> Reply:
        return Reply(self._encoded(error_reply(None, error)), 400)

    def _encoded(self, reply: Json) -> bytes:
        try:
            # The length is checked after encoding. Methods with large answers count their size before (`answer_size`).
            text = encode_reply(reply, pretty=self._pretty)
            if len(text) <= MAX_REPLY_BYTES:
                return text
            return encode_reply(
                error_reply(reply.get("id"), errors.range_too_large(f"more than {MAX_REPLY_BYTES} bytes"))
            )
        except (TypeError, ValueError, RecursionError):
            log.exception("a method answered with what JSON cannot say")
            return encode_reply(error_reply(reply.get("id"), errors.internal_error()), pretty=self._pretty)


def _error_for(failure: Exception, method: str, limited_log: RateLimitedLog) -> RpcError:
    """Return the error reply for what `method` raised, and log what is a fault. Call it in the handler of `failure`."""
    if isinstance(failure, CallLimitExceededError):
        return errors.timeout()
    if isinstance(failure, MissingNodeError):
        # The client gets the answer of a reader process. States are never pruned, so the operator must know of it.
        text = "a method reads a state that is not in the database"
        limited_log.warning((method, "state"), text, method=method, reason=str(failure))
        return errors.world_state_unavailable()
    # The exception's text may hold file names or private data. It goes to the log alone.
    limited_log.exception(method, "a method failed", method=method)
    return errors.internal_error()


def _refusal(value: object, error: RpcError) -> Json | None:
    """Return the reply to a call that is not carried out, or None for a notification."""
    try:
        call = parse_call(value)
    except MalformedCallError as malformed:
        return error_reply(malformed.id, errors.invalid_request())
    return error_reply(call.id, error) if call.wants_reply else None
