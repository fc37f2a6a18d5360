"""The consensus write-ahead log: what a validator said, on disk before it is sent.

A header (`log_header`) and frames, each `length (4) | crc32 of length and record (4) | record`, big-endian. An append is on
the disk when it returns. A crash can tear only the last frame, which was never acted on and is dropped at the next open;
anything else that does not check out is damage, and a log that forgets is worse than one that stops, so it is an error. A
log that is whole but shorter than it was is no error here: `shortened` says so, and its owner must not trust it.

Must not know what a record says.
"""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from lacnode.storage.disk import REAL_DISK, Disk
from lacnode.storage.log_header import HEADER_BYTES, MAGIC, SIZE_PLACES, UNKNOWN_OWNER, LogHeader, LogPosition
from lacnode.storage.storage_errors import StorageCorruptError, StorageError, storage_error

FRAME_HEADER_BYTES = 8
MAX_LOG_RECORD_BYTES = 64 << 20
"""Bytes: more than any block that fits a devp2p message."""

MOVE_LOG_ADVICE = (
    "to go on without it, move the file away: the validator then follows the network, and signs again after a block "
    "that was decided without it"
)
"""The next step after damage in a log."""


class ConsensusLog:
    """The log in the file at `path`; StorageLockedError if another validator has it open.

    `owner` (20 bytes) is the address whose words it keeps. A log of another owner is set aside under another name; None
    takes any. Where there is no log, one is made with the records `if_missing`, all or nothing. A log without a header, as
    older versions wrote it, gets one. `durable=False` leaves flushing to the operating system, for tests.
    """

    def __init__(
        self,
        path: Path,
        *,
        owner: bytes | None = None,
        if_missing: Iterable[bytes] = (),
        durable: bool = True,
        disk: Disk = REAL_DISK,
    ) -> None:
        self._path = path
        self._disk = disk
        self._durable = durable
        self._owner = owner
        self._failed: str | None = "it is not open yet"
        self._descriptor = -1
        self._turn = 0
        self.set_aside: Path | None = None
        """Where the log of another owner was moved to, if one was found."""
        self.torn_bytes = 0
        """Bytes of a torn last record that were dropped. It had not been acted on."""
        self.shortened = False
        """Whether records are missing that had been on the disk for certain."""
        try:
            disk.make_directory(path.parent)
        except OSError as error:
            raise storage_error(path.parent, "making the directory", error) from None
        self._lock = disk.lock(path.with_name(path.name + ".lock"), f"the consensus log {path}")
        try:
            self._open(tuple(if_missing))
            self._failed = None
        except BaseException:
            self.close()
            raise

    def append(self, record: bytes) -> None:
        """Add `record` (1 byte to 64 MiB); it is on the disk on return.

        Raises StorageFullError or StorageError with nothing added. After a failed flush nobody knows what the disk holds:
        every later append fails until the log is opened again.
        """
        frame = _frame(record)
        self._check_usable()
        try:
            self._note_size()
            self._write_all(self._descriptor, frame)
        except OSError as error:
            self._cut_back()
            raise storage_error(self._path, "writing", error) from None
        try:
            self._flush(self._descriptor)
        except OSError as error:
            self._failed = f"flushing failed before: {error.strerror}"
            raise storage_error(self._path, "flushing", error) from None
        self._grew_to(self._position.size + len(frame), zlib.crc32(frame, self._position.checksum))

    @property
    def position(self) -> LogPosition:
        """How far the log has come on the disk. Safe from any thread."""
        return self._position

    def contains(self, earlier: LogPosition) -> bool:
        """Whether this log goes on from `earlier`: it is that log grown, or was rewritten from it."""
        newest = earlier.identities[0]
        if newest != self._header.identity:
            return newest in self._header.former
        if earlier.size > self._position.size:
            return False
        return zlib.crc32(self._disk.read(self._descriptor)[HEADER_BYTES : earlier.size]) == earlier.checksum

    def records(self) -> Iterator[bytes]:
        """Every record, oldest first, as of now."""
        data = self._disk.read(self._descriptor)[: self._position.size]
        return iter([data[start:end] for start, end in _frames(data, HEADER_BYTES)])

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace the whole log by `records`: after a crash either the old or the new one is there, whole."""
        self._check_usable()
        self._replace(self._header.successor(self._owner or self._header.owner), records)

    def close(self) -> None:
        """Close the file and release the lock; closing twice is harmless."""
        if self._descriptor >= 0:
            if self._failed is None:
                self._note_size()
            self._disk.close(self._descriptor)
            self._descriptor = -1
            self._failed = "it is closed"
        self._lock.release()

    # -- opening -----------------------------------------------------------------------------------------------------

    def _open(self, if_missing: tuple[bytes, ...]) -> None:
        try:
            self._descriptor = self._disk.open(self._path)
            found = self._disk.read(self._descriptor)
            header = self._found_header(found)
            if header is not None and self._owner is not None and header.owner not in (UNKNOWN_OWNER, self._owner):
                self._set_aside(header.owner)
                found, header = b"", None
            new = LogHeader.new(self._owner or UNKNOWN_OWNER)
            if not found:
                self._replace(new, if_missing)
            elif header is None:
                frames = list(_frames(found[: _whole_size(found, 0, self._path)], 0))
                self._replace(new, [found[start:end] for start, end in frames])
            else:
                self._take(header, found)
        except OSError as error:
            raise storage_error(self._path, "opening", error) from None

    def _found_header(self, found: bytes) -> LogHeader | None:
        """The header of the log `found`; None for a log of an older version, or an empty file."""
        if not found.startswith(MAGIC):
            return None
        header = LogHeader.decode(found)
        if header is None or len(found) < HEADER_BYTES:
            raise StorageCorruptError(f"the header of the consensus log {self._path} is damaged; {MOVE_LOG_ADVICE}")
        return header

    def _take(self, header: LogHeader, found: bytes) -> None:
        """Go on with the log `found`, without a torn last frame."""
        size = _whole_size(found, HEADER_BYTES, self._path)
        self._header = header
        self.torn_bytes = len(found) - size
        self.shortened = size < header.flushed_size(found)
        self._grew_to(size, zlib.crc32(found[HEADER_BYTES:size]))
        self._disk.truncate(self._descriptor, size)
        self._flush(self._descriptor)
        self._flush_directory()

    def _set_aside(self, owner: bytes) -> None:
        aside = self._path.with_name(f"{self._path.name}.of-0x{owner.hex()}")
        self._disk.replace(self._path, aside)
        self.set_aside = aside

    # -- writing -----------------------------------------------------------------------------------------------------

    def _replace(self, header: LogHeader, records: Iterable[bytes]) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        frames = b"".join(_frame(record) for record in records)
        size = HEADER_BYTES + len(frames)
        try:
            descriptor = self._disk.open(temporary, empty=True)
            try:
                self._write_all(descriptor, header.encode(size) + frames)
                self._flush(descriptor)
                self._disk.replace(temporary, self._path)
            except OSError:
                self._disk.close(descriptor)
                self._disk.remove(temporary)
                raise
            self._disk.close(self._descriptor)
            self._descriptor, self._header = descriptor, header
            self._grew_to(size, zlib.crc32(frames))
            self._flush_directory()
        except OSError as error:
            raise storage_error(self._path, "rewriting", error) from None

    def _grew_to(self, size: int, checksum: int) -> None:
        self._position = LogPosition(self._header.identities, size, checksum)

    def _note_size(self) -> None:
        """Write down, in the place whose turn it is, what is on the disk for certain before the next frame."""
        self._turn = 1 - self._turn
        size = self._header.encode_size(self._position.size)
        self._disk.write_at(self._descriptor, SIZE_PLACES[self._turn], size)

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise StorageError(f"the consensus log {self._path} cannot be written: {self._failed}")

    def _cut_back(self) -> None:
        """Take back a frame that was written in part."""
        try:
            self._disk.truncate(self._descriptor, self._position.size)
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
    if not 0 < len(record) <= MAX_LOG_RECORD_BYTES:
        raise ValueError(f"a record of 1 to {MAX_LOG_RECORD_BYTES} bytes was expected, found {len(record)}")
    return record


def _frame(record: bytes) -> bytes:
    length = len(_checked(record)).to_bytes(4)
    return length + zlib.crc32(record, zlib.crc32(length)).to_bytes(4) + record


def _frame_end(data: bytes, start: int) -> int | None:
    """Where the frame at `start` ends, or None if there is no whole one."""
    length = int.from_bytes(data[start : start + 4])
    end = start + FRAME_HEADER_BYTES + length
    if not 0 < length <= MAX_LOG_RECORD_BYTES or end > len(data):
        return None
    checksum = zlib.crc32(memoryview(data)[start + FRAME_HEADER_BYTES : end], zlib.crc32(data[start : start + 4]))
    return end if checksum == int.from_bytes(data[start + 4 : start + FRAME_HEADER_BYTES]) else None


def _frames(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Start and end of every record from byte `start` up to the first frame that is not whole."""
    while (end := _frame_end(data, start)) is not None:
        yield start + FRAME_HEADER_BYTES, end
        start = end


def _whole_size(data: bytes, first: int, path: Path) -> int:
    """Where the last whole frame ends, the first being at byte `first`; StorageCorruptError if what follows is more than one
    torn frame."""
    size = max((end for _, end in _frames(data, first)), default=first)
    for start in range(size + 1, len(data) - FRAME_HEADER_BYTES):
        if _frame_end(data, start) is not None:
            raise StorageCorruptError(
                f"the consensus log {path} is damaged at byte {size}, before records that are whole; {MOVE_LOG_ADVICE}"
            )
    return size
