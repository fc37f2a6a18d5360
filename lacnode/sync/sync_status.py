"""The progress of a synchronisation, for `eth_syncing` and for parts that wait for its end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Block numbers: where this synchronisation started, the head now, and the highest one that the followed peer
    claims."""

    starting_block: int
    current_block: int
    highest_block: int
