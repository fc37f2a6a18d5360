"""The header of a consensus log: the identity of the log, its owner, and its length at the last flush.

A log has a random identity. Each rewrite gives it a new one, and the log keeps its last identities. The database remembers
the identity, so a log that was replaced by an older log or by a copy is recognised (`log_pairing`). The length is stored in
two places. They are written in turn, so one of them is valid after any crash. This file must not know what a record means.

Layout: `name (7) | version (1) | identity (16) | 4 former identities (16 each) | owner (20) | crc32 (4)`, then twice
`size (8) | crc32 (4)`. Frames have a marker from version 2 on (`log_frames`).
"""

import secrets
import zlib
from dataclasses import dataclass

from lacnode.storage.log_frames import MARKER_BYTES, UNMARKED, FrameFormat

NAME, VERSION, UNMARKED_VERSION = b"LACLOG\0", b"\2", b"\1"
IDENTITY_BYTES, OWNER_BYTES, FORMER_IDENTITIES = 16, 20, 4
UNKNOWN_OWNER = bytes(OWNER_BYTES)
_FIXED_BYTES = len(NAME) + len(VERSION) + IDENTITY_BYTES * (1 + FORMER_IDENTITIES) + OWNER_BYTES + 4
_SIZE_BYTES = 12
HEADER_BYTES = _FIXED_BYTES + 2 * _SIZE_BYTES


@dataclass(frozen=True, slots=True)
class LogHeader:
    """The header of the file of a consensus log.

    `identity` has 16 random bytes. `former` has at most four earlier identities, the newest first. `owner` is the
    address (20 bytes) of the validator, zero if it is unknown. `version` is `VERSION` or `UNMARKED_VERSION`.
    """

    identity: bytes
    former: tuple[bytes, ...]
    owner: bytes
    version: bytes = VERSION

    @classmethod
    def new(cls, owner: bytes) -> "LogHeader":
        """The header of a new log of `owner` (20 bytes), with a random identity."""
        return cls(secrets.token_bytes(IDENTITY_BYTES), (), owner)

    @classmethod
    def decode(cls, data: bytes) -> "LogHeader | None":
        """The header at the start of `data`. None if `data` does not begin with `NAME` and a known version, or if the
        checksum does not fit."""
        fixed, checksum = data[: _FIXED_BYTES - 4], data[_FIXED_BYTES - 4 : _FIXED_BYTES]
        if not fixed.startswith((NAME + VERSION, NAME + UNMARKED_VERSION)):
            return None
        if zlib.crc32(fixed).to_bytes(4) != checksum:
            return None
        start = len(NAME) + len(VERSION)
        identities = [fixed[start + i * IDENTITY_BYTES :][:IDENTITY_BYTES] for i in range(1 + FORMER_IDENTITIES)]
        # Unused places are zero.
        former = tuple(one for one in identities[1:] if any(one))
        return cls(identities[0], former, fixed[-OWNER_BYTES:], fixed[start - len(VERSION) : start])

    @property
    def identities(self) -> tuple[bytes, ...]:
        """Every known identity of this log (16 bytes each), the newest first."""
        return self.identity, *self.former

    @property
    def frames(self) -> FrameFormat:
        """The form of the frames that follow this header."""
        return UNMARKED if self.version == UNMARKED_VERSION else FrameFormat(self.identity[:MARKER_BYTES])

    def successor(self, owner: bytes) -> "LogHeader":
        """The header of the log of `owner` (20 bytes) that replaces this one: the present version, a new random identity,
        and the newest `FORMER_IDENTITIES` of this one as former ones."""
        # Four former identities: a database that is some rewrites behind still recognises the log.
        return LogHeader(secrets.token_bytes(IDENTITY_BYTES), self.identities[:FORMER_IDENTITIES], owner)

    def encode(self, size: int) -> bytes:
        """Encode the whole header (`HEADER_BYTES`) of a log of `size` bytes, header included."""
        former = b"".join(self.former).ljust(IDENTITY_BYTES * FORMER_IDENTITIES, b"\0")
        fixed = NAME + self.version + self.identity + former + self.owner
        return fixed + zlib.crc32(fixed).to_bytes(4) + self.encode_size(size) * 2

    def encode_size(self, size: int) -> bytes:
        """Encode the size of the log in bytes, with its checksum: 12 bytes. The checksum is valid with this identity
        only."""
        # The identity is a part of the checksum: a size of an earlier file at this place on the disk does not pass.
        text = size.to_bytes(8)
        return text + zlib.crc32(text, zlib.crc32(self.identity)).to_bytes(4)

    def flushed_sizes(self, data: bytes) -> list[int]:
        """What the two places in the header of the log `data` say: the length in bytes, header included, up to which the
        log was on the disk. 0 for a place that is not valid. The larger one counts: the other is older, or torn."""
        places = [data[place : place + _SIZE_BYTES] for place in SIZE_PLACES]
        sizes = [int.from_bytes(place[:8]) for place in places]
        return [size if self.encode_size(size) == place else 0 for size, place in zip(sizes, places, strict=True)]


SIZE_PLACES = (_FIXED_BYTES, _FIXED_BYTES + _SIZE_BYTES)
"""The offsets of the two lengths in the file, in bytes."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a log had come at one moment.

    It has the identities (16 bytes each, the newest first), the length in bytes, header included, and the CRC-32 of the
    frames up to that length.
    """

    identities: tuple[bytes, ...]
    size: int
    checksum: int

    def encode(self) -> bytes:
        """Encode the position for the database: size (8 bytes), checksum (4 bytes), identities."""
        return self.size.to_bytes(8) + self.checksum.to_bytes(4) + b"".join(self.identities)

    @classmethod
    def decode(cls, data: bytes) -> "LogPosition":
        """Decode what `encode` made. Nothing is checked."""
        rest = data[12:]
        identities = tuple(rest[start : start + IDENTITY_BYTES] for start in range(0, len(rest), IDENTITY_BYTES))
        return cls(identities, int.from_bytes(data[:8]), int.from_bytes(data[8:12]))
