"""Executes an operation: a query in a reader, and a mutation in the node's own process, which has the pool."""

from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, ExecutionResult, GraphQLResolveInfo, execute_sync

from lacnode.graphql.document import is_mutation, read_document
from lacnode.graphql.errors import (
    VALIDATION,
    Json,
    NotFoundError,
    QueryRefusedError,
    error_at_place,
    field_error_to_json,
)
from lacnode.graphql.live import LiveFacts
from lacnode.graphql.objects.block import BlockObject
from lacnode.graphql.objects.query import Query
from lacnode.graphql.objects.transaction import MinedTransaction
from lacnode.graphql.query_context import ObjectMakers, QueryContext, QueryEndedError
from lacnode.graphql.schema import schema
from lacnode.rpc.errors import RpcError, invalid_params
from lacnode.rpc.methods.eth_transactions import eth_sendRawTransaction
from lacnode.rpc.read_calls import Params, ReadContext
from lacnode.rpc.services import RpcServices

_KEYWORDS = {"from": "from_"}
"""Fields whose name is a keyword of Python, and the methods for them."""

INVALID_SIGNATURE_CODE = -32002

_WORDS = {
    "Wrong chainId": "Wrong Chain ID in transaction signature",
    "ChainId not supported": "Signatures with replay protection are not supported",
}
"""JSON-RPC's messages that have another text in GraphQL, as in Besu."""


_MAKERS = ObjectMakers(BlockObject, MinedTransaction)


def answer_query(reading: ReadContext, params: Params) -> object:
    """Return the answer to a query, an object with `data`, `errors` or both. `params` are its text, the name of its
    operation, its variables (each of the two may be None) and the facts that only the node knows (`LiveFacts`). It runs
    in a reader process, or as a short trial in the node's process.

    Mistakes in the text become errors in the answer, and so does an RpcError of one field. RpcError if the whole query
    takes too long, its answer gets too large, or its range of blocks is too large. An unexpected exception of a field,
    such as MissingNodeError, ends the query and passes through.
    """
    text, operation, variables, live = params
    assert isinstance(text, str)
    assert isinstance(live, LiveFacts)
    # The parameters were checked before (`requests`), but `ReadCall` carries them as objects of any type.
    name = operation if isinstance(operation, str) else None
    try:
        document = read_document(text, name)
        context = QueryContext(reading, live, _MAKERS)
        return _answer(document, Query(context), name, variables, _Counter(context))
    except QueryRefusedError as refusal:
        return {"errors": refusal.errors}
    except QueryEndedError as ended:
        # The cause is an ordinary exception again. Callers of a `ReadCall` know only those.
        raise ended.cause from None


def execute_if_mutation(services: RpcServices, text: str, operation: str | None, variables: object) -> Json | None:
    """Execute `operation` of `text` in the node's own process and return the answer, an object with `data`, `errors` or
    both. None if it is a query: nothing is executed then, and a reader must answer it. A text with mistakes gets an
    answer with errors here, also if it is a query.

    An RpcError of the mutation becomes an error in the answer. An unexpected exception passes through.
    """
    try:
        document = read_document(text, operation)
    except QueryRefusedError as refusal:
        return {"errors": refusal.errors}
    if not is_mutation(document, operation):
        return None
    try:
        return _answer(document, Mutation(services), operation, variables)
    except QueryEndedError as ended:
        raise ended.cause from None


class Mutation:
    """The mutations of the GraphQL schema: it has one method for each, which executes it with `services`."""

    def __init__(self, services: RpcServices) -> None:
        self._services = services

    def sendRawTransaction(self, data: bytes) -> bytes:
        """Offer a signed transaction to the pool and return its hash (32 bytes). It may ask the rules contract, which
        takes up to seconds. RpcError with GraphQL's text if it cannot be read or is rejected."""
        # JSON-RPC's method does the work, so that both ports apply the same rules.
        try:
            return bytes.fromhex(str(eth_sendRawTransaction(self._services, ["0x" + data.hex()]))[2:])
        except RpcError as error:
            if error.code == INVALID_SIGNATURE_CODE:
                # Besu's GraphQL does not decode a transaction with a wrong signature.
                raise invalid_params() from None
            raise RpcError(error.code, _WORDS.get(error.message, error.message), error.data) from None


def _answer(
    document: DocumentNode,
    root: object,
    operation: str | None,
    variables: object,
    counter: "_Counter | None" = None,
) -> Json:
    result = execute_sync(
        schema(),
        document,
        root,
        variable_values=dict(variables) if isinstance(variables, Mapping) else None,
        operation_name=operation,
        field_resolver=_guarded,
        # graphql-core resolves `__typename` and the types itself. It calls the counter for these fields too.
        middleware=None if counter is None else [counter],
    )
    return _shown(result)


def _shown(result: ExecutionResult) -> Json:
    if not result.errors:
        return {"data": result.data}
    errors = [
        field_error_to_json(error) if error.path else error_at_place(error, error.message, VALIDATION)
        for error in result.errors
    ]
    # An error with a path comes from a field. Then the operation was executed, and the answer has `data` too, even if
    # it is null (GraphQL, section 7.1).
    executed = any(error.path for error in result.errors)
    return {"errors": errors, "data": result.data} if executed else {"errors": errors}


def _called(source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> object:
    """Return the value of a field: an attribute, or the result of the method with its name."""
    name = _KEYWORDS.get(info.field_name, info.field_name)
    value = source[name] if isinstance(source, Mapping) else getattr(source, name)
    return value(**arguments) if callable(value) else value


def _guarded(source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> object:
    """Like `_called`. QueryEndedError if the field fails with an unexpected exception.

    Such an exception ends the whole operation. Its text is logged and not sent to a client.
    """
    try:
        return _called(source, info, **arguments)
    except (RpcError, NotFoundError):
        raise
    except Exception as error:
        raise QueryEndedError(error) from None


class _Counter:
    """Holds every field of a query to the time and the size of `context`."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def resolve(self, resolver: Any, source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> object:
        """Return the value of a field, which `resolver` finds. graphql-core calls this for every field, so no part of a
        query can run without the check. QueryEndedError if the answer gets too large, or if the time is over."""
        self._context.check_deadline()
        try:
            value = resolver(source, info, **arguments)
        except (RpcError, NotFoundError):
            # A field may have failed because the time is over. Then the whole query ends, not this field alone.
            self._context.count_error(info.path.as_list())
            raise
        self._context.count_value(info.path.key, value)
        return value
