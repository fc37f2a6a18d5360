"""One question under way: what it may read, and how much of it is left."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from lacnode.graphql.live import Live
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.errors import RpcError, range_too_large, timeout
from lacnode.rpc.read_calls import ReadableChain, ReadContext

MAX_VALUES = 100_000
"""Fields and members of lists in one answer."""

MAX_RESULT_BYTES = 15 * 2**20
"""Bytes of text that the values of one answer may take, all together."""


@dataclass(frozen=True, slots=True)
class Makers:
    """How objects are made that would otherwise have to import each other."""

    block: Callable[["Run", BlockHeader, bytes], object]
    transaction: Callable[["Run", bytes, int], object]


class QueryEndedError(BaseException):
    """The whole question ends, with `cause`. Not an Exception: those end one field, and its neighbours go on."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Run:
    """A question that reads `reading`; `live` is what only the node knows. `makers` make the objects that others lead back
    to. Raises QueryEndedError once it has taken too much."""

    def __init__(self, reading: ReadContext, live: Live, makers: "Makers") -> None:
        self.reading = reading
        self.live = live
        self._makers = makers
        self._values = 0
        self._bytes = 0

    @property
    def chain(self) -> ReadableChain:
        return self.reading.chain

    def block(self, header: BlockHeader, hash_: bytes) -> object:
        """The block of `header`, whose hash is `hash_`."""
        return self._makers.block(self, header, hash_)

    def transaction(self, block_hash: bytes, index: int) -> object:
        """The transaction at `index` of a block."""
        return self._makers.transaction(self, block_hash, index)

    def check(self) -> None:
        """End the question if its time is over."""
        if time.monotonic() > self.reading.deadline:
            raise QueryEndedError(timeout())

    def count(self, value: object) -> None:
        """`value` becomes part of the answer."""
        self.check()
        self._values += 1 + (len(value) if isinstance(value, list | tuple) else 0)
        self._bytes += 2 * len(value) if isinstance(value, bytes) else 0
        if self._values > MAX_VALUES or self._bytes > MAX_RESULT_BYTES:
            raise QueryEndedError(self.too_much(f"more than {MAX_VALUES} values or {MAX_RESULT_BYTES} bytes"))

    @staticmethod
    def too_much(why: str) -> RpcError:
        """The error for an answer that would be too large."""
        return range_too_large(why)
