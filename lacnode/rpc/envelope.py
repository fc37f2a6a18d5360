"""The form of a call and of its reply: JSON-RPC 2.0 as Besu's `JsonRpcExecutor` reads and writes it. Knows no method."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from lacnode.rpc.errors import RpcError
from lacnode.rpc.method_registry import Params

Json = Mapping[str, object]

MAX_VALUES = 100_000
"""Values of one JSON text. The parser holds the interpreter lock, so that nothing else runs. Five megabytes of empty objects
take a third of a second and 100 MB."""

EXACT_FLOAT = 2**53
"""A float from this number on may be a whole number that lost its last digits."""


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed call. `params` are empty if there were none. `id` is None, text or a number. `wants_reply` is False
    for a notification, which has no member `id`. A call whose `id` is null wants a reply."""

    method: str
    params: Params
    id: object
    wants_reply: bool


class NotJsonError(Exception):
    """The text is not one JSON value, or is nested too deeply to read."""


class TooManyValuesError(NotJsonError):
    """The text may be JSON, but has more than `MAX_VALUES` values."""


class MalformedCallError(Exception):
    """The value is JSON, but no call. `id` is the id of the error reply, a number or None."""

    def __init__(self, id_: object) -> None:
        super().__init__("not a JSON-RPC call")
        self.id = id_


def parse_json(data: bytes) -> object:
    """Return the value of one JSON text. Ids that are whole numbers keep all their digits. Other whole numbers of more
    than 64 bits may become floats.

    NotJsonError if the text is no JSON, and its subclass TooManyValuesError if it has more than `MAX_VALUES` values. It
    raises no RpcError: the caller makes the reply.
    """
    # The signs are counted before the text is parsed, because the parser cannot be stopped. Signs in strings count
    # too, so the count is an upper bound of the values.
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise TooManyValuesError
    try:
        value = orjson.loads(data)
        calls = value if isinstance(value, list) else [value]
        # orjson is fast but makes floats of long numbers. The slow parser runs only for a text with such an id.
        return json.loads(data) if any(_lost_digits(call) for call in calls) else value
    except (ValueError, RecursionError):
        raise NotJsonError from None


def _lost_digits(call: object) -> bool:
    """Return True if the id may be a whole number of more than 64 bits. orjson reads those as floats."""
    id_ = call.get("id") if isinstance(call, dict) else None
    return isinstance(id_, float) and abs(id_) >= EXACT_FLOAT


def parse_call(value: object) -> Call:
    """Return the call in a JSON value. `jsonrpc` and unknown members are ignored, as in Besu. A method that is a
    number, true or false becomes its text. MalformedCallError if the value is no call."""
    if not isinstance(value, dict):
        raise MalformedCallError(None)
    id_, method, params = value.get("id"), value.get("method"), value.get("params")
    if isinstance(id_, bool | list | dict):
        raise MalformedCallError(None)
    if isinstance(method, int | float):
        # Jackson makes text of any scalar. Such a method is "Method not found", not "Invalid Request".
        # A whole number of more than 64 bits is one of them, which orjson does not write.
        method = json.dumps(method)
    if not isinstance(method, str) or not (params is None or isinstance(params, list)):
        raise MalformedCallError(_java_int(id_))
    return Call(method, params or [], id_, "id" in value)


def _java_int(id_: object) -> int | None:
    """Return the id that Besu gives back with a malformed call: Java's `Number.intValue` of a number, else None."""
    if isinstance(id_, float):
        return max(-(2**31), min(2**31 - 1, int(id_)))
    if isinstance(id_, int):
        return (id_ + 2**31) % 2**32 - 2**31
    return None


def parameter_count(params: Params) -> int:
    """Return the number of parameters as Besu counts them. A null at the beginning means no parameters, so the result
    is 0."""
    return 0 if not params or params[0] is None else len(params)


def success_reply(id_: object, result: object) -> Json:
    """Return a reply to the call `id_` with a result, which may be None."""
    return {"jsonrpc": "2.0", "id": id_, "result": result}


def error_reply(id_: object, error: RpcError) -> Json:
    """Return a reply to the call `id_` with an error. `id_` is None if it is not known. The error object has a member
    `data` only if `error.data` is not None."""
    shown: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return {"jsonrpc": "2.0", "id": id_, "error": shown}


class EncodedJson:
    """A result that is JSON text (`text`, UTF-8) already. It comes from a reader process and is copied into the reply
    without parsing."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def encode_reply(reply: Json, *, pretty: bool = False) -> bytes:
    """Return the JSON text of a reply in UTF-8, indented by two spaces if `pretty`. TypeError or ValueError if it holds
    a value that JSON has no form for, RecursionError if it is nested too deep."""
    try:
        if pretty:
            # A text of a reader has no indentation, so it must be parsed here and written again.
            return orjson.dumps(reply, default=_parsed, option=orjson.OPT_INDENT_2)
        return orjson.dumps(reply, default=_embedded)
    except orjson.JSONEncodeError:
        # orjson cannot write whole numbers of more than 64 bits, which an id may be. The slow encoder can.
        separators, indent = (None, 2) if pretty else ((",", ":"), None)
        return json.dumps(reply, ensure_ascii=False, separators=separators, indent=indent, default=_parsed).encode()


def _embedded(value: object) -> object:
    if isinstance(value, EncodedJson):
        return orjson.Fragment(value.text)
    raise TypeError


def _parsed(value: object) -> object:
    if isinstance(value, EncodedJson):
        return orjson.loads(value.text)
    raise TypeError
