"""Which payloads were executed with success before a marker. A payload is executed with success once.

The nonce of a private transaction does not ensure this: a nested call that fails takes the nonce back, as in Besu, although
the transaction succeeds. Any account can then send another marker of its payload. This module must not execute anything.
"""

from lacnode.chain.chain_history import ChainHistory
from lacnode.privacy.state.announced_payloads import place_key_and_hash_of_first_success
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader
from lacnode.storage.database import Database


class ExecutedPayloads:
    """The payloads that were executed with success in one run of executions, and before its first marker at `start`. For
    one thread. Results that are stored at `start` or later do not count, because the run finds them again."""

    def __init__(self, database: Database, history: ChainHistory, start: MarkerPlace) -> None:
        self._database = database
        self._history = history
        self._start = start
        self._in_run: set[bytes] = set()

    def add(self, payload_key: bytes) -> None:
        """Record that the payload `payload_key` (32 bytes) was executed with success in this run."""
        self._in_run.add(payload_key)

    def includes(self, payload_key: bytes, group_id: bytes) -> bool:
        """Return True if the payload `payload_key` of the group `group_id` (32 bytes each) was executed with success
        before, at a marker whose result still counts."""
        if payload_key in self._in_run:
            return True
        with self._database.read() as snapshot:
            first = place_key_and_hash_of_first_success(snapshot, payload_key)
            place = None if first is None else MarkerPlace.from_key(first[0])
            if first is None or place is None or place >= self._start:
                return False
            # Earlier versions kept the record of a marker that failed when its group was executed again.
            block_hash = self._history.hash_at(place.number) or b""
            roots = PrivateStoreReader(snapshot).roots_in_block(block_hash, group_id)
            return any(entry.marker_hash == first[1] for entry in roots)
