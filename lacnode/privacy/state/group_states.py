"""What this node has of a group after a block, in a form to be held against another member's.

A root alone says little: who lacks a payload has another one. So there go with it digests of the markers behind it. They
are reckoned on from the last time, since a group may be long. Must not judge, nor tell of a private transaction more than
that its marker is the group's.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from lacnode.chain.chain_history import ChainHistory
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state_root_queries import GroupState

MAX_REMEMBERED_GROUPS = 4096
"""Groups."""


@dataclass(slots=True)
class _Progress:
    """The digests up to block `number` of a group as it was put in place for the `revision`th time."""

    revision: int
    number: int = 0
    tried: Any = field(default_factory=hashlib.sha256)
    done: Any = field(default_factory=hashlib.sha256)

    def copy(self) -> "_Progress":
        return _Progress(self.revision, self.number, self.tried.copy(), self.done.copy())


class GroupStates:
    """Safe from several threads. `clock` gives monotonic seconds."""

    def __init__(self, history: ChainHistory, clock: Callable[[], float] = time.monotonic) -> None:
        self._history = history
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: dict[bytes, _Progress] = {}

    def state(self, stored: PrivateStoreReader, group_id: bytes, number: int, deadline: float) -> GroupState | None:
        """The group's state after block `number`, which is executed; None if `deadline` comes first (what was done by
        then helps the next time)."""
        revision = stored.revision(group_id)
        with self._lock:
            known = self._remembered.get(group_id)
            fits = known is not None and known.revision == revision and known.number <= number
            progress = known.copy() if known is not None and fits else _Progress(revision)
        finished = self._advance(stored, group_id, progress, number, deadline)
        self._remember(group_id, progress)
        if not finished:
            return None
        return GroupState(number, stored.root_at(group_id, number), progress.tried.digest(), progress.done.digest())

    def _advance(
        self, stored: PrivateStoreReader, group_id: bytes, progress: _Progress, number: int, deadline: float
    ) -> bool:
        markers = stored.marker_hashes(group_id, progress.number + 1)
        for block, entries in groupby(markers, lambda entry: entry[0].number):
            if block > number:
                break
            if self._clock() > deadline:
                return False
            for _, marker_hash in entries:
                progress.tried.update(marker_hash)
            for done, _ in stored.metadata(self._history.hash_at(block) or b"", group_id):
                progress.done.update(done)
            progress.number = block
        return True

    def _remember(self, group_id: bytes, progress: _Progress) -> None:
        with self._lock:
            known = self._remembered.get(group_id)
            if known is not None and known.revision == progress.revision and known.number >= progress.number:
                return
            if known is None and len(self._remembered) >= MAX_REMEMBERED_GROUPS:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[group_id] = progress
