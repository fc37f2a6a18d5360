"""The list of free pages of LMDB's file, read without LMDB, which has no call for it.

LMDB may leave its file shorter than its last page: it does not write pages that one transaction took at the end of the file
and gave back. Those pages are in the list of free pages. Pages behind the end of the file that are not in it were cut off.
This file knows the format of LMDB 0.9 with 64 bits. It must not change the file.
"""

import os
import struct
from array import array
from collections.abc import Iterator

PAGE_HEADER_BYTES, NODE_HEADER_BYTES = 16, 8
_MAX_DEPTH = 32
"""Depth of the deepest tree that LMDB can read."""

_BRANCH, _LEAF, _IS_ON_OTHER_PAGES = 0x01, 0x02, 0x01
_NO_PAGE = 2**64 - 1
_ROOT_OFFSET, _TRANSACTION_OFFSET = 80, 144
"""Places in a meta page: the root of the tree of free pages, and the number of its transaction."""


class BrokenFreeListError(Exception):
    """The list of free pages cannot be read: the file is damaged."""


class FreePages:
    """The free pages in the open file `descriptor` after the transaction `transaction_id`, the last one. A page has
    `page_bytes` bytes. The file must not be written meanwhile."""

    def __init__(self, descriptor: int, page_bytes: int, transaction_id: int) -> None:
        self._descriptor, self._page_bytes, self._transaction_id = descriptor, page_bytes, transaction_id
        self._file_bytes = os.fstat(descriptor).st_size
        self._visited: set[int] = set()

    def from_page(self, first: int) -> set[int]:
        """Return the numbers of the free pages from page `first` on. Raises BrokenFreeListError or OSError."""
        try:
            root = self._root()
            if root == _NO_PAGE:
                return set()
            return {page for record in self._records(root, _MAX_DEPTH) for page in record if page >= first}
        except struct.error as error:
            raise BrokenFreeListError(f"the list of free pages cannot be read: {error}") from None

    def _root(self) -> int:
        # Two meta pages take turns. That of the last transaction is valid.
        for page in (self._read(0, self._page_bytes), self._read(1, self._page_bytes)):
            if _number("Q", page, _TRANSACTION_OFFSET) == self._transaction_id:
                return _number("Q", page, _ROOT_OFFSET)
        raise struct.error("no meta page of the last transaction")

    def _records(self, number: int, depth: int) -> Iterator["array[int]"]:
        """Yield the records of the tree under the page `number`. Each has the pages that one transaction freed."""
        # A damaged page may refer to itself or to many pages above it.
        if not depth or number in self._visited:
            raise struct.error(f"page {number} is part of a loop")
        self._visited.add(number)
        page = self._read(number, self._page_bytes)
        flags, lower = struct.unpack_from("=HH", page, 10)
        for place in range(PAGE_HEADER_BYTES, lower, 2):
            node = _number("H", page, place)
            # A branch has the number of a page in the fields in which a leaf has the length and the kind of its value.
            low, high, kind, key_bytes = struct.unpack_from("=HHHH", page, node)
            if flags & _BRANCH:
                yield from self._records(low | high << 16 | kind << 32, depth - 1)
            elif flags & _LEAF:
                yield self._record(page, node + NODE_HEADER_BYTES + key_bytes, low | high << 16, kind)
            else:
                raise struct.error(f"page {number} is no page of a tree")

    def _record(self, page: bytes, place: int, size: int, kind: int) -> "array[int]":
        if kind & _IS_ON_OTHER_PAGES:
            page = self._read(_number("Q", page, place), PAGE_HEADER_BYTES + size)
            place = PAGE_HEADER_BYTES
        count = _number("Q", page, place)
        numbers = page[place + 8 : place + size]
        if len(numbers) != size - 8 or len(numbers) < 8 * count:
            raise struct.error(f"a record of {count} pages has {len(numbers)} bytes")
        return array("Q", numbers[: 8 * count])

    def _read(self, number: int, size: int) -> bytes:
        # Compared before the read, which would reserve the memory for a length that a damaged page says.
        if number * self._page_bytes + size > self._file_bytes:
            raise struct.error(f"page {number} is behind the end of the file")
        return os.pread(self._descriptor, size, number * self._page_bytes)


def _number(kind: str, page: bytes, place: int) -> int:
    number: int = struct.unpack_from("=" + kind, page, place)[0]
    return number
