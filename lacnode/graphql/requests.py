"""The GraphQL request in an HTTP request, and the steps of its answer.

`rpc.request_runner` runs the steps together with those of JSON-RPC, within one share of the time. A short query gets a
short trial in this process, like a call of JSON-RPC. A longer one goes to a reader at once, because no deadline bounds the
check of its text.
"""

import importlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.http.http_messages import Request
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.rpc.dispatch import RETRY_AFTER_SECONDS, Reply, Steps
from lacnode.rpc.envelope import MAX_VALUES, EncodedJson, NotJsonError, TooManyValuesError, parse_json
from lacnode.rpc.errors import BusyError, RpcError, internal_error, world_state_unavailable
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.services import RpcServices
from lacnode.rpc.short_read_trials import ShortReadTrials

SHORT_QUERY_CHARACTERS = 2_000
"""Characters of the text of a query that is tried in this process."""

MAX_QUERY_FIELDS = 20
"""Fields in the query of a URL."""

_MUTATION = re.compile(r"\bmutation\b")
_FAILED = b'{"errors"'


class MalformedRequestError(ValueError):
    """The HTTP request has no GraphQL request that can be read. The text is one sentence."""


@dataclass(frozen=True, slots=True)
class GraphQlRequest:
    """A GraphQL request: the text of a query, which may be empty, the name of the operation to execute (None if the
    client names none), and its variables. Only the types are checked yet."""

    text: str
    operation: str | None = None
    variables: Mapping[str, object] | None = None


def parse_graphql_request(request: Request) -> GraphQlRequest:
    """Return the GraphQL request of a GET or a POST. MalformedRequestError if it has none: the JSON is malformed or has
    too many values, a member has the wrong type, the text is not UTF-8, or the URL has more than `MAX_QUERY_FIELDS`
    fields. Without a text the result has an empty one.

    The body is the text of the query if its type is not JSON. A GET has the query in its URL. The text itself is not
    parsed.
    """
    if request.method == "GET":
        return _of_address(request.target.partition("?")[2])
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        return _of_json(request.body)
    try:
        return GraphQlRequest(request.body.decode("utf-8").strip())
    except UnicodeDecodeError:
        raise MalformedRequestError("the body is not UTF-8 text") from None


def _of_address(query: str) -> GraphQlRequest:
    # The number of fields is bounded, because `parse_qs` keeps all of them.
    try:
        found = {name: values[0] for name, values in parse_qs(query, max_num_fields=MAX_QUERY_FIELDS).items()}
    except ValueError:
        raise MalformedRequestError(
            f"at most {MAX_QUERY_FIELDS} fields were expected in the query of the URL"
        ) from None
    variables = _json(found["variables"].encode()) if found.get("variables") else None
    return _from_members(
        {"query": found.get("query"), "operationName": found.get("operationName"), "variables": variables}
    )


def _of_json(body: bytes) -> GraphQlRequest:
    members = _json(body)
    if not isinstance(members, Mapping):
        raise MalformedRequestError("a JSON object was expected")
    return _from_members(members)


def _from_members(members: Mapping[str, object]) -> GraphQlRequest:
    text, operation, variables = (members.get(name) for name in ("query", "operationName", "variables"))
    if not isinstance(text, str | None) or not isinstance(operation, str | None):
        raise MalformedRequestError("query and operationName must be text")
    if not isinstance(variables, Mapping | None):
        raise MalformedRequestError("variables must be an object")
    return GraphQlRequest(text or "", operation or None, variables)


def _json(text: bytes) -> object:
    try:
        return parse_json(text)
    except TooManyValuesError:
        raise MalformedRequestError(f"at most {MAX_VALUES} values of JSON were expected") from None
    except NotJsonError:
        raise MalformedRequestError("the body, or its variables, are not JSON") from None


class GraphQlDispatcher:
    """Answers GraphQL requests with `services`. `trials` are shared with JSON-RPC. The first request that needs
    graphql-core in this process loads it."""

    def __init__(self, services: RpcServices, trials: ShortReadTrials) -> None:
        self._services = services
        self._trials = trials
        self._log = RateLimitedLog("graphql", time.monotonic)

    def steps(self, request: Request) -> Steps:
        """Yield the `ReadCall` that a reader process has to answer, if there is one, and return the reply to the
        client of `request`. `RequestRunner.run` runs these steps. Every error becomes a reply."""
        # An exception would leave the client without an answer, so every one becomes a reply.
        services = self._services.for_client(request.client)
        try:
            # The JSON is parsed in this step, which runs in a worker thread: a long one takes tens of milliseconds.
            return (yield from self._answered(parse_graphql_request(request), services))
        except MalformedRequestError as error:
            return Reply(orjson.dumps({"errors": [{"message": str(error)}]}), 400)
        except BusyError as error:
            return Reply(_error_text(error), error.status, RETRY_AFTER_SECONDS)
        except MissingNodeError:
            return Reply(_error_text(world_state_unavailable()), 400)
        except RpcError as error:
            return Reply(_error_text(error), 400)
        except Exception:
            self._log.exception("failure", "a GraphQL query failed")
            return Reply(_error_text(internal_error()), 500)

    def _answered(self, request: GraphQlRequest, services: RpcServices) -> Steps:
        # A text with this word may be a mutation. Only then it is parsed here, because only the node can send transactions.
        if _MUTATION.search(request.text):
            answer = _modules().execute_if_mutation(services, request.text, request.operation, request.variables)
            if answer is not None:
                return _reply(orjson.dumps(answer))
        # Facts of the node are gathered in this step, which runs in a worker thread of the node.
        gathered = importlib.import_module("lacnode.graphql.live").gather_live_facts(services, request.text)
        handler = _modules().answer_query
        call = ReadCall(handler, [request.text, request.operation, request.variables, gathered])
        done, result = False, None
        if len(request.text) <= SHORT_QUERY_CHARACTERS:
            done, result = self._trials.try_answer(call, services, services.client)
        if not done:
            result = yield call
        return _reply(result.text if isinstance(result, EncodedJson) else orjson.dumps(result))


def _modules() -> Any:
    """Return the module that needs graphql-core. It is loaded late, because it costs a fifth of a second of a start."""
    return importlib.import_module("lacnode.graphql.answer")


def _reply(text: bytes) -> Reply:
    # The text may come from a reader, so it is not parsed. An answer without `data` begins with `errors`, which Besu
    # sends with status 400.
    return Reply(text, 400 if text.startswith(_FAILED) else 200)


def _error_text(error: RpcError) -> bytes:
    extensions = {"errorCode": error.code, "errorMessage": error.message, "classification": "ExecutionAborted"}
    return orjson.dumps({"errors": [{"message": error.message, "extensions": extensions}]})
