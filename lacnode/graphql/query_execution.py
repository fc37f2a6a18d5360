"""One question while it is answered: the chain that it reads, and the limits of its time and its size."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from lacnode.graphql.live import LiveFacts
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.errors import RpcError, range_too_large, timeout
from lacnode.rpc.read_calls import ReadableChain, ReadContext

MAX_VALUES = 100_000
"""Number of fields and of elements of lists in one answer."""

MAX_RESULT_BYTES = 15 * 2**20
"""Bytes of hexadecimal text that all values of one answer may take together."""


@dataclass(frozen=True, slots=True)
class ObjectMakers:
    """The constructors of objects whose modules would otherwise have to import each other: `block` takes the execution,
    the header and the hash, `transaction` the execution, the block's hash and the index."""

    block: Callable[["QueryExecution", BlockHeader, bytes], object]
    transaction: Callable[["QueryExecution", bytes, int], object]


class QueryEndedError(BaseException):
    """The whole question ends with the error `cause`.

    It is no subclass of Exception. graphql-core catches an Exception of a field and continues with the next field.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class QueryExecution:
    """One GraphQL query while it is answered, with the limits of its time and its size.

    It reads the chain of `reading`. `live` has the facts that only the node knows. `makers` make the objects that other
    objects lead back to.
    """

    def __init__(self, reading: ReadContext, live: LiveFacts, makers: "ObjectMakers") -> None:
        self.reading = reading
        self.live = live
        self._makers = makers
        self._values = 0
        self._bytes = 0

    @property
    def chain(self) -> ReadableChain:
        """The chain that the query reads. It does not change during the query in a reader."""
        return self.reading.chain

    def block(self, header: BlockHeader, hash_: bytes) -> object:
        """Return the block object for `header`. `hash_` (32 bytes) is the block's hash."""
        return self._makers.block(self, header, hash_)

    def transaction(self, block_hash: bytes, index: int) -> object:
        """Return the object for the transaction at `index` of the block with `block_hash` (32 bytes). RpcError "Block
        not found" if there is none."""
        return self._makers.transaction(self, block_hash, index)

    def check_deadline(self) -> None:
        """Check the deadline. QueryEndedError, with CallTimeoutError as its cause, if it has passed."""
        if time.monotonic() > self.reading.deadline:
            raise QueryEndedError(timeout())

    def count_value(self, value: object) -> None:
        """Add `value`, which becomes part of the answer, to the counts. QueryEndedError if the answer has more than
        `MAX_VALUES` or `MAX_RESULT_BYTES`, or if the time is over."""
        # Values are counted when a field gives them, before graphql-core makes text of them.
        self.check_deadline()
        self._values += 1 + (len(value) if isinstance(value, list | tuple) else 0)
        # Numbers and texts are short. Only bytes, such as code and data, can be large.
        self._bytes += 2 * len(value) if isinstance(value, bytes) else 0
        if self._values > MAX_VALUES or self._bytes > MAX_RESULT_BYTES:
            raise QueryEndedError(self.too_large_error(f"more than {MAX_VALUES} values or {MAX_RESULT_BYTES} bytes"))

    @staticmethod
    def too_large_error(why: str) -> RpcError:
        """Return the error for an answer that would be too large. `why` goes into `data`. It is not raised here."""
        return range_too_large(why)
