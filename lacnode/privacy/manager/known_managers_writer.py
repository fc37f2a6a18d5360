"""Stores the keys that other managers have confirmed, for the next start: at most once a minute, and at a clean stop.

A stranger changes these keys by each answer of its managers. The disk may be the one that consensus uses, so the number of
answers must not decide how often it is written. After a crash the changes since the last write are missing. The managers
give these keys again when they are called.
"""

import math
import time
from collections.abc import Callable

import structlog

from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.sql_database import StoreError

log = structlog.get_logger("privacy")

WRITE_INTERVAL_SECONDS = 60.0
"""The shortest time between two writes while the manager runs."""


class KnownManagersWriter:
    """Writes the confirmed keys of `peers` to `store` when they differ from those that were written last. `clock` returns
    monotonic seconds. Not safe for several threads: with one writer an older state never replaces a newer one."""

    def __init__(self, peers: PeerDirectory, store: PayloadStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._peers = peers
        self._store = store
        self._clock = clock
        # The directory was made of the stored keys. Until it changes there is nothing to write.
        self._written = peers.confirmed_keys
        self._next_write = -math.inf

    def write_if_due(self) -> None:
        """Write the keys if they have changed and the last attempt is `WRITE_INTERVAL_SECONDS` ago. Call it again and
        again. A failing store is logged and raises no error."""
        if self._clock() >= self._next_write:
            self.write_changes()

    def write_changes(self) -> None:
        """Write the keys now if they have changed, as at a clean stop. A failing store is logged and raises no error."""
        keys = self._peers.confirmed_keys
        if keys == self._written:
            return
        # A failed attempt counts too. A full disk would otherwise be tried, and named in the log, each second.
        self._next_write = self._clock() + WRITE_INTERVAL_SECONDS
        try:
            self._store.put_known_nodes(keys)
        except StoreError as error:
            log.warning(f"known managers are not kept: {error}")
        else:
            self._written = keys
