"""The checksum after every stored value. A value that the disk has altered becomes an error that names the table and
the key.

Four bytes (CRC-32, big-endian) follow each value. They also cover the name of the table and the key. So a value that a
damaged index page returns for another key does not pass. LMDB itself has no checksums. This file must not know what a value
means.
"""

import zlib
from collections.abc import Callable

from lacnode.storage.storage_errors import DamagedValueError

CHECKSUM_BYTES = 4

DamageListener = Callable[[DamagedValueError], None]
"""A function that is called in the thread that finds the damage. It must be quick."""


def ignore_damage(error: DamagedValueError) -> None:
    """The listener that does nothing. The error is raised in any case."""


class TableChecksums:
    """Adds and verifies the checksums of the values of one table."""

    __slots__ = ("_listener", "_path", "_start", "_table")

    def __init__(self, path: str, table: str, listener: DamageListener = ignore_damage) -> None:
        """`path` names the database in errors. `listener` is called with each error before it is raised."""
        self._path = path
        self._listener = listener
        self._table = table
        # The same for every value of the table, so it is computed once.
        self._start = zlib.crc32(table.encode())

    def add_checksum(self, key: bytes, value: bytes) -> bytes:
        """Return `value` with its checksum (4 bytes) at the end. The checksum covers table, key and value."""
        return value + zlib.crc32(value, zlib.crc32(key, self._start)).to_bytes(CHECKSUM_BYTES)

    def verify_checksum(self, key: bytes, stored: bytes) -> bytes:
        """Return the value in `stored`, without its checksum. Raises DamagedValueError if the checksum does not fit,
        after the call of the listener."""
        # The checksum is behind the value, so the value is one slice. A stored value shorter than that never fits.
        value = stored[:-CHECKSUM_BYTES]
        if zlib.crc32(value, zlib.crc32(key, self._start)).to_bytes(CHECKSUM_BYTES) != stored[-CHECKSUM_BYTES:]:
            # The listener first: the caller of the read may catch the error, and the repair must start all the same.
            damage = DamagedValueError(self._table, key, path=self._path)
            self._listener(damage)
            raise damage
        return value
