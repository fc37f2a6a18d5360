"""Errors of GraphQL as Besu's library words them: `message`, `locations`, `path` and a classification."""

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
    """What a field was asked for is not there; one sentence."""


class QueryRefusedError(Exception):
    """A question that is not answered at all. `errors` are what the client is told."""

    def __init__(self, errors: Sequence[Json]) -> None:
        super().__init__("a GraphQL query was refused")
        self.errors = list(errors)


def refused(message: str, classification: str = ABORTED) -> QueryRefusedError:
    """A refusal with one error, which is about no place of the text."""
    return QueryRefusedError([{"message": message, "extensions": {"classification": classification}}])


def located(error: GraphQLError, message: str, classification: str) -> Json:
    """An error about a place of the text."""
    shown: Json = {"message": message}
    places = error.locations or []
    if places:
        shown["locations"] = [{"line": place.line, "column": place.column} for place in places[:1]]
    shown["extensions"] = {"classification": classification}
    return shown


def failed_field(error: GraphQLError) -> Json:
    """An error that the method of a field ended with."""
    path, cause = error.path or [], error.original_error
    text = str(cause) if cause is not None else error.message
    shown = located(error, f"Exception while fetching data ({_path_text(path)}) : {text}", FETCHING)
    extensions = shown.pop("extensions")
    shown["path"] = list(path)
    shown["extensions"] = {**(rpc_extensions(cause) if isinstance(cause, RpcError) else {}), **_members(extensions)}
    return shown


def rpc_extensions(error: RpcError) -> Json:
    """Code and message of JSON-RPC's error, and its explanation where there is one."""
    shown: Json = {"errorCode": error.code, "errorMessage": error.message}
    if isinstance(error.data, Mapping):
        shown["data"] = error.data
    return shown


def _members(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _path_text(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f"/{part}" for part in path)
