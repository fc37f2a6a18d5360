"""The first bytes of a consensus log: which log this is, whose, and how long it was when it was last flushed.

A log has a random identity, a new one with each rewrite, and knows its former ones. The database remembers the identity, so
that a log that was replaced by an older one or by a copy is recognised (`log_pairing`). The length stands in two places,
written in turn, so that one of them is whole after any crash. Must not know what a record says.

Layout: `magic (8) | identity (16) | 4 former identities (16 each) | owner (20) | crc32 (4)`, then twice
`size (8) | crc32 (4)`.
"""

import secrets
import zlib
from dataclasses import dataclass

MAGIC = b"LACLOG\0\1"
IDENTITY_BYTES, OWNER_BYTES, FORMER_IDENTITIES = 16, 20, 4
UNKNOWN_OWNER = bytes(OWNER_BYTES)
_FIXED_BYTES = len(MAGIC) + IDENTITY_BYTES * (1 + FORMER_IDENTITIES) + OWNER_BYTES + 4
_SIZE_BYTES = 12
HEADER_BYTES = _FIXED_BYTES + 2 * _SIZE_BYTES


@dataclass(frozen=True, slots=True)
class LogHeader:
    """`former` has the identities before this one, newest first; `owner` (20 bytes) is zero where it is not known."""

    identity: bytes
    former: tuple[bytes, ...]
    owner: bytes

    @classmethod
    def new(cls, owner: bytes) -> "LogHeader":
        return cls(secrets.token_bytes(IDENTITY_BYTES), (), owner)

    @classmethod
    def decode(cls, data: bytes) -> "LogHeader | None":
        """The header at the start of `data`; None if its checksum does not fit."""
        fixed, checksum = data[: _FIXED_BYTES - 4], data[_FIXED_BYTES - 4 : _FIXED_BYTES]
        if not fixed.startswith(MAGIC) or zlib.crc32(fixed).to_bytes(4) != checksum:
            return None
        start = len(MAGIC)
        identities = [fixed[start + i * IDENTITY_BYTES :][:IDENTITY_BYTES] for i in range(1 + FORMER_IDENTITIES)]
        return cls(identities[0], tuple(one for one in identities[1:] if any(one)), fixed[-OWNER_BYTES:])

    @property
    def identities(self) -> tuple[bytes, ...]:
        """Every identity that this log is known to have had."""
        return self.identity, *self.former

    def successor(self, owner: bytes) -> "LogHeader":
        """The header of the log that replaces this one."""
        return LogHeader(secrets.token_bytes(IDENTITY_BYTES), self.identities[:FORMER_IDENTITIES], owner)

    def encode(self, size: int) -> bytes:
        """The whole header of a log of `size` bytes."""
        former = b"".join(self.former).ljust(IDENTITY_BYTES * FORMER_IDENTITIES, b"\0")
        fixed = MAGIC + self.identity + former + self.owner
        return fixed + zlib.crc32(fixed).to_bytes(4) + self.encode_size(size) * 2

    def encode_size(self, size: int) -> bytes:
        text = size.to_bytes(8)
        return text + zlib.crc32(text, zlib.crc32(self.identity)).to_bytes(4)

    def flushed_size(self, data: bytes) -> int:
        """The length in bytes that the log at `data` had on the disk for certain; 0 if neither place is whole."""
        places = [data[place : place + _SIZE_BYTES] for place in SIZE_PLACES]
        return max((int.from_bytes(p[:8]) for p in places if self.encode_size(int.from_bytes(p[:8])) == p), default=0)


SIZE_PLACES = (_FIXED_BYTES, _FIXED_BYTES + _SIZE_BYTES)
"""Where the two lengths stand in the file, in bytes."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a log had come at one moment: its identities (newest first), its length in bytes, and the CRC-32 of its
    frames up to there."""

    identities: tuple[bytes, ...]
    size: int
    checksum: int

    def encode(self) -> bytes:
        return self.size.to_bytes(8) + self.checksum.to_bytes(4) + b"".join(self.identities)

    @classmethod
    def decode(cls, data: bytes) -> "LogPosition":
        rest = data[12:]
        identities = tuple(rest[start : start + IDENTITY_BYTES] for start in range(0, len(rest), IDENTITY_BYTES))
        return cls(identities, int.from_bytes(data[:8]), int.from_bytes(data[8:12]))
