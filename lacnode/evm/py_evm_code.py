"""Contract code as py-evm walks through it, with jump targets found in one pass.

py-evm looks back from every new jump target, recursively: quick for small contracts, but on code of megabytes, which
these networks allow, one jump can exhaust the stack or take seconds, again in each call.
"""

import re
from collections import OrderedDict
from threading import Lock

from eth.vm.code_stream import CodeStream

MAX_CACHED_ANALYSIS_BYTES = 16 * 2**20
"""Bytes of code whose jump targets are remembered. The marks take as many bytes again."""

# One alternative for each PUSH, with as much data as is left at the end of the code. The expression walks in C,
# and always forward: a PUSH in the data of another one is part of that match.
_PUSHES = re.compile(b"|".join(re.escape(bytes([0x5F + size])) + b".{0,%d}" % size for size in range(1, 33)), re.DOTALL)
_MARKS = [b"\x01" * size for size in range(33)]


class Code(CodeStream):
    """The code of a contract, as py-evm reads it, with a quick test of jump targets."""

    __slots__ = ("_pushed",)

    def __init__(self, code: bytes) -> None:
        super().__init__(code)
        self._pushed: bytes | None = None

    def is_valid_opcode(self, position: int) -> bool:
        """Return whether the byte at `position` is an instruction, rather than data of a PUSH. False after the end of
        the code."""
        if self._pushed is None:
            # Found at the first jump. Many calls end before one.
            self._pushed = _analyses.pushed(self._raw_code_bytes)
        return position < len(self._pushed) and not self._pushed[position]


def mark_pushed_data(code: bytes) -> bytes:
    """Return one byte for each byte of `code`: 1 where it is data of a PUSH, otherwise 0."""
    marks = bytearray(len(code))
    for push in _PUSHES.finditer(code):
        start, end = push.span()
        marks[start + 1 : end] = _MARKS[end - start - 1]
    return bytes(marks)


class _Analyses:
    """The last codes analysed, for all threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def pushed(self, code: bytes) -> bytes:
        with self._lock:
            if code in self._known:
                self._known.move_to_end(code)
                return self._known[code]
        # Outside the lock: the analysis of megabytes must not stop other threads. Two threads may do it twice.
        marks = mark_pushed_data(code)
        with self._lock:
            # A code above the bound would only push out all others.
            if code not in self._known and len(code) <= MAX_CACHED_ANALYSIS_BYTES:
                self._known[code] = marks
                self._size += len(code)
            while self._size > MAX_CACHED_ANALYSIS_BYTES:
                self._size -= len(self._known.popitem(last=False)[0])
        return marks


_analyses = _Analyses()
