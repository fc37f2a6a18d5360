"""The operating system's calls that the consensus log uses.

The simulator gives another `Disk`. It loses data that was not flushed, as a power cut does. This file must not know what is
in a file.
"""

import os
from pathlib import Path
from typing import Protocol

from lacnode.storage.file_lock import FileLock

PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600
"""Permissions of created files and directories: only the user of the node reads or writes them."""


class Lock(Protocol):
    """A lock that is held until it is released. Releasing twice is harmless."""

    def release(self) -> None:
        """Release the lock. A second call does nothing."""


class Disk(Protocol):
    """Files by path, and open files by descriptor. All methods but `lock` raise OSError.

    Written data and renamed files survive a power cut only after they are flushed.
    """

    def lock(self, path: Path, what: str) -> Lock:
        """Lock the files that `path` stands for, without waiting. Raises StorageLockedError, which names `what`, if
        they are in use, and StorageError if the lock file cannot be opened."""

    def open(self, path: Path, *, empty: bool = False) -> int:
        """A descriptor of the file, for reading and writing. The file is created if it is missing, and emptied with
        `empty`. Call `truncate` before the first `write` to a file that has content."""

    def make_directory(self, path: Path) -> None:
        """Create the directory and its parents, if they are missing."""

    def read(self, descriptor: int) -> bytes:
        """The content of the whole file. The place of the next `write` stays."""

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write behind the last `write` or `truncate`. Return the number of bytes that were written, which may be fewer
        than `data` has. Raises OSError, for example if the disk is full."""

    def write_at(self, descriptor: int, offset: int, data: bytes) -> None:
        """Overwrite the bytes from byte `offset` on. The place of the next `write` stays."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes. The next `write` is after them."""

    def flush(self, descriptor: int) -> None:
        """Return when the content of the file is on the disk. Raises OSError if it cannot be written there."""

    def flush_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the disk. Raises OSError if they cannot be written there."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename `source` to `target` in one step. An existing `target` is replaced."""

    def remove(self, path: Path) -> None:
        """Remove the file, if it exists."""

    def close(self, descriptor: int) -> None:
        """Close the file. Nothing is flushed."""


class RealDisk:
    """A `Disk` with the files of the operating system."""

    def lock(self, path: Path, what: str) -> Lock:
        """Take the `FileLock` at `path`, without waiting. Raises StorageLockedError, which names `what`, and
        StorageError."""
        return FileLock(path, what)

    def open(self, path: Path, *, empty: bool = False) -> int:
        """A descriptor of the file, for reading and writing. It is created with mode 0600 if it is missing, and emptied
        with `empty`."""
        # O_CLOEXEC: a child process must not keep the file open after the node has ended.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if empty else 0), PRIVATE_FILE)

    def make_directory(self, path: Path) -> None:
        """Create the directory with mode 0700 if it is missing, and missing parents with the system's default mode."""
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)

    def read(self, descriptor: int) -> bytes:
        """The content of the whole file. The place of the next `write` stays."""
        missing = os.fstat(descriptor).st_size
        parts: list[bytes] = []
        # `pread` does not move the position at which the next `write` writes. Linux gives at most 2 GiB at once: without
        # the loop a larger file would look as if it had been cut.
        while missing and (part := os.pread(descriptor, missing, sum(map(len, parts)))):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write behind the last `write` or `truncate`, or at byte 0 if there was none since `open`. Return the number of
        bytes that were written, which may be fewer than `data` has."""
        return os.write(descriptor, data)

    def write_at(self, descriptor: int, offset: int, data: bytes) -> None:
        """Overwrite the bytes from byte `offset` on. The place of the next `write` stays."""
        os.pwrite(descriptor, data, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes. The next `write` is after them."""
        os.truncate(descriptor, size)
        # After a cut the position would be beyond the end, and the next write would leave a gap of zeros.
        os.lseek(descriptor, size, os.SEEK_SET)

    def flush(self, descriptor: int) -> None:
        """Return when the content of the file is on the disk."""
        os.fsync(descriptor)

    def flush_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the disk."""
        # A rename is an entry of the directory. Flushing the file does not flush it.
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def replace(self, source: Path, target: Path) -> None:
        """Rename `source` to `target` in one step. An existing `target` is replaced. Both are in one file system."""
        # `rename` is atomic within one file system. Both names are in one directory.
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove the file. Do nothing if it is missing."""
        path.unlink(missing_ok=True)

    def close(self, descriptor: int) -> None:
        """Close the file. Nothing is flushed."""
        os.close(descriptor)


REAL_DISK = RealDisk()
