"""The calls of the operating system by which the consensus log reaches its disk.

The simulator gives another `Disk`: one that loses what was not flushed, as a power cut does. Must not know what is in a
file.
"""

import os
from pathlib import Path
from typing import Protocol

from lacnode.storage.file_lock import FileLock

PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600
"""Permissions of what storage makes: nobody but the node's user reads or writes it."""


class Lock(Protocol):
    """Held until it is released; releasing twice is harmless."""

    def release(self) -> None: ...


class Disk(Protocol):
    """Files by path and open files by descriptor. All raise OSError. Written data and renamed files survive a power cut
    once they are flushed, not before."""

    def lock(self, path: Path, what: str) -> Lock:
        """Make sure that this process alone uses what `path` stands for; StorageLockedError naming `what` otherwise."""

    def open(self, path: Path, *, empty: bool = False) -> int:
        """A descriptor of the file, made if it is missing, emptied if `empty`."""

    def make_directory(self, path: Path) -> None:
        """Make the directory and its parents, if they are missing."""

    def read(self, descriptor: int) -> bytes:
        """The whole file."""

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write at the end; how many bytes were written."""

    def write_at(self, descriptor: int, place: int, data: bytes) -> None:
        """Write over the bytes from `place` on; what is written next still comes at the end."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes; what is written next comes after them."""

    def flush(self, descriptor: int) -> None:
        """Return when the file's content is on the disk."""

    def flush_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the disk."""

    def replace(self, source: Path, target: Path) -> None:
        """Give `source` the name `target`, at once and whatever had that name."""

    def remove(self, path: Path) -> None:
        """Remove the file, if it is there."""

    def close(self, descriptor: int) -> None:
        """Let go of the file."""


class RealDisk:
    """The operating system's files."""

    def lock(self, path: Path, what: str) -> Lock:
        return FileLock(path, what)

    def open(self, path: Path, *, empty: bool = False) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if empty else 0), PRIVATE_FILE)

    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)

    def read(self, descriptor: int) -> bytes:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def write(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)

    def write_at(self, descriptor: int, place: int, data: bytes) -> None:
        os.pwrite(descriptor, data, place)

    def truncate(self, descriptor: int, size: int) -> None:
        os.truncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)

    def flush(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def flush_directory(self, path: Path) -> None:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)


REAL_DISK = RealDisk()
