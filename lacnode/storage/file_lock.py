"""One owner at a time for a set of files, across processes and inside one process.

`flock` belongs to the open file, so the lock ends with the process in every case. Do not use it on network file systems that
ignore it. The operator must know that.
"""

import fcntl
import os
from pathlib import Path

from lacnode.storage.storage_errors import StorageLockedError, storage_error


class FileLock:
    """An exclusive lock on the file `path`, which is created if it is missing and never removed. It does not wait.
    Raises StorageLockedError if the lock is taken, also by this process."""

    def __init__(self, path: Path, what: str) -> None:
        """`what` names the locked files in the error. Raises StorageError if the lock file cannot be opened."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(path, "opening the lock file", error) from None
        try:
            # LOCK_NB: a second node must stop with a reason, and not wait for the first one to end.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # The holder has written its process id, so that the operator knows which process to stop.
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            by = f"process {owner}" if owner else "another process"
            raise StorageLockedError(
                f"{what} is in use by {by}; a second node cannot open it (lock file {path})"
            ) from None
        # The file is never removed: another process could lock the removed file while a third one creates a new file.
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock. Releasing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
