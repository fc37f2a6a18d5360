"""Carrying out an operation: a question in a reader, a mutation where the pool is."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from graphql import DocumentNode, ExecutionResult, GraphQLResolveInfo, execute_sync

from lacnode.graphql.document import is_mutation, read_document
from lacnode.graphql.errors import VALIDATION, Json, NotFoundError, QueryRefusedError, failed_field, located
from lacnode.graphql.live import Live
from lacnode.graphql.objects.block import BlockObject
from lacnode.graphql.objects.query import Query
from lacnode.graphql.objects.transaction import MinedTransaction
from lacnode.graphql.run import Makers, QueryEndedError, Run
from lacnode.graphql.schema import schema
from lacnode.rpc.errors import RpcError, invalid_params
from lacnode.rpc.methods.eth_transactions import eth_sendRawTransaction
from lacnode.rpc.read_calls import Params, ReadContext
from lacnode.rpc.services import RpcServices

_KEYWORDS = {"from": "from_"}
"""Fields that Python has no method of the same name for."""

INVALID_SIGNATURE_CODE = -32002

_WORDS = {
    "Wrong chainId": "Wrong Chain ID in transaction signature",
    "ChainId not supported": "Signatures with replay protection are not supported",
}
"""What JSON-RPC says and GraphQL words otherwise, as in Besu."""


_MAKERS = Makers(BlockObject, MinedTransaction)


def answer_query(reading: ReadContext, params: Params) -> object:
    """The answer to a question; `params` are its text, the name of the operation, its variables and what is `Live`.
    RpcError if the question ended before its answer."""
    text, operation, variables, live = params
    assert isinstance(text, str)
    assert isinstance(live, Live)
    name = operation if isinstance(operation, str) else None
    try:
        document = read_document(text, name)
        run = Run(reading, live, _MAKERS)
        return _answer(document, Query(run), name, variables, partial(_counted, run))
    except QueryRefusedError as refusal:
        return {"errors": refusal.errors}
    except QueryEndedError as ended:
        raise ended.cause from None


def carry_out_if_mutation(services: RpcServices, text: str, operation: str | None, variables: object) -> Json | None:
    """The answer to `operation` of `text` in the node's own process; None if it is a question. RpcError as above."""
    try:
        document = read_document(text, operation)
    except QueryRefusedError as refusal:
        return {"errors": refusal.errors}
    if not is_mutation(document, operation):
        return None
    try:
        return _answer(document, Mutation(services), operation, variables, _guarded)
    except QueryEndedError as ended:
        raise ended.cause from None


class Mutation:
    """The root of every mutation."""

    def __init__(self, services: RpcServices) -> None:
        self._services = services

    def sendRawTransaction(self, data: bytes) -> bytes:
        try:
            return bytes.fromhex(str(eth_sendRawTransaction(self._services, ["0x" + data.hex()]))[2:])
        except RpcError as error:
            if error.code == INVALID_SIGNATURE_CODE:
                raise invalid_params() from None  # Besu takes no such bytes for a transaction at all
            raise RpcError(error.code, _WORDS.get(error.message, error.message), error.data) from None


def _answer(document: DocumentNode, root: object, operation: str | None, variables: object, resolver: Any) -> Json:
    result = execute_sync(
        schema(),
        document,
        root,
        variable_values=dict(variables) if isinstance(variables, Mapping) else None,
        operation_name=operation,
        field_resolver=resolver,
    )
    return _shown(result)


def _shown(result: ExecutionResult) -> Json:
    if not result.errors:
        return {"data": result.data}
    errors = [
        failed_field(error) if error.path else located(error, error.message, VALIDATION) for error in result.errors
    ]
    executed = any(error.path for error in result.errors)
    return {"errors": errors, "data": result.data} if executed else {"errors": errors}


def _called(source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> object:
    """The value of a field: an attribute, or what the method of its name gives."""
    name = _KEYWORDS.get(info.field_name, info.field_name)
    value = source[name] if isinstance(source, Mapping) else getattr(source, name)
    return value(**arguments) if callable(value) else value


def _guarded(source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> object:
    """Like `_called`. What a field fails with unexpectedly ends the whole operation, and is told to no client."""
    try:
        return _called(source, info, **arguments)
    except (RpcError, NotFoundError):
        raise
    except Exception as error:
        raise QueryEndedError(error) from None


def _counted(run: Run, source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> object:
    """Like `_guarded`, within the time and the size of `run`."""
    run.check()
    try:
        value = _guarded(source, info, **arguments)
    except RpcError:
        run.check()
        raise
    run.count(value)
    return value
