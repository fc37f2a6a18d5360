"""Headers whose seals were verified, so that the import of their blocks does not verify them again.

A cache, which takes headers in any order. It verifies nothing itself: `header_chain` does, and the import asks. This file
must not know peers.
"""

from collections import OrderedDict
from threading import Lock

from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader

MAX_VERIFIED_HEADERS = 1_024
"""Verified headers that wait for their import. A header that was forgotten is verified again."""


class VerifiedHeaders:
    """Headers with verified seals, each with its body once that was checked. At most `MAX_VERIFIED_HEADERS`: the oldest
    is forgotten. Safe from any thread.

    A header names its parent by hash, so its validators never change, and a verified header stays verified. The same
    header with other seals or another round is another header here.
    """

    def __init__(self) -> None:
        self._bodies: OrderedDict[BlockHeader, BlockBody | None] = OrderedDict()
        self._lock = Lock()

    def record_verified_seals(self, header: BlockHeader) -> None:
        """Remember that the caller has verified the seals of `header`, so that the import of its block does not verify
        them again. Nothing is verified here, and headers may come in any order: no other header is checked against this
        one."""
        with self._lock:
            self._bodies.setdefault(header, None)
            if len(self._bodies) > MAX_VERIFIED_HEADERS:
                self._bodies.popitem(last=False)

    def add_body(self, block: Block) -> None:
        """Remember that the caller has checked the body of `block` against its header. Ignored if the header is not
        verified."""
        # Without this rule a peer could fill the memory with bodies of invented headers.
        with self._lock:
            if block.header in self._bodies:
                self._bodies[block.header] = block.body

    def has(self, header: BlockHeader) -> bool:
        """Whether exactly this header, with its seals and its round, was verified and is not forgotten yet."""
        return header in self._bodies

    def has_body(self, block: Block) -> bool:
        """Whether exactly this body object was checked, for a header that is not forgotten yet. An equal body does not
        count."""
        # Comparing objects is cheap. Comparing megabytes of transactions costs as much as the check.
        return self._bodies.get(block.header) is block.body

    def remove_up_to(self, number: int) -> None:
        """Forget all headers with this block number or a lower one, and their bodies."""
        # Several forms of one block arrive: each validator collects the seals of other validators. Only one form is
        # imported. The other forms would stay with their bodies, and blocks of a megabyte would fill the memory.
        with self._lock:
            for header in [header for header in self._bodies if header.number <= number]:
                del self._bodies[header]
