"""The list of nodes that a rules contract shows: Besu's and LACChain's rules can be asked for it entry by entry. Must not
know what an entry says."""

from collections.abc import Callable, Iterator

GET_SIZE, GET_BY_INDEX = bytes.fromhex("de8fa431"), bytes.fromhex("2d883a73")
"""getSize(), getByIndex(uint256)"""

MAX_LISTED_NODES = 500
"""Entries that are looked at: each is a call."""

Ask = Callable[[bytes], bytes | None]
"""Calls the contract; None where it gives no answer."""


def size(ask: Ask) -> int:
    """How many nodes are listed; 0 where the contract does not say."""
    output = ask(GET_SIZE)
    return int.from_bytes(output) if output is not None and len(output) == 32 else 0


def entries(ask: Ask) -> Iterator[bytes]:
    """The entries as the contract encodes them, up to one that it does not give."""
    for index in range(min(size(ask), MAX_LISTED_NODES)):
        entry = ask(GET_BY_INDEX + index.to_bytes(32))
        if entry is None:
            return
        yield entry
