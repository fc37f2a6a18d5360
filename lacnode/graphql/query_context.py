"""What the fields of one query share: the chain that it reads, and the limits of its time and its size."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lacnode.chain.receipt_record import ReceiptRecord
from lacnode.graphql.live import LiveFacts
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.errors import CallTimeoutError, RpcError, range_too_large, timeout
from lacnode.rpc.read_calls import ReadableChain, ReadContext

MAX_VALUES = 100_000
"""Number of fields and of elements of lists in one answer."""

MAX_RESULT_BYTES = 15 * 2**20
"""Bytes of text that the names, the values and the errors of one answer may take together."""

ERROR_BYTES = 2_048
"""Bytes that the error of a field counts for besides its path. graphql-core keeps the exception of each."""


@dataclass(frozen=True, slots=True)
class ObjectMakers:
    """The constructors of objects whose modules would otherwise have to import each other: `block` takes the context,
    the header and the hash, `transaction` the context, the block's hash and the index."""

    block: Callable[["QueryContext", BlockHeader, bytes], object]
    transaction: Callable[["QueryContext", bytes, int], object]


class QueryEndedError(BaseException):
    """The whole query ends with the error `cause`.

    It is no subclass of Exception. graphql-core catches an Exception of a field and continues with the next field.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class QueryContext:
    """What the fields of one GraphQL query share: the chain, the facts of the node, and the limits of time and size. It
    executes nothing: graphql-core does.

    It reads the chain of `reading`. `live` has the facts that only the node knows. `makers` make the objects that other
    objects lead back to.
    """

    def __init__(self, reading: ReadContext, live: LiveFacts, makers: "ObjectMakers") -> None:
        self.reading = reading
        self.live = live
        self._makers = makers
        self._values = 0
        self._bytes = 0
        self._checked_block: bytes | None = None

    @property
    def chain(self) -> ReadableChain:
        """The chain that the query reads. It does not change during the query in a reader."""
        return self.reading.chain

    def block(self, header: BlockHeader, hash_: bytes) -> object:
        """Return the block object for `header`. `hash_` (32 bytes) is the block's hash."""
        return self._makers.block(self, header, hash_)

    def transaction(self, block_hash: bytes, index: int) -> object:
        """Return the object for the transaction at `index` of the block with `block_hash` (32 bytes). RpcError "Block
        not found" if there is no such block or transaction. QueryEndedError as for `block_of`."""
        return self._makers.transaction(self, block_hash, index)

    def block_of(self, hash_: bytes) -> Block | None:
        """Return the decoded block with this hash (32 bytes), from the cache if it is there. None for an unknown hash.
        QueryEndedError if the query runs as a short trial before a reader process, and the block is too long for it
        (`check_block_size`)."""
        self.check_block_size(hash_)
        return self.reading.block_of(hash_)

    def receipt_records_of(self, hash_: bytes) -> tuple[ReceiptRecord, ...]:
        """Return one record for each transaction of the block with this hash (32 bytes), in order, from the cache if
        they are there. Empty for an unknown hash. QueryEndedError if the query runs as a short trial before a reader
        process, and the block is too long for it (`check_block_size`)."""
        self.check_block_size(hash_)
        return self.reading.receipt_records_of(hash_) or ()

    def check_block_size(self, hash_: bytes) -> None:
        """Check that the stored block with this hash (32 bytes) is short enough to be decoded. A query with a short
        text runs first as a short trial in the node's process (`rpc.short_read_trials`). There QueryEndedError, with
        CallTimeoutError as its cause, if the block is too long. The query then goes to a reader process, where no block
        is too long."""
        # All transactions of a block ask for it, and the length is read from the database.
        if hash_ == self._checked_block:
            return
        try:
            self.reading.check_block_size(hash_)
        except CallTimeoutError as error:
            # As an ordinary error it would end this field, and the trial would answer.
            raise QueryEndedError(error) from None
        self._checked_block = hash_

    def check_deadline(self) -> None:
        """Check the deadline. QueryEndedError, with CallTimeoutError as its cause, if it has passed."""
        if time.monotonic() > self.reading.deadline:
            raise QueryEndedError(timeout())

    def count_value(self, name: str | int, value: object) -> None:
        """Add `value`, which becomes part of the answer under `name`, to the counts. QueryEndedError if the answer has
        more than `MAX_VALUES` or `MAX_RESULT_BYTES`, or if the time is over."""
        # Values are counted when a field gives them, before graphql-core makes text of them.
        self.check_deadline()
        self._values += 1 + (len(value) if isinstance(value, list | tuple) else 0)
        # The client chooses the names, and an answer may have each of them thousands of times. Numbers are short.
        self._bytes += len(str(name))
        if isinstance(value, bytes):
            self._bytes += 2 * len(value)
        elif isinstance(value, str):
            self._bytes += len(value)
        self._check_size()

    def count_error(self, path: Sequence[str | int]) -> None:
        """Add the error of the field at `path` to the counts. QueryEndedError as for `count_value`."""
        self.check_deadline()
        # The path is in the error twice, in its text and as a list, and its last part is in the data.
        self._bytes += ERROR_BYTES + 3 * sum(len(str(part)) for part in path)
        self._check_size()

    def _check_size(self) -> None:
        if self._values > MAX_VALUES or self._bytes > MAX_RESULT_BYTES:
            raise QueryEndedError(self.too_large_error(f"more than {MAX_VALUES} values or {MAX_RESULT_BYTES} bytes"))

    @staticmethod
    def too_large_error(why: str) -> RpcError:
        """Return the error for an answer that would be too large. `why` goes into `data`. It is not raised here."""
        return range_too_large(why)
