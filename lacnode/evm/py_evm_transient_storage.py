"""Transient storage (EIP-1153) for py-evm's states, with a count of its writes.

py-evm's own keeps the values of every transaction until the block is over: clearing it is one more entry of its journal.
"""

from typing import Any

from eth.db.backends.memory import MemoryDB
from eth.db.journal import JournalDB
from eth.vm.transient_storage import TransientStorage

TRANSIENT_WRITE_BYTES = 256
"""About how many bytes a write takes."""


class CountedTransientStorage(TransientStorage):
    """py-evm's transient storage (EIP-1153) with a count of its writes. It holds what the current transaction wrote:
    the caller clears it after each one."""

    def __init__(self) -> None:
        super().__init__()
        self._writes = 0
        self._writes_before: dict[Any, int] = {}

    @property
    def held_bytes(self) -> int:
        """About how many bytes the writes take that were not undone."""
        return TRANSIENT_WRITE_BYTES * self._writes

    def set_transient_storage(self, address: Any, slot: int, value: bytes) -> None:
        """Set a slot of the account at `address` (20 bytes)."""
        super().set_transient_storage(address, slot, value)
        self._writes += 1

    def record(self, checkpoint: Any) -> None:
        """Note a mark to which `discard` can go back."""
        super().record(checkpoint)
        self._writes_before[checkpoint] = self._writes

    def commit(self, checkpoint: Any) -> None:
        """Keep what was written since `checkpoint`."""
        super().commit(checkpoint)
        self._writes_before.pop(checkpoint, None)
        # py-evm keeps what was changed after each mark apart, also where nothing was: a gigabyte for a loop of short calls.
        changes_after = self._db._journal._journal_data
        mark: Any = None
        while mark != checkpoint:
            mark, changes = changes_after.popitem()
            outer = next(reversed(changes_after))
            changes_after[outer] = _joined(changes_after[outer], changes)

    def discard(self, checkpoint: Any) -> None:
        """Undo what was written since `checkpoint`."""
        super().discard(checkpoint)
        self._writes = self._writes_before.pop(checkpoint, self._writes)

    def clear(self) -> None:
        """Forget everything, marks too: the transaction is over."""
        self._db = JournalDB(MemoryDB())
        self._writes = 0
        self._writes_before.clear()


def _joined(older: dict[bytes, Any], newer: dict[bytes, Any]) -> dict[bytes, Any]:
    """Return the values before both changes. It is the larger dictionary of both, so calls in each other cost no more than
    calls after each other."""
    if len(newer) > len(older):
        newer.update(older)
        return newer
    for key, value in newer.items():
        older.setdefault(key, value)
    return older
