"""What a node and its reader processes say to each other: pickled messages behind their length.

Both ends are processes of this node, of the same user and the same program; nothing else may write to these pipes.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine_kind import EngineKind
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.settings import ApiSettings

LENGTH_BYTES = 4
MAX_MESSAGE_BYTES = 48 * 2**20
"""A request's parameters are at most a body of HTTP long, a result at most `process.MAX_RESULT_BYTES`."""

MAX_DAMAGED_VALUES = 16
"""Damaged values that one answer names."""


@dataclass(frozen=True, slots=True)
class ReaderSetup:
    """The first message to a reader: what to read."""

    spec: ChainSpec
    directory: Path
    settings: ApiSettings
    evm: EngineKind = EngineKind.AUTO


@dataclass(frozen=True, slots=True)
class ReaderTask:
    """A call, the hash of the block that is the head for it, and the seconds that it may take."""

    call: ReadCall
    head_hash: bytes
    seconds: float


class ReaderOutcome(Enum):
    """How a task ended."""

    RESULT = "result"
    """`body` is the result as JSON text."""

    ERROR = "error"
    """`error` is an RpcError's code, message and data."""

    BEHIND = "behind"
    """The database does not show the head yet, or not its state."""


@dataclass(frozen=True, slots=True)
class ReaderAnswer:
    """What a reader says to a task. `is_last` if the process ends after it. `damaged` are table and key of the damaged
    values that it met, at most `MAX_DAMAGED_VALUES`."""

    outcome: ReaderOutcome
    body: bytes = b""
    error: tuple[int, str, object] | None = None
    is_last: bool = False
    damaged: tuple[tuple[str, bytes], ...] = ()


def framed(message: ReaderSetup | ReaderTask | ReaderAnswer) -> bytes:
    """A message as bytes."""
    body = pickle.dumps(message)
    return len(body).to_bytes(LENGTH_BYTES) + body


def read_message(read: Callable[[int], bytes]) -> object | None:
    """The next message; `read` gives exactly so many bytes, or fewer at the end. None at the end."""
    head = read(LENGTH_BYTES)
    size = int.from_bytes(head)
    if len(head) < LENGTH_BYTES or size > MAX_MESSAGE_BYTES:
        return None
    body = read(size)
    return unpickled(body) if len(body) == size else None


def unpickled(body: bytes) -> object:
    """The message of a frame's bytes."""
    return pickle.loads(body)
