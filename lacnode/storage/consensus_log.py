"""The consensus write-ahead log: what a validator said, on disk before it is sent.

A file of frames, each `length (4) | crc32 of length and record (4) | record`, big-endian. An append is on the disk when
it returns. A crash can tear only the last frame, which was never acted on and is dropped at the next open; anything
else that does not check out is damage, and a log that forgets is worse than one that stops, so it is an error.

Must not know what a record says.
"""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from lacnode.storage.disk import REAL_DISK, Disk
from lacnode.storage.errors import StorageCorrupt, StorageError, storage_error

HEADER_SIZE = 8
MAX_RECORD_SIZE = 64 << 20
"""Bytes: more than any block that fits a devp2p message."""


class ConsensusLog:
    """The log in the file at `path`, made if it is missing; StorageLocked if another validator has it open.

    `durable=False` leaves flushing to the operating system, for tests.
    """

    def __init__(self, path: Path, *, durable: bool = True, disk: Disk = REAL_DISK) -> None:
        self._path = path
        self._disk = disk
        self._durable = durable
        self._failed: str | None = None
        try:
            disk.make_directory(path.parent)
        except OSError as error:
            raise storage_error(path.parent, "making the directory", error) from None
        self._lock = disk.lock(path.with_name(path.name + ".lock"), f"the consensus log {path}")
        try:
            self._descriptor = self._open()
        except StorageError:
            self._lock.release()
            raise

    def append(self, record: bytes) -> None:
        """Add `record` (1 byte to 64 MiB); it is on the disk on return.

        Raises StorageFull or StorageError with nothing added. After a failed flush nobody knows what the disk holds:
        every later append fails until the log is opened again.
        """
        frame = _frame(record)
        self._check_usable()
        try:
            self._write_all(self._descriptor, frame)
        except OSError as error:
            self._cut_back()
            raise storage_error(self._path, "writing", error) from None
        try:
            self._flush(self._descriptor)
        except OSError as error:
            self._failed = f"flushing failed before: {error.strerror}"
            raise storage_error(self._path, "flushing", error) from None
        self._size += len(frame)

    def records(self) -> Iterator[bytes]:
        """Every record, oldest first, as of now."""
        data = self._disk.read(self._descriptor)[: self._size]
        return iter([data[start:end] for start, end in _frames(data)])

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace the whole log by `records`: after a crash either the old or the new one is there, whole."""
        self._check_usable()
        temporary = self._path.with_name(self._path.name + ".new")
        data = b"".join(_frame(record) for record in records)
        try:
            descriptor = self._disk.open(temporary, empty=True)
            try:
                self._write_all(descriptor, data)
                self._flush(descriptor)
                self._disk.replace(temporary, self._path)
            except OSError:
                self._disk.close(descriptor)
                self._disk.remove(temporary)
                raise
            self._disk.close(self._descriptor)
            self._descriptor, self._size = descriptor, len(data)
            self._flush_directory()
        except OSError as error:
            raise storage_error(self._path, "rewriting", error) from None

    def close(self) -> None:
        """Close the file and release the lock; closing twice is harmless."""
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1
            self._failed = "it is closed"
        self._lock.release()

    def _open(self) -> int:
        try:
            descriptor = self._disk.open(self._path)
        except OSError as error:
            raise storage_error(self._path, "opening", error) from None
        try:
            self._size = _whole_size(self._disk.read(descriptor), self._path)
            self._disk.truncate(descriptor, self._size)
            self._flush(descriptor)
            self._flush_directory()
        except (OSError, StorageCorrupt) as error:
            self._disk.close(descriptor)
            raise storage_error(self._path, "opening", error) if isinstance(error, OSError) else error from None
        return descriptor

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise StorageError(f"the consensus log {self._path} cannot be written: {self._failed}")

    def _cut_back(self) -> None:
        """Take back a frame that was written in part."""
        try:
            self._disk.truncate(self._descriptor, self._size)
        except OSError as error:
            self._failed = f"a torn record could not be removed: {error.strerror}"

    def _flush(self, descriptor: int) -> None:
        if self._durable:
            self._disk.flush(descriptor)

    def _flush_directory(self) -> None:
        if self._durable:
            self._disk.flush_directory(self._path.parent)

    def _write_all(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._disk.write(descriptor, view) :]


class MemoryConsensusLog:
    """The same log without a disk, for networks inside one process; `records` survive as long as the object."""

    def __init__(self) -> None:
        self._records: list[bytes] = []

    def append(self, record: bytes) -> None:
        self._records.append(_checked(record))

    def records(self) -> Iterator[bytes]:
        return iter(tuple(self._records))

    def rewrite(self, records: Iterable[bytes]) -> None:
        self._records = [_checked(record) for record in records]

    def close(self) -> None:
        """Nothing to release."""


def _checked(record: bytes) -> bytes:
    if not 0 < len(record) <= MAX_RECORD_SIZE:
        raise ValueError(f"a record of 1 to {MAX_RECORD_SIZE} bytes was expected, found {len(record)}")
    return record


def _frame(record: bytes) -> bytes:
    length = len(_checked(record)).to_bytes(4)
    return length + zlib.crc32(record, zlib.crc32(length)).to_bytes(4) + record


def _frame_end(data: bytes, start: int) -> int | None:
    """Where the frame at `start` ends, or None if there is no whole one."""
    length = int.from_bytes(data[start : start + 4])
    end = start + HEADER_SIZE + length
    if not 0 < length <= MAX_RECORD_SIZE or end > len(data):
        return None
    checksum = zlib.crc32(memoryview(data)[start + HEADER_SIZE : end], zlib.crc32(data[start : start + 4]))
    return end if checksum == int.from_bytes(data[start + 4 : start + HEADER_SIZE]) else None


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every record up to the first frame that is not whole."""
    start = 0
    while (end := _frame_end(data, start)) is not None:
        yield start + HEADER_SIZE, end
        start = end


def _whole_size(data: bytes, path: Path) -> int:
    """Where the last whole frame ends; StorageCorrupt if what follows is more than one torn frame."""
    size = max((end for _, end in _frames(data)), default=0)
    for start in range(size + 1, len(data) - HEADER_SIZE):
        if _frame_end(data, start) is not None:
            raise StorageCorrupt(f"the consensus log {path} is damaged at byte {size}, before records that are whole")
    return size
