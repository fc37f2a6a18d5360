"""What a call and its reply look like: JSON-RPC 2.0 as Besu's `JsonRpcExecutor` reads and writes it. Knows no method."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from lacnode.rpc.errors import RpcError
from lacnode.rpc.method_registry import Params

Json = Mapping[str, object]

MAX_VALUES = 100_000
"""Values of one JSON text. Five megabytes of empty objects take a third of a second and 100 MB, and nothing else runs
meanwhile."""

EXACT_FLOAT = 2**53
"""From here on a float may be a whole number that lost its last digits."""


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed call. `wants_reply` is False for a notification: it came without an id."""

    method: str
    params: Params
    id: object
    wants_reply: bool


class NotJsonError(Exception):
    """The text is not one JSON value, or one that is nested too deeply to read."""


class TooManyValuesError(NotJsonError):
    """The text may be JSON, but has more values than are read."""


class MalformedCallError(Exception):
    """JSON, but not a call. `id` is what the reply carries."""

    def __init__(self, id_: object) -> None:
        super().__init__("not a JSON-RPC call")
        self.id = id_


def parse(data: bytes) -> object:
    """The value of one JSON text; NotJsonError if it is none, or has too many values. Ids that are whole numbers keep
    all their
    digits."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise TooManyValuesError
    try:
        value = orjson.loads(data)
        calls = value if isinstance(value, list) else [value]
        return json.loads(data) if any(_lost_digits(call) for call in calls) else value
    except (ValueError, RecursionError):
        raise NotJsonError from None


def _lost_digits(call: object) -> bool:
    """orjson reads whole numbers of more than 64 bits as floats."""
    id_ = call.get("id") if isinstance(call, dict) else None
    return isinstance(id_, float) and abs(id_) >= EXACT_FLOAT


def read_call(value: object) -> Call:
    """The call in a JSON value; Malformed if it is none. `jsonrpc` and unknown members are not looked at."""
    if not isinstance(value, dict):
        raise MalformedCallError(None)
    id_, method, params = value.get("id"), value.get("method"), value.get("params")
    if isinstance(id_, bool | list | dict):
        raise MalformedCallError(None)
    if isinstance(method, int | float):
        method = orjson.dumps(method).decode()  # Jackson makes text of any scalar: it is then merely not found
    if not isinstance(method, str) or not (params is None or isinstance(params, list)):
        raise MalformedCallError(_java_int(id_))
    return Call(method, params or [], id_, "id" in value)


def _java_int(id_: object) -> int | None:
    """The id that Besu gives back with a malformed call: what `Number.intValue` leaves of a number, else none."""
    if isinstance(id_, float):
        return max(-(2**31), min(2**31 - 1, int(id_)))
    if isinstance(id_, int):
        return (id_ + 2**31) % 2**32 - 2**31
    return None


def parameter_count(params: Params) -> int:
    """How many parameters there are, as Besu counts: a null in front makes it none."""
    return 0 if not params or params[0] is None else len(params)


def success(id_: object, result: object) -> Json:
    """A reply with a result, which may be None."""
    return {"jsonrpc": "2.0", "id": id_, "result": result}


def failure(id_: object, error: RpcError) -> Json:
    """A reply with an error; `data` only where there is some."""
    shown: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return {"jsonrpc": "2.0", "id": id_, "error": shown}


class EncodedJson:
    """A result that is JSON text already: it comes from another process, and is not parsed to be written again."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def encode(reply: Json, *, pretty: bool = False) -> bytes:
    """The JSON text of a reply; TypeError or ValueError if it holds what JSON cannot say."""
    try:
        if pretty:
            return orjson.dumps(reply, default=_parsed, option=orjson.OPT_INDENT_2)
        return orjson.dumps(reply, default=_embedded)
    except orjson.JSONEncodeError:  # whole numbers of more than 64 bits are beyond it
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
