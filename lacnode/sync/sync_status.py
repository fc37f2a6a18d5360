"""Where a synchronisation stands, for `eth_syncing` and for what waits for its end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Block numbers: where this synchronisation began, where the chain is, and the highest that is known of."""

    starting_block: int
    current_block: int
    highest_block: int
