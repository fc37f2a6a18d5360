"""The snapshots of a devnet that can still be reverted to, and their copies on the disk.

Ids and copies are counted apart: a snapshot that is taken right after a revert shares the copy of the one before it. The
list is in memory. It must not delete the copy of the last revert, which a node that is down will need.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lacnode.devnet.devnet_state import DevnetStateError

MAX_SNAPSHOTS = 100
"""Snapshots that are kept. Beyond that, the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class NetworkSnapshot:
    """A snapshot of all nodes of a devnet: the number of the copy of their files, the number and the hash of their last
    block, and the offset of the devnet's clock. `hash` has 64 hexadecimal digits without 0x."""

    copy: int
    number: int
    hash: str
    clock_offset_seconds: float


class SnapshotList:
    """The snapshots under `directory` that can still be reverted to. `kept_copy` is the number of the copy that the
    last revert restored, which is not deleted, or None before the first revert. Other copies that no snapshot needs are
    deleted by the constructor, by `add` and by `record_reset`. `record_revert` leaves them for the next `add`."""

    def __init__(self, directory: Path, kept_copy: int | None) -> None:
        self._directory = directory
        self._by_id: dict[int, NetworkSnapshot] = {}
        self._last_id = 0
        self.restored: NetworkSnapshot | None = None
        """The snapshot of the last revert of this coordinator."""
        self._kept_copy = kept_copy
        self._last_copy = max([0, *self._copies()])
        self._delete_unused()

    def new_copy_number(self) -> int:
        """Return the number of a new copy, higher than those that this object returned and those on the disk. Nothing
        is made on the disk: until the caller does, a later `SnapshotList` may return the number again."""
        self._last_copy += 1
        return self._last_copy

    def new_empty_copy(self) -> int:
        """Make a copy without files, that of nodes before their first start. Return its number. DevnetStateError if
        its directory cannot be made."""
        copy = self.new_copy_number()
        # It is on the disk, so that no later coordinator uses the number again.
        directory = self._directory / str(copy)
        try:
            directory.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise DevnetStateError(f"{directory} cannot be made: {error}") from None
        return copy

    def add(self, snapshot: NetworkSnapshot) -> int:
        """Add a snapshot whose copy is on the disk. Beyond `MAX_SNAPSHOTS` the oldest is forgotten. Return its id,
        which is higher than all before."""
        self._last_id += 1
        self._by_id[self._last_id] = snapshot
        while len(self._by_id) > MAX_SNAPSHOTS:
            del self._by_id[min(self._by_id)]
        self._delete_unused()
        return self._last_id

    def find(self, id_: int) -> NetworkSnapshot | None:
        """Return the snapshot with this id, None if there is none or it is forgotten."""
        return self._by_id.get(id_)

    def record_revert(self, id_: int) -> None:
        """Forget the snapshot with this id, which is restored now, and all later ones. KeyError if there is none."""
        self.restored = self._by_id[id_]
        self._by_id = {each: kept for each, kept in self._by_id.items() if each < id_}

    def record_reset(self, snapshot: NetworkSnapshot) -> None:
        """Forget all snapshots: `snapshot`, which has no id, is restored now."""
        self.restored = snapshot
        self._by_id.clear()
        self._delete_unused()

    def _copies(self) -> list[int]:
        if not self._directory.is_dir():
            return []
        return [int(entry.name) for entry in self._directory.iterdir() if entry.name.isdecimal()]

    def _delete_unused(self) -> None:
        used = {snapshot.copy for snapshot in self._by_id.values()}
        restored = self._kept_copy if self.restored is None else self.restored.copy
        for copy in self._copies():
            if copy not in used and copy != restored:
                shutil.rmtree(self._directory / str(copy), ignore_errors=True)
