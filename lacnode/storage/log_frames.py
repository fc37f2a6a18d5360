"""The frames of a consensus log: how its records stand in the file, and what a torn one is.

A frame is `marker (8) | length (4) | crc32 of length and record (4) | record`, big-endian. The marker is the beginning of
the log's random identity, which never leaves the node. So no sender of a transaction can make a record that contains
another whole frame. A log of an older version has frames without a marker. This file must not know what a record means.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MARKER_BYTES = 8
MAX_LOG_RECORD_BYTES = 64 << 20
"""The largest record. It is more than any block that fits a devp2p message."""

MAX_SEARCH_BYTES = 1 << 30
"""Bytes of checksums that a search for frames without a marker may cost. It takes about a second."""

_START_COST_BYTES = 256
"""The cost of each byte at which a frame may begin. Looking there takes as long as a checksum of so many bytes."""

_LENGTH_AND_CHECKSUM_BYTES = 8


def check_record_length(record: bytes) -> bytes:
    """Return `record`. Raises ValueError if it is empty or has more than `MAX_LOG_RECORD_BYTES`."""
    # An empty record would have the frame of a file of zeros, and a larger one would be taken for damage when it is read.
    if not 0 < len(record) <= MAX_LOG_RECORD_BYTES:
        raise ValueError(f"a record of 1 to {MAX_LOG_RECORD_BYTES} bytes was expected, found {len(record)}")
    return record


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """The form of the frames of one log. `marker` has `MARKER_BYTES`, or none in a log of an older version."""

    marker: bytes

    def encode(self, record: bytes) -> bytes:
        """The frame of `record`. Raises ValueError if the record is empty or has more than `MAX_LOG_RECORD_BYTES`."""
        length = len(check_record_length(record)).to_bytes(4)
        return self.marker + length + zlib.crc32(record, zlib.crc32(length)).to_bytes(4) + record

    def record_spans(self, data: bytes, first: int) -> Iterator[tuple[int, int]]:
        """The start and the end of every record in `data`, from the frame at byte `first` up to the first frame that is
        not whole."""
        start = first
        while (end := self._whole_frame_end(data, start)) is not None:
            yield start + len(self.marker) + _LENGTH_AND_CHECKSUM_BYTES, end
            start = end

    def may_have_frame_after(self, data: bytes, torn: int, flushed: int) -> bool:
        """Whether a whole frame may follow the frame at byte `torn` of the log `data`, which is not whole.

        `flushed` is the length up to which the log is known to have been on the disk, 0 if it is not known. Only frames
        without a marker need it. A search for them that would cost more than `MAX_SEARCH_BYTES` gives True.
        """
        if self.marker:
            return self._has_marked_frame(data, torn + 1)
        if 0 < flushed <= torn:
            # The calldata in the last record may contain whole frames, so a search would find what a sender put there.
            # All frames that are known to have been flushed are there. Behind the torn frame only the next one can stand.
            end = self._claimed_end(data, torn)
            return end is not None and self._whole_frame_end(data, end) is not None
        return self._may_have_unmarked_frame(data, torn + 1)

    def _has_marked_frame(self, data: bytes, start: int) -> bool:
        while (start := data.find(self.marker, start)) >= 0:
            if self._whole_frame_end(data, start) is not None:
                return True
            start += 1
        return False

    def _may_have_unmarked_frame(self, data: bytes, start: int) -> bool:
        left = MAX_SEARCH_BYTES
        for place in range(start, len(data) - _LENGTH_AND_CHECKSUM_BYTES):
            end = self._claimed_end(data, place)
            # Every claimed length costs a checksum. Calldata can claim a long one at every second byte.
            left -= _START_COST_BYTES + (0 if end is None else end - place)
            if left < 0 or (end is not None and self._is_whole(data, place, end)):
                return True
        return False

    def _whole_frame_end(self, data: bytes, start: int) -> int | None:
        """The end of the frame at `start`, or None if there is no whole frame."""
        end = self._claimed_end(data, start)
        return end if end is not None and self._is_whole(data, start, end) else None

    def _claimed_end(self, data: bytes, start: int) -> int | None:
        """Where the frame at `start` ends by its length. None if this is no possible length, or beyond `data`."""
        place = start + len(self.marker)
        length = int.from_bytes(data[place : place + 4])
        end = place + _LENGTH_AND_CHECKSUM_BYTES + length
        # A zero length would make a frame of zeros valid, and a file filled with zeros is a common kind of damage.
        return end if 0 < length <= MAX_LOG_RECORD_BYTES and end <= len(data) else None

    def _is_whole(self, data: bytes, start: int, end: int) -> bool:
        place = start + len(self.marker)
        record = place + _LENGTH_AND_CHECKSUM_BYTES
        # The checksum covers the length, too: a damaged length could otherwise jump over records.
        checksum = zlib.crc32(memoryview(data)[record:end], zlib.crc32(data[place : place + 4]))
        return data[start:place] == self.marker and checksum == int.from_bytes(data[place + 4 : record])


UNMARKED = FrameFormat(b"")
"""The form in logs of older versions."""
