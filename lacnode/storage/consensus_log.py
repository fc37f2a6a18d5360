"""The consensus log: everything that a validator has signed, on disk before it is sent.

The file has a header (`log_header`) and one frame for each record (`log_frames`). A record is on the disk when `append`
returns. A crash can tear only the last frame. No signature was made for a torn record, so the next start drops it. Any other
fault is damage and raises an error: a log that forgets is worse than a validator that stops. A log that is whole but shorter
than before is no error here. `shortened` reports it, and the owner must not trust the log.

This file must not know what a record means.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from lacnode.storage.disk import REAL_DISK, Disk
from lacnode.storage.log_frames import UNMARKED, FrameFormat, check_record_length
from lacnode.storage.log_header import HEADER_BYTES, NAME, SIZE_PLACES, UNKNOWN_OWNER, LogHeader, LogPosition
from lacnode.storage.storage_errors import StorageCorruptError, StorageError, storage_error

MOVE_LOG_ADVICE = (
    "to go on without it, move the file away: the validator then follows the network, and signs again after a block "
    "that was decided without it"
)
"""The advice in errors about a damaged log."""


class ConsensusLog:
    """The log in the file `path`.

    `owner` is the address (20 bytes) of the validator. A log of another owner is renamed (`set_aside`), and counts as
    missing. With None, any log is accepted. A missing log is created with the records `if_missing`, all or none of
    them. A log without a header, from an older version, gets one. A log with frames of an older version keeps their form
    until the next `rewrite`. A torn last record is dropped (`torn_bytes`). A log that has lost whole records is opened
    too: `shortened` says so. `durable=False` does not flush, for tests.

    Raises StorageLockedError if another process or object uses the log, StorageCorruptError if it is damaged, and
    StorageError, the base of both, for any other failure.
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
        """The new path of the log of another owner, or None."""
        self.torn_bytes = 0
        """Bytes of a torn last record that were dropped. No signature was made for it."""
        self.shortened = False
        """Whether records are missing that were on the disk."""
        try:
            disk.make_directory(path.parent)
        except OSError as error:
            raise storage_error(path.parent, "making the directory", error) from None
        self._lock = disk.lock(path.with_name(path.name + ".lock"), f"the consensus log {path}")
        # Before the file is opened: two validators with one key and one log would sign two blocks for one round.
        try:
            self._open(tuple(if_missing))
            self._failed = None
        except BaseException:
            # Even at a keyboard interrupt the lock must be released: tests open the log again in the same process.
            self.close()
            raise

    def append(self, record: bytes) -> None:
        """Append `record` (1 byte to 64 MiB). It is on the disk when this returns.

        Raises ValueError for another length. Raises StorageFullError or StorageError if the record cannot be written:
        it is not in the log then. If the flush fails with one of these errors, the content of the disk is unknown:
        every later append fails with StorageError until the log is opened again. So does an append after `close`, and
        after a `rewrite` whose last flush failed.
        """
        frame = self._header.frames.encode(record)
        self._check_usable()
        try:
            # The size before this frame is written with it. If the file is cut later, the next start notices.
            self._write_size(self._descriptor)
            self._write_all(self._descriptor, frame)
        except OSError as error:
            # Without this, the next frame would follow half a frame, and the log would be damaged in the middle.
            self._remove_partial_frame()
            raise storage_error(self._path, "writing", error) from None
        # After a failed fsync the kernel may report success for pages that never reached the disk. So nothing is written
        # after a failure.
        try:
            self._flush(self._descriptor)
        except OSError as error:
            self._failed = f"flushing failed before: {error.strerror}"
            raise storage_error(self._path, "flushing", error) from None
        self._set_position(self._position.size + len(frame), zlib.crc32(frame, self._position.checksum))

    @property
    def position(self) -> LogPosition:
        """How far the log on the disk has come: identities, bytes and checksum. Safe from any thread."""
        return self._position

    def continues_from(self, earlier: LogPosition) -> bool:
        """Whether this log may be the log that once had the position `earlier`: unchanged, grown, or rewritten since.
        If it was not rewritten, the records up to `earlier` are compared by their checksum. If it was, nothing is
        compared: True if the newest identity of `earlier` is one of the last `FORMER_IDENTITIES` of this log. Raises
        OSError if the file cannot be read."""
        newest = earlier.identities[0]
        if newest != self._header.identity:
            # A rewrite starts a new identity and remembers the last ones.
            return newest in self._header.former
        if earlier.size > self._position.size:
            return False
        # The same identity and length may still be another copy that went its own way. The checksum shows it.
        # Views and no copies: the log may be long.
        log = memoryview(self._disk.read(self._descriptor))
        return zlib.crc32(log[HEADER_BYTES : earlier.size]) == earlier.checksum

    def records(self) -> Iterator[bytes]:
        """Every record that is on the disk at this moment, the oldest first. Raises OSError if the file cannot be
        read."""
        # Only up to the known size: a frame that is being appended by another thread is not on the disk yet.
        data = self._disk.read(self._descriptor)[: self._position.size]
        # Each record is cut out when its turn comes: all of them together would take the length of the log once more.
        return (data[start:end] for start, end in self._header.frames.record_spans(data, HEADER_BYTES))

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace the whole log by `records` (1 byte to 64 MiB each), the oldest first. After a crash or an error the
        old log or the new one is there, and never a part.

        Raises StorageFullError or StorageError, also after `close` and after a failed flush. If it is not known whether
        the new log survives a power cut, every later append fails until the log is opened again. Raises ValueError for
        a record of another length, and the old log stays.
        """
        self._check_usable()
        self._replace(self._header.successor(self._owner or self._header.owner), records)

    def close(self) -> None:
        """Close the file and release the lock. Closing twice is harmless. Raises OSError if the last size cannot be
        written, or the file cannot be closed. The lock is released all the same, and nothing can be appended."""
        descriptor, failed = self._descriptor, self._failed
        self._descriptor, self._failed = -1, "it is closed"
        with ExitStack() as closing:
            closing.callback(self._lock.release)
            if descriptor >= 0:
                closing.callback(self._disk.close, descriptor)
                # The last size is written here, so that a log cut after an orderly stop is noticed, too.
                if failed is None:
                    self._write_size(descriptor)

    # -- opening -----------------------------------------------------------------------------------------------------

    def _open(self, if_missing: tuple[bytes, ...]) -> None:
        try:
            self._descriptor = self._disk.open(self._path)
            found = self._disk.read(self._descriptor)
            # The owner is checked before the frames: a foreign log may be damaged without stopping this validator.
            header = _decode_header(found, self._path)
            if header is not None and self._owner is not None and header.owner not in (UNKNOWN_OWNER, self._owner):
                self._set_aside(header.owner)
                found, header = b"", None
            new = LogHeader.new(self._owner or UNKNOWN_OWNER)
            # Three cases: no log, a log of an older version without a header, and a log of this version.
            if not found:
                self._replace(new, if_missing)
            elif header is None:
                _end_of_whole_frames(UNMARKED, found, 0, 0, self._path)
                self._replace(new, (found[start:end] for start, end in UNMARKED.record_spans(found, 0)))
            else:
                self._open_existing(header, found)
        except OSError as error:
            raise storage_error(self._path, "opening", error) from None

    def _open_existing(self, header: LogHeader, found: bytes) -> None:
        """Continue the log `found` without a torn last frame."""
        sizes = header.flushed_sizes(found)
        flushed = max(sizes)
        # The next size goes into the other place. If a crash destroys it, this one is still there.
        self._turn = sizes.index(flushed)
        size = _end_of_whole_frames(header.frames, found, HEADER_BYTES, flushed, self._path)
        self._header = header
        self.torn_bytes = len(found) - size
        # A torn frame was never flushed, so its size was never written. A larger written size means lost records.
        self.shortened = size < flushed
        # The cut is flushed before the first append. Otherwise a crash could bring the torn bytes back behind a new frame.
        self._set_position(size, zlib.crc32(memoryview(found)[HEADER_BYTES:size]))
        self._disk.truncate(self._descriptor, size)
        self._flush(self._descriptor)
        self._flush_directory()

    def _set_aside(self, owner: bytes) -> None:
        # Kept and not deleted: the operator may have started the node with the wrong key.
        aside = self._path.with_name(f"{self._path.name}.of-0x{owner.hex()}")
        self._disk.replace(self._path, aside)
        self.set_aside = aside

    # -- writing -----------------------------------------------------------------------------------------------------

    def _replace(self, header: LogHeader, records: Iterable[bytes]) -> None:
        # A complete second file is written and flushed, and then renamed. A crash leaves the old file or the new one.
        temporary = self._path.with_name(self._path.name + ".new")
        frames = b"".join(map(header.frames.encode, records))
        size = HEADER_BYTES + len(frames)
        try:
            descriptor = self._disk.open(temporary, empty=True)
            try:
                self._write_all(descriptor, header.encode(size) + frames)
                self._flush(descriptor)
                self._disk.replace(temporary, self._path)
            except OSError:
                self._disk.close(descriptor)
                # The descriptor of the old file stays in use, so the log is as it was.
                self._disk.remove(temporary)
                raise
            replaced, self._descriptor, self._header = self._descriptor, descriptor, header
            self._set_position(size, zlib.crc32(frames))
            # The rename itself is in the directory. Without this flush a power cut could bring the old log back.
            try:
                self._flush_directory()
            except OSError as error:
                # Records that are appended now would be lost with the new log.
                self._failed = f"flushing failed before: {error.strerror}"
                raise
            finally:
                self._disk.close(replaced)
        except OSError as error:
            raise storage_error(self._path, "rewriting", error) from None

    def _set_position(self, size: int, checksum: int) -> None:
        self._position = LogPosition(self._header.identities, size, checksum)

    def _write_size(self, descriptor: int) -> None:
        """Write the size that is on the disk, into the older one of the two places.

        In turns: a crash during this write can destroy one place, and the other place is still valid.
        """
        self._turn = 1 - self._turn
        size = self._header.encode_size(self._position.size)
        self._disk.write_at(descriptor, SIZE_PLACES[self._turn], size)

    def _check_usable(self) -> None:
        # Writing on after a fault could hide it: the next start would see a whole log with a gap.
        if self._failed is not None:
            raise StorageError(f"the consensus log {self._path} cannot be written: {self._failed}")

    def _remove_partial_frame(self) -> None:
        """Remove a frame that was written in part."""
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
        # `write` may write less than it got, without an error.
        view = memoryview(data)
        while view:
            view = view[self._disk.write(descriptor, view) :]


class MemoryConsensusLog:
    """A log with the methods of `ConsensusLog`, in memory, for networks inside one process. It has no position and no
    lock. The records exist as long as the object."""

    def __init__(self) -> None:
        self._records: list[bytes] = []

    def append(self, record: bytes) -> None:
        """Add a record (1 byte to 64 MiB) at the end. Raises ValueError for another length."""
        self._records.append(check_record_length(record))

    def records(self) -> Iterator[bytes]:
        """Yield all records that are there now, the oldest first."""
        return iter(tuple(self._records))

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace all records by `records` (1 byte to 64 MiB each), the oldest first. Raises ValueError for another
        length."""
        self._records = [check_record_length(record) for record in records]

    def close(self) -> None:
        """Do nothing: memory has nothing to release."""


def _decode_header(found: bytes, path: Path) -> LogHeader | None:
    """The header of the log `found`. None for a log of an older version without one, or for an empty file.

    Raises StorageCorruptError if the header is damaged, or has a version that is not known.
    """
    if not found.startswith(NAME):
        return None
    header = LogHeader.decode(found)
    # A damaged header could hide the owner. So it is not replaced by a new one.
    if header is None or len(found) < HEADER_BYTES:
        raise StorageCorruptError(
            f"the header of the consensus log {path} is damaged, or of a later version; {MOVE_LOG_ADVICE}"
        )
    return header


def _end_of_whole_frames(frames: FrameFormat, found: bytes, first: int, flushed: int, path: Path) -> int:
    """The end of the last whole frame of the log `found`. The first frame starts at byte `first`.

    Raises StorageCorruptError if more than one torn frame may follow.
    """
    size = max((end for _, end in frames.record_spans(found, first)), default=first)
    # A torn frame is the last one. A whole frame after it means damage in the middle, and dropping the rest would forget
    # records.
    if frames.may_have_frame_after(found, size, flushed):
        raise StorageCorruptError(
            f"the consensus log {path} is damaged at byte {size}, and whole records may follow; {MOVE_LOG_ADVICE}"
        )
    return size
