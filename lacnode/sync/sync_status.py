"""The progress of a synchronisation, for `eth_syncing` and for parts that wait for its end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Block numbers: the head when this synchronisation began, the head now, and the highest block that the followed
    peer claims, or the head if it is higher."""

    starting_block: int
    current_block: int
    highest_block: int
