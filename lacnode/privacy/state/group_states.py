"""The state of a group after a block, in a form that can be compared with another member's.

A state root alone says little: a member that lacks a payload has another one. So digests of the executed markers go with
the root. The digests are continued from the last time, because a group may be long. This module must not judge. It must not
reveal more of a private transaction than that its marker belongs to the group.
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
"""The largest number of groups whose digests are kept."""


@dataclass(slots=True)
class _Progress:
    """The digests of a group up to block `number`, for the `revision`-th state of the group."""

    revision: int
    number: int = 0
    tried: Any = field(default_factory=hashlib.sha256)
    done: Any = field(default_factory=hashlib.sha256)

    def copy(self) -> "_Progress":
        return _Progress(self.revision, self.number, self.tried.copy(), self.done.copy())


class GroupStates:
    """Computes the states of groups in the form for comparisons. Safe to use from several threads. `clock` returns
    monotonic seconds."""

    def __init__(self, history: ChainHistory, clock: Callable[[], float] = time.monotonic) -> None:
        self._history = history
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: dict[bytes, _Progress] = {}

    def compute_state(
        self, stored: PrivateStoreReader, group_id: bytes, number: int, deadline: float
    ) -> GroupState | None:
        """Return the state of the group `group_id` (32 bytes) after block `number`, which must be executed privately,
        from the tables in `stored`. None if `deadline` (monotonic seconds) comes first.

        The work until the deadline is kept for the next call.
        """
        # A rebuild of the group changes the digests of old blocks. The revision says whether the kept ones still hold.
        revision = stored.revision(group_id)
        with self._lock:
            known = self._remembered.get(group_id)
            fits = known is not None and known.revision == revision and known.number <= number
            progress = known.copy() if known is not None and fits else _Progress(revision)
        # The lock is not held while the markers are read. Two threads may compute the same, and the longer result stays.
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
            # The deadline is looked at between blocks. The digests always end at the end of a block.
            if self._clock() > deadline:
                return False
            for _, marker_hash in entries:
                progress.tried.update(marker_hash)
            for done, _ in stored.roots_in_block(self._history.hash_at(block) or b"", group_id):
                progress.done.update(done)
            progress.number = block
        return True

    def _remember(self, group_id: bytes, progress: _Progress) -> None:
        with self._lock:
            known = self._remembered.get(group_id)
            # Another thread may have come further meanwhile. Its progress must not be lost.
            if known is not None and known.revision == progress.revision and known.number >= progress.number:
                return
            if known is None and len(self._remembered) >= MAX_REMEMBERED_GROUPS:
                # The oldest one is dropped. It can be computed again.
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[group_id] = progress
