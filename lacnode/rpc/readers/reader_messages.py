"""The messages between a node and its reader processes: pickled objects behind their length.

Both ends are processes of this node, with the same user and the same program. `pickle` is safe here only because no other
process can write to these pipes.
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
"""Bytes of one message. Parameters are at most as long as the body of an HTTP request. A result has at most
`reader_main.MAX_RESULT_BYTES`."""

MAX_DAMAGED_VALUES = 16
"""Number of damaged values that one answer names."""


@dataclass(frozen=True, slots=True)
class ReaderSetup:
    """The first message to a reader: the chain, the data directory of the node, and the settings of the API and the
    EVM."""

    spec: ChainSpec
    directory: Path
    settings: ApiSettings
    evm: EngineKind = EngineKind.AUTO


@dataclass(frozen=True, slots=True)
class ReaderTask:
    """A call, the hash (32 bytes) of the block that is the head for it, and the seconds that it may take."""

    call: ReadCall
    head_hash: bytes
    seconds: float


class ReaderOutcome(Enum):
    """How a task of a reader process ended: with a result, with an error, or BEHIND, because the database does not show
    the head yet or lacks a state."""

    RESULT = "result"
    """`body` is the result as JSON text."""

    ERROR = "error"
    """`error` is an RpcError's code, message and data."""

    BEHIND = "behind"
    """The database does not show the head yet, or lacks a state that the call reads: it is not written yet, or is not
    kept."""


@dataclass(frozen=True, slots=True)
class ReaderAnswer:
    """The answer of a reader to a task. `body` is the result as JSON text (UTF-8) if `outcome` is RESULT. `error` are
    the code, the message and the data of an RpcError if it is ERROR, else None. `is_last` is True if the process ends
    after it. `damaged` are the tables and keys of the damaged values of the database that the task tried to read, at
    most `MAX_DAMAGED_VALUES`. `call_differences` is the number of calls on which the two engines differed,
    `library_panics` that of panics of the native library."""

    outcome: ReaderOutcome
    body: bytes = b""
    error: tuple[int, str, object] | None = None
    is_last: bool = False
    damaged: tuple[tuple[str, bytes], ...] = ()
    call_differences: int = 0
    library_panics: int = 0


def frame_message(message: ReaderSetup | ReaderTask | ReaderAnswer) -> bytes:
    """Return a message as bytes: its length in `LENGTH_BYTES` bytes, then the pickled object."""
    body = pickle.dumps(message)
    return len(body).to_bytes(LENGTH_BYTES) + body


def read_message(read: Callable[[int], bytes]) -> object | None:
    """Return the next message, or None at the end of the stream, also within a message, or for a length above
    `MAX_MESSAGE_BYTES`. It blocks. `read` returns exactly as many bytes as asked for, or fewer at the end. An error of
    `pickle` if the bytes are no message."""
    head = read(LENGTH_BYTES)
    size = int.from_bytes(head)
    # The node ended, or wrote something else. In both cases nothing that follows can be understood.
    if len(head) < LENGTH_BYTES or size > MAX_MESSAGE_BYTES:
        return None
    body = read(size)
    return unpickle_message(body) if len(body) == size else None


def unpickle_message(body: bytes) -> object:
    """Return the message in the bytes behind a length. It runs code of the sender: use it for the pipes of this node's
    own processes only. An error of `pickle` if they are no message."""
    return pickle.loads(body)
