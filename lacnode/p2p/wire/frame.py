"""RLPx frames: one message each, encrypted, authenticated, and compressed once the Hellos are exchanged.

Follows devp2p rlpx.md, "Framing", and Besu's `Framer`, its fallback to plain messages included. Knows message ids as
numbers only. After a FrameError the streams are out of step: the connection is over.
"""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

import cramjam
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from lacnode.p2p.wire.eip8 import item_size
from lacnode.p2p.wire.handshake import MacState, Secrets
from lacnode.primitives.rlp import RlpError

MAX_FRAME_BYTES = 0xFF_FF_FF
"""Frames and uncompressed bodies must be smaller than this many bytes, as in Besu."""

MAX_MESSAGE_ID = 0x7F
"""Message ids are one byte, as in Besu: enough for every set of capabilities known."""

_HEADER_BYTES, _MAC_BYTES, _BLOCK = 32, 16, 16
_HEADER_DATA = bytes.fromhex("c28080").ljust(13, b"\0")


class FrameError(Exception):
    """The other side's frame is forged, malformed or too large: Disconnect 02, breach of protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message as it came: its absolute id and its plain body. `is_refused` says that the body was not accepted. Then it
    is empty."""

    message_id: int
    body: bytes
    is_refused: bool = False


Accepts = Callable[[int, int], bool]
"""Whether a message with this absolute id and this length in bytes is to be kept, asked before its body is here. The length
is that of the frame or of the plain body, whichever is longer."""


def accept_all(message_id: int, length_bytes: int) -> bool:
    """The `Accepts` that refuses nothing."""
    return True


class _Content:
    """The content of a frame of `size` bytes while it arrives. Nothing is kept of a message that is refused."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.missing_bytes = size + -size % _BLOCK
        self.plain = bytearray()
        self.is_refused: bool | None = None
        """None until the first bytes are here."""

    def add(self, plain: bytes) -> None:
        self.missing_bytes -= len(plain)
        if not self.is_refused:
            self.plain += plain

    def judge(self, accepts: Accepts, *, is_compressed: bool) -> None:
        """Have `accepts` decide, which knows the id and the length from the first block on."""
        plain_bytes = _uncompressed_bytes(bytes(self.plain[1:6])) if is_compressed and self.size > 1 else 0
        self.is_refused = not accepts(_message_id(self.plain[0]), max(self.size, plain_bytes))
        if self.is_refused:
            del self.plain[1:]


class Compression(Enum):
    """Where a connection stands with Snappy."""

    OFF = auto()
    UNPROVEN = auto()
    """On, but nothing compressed has arrived yet: a first message that is not Snappy turns it off."""
    PROVEN = auto()
    ABANDONED = auto()
    """The peer's first message was plain: nothing is compressed any more, either way."""


class FrameCodec:
    """One connection's frames, both ways. Not for two threads."""

    def __init__(self, secrets: Secrets) -> None:
        stream = Cipher(algorithms.AES(secrets.aes_secret), modes.CTR(bytes(16)))
        self._encryptor = stream.encryptor()
        self._decryptor = stream.encryptor()
        self._egress = _Mac(secrets.egress_mac, secrets.mac_secret)
        self._ingress = _Mac(secrets.ingress_mac, secrets.mac_secret)
        self._received = bytearray()
        self._content: _Content | None = None
        self.compression = Compression.OFF
        self.accepts: Accepts = accept_all
        """What messages are kept. Of another, only the authentication code is checked."""

    def enable_snappy(self) -> None:
        """Compress from the next message on, as both sides do after Hellos of version 5 and above."""
        self.compression = Compression.UNPROVEN

    def encode(self, message_id: int, body: bytes) -> bytes:
        """The frame of a message, to be sent in this order. ValueError if it is too large or the id is not one byte."""
        if not 0 <= message_id <= MAX_MESSAGE_ID:
            raise ValueError(f"a message id from 0 to {MAX_MESSAGE_ID} was expected, found {message_id}")
        if len(body) >= MAX_FRAME_BYTES:
            raise ValueError(f"a message of fewer than {MAX_FRAME_BYTES} bytes was expected, found {len(body)}")
        if self.compression in (Compression.UNPROVEN, Compression.PROVEN):
            body = bytes(cramjam.snappy.compress_raw(body))
        size = 1 + len(body)
        if size >= MAX_FRAME_BYTES:
            raise ValueError(f"a frame of fewer than {MAX_FRAME_BYTES} bytes was expected, found {size}")
        header = self._encryptor.update(size.to_bytes(3) + _HEADER_DATA)
        header_mac = self._egress.update_with_header(header)
        data = bytes([message_id or 0x80]) + body + bytes(-size % _BLOCK)
        content = self._encryptor.update(data)
        self._egress.update_with_content(content)
        return b"".join((header, header_mac, content, self._egress.finish_content()))

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes from the connection. The messages they complete, in order, opened one by one as they are asked for.

        Lazy, so that `enable_snappy` after a Hello holds for the Status behind it in the same read, and so that a
        Disconnect is seen before the FrameError of what follows it. Holds at most one incomplete frame, of less than
        `MAX_FRAME_BYTES` bytes, besides what has not been asked for. A long frame is decrypted as it arrives: all at once
        would hold the event loop for 50 ms.
        """
        self._received += data
        return iter(self._next_frame, None)

    def _next_frame(self) -> Frame | None:
        """The next complete message. None if there is none yet."""
        if self._content is None:
            if len(self._received) < _HEADER_BYTES:
                return None
            self._content = _Content(self._open_header(self._take(_HEADER_BYTES)))
        content = self._content
        self._take_content(content)
        if content.missing_bytes or len(self._received) < _MAC_BYTES:
            return None
        if not hmac.compare_digest(self._ingress.finish_content(), self._take(_MAC_BYTES)):
            raise FrameError("frame MAC does not match")
        self._content = None
        return self._message(content)

    def _take_content(self, content: _Content) -> None:
        """Decrypt what is here of the content, as soon as its first block is."""
        if not content.missing_bytes or len(self._received) < (_BLOCK if content.is_refused is None else 1):
            return
        sealed = self._take(min(content.missing_bytes, len(self._received)))
        self._ingress.update_with_content(sealed)
        content.add(self._decryptor.update(sealed))
        if content.is_refused is None:
            content.judge(self.accepts, is_compressed=self.compression is Compression.PROVEN)

    def _open_header(self, header: bytes) -> int:
        """The frame's size from its 32 bytes of header and MAC."""
        sealed, mac = header[:_BLOCK], header[_BLOCK:]
        if not hmac.compare_digest(self._ingress.update_with_header(sealed), mac):
            raise FrameError("frame header MAC does not match")
        plain = self._decryptor.update(sealed)
        size = int.from_bytes(plain[:3])
        if not 0 < size < MAX_FRAME_BYTES:
            raise FrameError(f"a frame of 1 to {MAX_FRAME_BYTES - 1} bytes was expected, found {size}")
        try:
            fits = item_size(plain[3:]) <= len(plain) - 3
        except RlpError as error:
            raise FrameError(f"frame header: {error}") from None
        if not fits:
            raise FrameError("frame header: its data is longer than the header")
        return size

    def _message(self, content: _Content) -> Frame:
        message_id = _message_id(content.plain[0])
        if content.is_refused:
            return Frame(message_id, b"", is_refused=True)
        return Frame(message_id, self._decompress(bytes(memoryview(content.plain)[1 : content.size])))

    def _decompress(self, body: bytes) -> bytes:
        if self.compression in (Compression.OFF, Compression.ABANDONED):
            return body
        _uncompressed_bytes(body)
        try:
            plain = bytes(cramjam.snappy.decompress_raw(body))
        except cramjam.DecompressionError as error:
            if self.compression is Compression.PROVEN:
                raise FrameError(f"message is not Snappy: {error}") from None
            self.compression = Compression.ABANDONED
            return body
        self.compression = Compression.PROVEN
        return plain

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return taken


class _Mac:
    """The running MAC of one direction (devp2p rlpx.md, "MAC")."""

    def __init__(self, state: MacState, mac_secret: bytes) -> None:
        self._state = state.copy()
        self._cipher: CipherContext = Cipher(algorithms.AES(mac_secret), modes.ECB()).encryptor()

    def update_with_header(self, sealed: bytes) -> bytes:
        return self._absorb(sealed)

    def update_with_content(self, part: bytes) -> None:
        self._state.update(part)

    def finish_content(self) -> bytes:
        return self._absorb(self._digest())

    def _absorb(self, mask: bytes) -> bytes:
        seed = int.from_bytes(self._cipher.update(self._digest())) ^ int.from_bytes(mask)
        self._state.update(seed.to_bytes(16))
        return self._digest()

    def _digest(self) -> bytes:
        return self._state.digest()[:16]


def _message_id(first: int) -> int:
    """The id that a frame's first byte means: 0 is written as an empty string."""
    message_id = 0 if first == 0x80 else first
    if message_id > MAX_MESSAGE_ID:
        raise FrameError(f"a message id of one byte was expected, found {message_id:#04x}")
    return message_id


def _uncompressed_bytes(body: bytes) -> int:
    """The length that a Snappy block announces (a varint of 32 bits), read before anything is allocated for it."""
    size = 0
    for index, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if size >= MAX_FRAME_BYTES:
                raise FrameError(f"a message of fewer than {MAX_FRAME_BYTES} bytes was expected, found {size}")
            return size
    raise FrameError("message does not start with a Snappy length")
