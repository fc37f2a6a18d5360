"""The list of nodes in a rules contract. Besu's and LACChain's rules contracts give it entry by entry.

This module must not know the format of an entry.
"""

from collections.abc import Callable, Iterator

GET_SIZE, GET_BY_INDEX = bytes.fromhex("de8fa431"), bytes.fromhex("2d883a73")
"""getSize(), getByIndex(uint256)"""

MAX_LISTED_NODES = 500
"""The largest number of entries that are read. Each entry is one call."""

Ask = Callable[[bytes], bytes | None]
"""Calls the contract with these bytes. Returns the output, None if the contract gives no answer."""


def read_node_count(ask: Ask) -> int:
    """Return the number of listed nodes that the contract claims. 0 if it does not answer, or not with 32 bytes. The
    number is not bounded."""
    output = ask(GET_SIZE)
    return int.from_bytes(output) if output is not None and len(output) == 32 else 0


def read_node_entries(ask: Ask) -> Iterator[bytes]:
    """Yield the entries in the order of the list, as the contract encodes them. Each is one call. Stop at the first
    entry that the contract does not give, after `read_node_count` entries, and after `MAX_LISTED_NODES`."""
    # The contract's own count is not trusted as a bound. A mistaken contract could claim 2**256 entries.
    for index in range(min(read_node_count(ask), MAX_LISTED_NODES)):
        entry = ask(GET_BY_INDEX + index.to_bytes(32))
        if entry is None:
            return
        yield entry
