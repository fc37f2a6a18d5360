"""RLPx frames: one message each, encrypted, authenticated, and compressed after the Hellos.

Follows devp2p rlpx.md, "Framing", and Besu's `Framer` with its fallback to plain messages. Knows message ids as numbers
only. After a FrameError the cipher and MAC states of both sides differ: the connection must be closed.
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
    """A received message: its absolute id and its body, decrypted and decompressed. If `is_refused`,
    `FrameCodec.accepts` did not want the body, which is empty here."""

    message_id: int
    body: bytes
    is_refused: bool = False


Accepts = Callable[[int, int], bool]
"""Returns True if a message with this absolute id and this length in bytes should be kept. It is called before the body has
arrived. The length is the larger one of the frame's and the plain body's."""


def _accept_all_messages(message_id: int, length_bytes: int) -> bool:
    """Return True for every message. It is the `Accepts` function of a connection that keeps all messages."""
    return True


class _Content:
    """The content of a frame of `size` bytes while it arrives. The body of a refused message is not kept."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.missing_bytes = size + -size % _BLOCK
        self.plain = bytearray()
        self.is_refused: bool | None = None
        """None until the first block has arrived."""

    def add(self, plain: bytes) -> None:
        self.missing_bytes -= len(plain)
        if not self.is_refused:
            self.plain += plain

    def judge(self, accepts: Accepts, *, is_compressed: bool) -> None:
        """Let `accepts` decide. The first block holds the message id and the announced plain length. FrameError if they are
        malformed."""
        plain_bytes = _uncompressed_bytes(bytes(self.plain[1:6])) if is_compressed and self.size > 1 else 0
        self.is_refused = not accepts(_message_id(self.plain[0]), max(self.size, plain_bytes))
        # The first byte stays: it is the message id of the refused frame.
        if self.is_refused:
            del self.plain[1:]


class Compression(Enum):
    """The state of a connection's compression with Snappy."""

    OFF = auto()
    UNPROVEN = auto()
    """On, and no compressed message has arrived yet. A first message that is not Snappy turns it off."""
    PROVEN = auto()
    ABANDONED = auto()
    """The peer's first message was plain: no further message is compressed in either direction."""


class FrameCodec:
    """Writes and reads the frames of one connection. Must not be used by two threads at once."""

    def __init__(self, secrets: Secrets) -> None:
        # One key and a zero counter for both directions, as in rlpx.md. In counter mode an encryptor also decrypts.
        stream = Cipher(algorithms.AES(secrets.aes_secret), modes.CTR(bytes(16)))
        self._encryptor = stream.encryptor()
        self._decryptor = stream.encryptor()
        self._egress = _Mac(secrets.egress_mac, secrets.mac_secret)
        self._ingress = _Mac(secrets.ingress_mac, secrets.mac_secret)
        self._received = bytearray()
        self._content: _Content | None = None
        self.compression = Compression.OFF
        self.accepts: Accepts = _accept_all_messages
        """Decides which messages are kept. Of another message, only the MAC is checked."""

    def enable_snappy(self) -> None:
        """Compress from the next message on. Both sides do so if the Hellos have version 5 or above. If the first
        message of the other side is not Snappy all the same, this is undone for both directions."""
        self.compression = Compression.UNPROVEN

    def encode(self, message_id: int, body: bytes) -> bytes:
        """Return the frame of a message. Frames must be sent in the order of the calls. ValueError if the message is too
        large or the id is not one byte."""
        if not 0 <= message_id <= MAX_MESSAGE_ID:
            raise ValueError(f"a message id from 0 to {MAX_MESSAGE_ID} was expected, found {message_id}")
        if len(body) >= MAX_FRAME_BYTES:
            raise ValueError(f"a message of fewer than {MAX_FRAME_BYTES} bytes was expected, found {len(body)}")
        if self.compression in (Compression.UNPROVEN, Compression.PROVEN):
            body = bytes(cramjam.snappy.compress_raw(body))
        size = 1 + len(body)
        # The last check comes before the first use of the cipher: a refused message must leave the states as they
        # were.
        if size >= MAX_FRAME_BYTES:
            raise ValueError(f"a frame of fewer than {MAX_FRAME_BYTES} bytes was expected, found {size}")
        header = self._encryptor.update(size.to_bytes(3) + _HEADER_DATA)
        header_mac = self._egress.update_with_header(header)
        # The id is an RLP scalar: 0 is the empty string 0x80. The content is padded to whole AES blocks, and `size`
        # omits that.
        data = bytes([message_id or 0x80]) + body + bytes(-size % _BLOCK)
        content = self._encryptor.update(data)
        self._egress.update_with_content(content)
        return b"".join((header, header_mac, content, self._egress.finish_content()))

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes from the connection. Return an iterator of the messages that they complete, in order. FrameError, in
        the iterator, if a frame is malformed.

        The iterator is lazy: `enable_snappy` after a Hello applies to the Status behind it in the same read, and a
        Disconnect is returned before the FrameError of the bytes behind it. The codec holds at most one incomplete frame,
        of less than `MAX_FRAME_BYTES` bytes, and the bytes that the iterator has not reached. A long frame is decrypted as
        it arrives: in one step it would block the event loop for 50 ms.
        """
        self._received += data
        return iter(self._next_frame, None)

    def _next_frame(self) -> Frame | None:
        """Return the next complete message, None if there is none yet."""
        if self._content is None:
            if len(self._received) < _HEADER_BYTES:
                return None
            self._content = _Content(self._open_header(self._take(_HEADER_BYTES)))
        content = self._content
        self._take_content(content)
        if content.missing_bytes or len(self._received) < _MAC_BYTES:
            return None
        # Decrypted parts were kept before this check, but no message leaves this class without it.
        if not hmac.compare_digest(self._ingress.finish_content(), self._take(_MAC_BYTES)):
            raise FrameError("frame MAC does not match")
        self._content = None
        return self._message(content)

    def _take_content(self, content: _Content) -> None:
        """Decrypt the bytes that have arrived of the content. Wait for its first block, so that it can be judged whole."""
        if not content.missing_bytes or len(self._received) < (_BLOCK if content.is_refused is None else 1):
            return
        sealed = self._take(min(content.missing_bytes, len(self._received)))
        self._ingress.update_with_content(sealed)
        content.add(self._decryptor.update(sealed))
        # Only PROVEN: while the peer may still send plain messages, the bytes need not be a Snappy length.
        if content.is_refused is None:
            content.judge(self.accepts, is_compressed=self.compression is Compression.PROVEN)

    def _open_header(self, header: bytes) -> int:
        """Return the frame's size from the 32 bytes of its header and the header's MAC."""
        sealed, mac = header[:_BLOCK], header[_BLOCK:]
        if not hmac.compare_digest(self._ingress.update_with_header(sealed), mac):
            raise FrameError("frame header MAC does not match")
        # After the MAC: a size that the peer did not write must not decide how many bytes are read.
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
        # The announced length is checked before the decompressor allocates memory for it.
        _uncompressed_bytes(body)
        try:
            plain = bytes(cramjam.snappy.decompress_raw(body))
        except cramjam.DecompressionError as error:
            # A peer that has sent Snappy once must go on. Only a first message may be plain, as in Besu.
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
        # The state itself is never sent: it is encrypted, combined with the header or the digest, and absorbed again.
        seed = int.from_bytes(self._cipher.update(self._digest())) ^ int.from_bytes(mask)
        self._state.update(seed.to_bytes(16))
        return self._digest()

    def _digest(self) -> bytes:
        return self._state.digest()[:16]


def _message_id(first: int) -> int:
    """Return the message id of a frame's first byte. The id 0 is written as an empty string."""
    message_id = 0 if first == 0x80 else first
    if message_id > MAX_MESSAGE_ID:
        raise FrameError(f"a message id of one byte was expected, found {message_id:#04x}")
    return message_id


def _uncompressed_bytes(body: bytes) -> int:
    """Return the plain length that a Snappy block announces: a varint of 32 bits. FrameError if it is missing or too
    large."""
    size = 0
    for index, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if size >= MAX_FRAME_BYTES:
                raise FrameError(f"a message of fewer than {MAX_FRAME_BYTES} bytes was expected, found {size}")
            return size
    raise FrameError("message does not start with a Snappy length")
