"""The checksum behind every stored value: what the disk altered is an error and never a value.

Four bytes (CRC-32, big-endian) follow each value. They cover the table's name and the key as well, so that a value that a
damaged index page gives for another key does not fit. LMDB itself has no checksums. Must not know what a value means.
"""

import zlib
from collections.abc import Callable

from lacnode.storage.storage_errors import DamagedValueError

CHECKSUM_BYTES = 4

DamageListener = Callable[[DamagedValueError], None]
"""Called in the thread that met the damage; it must be quick."""


def ignore_damage(error: DamagedValueError) -> None:
    """A listener for whom raising is enough."""


class TableChecksums:
    """Seals the values of one table, and opens them again."""

    __slots__ = ("_listener", "_path", "_start", "_table")

    def __init__(self, path: str, table: str, listener: DamageListener = ignore_damage) -> None:
        """`path` names the database in errors; `listener` is told of each before it is raised."""
        self._path = path
        self._listener = listener
        self._table = table
        self._start = zlib.crc32(table.encode())

    def add_checksum(self, key: bytes, value: bytes) -> bytes:
        """`value` with its checksum."""
        return value + zlib.crc32(value, zlib.crc32(key, self._start)).to_bytes(CHECKSUM_BYTES)

    def verify_checksum(self, key: bytes, stored: bytes) -> bytes:
        """The value in `stored`; DamagedValueError if the checksum does not fit."""
        value = stored[:-CHECKSUM_BYTES]
        if zlib.crc32(value, zlib.crc32(key, self._start)).to_bytes(CHECKSUM_BYTES) != stored[-CHECKSUM_BYTES:]:
            damage = DamagedValueError(self._table, key, path=self._path)
            self._listener(damage)
            raise damage
        return value
