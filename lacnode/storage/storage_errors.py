"""What storage can fail with. Every message names the file and what the operator can do.

Must not carry a library's exception out of this room: callers decide on these classes alone.
"""

import errno
from pathlib import Path


class StorageError(Exception):
    """Storage did not do what was asked, and nothing of the batch or record was kept."""


class StorageFullError(StorageError):
    """There is no room on the disk (or under the quota)."""


class StorageLockedError(StorageError):
    """The files are in use by another process, or by another object of this one."""


class StorageCorruptError(StorageError):
    """The files are damaged: they cannot have been left like this by a crash."""


VERIFY_DATABASE_ADVICE = "stop the node and run `lacnode database verify`, which lists what is damaged and what to do"
"""The next step after damage, in every message about it."""


RESYNC_ADVICE = (
    "Next step: stop the node, move database/ in its data directory away and start it again; it downloads the chain "
    "from its peers. Keep the key and consensus.log where they are."
)
"""What helps when damage is found."""


class DamagedValueError(StorageCorruptError):
    """A stored value is not what was written, or is gone. `table` and `key` say which one."""

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
    """The error of this room for an operating system's `error` that happened while `doing` something with `path`."""
    text = f"{doing} {path} failed: {error.strerror or error}"
    return StorageFullError(text) if error.errno in _FULL else StorageError(text)
