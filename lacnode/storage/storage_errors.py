"""The errors of this package. A text names what failed, and the next step of the operator where the package knows one.

Errors of libraries must not leave this package: callers decide by these classes alone.
"""

import errno
from pathlib import Path


class StorageError(Exception):
    """A read or a write failed. After a failed write nothing of the batch, or of the record in a log, is stored, unless
    the method that raised it says otherwise.

    The text names what failed, with the path if it is known, and the next step of the operator where there is one.
    """


class StorageFullError(StorageError):
    """The disk, or the quota of the user on it, is full, or the file may not become larger."""


class StorageLockedError(StorageError):
    """Another process uses the files, or another object of this process."""


class StorageCorruptError(StorageError):
    """The files are damaged. A crash alone cannot leave them like this."""


VERIFY_DATABASE_ADVICE = "stop the node and run `lacnode database verify`, which lists what is damaged and what to do"
"""The next step after damage of the database. The text of every DamagedValueError has it."""


RESYNC_ADVICE = (
    "Next step: stop the node, move database/ in its data directory away and start it again; it downloads the chain "
    "from its peers. Keep the key and consensus.log where they are."
)
"""The remedy for damage."""


class DamagedValueError(StorageCorruptError):
    """A stored value is altered or missing. `table` and `key` name it."""

    def __init__(self, table: str, key: bytes, how: str = "was altered", path: str = "") -> None:
        where = f"the database in {path}" if path else "the database"
        super().__init__(
            f"{where} is damaged: the value of table {table} under key 0x{key.hex()} {how}; {VERIFY_DATABASE_ADVICE}"
        )
        self.table = table
        self.key = key


class StorageForeignError(StorageError):
    """The data directory belongs to another program or to another version of the format."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def storage_error(path: Path, doing: str, error: OSError) -> StorageError:
    """Return `error` of the operating system, which happened while `doing` something (such as `writing`) with `path`,
    as StorageFullError if the disk or the quota is full or the file may not become larger, otherwise as StorageError.
    """
    # A full disk is the one fault that the operator can repair while the node runs, so it has its own class.
    text = f"{doing} {path} failed: {error.strerror or error}"
    return StorageFullError(text) if error.errno in _FULL else StorageError(text)
