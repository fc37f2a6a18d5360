"""Errors of GraphQL in the form of Besu's library: `message`, `locations`, `path` and a classification."""

from collections.abc import Mapping, Sequence

from graphql import GraphQLError

from lacnode.rpc.errors import RpcError

Json = dict[str, object]

VALIDATION, SYNTAX, ABORTED, FETCHING = (
    "ValidationError",
    "InvalidSyntax",
    "ExecutionAborted",
    "DataFetchingException",
)


class NotFoundError(Exception):
    """A field asks for an object that does not exist. The text is one sentence."""


class QueryRefusedError(Exception):
    """The query is not answered. `errors` are those that the client gets, as JSON."""

    def __init__(self, errors: Sequence[Json]) -> None:
        super().__init__("a GraphQL query was refused")
        self.errors = list(errors)


def refusal_error(message: str, classification: str = ABORTED) -> QueryRefusedError:
    """Return a refusal with one error, which has neither `locations` nor a `path`. `classification` is the kind of the
    error, in a word of Besu's GraphQL library. It is not raised here."""
    return QueryRefusedError([{"message": message, "extensions": {"classification": classification}}])


def error_at_place(error: GraphQLError, message: str, classification: str) -> Json:
    """Return an error, as JSON, about the first place that `error` names. It has no path: see `field_error_to_json`.
    `classification` is the word of Besu's library for its kind. Without a place there is no member `locations`."""
    # Besu's library names one place for each error, and graphql-core may name several.
    shown: Json = {"message": message}
    places = error.locations or []
    if places:
        shown["locations"] = [{"line": place.line, "column": place.column} for place in places[:1]]
    shown["extensions"] = {"classification": classification}
    return shown


def field_error_to_json(error: GraphQLError) -> Json:
    """Return the error, as JSON, for a field whose method raised an exception, with the path of the field. The text of
    the exception is shown to the client."""
    path, cause = error.path or [], error.original_error
    text = str(cause) if cause is not None else error.message
    shown = error_at_place(error, f"Exception while fetching data ({_path_text(path)}) : {text}", FETCHING)
    # `path` stands before `extensions` in Besu's answer, so the member is taken out and added again.
    extensions = shown.pop("extensions")
    shown["path"] = list(path)
    shown["extensions"] = {**(_rpc_extensions(cause) if isinstance(cause, RpcError) else {}), **_members(extensions)}
    return shown


def _rpc_extensions(error: RpcError) -> Json:
    """Return the code and the message of a JSON-RPC error as `errorCode` and `errorMessage`, and its `data` if this is
    an object."""
    shown: Json = {"errorCode": error.code, "errorMessage": error.message}
    if isinstance(error.data, Mapping):
        shown["data"] = error.data
    return shown


def _members(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _path_text(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f"/{part}" for part in path)
