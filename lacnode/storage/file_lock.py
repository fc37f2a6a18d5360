"""One owner at a time for a set of files, across processes and inside one.

`flock` belongs to the open file, so it ends with the process however that ends. Must not be used on network file
systems that ignore it, which is the operator's to know.
"""

import fcntl
import os
from pathlib import Path

from lacnode.storage.storage_errors import StorageLockedError, storage_error


class FileLock:
    """An exclusive lock on the file at `path`, taken at once or refused with StorageLockedError."""

    def __init__(self, path: Path, what: str) -> None:
        """`what` names in the error what is guarded."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(path, "opening the lock file", error) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            by = f"process {owner}" if owner else "another process"
            raise StorageLockedError(
                f"{what} is in use by {by}; a second node cannot open it (lock file {path})"
            ) from None
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the files free; releasing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
