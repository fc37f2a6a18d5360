"""A disk in memory that keeps, when the power goes, what was flushed, and of the rest what chance leaves.

Stands in for `lacnode.storage.disk.RealDisk` below the production `ConsensusLog`.
"""

import random
from collections.abc import Callable
from pathlib import Path

from lacnode.storage.disk import Lock
from lacnode.storage.storage_errors import StorageLockedError

NEAR_BYTES = 1 << 18
"""How far from the end of a file `is_durable` looks."""


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.flushed_bytes = len(content)
        self.overwritten: list[tuple[int, bytes]] = []
        """What was at places that were written over and not flushed since, the oldest first."""

    def after_power_loss(self, rng: random.Random) -> "_File":
        """What was flushed is there. Of what was written since there is a part, the last of it perhaps garbled."""
        unflushed = len(self.content) - self.flushed_bytes
        kept = bytearray(self.content[: self.flushed_bytes + rng.randint(0, unflushed)])
        if len(kept) > self.flushed_bytes and rng.random() < 0.3:
            kept[-1] ^= 0xFF
        for place, before in reversed(self.overwritten):
            torn = rng.randint(0, len(before))
            kept[place : place + torn] = before[:torn]
        return _File(bytes(kept))


class _Lock:
    def __init__(self, held: set[Path], path: Path) -> None:
        self._held, self._path = held, path

    def release(self) -> None:
        self._held.discard(self._path)


class VirtualDisk:
    """`touched(call)` is called before every change, with the name of the call. `forgets_flushes` makes it a disk that
    says that it has flushed and has not."""

    def __init__(self, touched: Callable[[str], None] = lambda call: None) -> None:
        self.touched = touched
        self.forgets_flushes = False
        self._files: dict[Path, _File] = {}
        self._durable_files: dict[Path, _File] = {}
        self._open: list[_File] = []
        self._locks: set[Path] = set()

    def after_power_loss(self, rng: random.Random) -> "VirtualDisk":
        """The disk as it is found when the power is back; who still writes to this one writes to nothing."""
        disk = VirtualDisk()
        disk.forgets_flushes = self.forgets_flushes
        names = self._durable_files if rng.random() < 0.5 else self._files
        disk._files = {path: file.after_power_loss(rng) for path, file in names.items()}
        disk._durable_files = dict(disk._files)
        return disk

    def copy(self) -> "VirtualDisk":
        """A copy of all files, as an operator makes one while the node is stopped."""
        disk = VirtualDisk()
        disk._files = {path: _File(bytes(file.content)) for path, file in self._files.items()}
        disk._durable_files = dict(disk._files)
        return disk

    def is_durable(self, data: bytes) -> bool:
        """Whether `data` is near the end of the flushed part of a file."""
        return any(
            file.content.find(data, max(0, file.flushed_bytes - NEAR_BYTES), file.flushed_bytes) >= 0
            for file in self._durable_files.values()
        )

    # -- `lacnode.storage.disk.Disk` -----------------------------------------------------------------------------------

    def lock(self, path: Path, what: str) -> Lock:
        if path in self._locks:
            raise StorageLockedError(f"{what} is in use")
        self._locks.add(path)
        return _Lock(self._locks, path)

    def open(self, path: Path, *, empty: bool = False) -> int:
        if empty or path not in self._files:
            self.touched("open")
            self._files[path] = _File()
        self._open.append(self._files[path])
        return len(self._open) - 1

    def make_directory(self, path: Path) -> None:
        """Every directory is there."""

    def read(self, descriptor: int) -> bytes:
        return bytes(self._open[descriptor].content)

    def write(self, descriptor: int, data: memoryview) -> int:
        self.touched("write")
        self._open[descriptor].content += data
        return len(data)

    def write_at(self, descriptor: int, offset: int, data: bytes) -> None:
        self.touched("write_at")
        file = self._open[descriptor]
        if offset < file.flushed_bytes:
            file.overwritten.append((offset, bytes(file.content[offset : offset + len(data)])))
        file.content[offset : offset + len(data)] = data

    def truncate(self, descriptor: int, size: int) -> None:
        self.touched("truncate")
        file = self._open[descriptor]
        del file.content[size:]
        file.flushed_bytes = min(file.flushed_bytes, size)

    def flush(self, descriptor: int) -> None:
        self.touched("flush")
        file = self._open[descriptor]
        if not self.forgets_flushes:
            file.flushed_bytes = len(file.content)
            file.overwritten.clear()

    def flush_directory(self, path: Path) -> None:
        self.touched("flush_directory")
        self._durable_files = dict(self._files)

    def replace(self, source: Path, target: Path) -> None:
        self.touched("replace")
        self._files[target] = self._files.pop(source)

    def remove(self, path: Path) -> None:
        self.touched("remove")
        self._files.pop(path, None)

    def close(self, descriptor: int) -> None:
        """The content stays where it is."""
